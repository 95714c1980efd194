r"""`StructuredResiduals`: R = D C D of a design's rows, with scales D and correlations C.

Random effects in log(sigma) are numbers of phi, which R is given; their own standard deviations and
correlations are not.

.. math:: [R^{-1}]_{ab} = \frac{[C^{-1}]_{ab}}{sd_a(\phi) \, sd_b(\phi)}, \qquad
          \log |R| = \log |C| + 2 \sum_i \log sd_i

Pairs of rows with the same omega and the same two cells share one coefficient: they are one base.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.arrays import distinct
from bayeslmm.gram.structured.records import Records, split_sums, with_sums
from bayeslmm.model.residual.series import Series
from bayeslmm.model.residual.sigma_effects import cut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.predictors import EffectsInParameter
    from bayeslmm.model.residual.correlation import Correlation, Pairs
    from bayeslmm.model.residual.entry import Entry
    from bayeslmm.model.residual.scale import Scale


def _by_cell(pairs: Pairs, cell: Ints) -> Pairs:
    """Return pairs whose sums are of rows of one cell each."""
    if pairs.member is None:
        return pairs
    member, pair, first, second = split_sums(pairs.member, pairs.first, pairs.second, cell)
    # A sum with itself gives pairs of its parts in both orders, of which one is said.
    once = (pairs.first[pair] != pairs.second[pair]) | (first >= second)
    pair = pair[once]
    return replace(
        pairs,
        first=first[once],
        second=second[once],
        base=pairs.base[pair],
        factor=None if pairs.factor is None else pairs.factor[pair],
        member=member,
    )


@dataclass(frozen=True, eq=False)
class StructuredResiduals:
    """The residual covariance of a design's rows.

    Attributes
    ----------
    rows : ResidualRows
        What it reads of them.
    scale : Scale
        sigma of each cell.
    correlation : Correlation
        C.
    cell : ndarray of int64, shape (n,)
        Each row's cell.
    se : ndarray, shape (n_cells,), or None
        Each cell's known standard error, beside a sigma.
    relative : ndarray, shape (n,), or None
        What multiplies each row's standard deviation, known: its standard error where there is no
        sigma.
    effects : tuple of EffectsInParameter
        Random effects in the logarithm of each cell's sigma.
    """

    rows: ResidualRows
    scale: Scale
    correlation: Correlation
    cell: Ints
    se: Floats | None
    relative: Floats | None = None
    effects: tuple[EffectsInParameter, ...] = ()

    @property
    def name(self) -> str:
        """How it is spelt."""
        parts = [] if self.rows.correlation is None else [str(self.rows.correlation)]
        parts += [] if self.rows.sigma is None else [f"sigma ~ {self.rows.sigma}"]
        if self.rows.se is not None:
            beside = self.rows.has_sigma and self.rows.sigma is None
            parts.append("known standard errors" + (" beside a sigma" if beside else ""))
        return ", ".join(parts)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Parameters with priors: of the scale, then of the correlation."""
        return (*self.scale.entries, *self.correlation.entries)

    @cached_property
    def n_scales(self) -> int:
        """How many numbers the scale's parameters are."""
        return len(self.scale.entries)

    @cached_property
    def n_parameters(self) -> int:
        """How many numbers of phi are parameters: the scale's, then the correlation's."""
        return self.n_scales + sum(len(e.partials) or 1 for e in self.correlation.entries)

    @cached_property
    def size(self) -> int:
        """How many numbers phi are: parameters, then effects in sigma."""
        return self.n_parameters + sum(one.size for one in self.effects)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions of its variables in the result tree, after chain and draw."""
        dims = {**self.scale.dims, **self.correlation.dims}
        for one in self.effects:
            dims |= one.dims
        return dims

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """Coordinates of those dimensions."""
        coords = {**self.scale.coords, **self.correlation.coords}
        for one in self.effects:
            coords |= one.coords
        return coords

    @property
    def without_effects(self) -> StructuredResiduals:
        """The same of typical levels: phi are parameters alone."""
        return replace(self, effects=())

    def variables(self, phi: Floats) -> dict[str, Floats]:
        """Name the numbers phi, shape (..., size)."""
        a, b = self.n_scales, self.n_parameters
        named = self.scale.variables(phi[..., :a]) | self.correlation.variables(phi[..., a:b])
        for one, own in zip(self.effects, cut(self.effects, phi[..., b:]), strict=True):
            shape = (*phi.shape[:-1], len(one.levels), len(one.terms))
            named[names.effects(one.name)] = own.reshape(shape)
        return named

    def phi(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`; shape (chain, draw, size) of variables of a result tree."""
        parts = [self.scale.phi(variables), self.correlation.phi(variables)]
        for one in self.effects:
            own = variables[names.effects(one.name)]
            parts.append(own.reshape(*own.shape[:-2], one.size))
        return np.concatenate(parts, axis=-1)

    def near(self, sigma: float, phi: Floats) -> Floats:
        """Return parameters with about this sigma everywhere, others as in `phi`, shape (size,)."""
        out = phi.copy()
        for k, entry in enumerate(self.scale.entries):
            out[k] = sigma if entry.lower == 0.0 else 0.0
        return out

    def starts(self, phi: Floats) -> list[Floats]:
        """Return parameters to begin searches from, around `phi`, shape (size,)."""
        return [
            np.concatenate([phi[: self.n_scales], there])
            for there in self.correlation.starts(phi[self.n_scales :])
        ]

    def sd(self, phi: Floats) -> Floats:
        """Compute each cell's standard deviation, shape (s, n_cells)."""
        sigma = self.scale.sigma(phi[:, : self.n_scales])
        of_effects = cut(self.effects, phi[:, self.n_parameters :])
        for one, own in zip(self.effects, of_effects, strict=True):
            sigma = sigma * np.exp(one.added(own))
        return sigma if self.se is None else np.hypot(sigma, self.se)

    def _parts(self) -> Iterable[Pairs]:
        correlation = self.correlation
        if isinstance(correlation, Series):
            return correlation.parts()
        return (_by_cell(correlation.pairs, self.cell),)

    def _key(self, pairs: Pairs) -> Ints:
        """Return one number for omega's number and the two cells of each pair."""
        n, cell = len(self.counts), self.cell
        cell = cell if pairs.member is None else with_sums(cell, pairs.member)
        a, b = cell[pairs.first], cell[pairs.second]
        return (pairs.base * n + np.minimum(a, b)) * n + np.maximum(a, b)

    @cached_property
    def _keys(self) -> Ints:
        """Those of all bases, ascending."""
        keys, n = np.zeros(0, np.int64), len(self.counts)
        for pairs in self._parts():
            keys = np.union1d(keys, distinct(self._key(pairs), pairs.n_bases * n * n)[0])
        return keys

    @cached_property
    def _bases(self) -> Ints:
        """(omega's number, cell, cell) of each base, shape (3, n_bases)."""
        keys, n = self._keys, len(self.counts)
        return np.stack([keys // (n * n), keys // n % n, keys % n])

    @cached_property
    def counts(self) -> Floats:
        """Number of rows of each cell, shape (n_cells,)."""
        # Nodes of interpolation are cells too, of which rows are none.
        return np.bincount(self.cell, self.rows.counts).astype(np.float64)

    @cached_property
    def _known_logdet(self) -> float:
        if self.relative is None:
            return 0.0
        logs = np.log(self.relative) if self.rows.log_se is None else self.rows.log_se
        return 2.0 * float(logs @ self.rows.multiplicity)

    @property
    def n_bases(self) -> int:
        """How many different coefficients there are."""
        return len(self._keys)

    def records(self) -> Records:
        """Return the pairs of rows that R^-1 joins, each with its base."""
        return self._records(_by_cell(self.correlation.pairs, self.cell))

    def record_parts(self) -> Iterator[Records]:
        """Return the same piece by piece."""
        return map(self._records, self._parts())

    def _records(self, pairs: Pairs) -> Records:
        base = np.searchsorted(self._keys, self._key(pairs))
        factor = pairs.factor
        if self.relative is not None:
            known = 1.0 / (self.relative[pairs.first] * self.relative[pairs.second])
            factor = known if factor is None else known * factor
        return Records.symmetric(
            pairs.first, pairs.second, base, self.n_bases, factor, member=pairs.member
        )

    def coefficients(self, phi: Floats) -> tuple[Floats, Floats]:
        """Compute each base's coefficient, and log|R|.

        Parameters
        ----------
        phi : ndarray, shape (s, size)
            Parameters.

        Returns
        -------
        coefficients : ndarray, shape (s, n_bases)
        log_determinants : ndarray, shape (s,)
        """
        omega, logdet = self.correlation.precision(phi[:, self.n_scales : self.n_parameters])
        k, a, b = self._bases
        sd = self.sd(phi)
        log_determinants = logdet + 2.0 * np.log(sd) @ self.counts + self._known_logdet
        return omega[:, k] / (sd[:, a] * sd[:, b]), log_determinants

    def pull_back(self, phi: Floats, d_coefficients: Floats, d_logdet: float) -> Floats:
        """Carry gradients in the coefficients and log|R| to the parameters of one point.

        Parameters
        ----------
        phi : ndarray, shape (size,)
            The point.
        d_coefficients : ndarray, shape (n_bases,)
            Gradient in the coefficients.
        d_logdet : float
            Derivative in log|R|.

        Returns
        -------
        ndarray, shape (size,)
        """
        k, a, b = self._bases
        sd = self.sd(phi[None])[0]
        omega = self.correlation.precision(phi[None, self.n_scales :])[0][0]
        by_omega = d_coefficients / (sd[a] * sd[b])
        d_omega = np.bincount(k, by_omega, minlength=len(omega))
        turned = by_omega * omega[k]
        d_sd = 2.0 * d_logdet * self.counts / sd
        d_sd -= np.bincount(a, turned / sd[a], minlength=len(sd))
        d_sd -= np.bincount(b, turned / sd[b], minlength=len(sd))
        if self.se is not None:
            d_sd *= self.scale.sigma(phi[None, : self.n_scales])[0] / sd
        return np.concatenate(
            [
                self.scale.pull_back(phi[: self.n_scales], d_sd),
                self.correlation.pull_back(phi[self.n_scales :], d_omega, d_logdet),
            ]
        )

    def covariance(self, phi: Floats, some: Ints) -> Floats:
        """Return R of some rows of one group, or of independent rows: dense.

        Parameters
        ----------
        phi : ndarray, shape (s, size)
            Parameters.
        some : ndarray of int64, shape (k,)
            The rows.

        Returns
        -------
        ndarray, shape (s, k, k)
        """
        sd = self.sd(phi)[:, self.cell[some]]
        if self.relative is not None:
            sd = sd * self.relative[some]
        own = phi[:, self.n_scales : self.n_parameters]
        C = self.correlation.matrix(own, self.rows, some)
        return sd[:, :, None] * C * sd[:, None, :]

    def mean_variance(self, phi: Floats) -> Floats:
        """Compute the mean over rows of Var(e_i), shape (s,)."""
        weight = np.ones(len(self.cell)) if self.rows.counts is None else self.rows.counts
        n = weight.sum()
        weight = weight if self.relative is None else weight * self.relative**2
        return self.sd(phi) ** 2 @ np.bincount(self.cell, weight) / n
