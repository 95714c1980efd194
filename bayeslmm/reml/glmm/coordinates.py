"""The parameters of a generalised linear mixed model as free, well-scaled numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import expit, logit

from bayeslmm import names
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.gram.sums import reference_scale, to_reference
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import lower_entries, lower_factor
from bayeslmm.reml.parameters import list_targets, values_of
from bayeslmm.reml.relative import StructuredSet, free_columns, structured_sets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design


# Parameters that stand for another family's limit at infinity, where digits are lost: shape of the
# negative binomial for the Poisson's, nu of Student's t for the Gaussian's. They go no further.
_RUNNING, _CEILING = {("negbinomial", "shape"), ("student", "nu")}, 1e5


@dataclass(frozen=True, eq=False)
class Point:
    """A model's parameters in orthogonal columns, or derivatives in them.

    Attributes
    ----------
    beta : ndarray, shape (p,)
        Of the columns `Coordinates.X`.
    factors : tuple of ndarray, shapes (q, q)
        Lower triangular L with G = L L', of the columns `Coordinates.Z`.
    phi : ndarray
        The family's parameters; of derivatives, those in phi.
    structured : ndarray
        The variables from which structured parts of factors follow.
    """

    beta: Floats
    factors: tuple[Floats, ...]
    phi: Floats
    structured: Floats = field(default_factory=lambda: np.zeros(0))


class Coordinates:
    r"""Free numbers x for beta, the factors of G and the family's parameters, and back.

    .. math:: x = (R \beta, \; \theta, \; \log \phi), \quad X = X_s R, \quad
              Z_k = Z_{sk} M_k, \quad M_k G_k M_k' = \Theta_k \Theta_k'

    where a phi that is a probability has its logit in the place of the logarithm,

    with the columns of Xs and Zs orthogonal and of mean square one, and theta the free entries of
    the lower triangular Theta, set by set of correlated columns. Of ordered
    categories the logits of sticks stand for log phi, and thresholds follow at the columns' means.
    The likelihood is even in the
    sign of each of Theta's columns, so theta is free, and a variance of zero is an ordinary point.
    Structured columns stay as they are; theta holds the variables of their standard deviations and
    partials (`relative.StructuredSet`) last.

    Parameters
    ----------
    design : Design
        The rows.

    Attributes
    ----------
    X : ndarray, shape (n, p)
        Xs.
    Z : tuple of ndarray, shapes (n, q)
        Zs of each factor.
    diagonal : ndarray of bool, shape (size,)
        Which numbers are diagonal entries of some Theta.
    units : ndarray, shape (size,)
        The link scale's unit where numbers are on it: one, or of a location family the response's
        spread.
    ceiling : ndarray, shape (n_phi,)
        Where the family's parameters end; infinite where they do not.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        self.n_beta = len(design.coef)
        self.family = family = design.family
        self._ordered = family if isinstance(family, Ordered) else None
        self._centers = design.X.mean(axis=0) if self._ordered else np.zeros(self.n_beta)
        X = design.X - self._centers if self._ordered else design.X
        self._root = reference_scale(X)
        self.X = to_reference(X, self._root)
        named = {parameter.name for parameter in family.parameters}
        spread = (float(np.std(design.y)) if "sigma" in named else 1.0) or 1.0
        self._scales: list[Floats] = []
        self._structured: list[StructuredSet] = []
        # Factor, row and column in Theta of each entry of theta.
        self._places: list[tuple[int, int, int]] = []
        columns = []
        for k, factor in enumerate(design.factors):
            scale, Zs = np.eye(len(factor.terms)), np.empty(factor.columns.shape)
            covariance = covariance_of(factor)
            squares = np.mean(factor.columns**2, axis=0) / spread**2
            own = structured_sets(covariance, k, squares)
            self._structured += own
            for at in map(list, (one.columns for one in own)):
                Zs[:, at] = factor.columns[:, at]
            for at in map(list, free_columns(covariance)):
                scale[np.ix_(at, at)] = reference_scale(factor.columns[:, at])
                Zs[:, at] = to_reference(factor.columns[:, at], scale[np.ix_(at, at)])
                rows, cols = lower_entries(len(at))
                self._places += [(k, at[i], at[j]) for i, j in zip(rows, cols, strict=True)]
            self._scales.append(scale)
            columns.append(np.ascontiguousarray(Zs))
        self.Z = tuple(columns)
        self.n_theta = len(self._places) + sum(own.size for own in self._structured)
        self.ceiling = np.array(
            [
                _CEILING if (family.name, parameter.name) in _RUNNING else np.inf
                for parameter in family.parameters
                for _ in parameter.entries
            ]
        )
        self.is_share = np.array(
            [parameter.upper == 1.0 for parameter in family.parameters for _ in parameter.entries],
            dtype=bool,
        )
        self.n_phi = len(self.ceiling)
        self._targets = list_targets(design)
        del self._targets[names.SIGMA]
        self.diagonal = self._on_diagonal()
        on_link = np.arange(self.size) < self.n_beta + len(self._places)
        self.units = np.where(on_link, spread, 1.0)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.n_beta + self.n_theta + self.n_phi

    @property
    def theta(self) -> slice:
        """Where theta stands."""
        return slice(self.n_beta, self.n_beta + self.n_theta)

    def point(self, x: Floats) -> Point:
        """Return the parameters at x, shape (size,)."""
        factors = [np.zeros((Z.shape[1], Z.shape[1])) for Z in self.Z]
        theta = x[self.theta]
        rest = theta[len(self._places) :]
        for (k, i, j), value in zip(self._places, theta, strict=False):
            factors[k][i, j] = value
        for own, part in self._cut(rest):
            factors[own.factor][np.ix_(own.columns, own.columns)] = own.factor_at(part)
        phi = self.phi(x[self.theta.stop :])
        return Point(x[: self.n_beta].copy(), tuple(factors), phi, rest.copy())

    def _cut(self, variables: Floats) -> list[tuple[StructuredSet, Floats]]:
        ends = np.cumsum([own.size for own in self._structured], dtype=np.int64)
        return list(zip(self._structured, np.split(variables, ends[:-1]), strict=False))

    def place(self, point: Point) -> Floats:
        """Undo `point`."""
        theta = [point.factors[k][i, j] for k, i, j in self._places]
        rest = [
            own.locate(point.factors[own.factor][np.ix_(own.columns, own.columns)])
            for own in self._structured
        ]
        phi = self.placed_phi(point.phi)
        return np.concatenate([point.beta, np.array(theta), *rest, phi])

    def pull_back(self, point: Point, slopes: Point) -> Floats:
        """Return derivatives in x, shape (size,), from those in the parameters."""
        d_theta = [slopes.factors[k][i, j] for k, i, j in self._places]
        rest = [
            own.pull_back(part, slopes.factors[own.factor][np.ix_(own.columns, own.columns)])
            for own, part in self._cut(point.structured)
        ]
        phi = self._phi_slopes(point, slopes)
        return np.concatenate([slopes.beta, np.array(d_theta), *rest, phi])

    def _phi_slopes(self, point: Point, slopes: Point) -> Floats:
        if self._ordered is not None:
            sticks = self._ordered.sticks(point.phi)
            return self._ordered.pull_back(sticks, slopes.phi) * sticks * (1.0 - sticks)
        inside = point.phi < self.ceiling
        return slopes.phi * point.phi * np.where(self.is_share, 1.0 - point.phi, inside)

    def fixed_effects(self, x: Floats) -> Floats:
        """Return beta of the design's own columns, shape (p,)."""
        return np.asarray(solve_triangular(self._root, x[: self.n_beta]))

    def placed_beta(self, beta: Floats) -> Floats:
        """Undo `fixed_effects`."""
        return np.asarray(self._root @ beta)

    def covariance_factors(self, x: Floats) -> tuple[Floats, ...]:
        """Return lower triangular L with G = L L' for the design's own columns, shapes (q, q)."""
        out = []
        for factor, scale, own in zip(
            self.design.factors, self._scales, self.point(x).factors, strict=True
        ):
            L = np.zeros_like(own)
            for part in covariance_of(factor).independent:
                at = np.ix_(part, part)
                L[at] = lower_factor(solve_triangular(scale[at], own[at]))
            out.append(L)
        return tuple(out)

    def effects(self, x: Floats, standardised: Sequence[Floats]) -> tuple[Floats, ...]:
        """Return effects b of the design's own columns, shapes (m, q), from u with Zs Theta u."""
        found = zip(self._scales, self.point(x).factors, standardised, strict=True)
        return tuple(u @ solve_triangular(scale, own).T for scale, own, u in found)

    def natural(self, x: Floats) -> Floats:
        """Return beta, then sds and correlations factor by factor, then phi; see `names`."""
        beta, roots = self.fixed_effects(x), self.covariance_factors(x)
        found = values_of(self.design, self._targets, beta, roots, np.zeros(0))
        phi = self.phi(x[self.theta.stop :]) + self._centers @ beta
        return np.concatenate([list(found.values()), phi])

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what `natural` returns."""
        of_family = [name for one in self.family.parameters for name in one.entries]
        return (*self._targets, *of_family)

    @property
    def is_scale(self) -> NDArray[np.bool_]:
        """Which numbers are entries of some Theta, or stand for standard deviations."""
        beyond = np.arange(self.size) >= self.n_beta + len(self._places)
        inside = np.arange(self.size) < self.theta.stop
        return np.asarray(inside & (~beyond | self.diagonal))

    def on_bound(self, x: Floats) -> list[str]:
        """Return in words which numbers of structured correlations lie on their bounds."""
        rest = x[self.theta][len(self._places) :]
        return [words for own, part in self._cut(rest) for words in own.on_bound(part)]

    def phi(self, numbers: Floats) -> Floats:
        """Return the family's parameters from their own part of x."""
        if self._ordered is not None:
            return self._ordered.thresholds(expit(numbers))
        positive = np.minimum(np.exp(np.minimum(numbers, 700.0)), self.ceiling)
        return np.asarray(np.where(self.is_share, expit(numbers), positive))

    def placed_phi(self, phi: Floats) -> Floats:
        """Undo `phi`."""
        if self._ordered is not None:
            return np.asarray(logit(self._ordered.sticks(phi)))
        inside = np.where(self.is_share, phi, 0.5)
        return np.asarray(np.where(self.is_share, logit(inside), np.log(phi)))

    def _on_diagonal(self) -> NDArray[np.bool_]:
        inside = [i == j for _, i, j in self._places]
        inside += [k < own.n_sds for own in self._structured for k in range(own.size)]
        return np.array([False] * self.n_beta + inside + [False] * self.n_phi, dtype=bool)
