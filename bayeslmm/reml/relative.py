r"""Relative factors as functions of a search's variables.

The criterion is even in the sign of each column of Lambda, so the search runs without bounds: a
variance of zero is then an ordinary interior minimum, where a bound would be a corner in which
searches stop early. A set b of correlated columns has Lambda_b = R_b^-1 Theta_b with Theta_b lower
triangular and Z_b = Zs_b R_b in orthogonal columns of mean square one, so that the unit and the
origin of a slope's column do not matter to it.

A set of columns whose covariance has few numbers has these for variables: standard deviations of
columns with mean square one, and partials u in (0, 1),

.. math:: s(x) = \sqrt{x^2 + c^2} - c, \qquad u(t) = (1 + \tanh t) / 2.

s is even and smooth, too: where correlations are held by other columns the criterion is not even in
a standard deviation itself. One that all columns share is its own variable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular

from bayeslmm.gram.likelihood import pack_factors
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import (
    lower_entries,
    lower_factor,
    sd_corr_from_factor,
    theta_from_factor,
    theta_names,
)
from bayeslmm.model.covariance.of_matrix import OfMatrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Blocks, Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.covariance.block_covariance import BlockCovariance
    from bayeslmm.model.covariance.structure import CovarianceStructure

# How far the line of a partial reaches: there it is within 2e-7 of its bound.
FARTHEST = 8.0
# Standard deviations of structured columns beside sigma, beyond which nothing is gained and digits
# are lost: there sigma is zero as far as the criterion can tell.
_MOST = 3e3
# How near its bound, in shares of half the interval, a partial counts as lying on it.
AT_BOUND = 1e-4
# c above: far below it standard deviations are squares of their variables.
_BEND = 0.1


@dataclass(frozen=True, eq=False)
class FreeSet:
    """Columns whose part of Lambda is any lower triangle, in orthogonal columns.

    Attributes
    ----------
    factor : int
        Place of the grouping factor.
    columns : tuple of int
        Which of its columns.
    root : ndarray
        R with Z = Zs R, Zs orthonormal over all rows but for their number.
    """

    factor: int
    columns: tuple[int, ...]
    root: Floats

    @property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of the variables in Theta, (size,) each."""
        return lower_entries(len(self.columns))

    @property
    def size(self) -> int:
        """Number of variables."""
        return len(self.entries[0])

    @property
    def columns_each(self) -> int:
        """How many columns have each variance."""
        return 1

    def moments(self, gram: Gram) -> tuple[Floats, Floats]:
        """Compute each level's z_i'z_i and the sums of (z_i'r)^2 for each column of Zs.

        r are least-squares residuals; shapes (m, q) and (q,).
        """
        factor, p = gram.factors[self.factor], len(gram.coef)
        at = list(self.columns)
        C = factor.scale[:, at] @ solve_triangular(self.root, np.eye(len(at)))
        weights = np.einsum("ac,mab,bc->mc", C, factor.within, C)
        return weights, np.sum((factor.with_fixed[:, :, p] @ C) ** 2, axis=0)


@dataclass(frozen=True, eq=False)
class StructuredSet:
    """Columns whose part of Lambda follows from few numbers.

    Attributes
    ----------
    factor : int
        Place of the grouping factor.
    columns : tuple of int
        Which of its columns.
    structure : CovarianceStructure
        Their covariance.
    shared : bool
        Whether they have one standard deviation.
    length : ndarray, shape (n_sds,)
        Root mean square of each standard deviation's columns.
    labels : tuple of str
        Names of the standard deviations, then of the partials.
    at : ndarray of int, shape (q, q)
        Places of their part of Lambda in packed factors.
    """

    factor: int
    columns: tuple[int, ...]
    structure: CovarianceStructure
    shared: bool
    length: Floats
    labels: tuple[str, ...]
    at: NDArray[np.intp]

    @property
    def n_sds(self) -> int:
        """Number of standard deviations."""
        return len(self.length)

    @property
    def size(self) -> int:
        """Number of variables."""
        return self.n_sds + self.structure.n_partials

    @property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Places of the standard deviations on a diagonal, twice."""
        return np.arange(self.n_sds), np.arange(self.n_sds)

    @property
    def columns_each(self) -> int:
        """How many columns have each standard deviation."""
        return len(self.columns) // self.n_sds

    def moments(self, gram: Gram) -> tuple[Floats, Floats]:
        """Compute what `FreeSet.moments` does, for columns of mean square one.

        Where columns share a standard deviation they are counted as levels: (m q, 1) and (1,).
        """
        factor, p = gram.factors[self.factor], len(gram.coef)
        C = factor.scale[:, list(self.columns)] / self.length
        weights = np.einsum("ac,mab,bc->mc", C, factor.within, C)
        squares = np.sum((factor.with_fixed[:, :, p] @ C) ** 2, axis=0)
        if self.shared:
            return weights.reshape(-1, 1), np.array([squares.sum()])
        return weights, squares

    def parameters(self, x: Floats) -> tuple[Floats, Floats]:
        """Return each column's relative standard deviation, (q,), and the partials."""
        own = x[: self.n_sds]
        sd = (own if self.shared else np.hypot(own, _BEND) - _BEND) / self.length
        return (
            np.broadcast_to(sd, len(self.columns)) if self.shared else sd,
            0.5 * (1.0 + np.tanh(x[self.n_sds :])),
        )

    def factor_at(self, x: Floats) -> Floats:
        """Compute their part of Lambda, (q, q)."""
        return self.structure.factor(*self.parameters(x))

    def pull_back(self, x: Floats, d_factor: Floats) -> Floats:
        """Carry a gradient in their part of Lambda to the variables."""
        d_sd, d_partials = self.structure.pull_back(*self.parameters(x), d_factor)
        own, line = x[: self.n_sds], x[self.n_sds :]
        slopes = np.ones(1) if self.shared else own / np.hypot(own, _BEND)
        d_own = np.array([d_sd.sum()]) if self.shared else d_sd
        return np.concatenate(
            [d_own * slopes / self.length, 0.5 * d_partials * (1.0 - np.tanh(line) ** 2)]
        )

    def locate(self, factor: Floats) -> Floats:
        """Find the variables of their part of Lambda; a partial that it does not tell is middling.

        The inverse of `factor_at` where standard deviations are not negative.
        """
        sd, corr = sd_corr_from_factor(factor)
        if self.shared:
            own = np.array([np.sqrt(np.mean(sd**2))]) * self.length
        else:
            own = np.sqrt((sd * self.length + _BEND) ** 2 - _BEND**2)
        if not isinstance(self.structure, OfMatrix):
            return own
        share = 2.0 * np.nan_to_num(self.structure.near(corr), nan=0.5) - 1.0
        with np.errstate(divide="ignore"):
            line = np.arctanh(np.clip(share, -1.0, 1.0))
        return np.concatenate([own, np.clip(line, -FARTHEST, FARTHEST)])

    def on_bound(self, x: Floats) -> list[str]:
        """Return in words which partials lie on their bounds."""
        found: list[str] = []
        if not isinstance(self.structure, OfMatrix):
            return found
        _, partials = self.parameters(x)
        for k in np.flatnonzero(1.0 - np.abs(2.0 * partials - 1.0) < AT_BOUND):
            end = np.where(np.arange(len(partials)) == k, np.round(partials), partials)
            bound = float(self.structure.values(end)[k])
            what = "" if self.structure.parameters else "a partial correlation of "
            found.append(f"{what}{self.labels[self.n_sds + k]} is at its bound {bound:.3g}")
        return list(dict.fromkeys(found))


class RelativeFactors:
    """All factors' Lambda as a function of a search's variables theta.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Attributes
    ----------
    free : tuple of FreeSet
        Whose variables come first.
    structured : tuple of StructuredSet
        Whose variables come last.
    even : ndarray of bool, shape (size,)
        Of which variables Lambda Lambda' is an even function, each by itself: diagonal entries of
        some Theta, and standard deviations.
    """

    def __init__(self, gram: Gram) -> None:
        self.gram = gram
        covariances = [covariance_of(factor) for factor in gram.factors]
        self.free = tuple(
            FreeSet(k, columns, _root(gram.factors[k].scale[:, list(columns)]))
            for k, covariance in enumerate(covariances)
            for columns in free_columns(covariance)
        )
        self.structured = tuple(
            made
            for k, own in enumerate(covariances)
            for made in structured_sets(
                own, k, np.sum(gram.factors[k].scale ** 2, axis=0), _first_entry(gram, k)
            )
        )
        self._basis, diagonal = _basis(gram, self.free)
        self.n_free = len(diagonal)
        sds = [np.arange(own.size) < own.n_sds for own in self.structured]
        self.even = np.concatenate([diagonal, *sds])

    @property
    def size(self) -> int:
        """Number of variables."""
        return len(self.even)

    @cached_property
    def is_partial(self) -> NDArray[np.bool_]:
        """Which variables are the lines of partials."""
        beyond = np.arange(self.size) >= self.n_free
        return np.asarray(beyond & ~self.even)

    @property
    def labels(self) -> list[str]:
        """What each variable is called."""
        out = []
        for own in self.free:
            factor = self.gram.factors[own.factor]
            out += theta_names(factor.name, [factor.terms[j] for j in own.columns])
        return [*out, *(label for own in self.structured for label in own.labels)]

    @property
    def line_labels(self) -> list[str]:
        """The same, where it is the line of a partial with its map."""
        pairs = zip(self.labels, self.is_partial, strict=True)
        return [f"atanh {label}" if partial else label for label, partial in pairs]

    @property
    def factor_places(self) -> list[int]:
        """Whose each variable is: places of grouping factors."""
        out: list[int] = []
        for own in self.free:
            out += [own.factor] * own.size
        return [*out, *(own.factor for own in self.structured for _ in range(own.size))]

    def packed(self, theta: Floats) -> Floats:
        """Compute the packed factors, shape (n_lambda,)."""
        out = np.asarray(self._basis @ theta[: self.n_free])
        for own, x in self._cut(theta):
            out[own.at] = own.factor_at(x)
        return out

    def pull_back(self, theta: Floats, d_packed: Floats) -> Floats:
        """Carry a gradient in the packed factors to the variables."""
        parts = [self._basis.T @ d_packed]
        parts += [own.pull_back(x, d_packed[own.at]) for own, x in self._cut(theta)]
        return np.concatenate(parts)

    def beyond(self, theta: Floats) -> bool:
        """Return whether a structured set's variable is farther out than numbers tell apart."""
        limit = np.where(self.is_partial, FARTHEST, _MOST)[self.n_free :]
        return bool((np.abs(theta[self.n_free :]) > limit).any())

    def locate(self, factors: Sequence[Floats]) -> Floats:
        """Find the variables of given relative factors."""
        parts = [
            theta_from_factor(
                lower_factor(own.root @ factors[own.factor][np.ix_(own.columns, own.columns)])
            )
            for own in self.free
        ]
        parts += [
            own.locate(factors[own.factor][np.ix_(own.columns, own.columns)])
            for own in self.structured
        ]
        return np.concatenate([np.zeros(0), *parts])

    def on_bound(self, theta: Floats) -> list[str]:
        """Return in words which numbers of correlations lie on their bounds."""
        return [words for own, x in self._cut(theta) for words in own.on_bound(x)]

    def _cut(self, theta: Floats) -> list[tuple[StructuredSet, Floats]]:
        out, at = [], self.n_free
        for own in self.structured:
            out.append((own, theta[at : at + own.size]))
            at += own.size
        return out


def free_columns(covariance: BlockCovariance) -> Blocks:
    """Return the sets of `independent` of which nothing is said."""
    told = {j for _, columns in covariance.said for j in columns}
    return tuple(columns for columns in covariance.independent if told.isdisjoint(columns))


def _root(scale: Floats) -> Floats:
    R = np.linalg.qr(scale, mode="r")
    return np.asarray(R * np.where(np.diag(R) < 0.0, -1.0, 1.0)[:, None])


def _first_entry(gram: Gram, place: int) -> int:
    """Return where a factor's Lambda begins in packed factors."""
    return sum(len(factor.terms) ** 2 for factor in gram.factors[:place])


def structured_sets(
    covariance: BlockCovariance, place: int, squares: Floats, start: int = 0
) -> list[StructuredSet]:
    """Return the sets of a factor's columns whose covariance follows from few numbers.

    `squares` are the columns' mean squares; the factor at this `place` has its Lambda from `start`
    on in packed factors.
    """
    q = covariance.n_columns
    told = {columns for _, columns in covariance.said}
    named = {at: name for name, at in covariance.parameter_names}
    first, out = 0, []
    for structure, columns in covariance.members:
        partials = range(first, first + structure.n_partials)
        first += structure.n_partials
        if columns not in told:
            continue
        own = sorted({covariance.sd_columns[j] for j in columns})
        shared = len(own) == 1
        at = np.array(columns)
        lengths = np.array([squares[at].mean()]) if shared else squares[at]
        labels = [covariance.sd_names[k] for k in own]
        labels += [named.get(k, covariance.corr_name) for k in partials]
        out.append(
            StructuredSet(
                place, columns, structure, shared, np.sqrt(np.maximum(lengths, 1e-300)),
                tuple(labels), start + at[:, None] * q + at,
            )
        )  # fmt: skip
    return out


def _basis(gram: Gram, free: Sequence[FreeSet]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the matrix from variables to packed factors, and which are on a diagonal."""
    directions, diagonal = [], []
    for own in free:
        inverse = solve_triangular(own.root, np.eye(len(own.columns)))
        for row, col in zip(*own.entries, strict=True):
            factors = [np.zeros((len(f.terms), len(f.terms))) for f in gram.factors]
            factors[own.factor][list(own.columns), own.columns[col]] = inverse[:, row]
            directions.append(pack_factors(gram, factors))
            diagonal.append(row == col)
    n_lambda = sum(len(f.terms) ** 2 for f in gram.factors)
    basis = np.stack(directions, axis=1) if directions else np.zeros((n_lambda, 0))
    return basis, np.array(diagonal, dtype=bool)
