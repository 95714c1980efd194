r"""`DrawnResiduals`: the covariance R of any rows, under draws of its parameters.

R is block-diagonal over groups, and a group's block is dense: it takes the group's rows cubed for
each draw, and never more memory than `_CHUNK_BYTES` of draws at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.model.residual.conditional import conditional_residuals
from bayeslmm.model.residual.of_design import of_other_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.residual.structured import StructuredResiduals

_CHUNK_BYTES = 32 * 2**20
# Of a group whose covariance is written out: 128 MB a draw.
MOST_ROWS = 4000


@dataclass(frozen=True, eq=False)
class DrawnResiduals:
    """R of some rows, of the fit's own or others.

    Attributes
    ----------
    fit : StructuredResiduals
        Of the rows that were fitted.
    rows : ResidualRows
        The rows.
    phi : ndarray, shape (s, size)
        Draws of its parameters.
    """

    fit: StructuredResiduals
    rows: ResidualRows
    phi: Floats

    @property
    def correlated(self) -> bool:
        """Whether rows of a group are correlated."""
        return self.rows.correlation is not None

    def sd(self, some: Ints | slice) -> Floats:
        """Compute the standard deviations of some rows, shape (rows, s)."""
        structure = of_other_rows(self.rows.take(some), self.fit)
        sd = structure.sd(self.phi)[:, structure.cell].T
        return sd if structure.relative is None else sd * structure.relative[:, None]

    def mean_variance(self) -> Floats:
        """Compute the mean over the rows of Var(e_i), shape (s,)."""
        return of_other_rows(self.rows, self.fit).mean_variance(self.phi)

    def sum_of_covariances(self) -> Floats:
        """Compute 1'R1, the sum of all entries of R, shape (s,)."""
        total = len(self.rows.group) * self.mean_variance()
        for group in self.groups() if self.correlated else []:
            for draws, R in self._blocks(group):
                total[draws] += R.sum(axis=(1, 2)) - np.einsum("sii->s", R)
        return total

    @cached_property
    def _order(self) -> Ints:
        """The rows by group, and in each group by time."""
        time = np.zeros(self.rows.n) if self.rows.time is None else self.rows.time
        return np.lexsort((np.arange(self.rows.n), time, self.rows.group))

    def groups(self, some: Ints | None = None) -> list[Ints]:
        """Return each group's rows, or those among some, in the order of their times."""
        order = self._order
        if some is not None:
            chosen = np.zeros(self.rows.n, dtype=bool)
            chosen[some] = True
            order = order[chosen[order]]
        if not len(order):
            return []
        return np.split(order, np.flatnonzero(np.diff(self.rows.group[order])) + 1)

    def covariance(self, some: Ints, draws: slice | None = None) -> Floats:
        """Return R of some rows of any groups, dense, shape (draws, k, k)."""
        phi = self.phi if draws is None else self.phi[draws]
        if not self.correlated:
            variance = DrawnResiduals(self.fit, self.rows, phi).sd(some).T ** 2
            return variance[:, :, None] * np.eye(len(some))
        place = np.full(self.rows.n, -1)
        place[some] = np.arange(len(some))
        R = np.zeros((len(phi), len(some), len(some)))
        for group in self.groups(some):
            here = place[group]
            structure = of_other_rows(self.rows.take(group), self.fit)
            R[:, here[:, None], here] = structure.covariance(phi, np.arange(len(group)))
        return R

    def _blocks(self, group: Ints) -> Iterator[tuple[slice, Floats]]:
        """Yield runs of draws with the blocks of one group's rows.

        Raises
        ------
        ArgumentError
            If they are too many, or of `cs` more than its correlation allows.
        """
        if len(group) > MOST_ROWS:
            raise ArgumentError(
                f"A group of {len(group):,} rows with correlated residuals takes a covariance "
                f"matrix of as many rows and columns in every draw; up to {MOST_ROWS:,} are taken. "
                "What needs none, means of rows and their Pearson residuals, can be had."
            )
        structure = of_other_rows(self.rows.take(group), self.fit)
        size = max(1, _CHUNK_BYTES // (8 * len(group) ** 2))
        for start in range(0, len(self.phi), size):
            draws = slice(start, start + size)
            R = structure.covariance(self.phi[draws], np.arange(len(group)))
            self._require_a_covariance(group, R)
            yield draws, R

    def _require_a_covariance(self, group: Ints, R: Floats) -> None:
        """Raise where one correlation of all rows is too low for as many rows.

        A matrix with equal correlations rho of k rows has 1 + (k - 1) rho for its least eigenvalue,
        and the prior knows the rows of the fit's groups only.
        """
        correlation, k = self.rows.correlation, len(group)
        if correlation is None or correlation.kind not in ("cs", "csh") or k < 3:
            return
        rho = R[:, 0, 1] / np.sqrt(R[:, 0, 0] * R[:, 1, 1])
        if low := int(np.sum(1.0 + (k - 1) * rho <= 0.0)):
            label = str(self.rows.labels[self.rows.group[group[0]]])
            raise ArgumentError(
                f"{correlation.group} {label!r} has {k} rows here, whose residuals cannot all have "
                f"correlations below {-1.0 / (k - 1):.3g}, as {low} of {len(rho)} draws say that "
                "those of the fit's smaller groups have. Fit with a prior that keeps them above "
                f"that, such as priors={{'rho_residual': 'Uniform({-1.0 / k:.3g}, 1)'}}."
            )

    def whiten(self, some: Ints, columns: Floats) -> tuple[Floats, Floats]:
        r"""Compute L^-1 of columns of some rows, with R = L L', and log|R|.

        With a group's rows in the order of their times, row t of :math:`L^{-1} e` is
        :math:`(e_t - E(e_t \mid e_1, \ldots)) / sd(e_t \mid e_1, \ldots)`: its error when it is
        foretold from the rows before it, in standard deviations.

        Parameters
        ----------
        some : ndarray of int64, shape (k,)
            The rows.
        columns : ndarray, shape (s, k, ...)
            Columns of each draw.

        Returns
        -------
        white : ndarray, shape (s, k, ...)
        log_determinants : ndarray, shape (s,)
        """
        if not self.correlated:
            sd = self.sd(some).T
            scale = sd.reshape(*sd.shape, *[1] * (columns.ndim - 2))
            return columns / scale, 2.0 * np.log(sd).sum(axis=1)
        flat = columns.reshape(*columns.shape[:2], -1)
        white, logdet = np.empty_like(flat), np.zeros(len(flat))
        place = np.full(self.rows.n, -1)
        place[some] = np.arange(len(some))
        for group in self.groups(some):
            here = place[group]
            for draws, R in self._blocks(group):
                root = np.linalg.cholesky(R)
                white[draws, here] = np.linalg.solve(root, flat[draws, here])
                diagonal = np.diagonal(root, axis1=1, axis2=2)
                logdet[draws] += 2.0 * np.log(diagonal).sum(axis=1)
        return white.reshape(columns.shape), logdet

    def draw(self, some: Ints, generator: np.random.Generator) -> Floats:
        """Draw residuals of some rows, of each group together, shape (rows, s)."""
        noise = generator.standard_normal((len(some), len(self.phi)))
        if not self.correlated:
            return noise * self.sd(some)
        place = np.full(self.rows.n, -1)
        place[some] = np.arange(len(some))
        for group in self.groups(some):
            here = place[group]
            for draws, R in self._blocks(group):
                root = np.linalg.cholesky(R)
                noise[here, draws] = np.einsum("sij,js->is", root, noise[here, draws])
        return noise

    def given_others(self, some: Ints, rest: Floats) -> tuple[Floats, Floats]:
        r"""Compute the distribution of each row's residual given those of its group's other rows.

        .. math:: e_i \mid e_{-i} \sim N(e_i - g_i / \omega_{ii}, \; 1 / \omega_{ii}), \quad
                  \Omega = R^{-1}, \; g = \Omega e

        Parameters
        ----------
        some : ndarray of int64, shape (k,)
            Whole groups of rows: others are those among them.
        rest : ndarray, shape (k, s)
            Residuals of each draw.

        Returns
        -------
        mean, sd : ndarray, shape (k, s)

        References
        ----------
        .. [1] Buerkner, Gabry & Vehtari (2021). Efficient leave-one-out cross-validation for
           Bayesian non-factorized normal and Student-t models. Computational Statistics
           36:1243-1261. doi:10.1007/s00180-020-01045-4
        """
        if not self.correlated:
            return np.zeros_like(rest), self.sd(some)
        mean, sd = np.empty_like(rest), np.empty_like(rest)
        place = np.full(self.rows.n, -1)
        place[some] = np.arange(len(some))
        for group in self.groups(some):
            here = place[group]
            for draws, R in self._blocks(group):
                precision = np.linalg.inv(R)
                own = np.einsum("sii->is", precision)
                pulled = np.einsum("sij,js->is", precision, rest[here, draws])
                mean[here, draws] = rest[here, draws] - pulled / own
                sd[here, draws] = 1.0 / np.sqrt(own)
        return mean, sd


def forecast(
    known: DrawnResiduals, rest: Floats, new: ResidualRows, generator: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Compute the distribution of new rows' residuals given those of known rows, and draw them.

    Parameters
    ----------
    known : DrawnResiduals
        The rows whose residuals are known.
    rest : ndarray, shape (known rows, s)
        These, of each draw.
    new : ResidualRows
        The new rows, k of them, coded as the known ones.
    generator : numpy.random.Generator
        Of the draws.

    Returns
    -------
    mean, sd, drawn : ndarray, shape (k, s)
        Of rows whose group has no known row the marginal distribution.
    """
    n, s = known.rows.n, len(known.phi)
    both = DrawnResiduals(known.fit, known.rows.before(new), known.phi)
    mean, drawn = np.zeros((new.n, s)), generator.standard_normal((new.n, s))
    sd = np.empty((new.n, s))
    if not both.correlated:
        sd = both.sd(slice(n, None))
        return mean, sd, drawn * sd
    for group in both.groups():
        old, ahead = group[group < n], group[group >= n]
        if not len(ahead):
            continue
        here: NDArray[np.int64] = ahead - n
        for draws, R in both._blocks(np.concatenate([old, ahead])):
            weights, covariance = conditional_residuals(R, len(old))
            mean[here, draws] = np.einsum("sij,js->is", weights, rest[old, draws])
            sd[here, draws] = np.sqrt(np.einsum("sii->is", covariance))
            drawn[here, draws] = np.einsum("sij,js->is", _roots(covariance), drawn[here, draws])
    return mean, sd, mean + drawn


def _roots(covariance: Floats) -> Floats:
    """Return B with B B' = covariance; of rows that repeat others it is singular."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
