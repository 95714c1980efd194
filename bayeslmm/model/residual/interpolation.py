r"""Weights of rows whose log(sigma) is linear in one number, by Chebyshev interpolation in it.

Within a stratum the columns of log(sigma) lie on a line, d_i = d_0 + t_i d_1 with t in [-1, 1], and
a row's weight is an exponential of t:

.. math:: \frac{1}{\sigma_i^2} = e^{-2 \gamma' d_0} e^{-2 g t_i}
          \approx \sum_j \ell_j(t_i) \, e^{-2 \gamma' d_0} e^{-2 g t_j}, \quad g = \gamma' d_1

at the J Chebyshev nodes t_j of each stratum: J bases whatever the number of rows. The relative
error depends on g alone, and is known before anything is fitted: `interpolation_error`. Outside
the window of g in which it is negligible the rows are passed over.

References
----------
Trefethen (2013). Approximation Theory and Approximation Practice, chapter 8. SIAM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.gram_design import GramDesign
from bayeslmm.gram.structured.records import Records
from bayeslmm.gram.structured.structured_gram import (
    MOST_NUMBERS,
    RowGram,
    StructuredGram,
    bases_size,
    pass_size,
    step_size,
    sum_or_pass,
)
from bayeslmm.model.residual.chebyshev import chebyshev_nodes, lagrange_weights
from bayeslmm.model.residual.correlation import Uncorrelated
from bayeslmm.model.residual.products import ResidualProducts, combined_values
from bayeslmm.model.residual.scale import LogLinearSigma
from bayeslmm.model.residual.series import Series
from bayeslmm.model.residual.series_at_nodes import series_at_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.model.residual.structured import StructuredResiduals

# With 32 nodes weights are off by 3e-11 where sigma changes exp(2 * 4)-fold over the range.
N_NODES, WINDOW = 32, 4.0
# Strata beyond which there would be more bases than a pass over the rows is worth.
_MOST_STRATA = 8
# Standard deviations of rows beyond which each node of a gap has too many bases, one for each two.
_MOST_CELLS = 12
# Rows whose weights at the nodes are held at a time.
_CHUNK = 20_000
# Columns off a line by less than this share of their range lie on it but for rounding.
_ROUNDING = 1e-10


def interpolation_error(g: float, count: int = N_NODES) -> float:
    r"""Compute the largest relative error of an interpolated weight exp(-2 g t), t in [-1, 1].

    Parameters
    ----------
    g : float
        Half of the change of log(sigma) over the range of its column.
    count : int
        Number of nodes.

    Examples
    --------
    >>> interpolation_error(2.0) < 1e-12, interpolation_error(4.0) < 1e-10
    (True, True)
    """
    t, nodes = np.linspace(-1.0, 1.0, 2001), chebyshev_nodes(count)
    found = lagrange_weights(t, nodes) @ np.exp(-2.0 * g * nodes)
    return float(np.abs(found * np.exp(2.0 * g * t) - 1.0).max())


@dataclass(frozen=True, eq=False)
class Lines:
    """Strata in which the columns of log(sigma) lie on a line.

    Attributes
    ----------
    stratum : ndarray of int64, shape (n_cells,)
        Of each cell.
    place : ndarray, shape (n_cells,)
        t in [-1, 1].
    middle, half : ndarray, shape (n_strata, r)
        The columns at t = 0, and their change from there to t = 1.
    """

    stratum: Ints
    place: Floats
    middle: Floats
    half: Floats


def lines_of(columns: Floats) -> Lines | None:
    """Return the strata of cells' columns and the line of each; None where they are no lines.

    Parameters
    ----------
    columns : ndarray, shape (n_cells, r)
        Columns of log(sigma); those with two values tell strata apart.
    """
    two_valued = np.array([len(np.unique(column)) <= 2 for column in columns.T])
    keys, stratum = np.unique(columns[:, two_valued], axis=0, return_inverse=True)
    if len(keys) > _MOST_STRATA:
        return None
    stratum = stratum.ravel()
    place = np.zeros(len(columns))
    middle, half = np.zeros((len(keys), columns.shape[1])), np.zeros((len(keys), columns.shape[1]))
    for s in range(len(keys)):
        mine = stratum == s
        own = columns[mine]
        low, high = own.min(axis=0), own.max(axis=0)
        widest = int(np.argmax(high - low))
        first, last = own[np.argmin(own[:, widest])], own[np.argmax(own[:, widest])]
        middle[s], half[s] = 0.5 * (first + last), 0.5 * (last - first)
        if half[s, widest] > 0.0:
            place[mine] = np.clip((own[:, widest] - middle[s, widest]) / half[s, widest], -1.0, 1.0)
        off = own - middle[s] - place[mine][:, None] * half[s]
        if (np.abs(off) > _ROUNDING * np.maximum(high - low, 1e-300)).any():
            return None
    return Lines(stratum, place, middle, half)


@dataclass(frozen=True, eq=False)
class InterpolatedProducts(ResidualProducts):
    """W'R^-1 W by bases at nodes, and by the rows where those would not be accurate.

    Attributes
    ----------
    structure, gram
        The exact ones.
    lines : Lines
        Strata and places of the cells.
    at_nodes : StructuredResiduals
        Of J rows for each stratum, one at each node: its coefficients are those of the bases.
    nodes : StructuredGram
        The bases.
    totals : ndarray, shape (r,)
        Sums of the columns of log(sigma) over the rows.
    n : int
        Number of rows.
    """

    lines: Lines
    at_nodes: StructuredResiduals
    nodes: StructuredGram
    totals: Floats
    n: int

    @classmethod
    def of(cls, design: Design, exact: ResidualProducts) -> InterpolatedProducts | None:
        """Return the interpolation of a design's products; None where there is no line."""
        structure = exact.structure
        scale = structure.scale
        plain = isinstance(structure.correlation, Uncorrelated) and structure.se is None
        if not isinstance(scale, LogLinearSigma) or not plain or structure.relative is not None:
            return None
        lines = lines_of(scale.columns)
        if lines is None:
            return None
        t = chebyshev_nodes(N_NODES)
        columns = (lines.middle[:, None] + t[:, None] * lines.half[:, None]).reshape(
            -1, len(scale.terms)
        )
        at_nodes = replace(
            structure,
            scale=replace(scale, columns=columns),
            correlation=Uncorrelated(len(columns)),
            cell=np.arange(len(columns)),
        )
        nodes = StructuredGram.from_design(design, _records(lines, structure.cell))
        totals = np.bincount(structure.cell, minlength=len(scale.columns)) @ scale.columns
        return cls(
            structure, exact.gram, lines, at_nodes, nodes, np.asarray(totals), len(structure.cell)
        )

    @staticmethod
    def pays(design: Design) -> bool:
        """Return whether bases at the nodes of one stratum cost less than a pass over the rows."""
        return N_NODES * bases_size(design) < pass_size(design, design.n)

    @property
    def error(self) -> float:
        """The largest in the window: `interpolation_error`."""
        return interpolation_error(WINDOW)

    def within(self, phi: Floats) -> NDArray[np.bool_]:
        """Return at which points, shape (s, size), interpolation is accurate."""
        g = np.abs(phi[:, 1:] @ self.lines.half.T)
        return np.asarray(g.max(axis=1) <= WINDOW)

    def _log_determinants(self, phi: Floats) -> Floats:
        return 2.0 * (self.n * np.log(phi[:, 0]) + phi[:, 1:] @ self.totals)

    def floats(self, phi: Floats) -> Floats:
        """Return the plan's floats at parameters of shape (size,)."""
        if not self.within(phi[None])[0]:
            return super().floats(phi)
        c, _ = self.at_nodes.coefficients(phi[None])
        return self.nodes.floats(c[0], float(self._log_determinants(phi[None])[0]))

    def each_floats(self, phi: Floats) -> Iterator[Floats]:
        """Give the plan's floats at each of some parameters, shape (s, size)."""
        return map(self.floats, phi)

    def pull_back(self, phi: Floats, d_floats: Floats) -> Floats:
        """Carry a gradient in the plan's floats to the parameters, shape (size,)."""
        if not self.within(phi[None])[0]:
            return super().pull_back(phi, d_floats)
        d_c, d_logdet = self.nodes.pull_back(d_floats)
        slopes = self.at_nodes.pull_back(phi, d_c, 0.0)
        return slopes + 2.0 * d_logdet * np.concatenate([[self.n / phi[0]], self.totals])

    def _values(
        self, phi: Floats, lams: Floats, betas: Floats, beta_prior: tuple[Floats, Floats]
    ) -> Floats:
        inside, values = self.within(phi), np.empty(len(phi))
        if inside.any():
            c, _ = self.at_nodes.coefficients(phi[inside])
            logdet = self._log_determinants(phi[inside])
            values[inside] = combined_values(
                self.nodes, c, logdet, lams[inside], betas[inside], beta_prior=beta_prior
            )
        far = ~inside
        if far.any():
            values[far] = super()._values(phi[far], lams[far], betas[far], beta_prior)
        return values


def _records(lines: Lines, cell: Ints) -> Iterator[Records]:
    """Give each row's weights at the nodes of its stratum, some rows at a time."""
    nodes = chebyshev_nodes(N_NODES)
    n_bases = N_NODES * len(lines.middle)
    for first in range(0, len(cell), _CHUNK):
        rows = np.arange(first, min(first + _CHUNK, len(cell)))
        mine = cell[rows]
        weights = lagrange_weights(lines.place[mine], nodes)
        base = N_NODES * lines.stratum[mine][:, None] + np.arange(N_NODES)
        each = np.repeat(rows, N_NODES)
        yield Records(each, each, base.ravel(), weights.ravel(), n_bases)


def _at_nodes(
    design: Design, structure: StructuredResiduals, records: Records
) -> StructuredResiduals | None:
    """Return a structure with nodes in place of gaps, where that is the quickest way."""
    correlation = structure.correlation
    if not isinstance(correlation, Series) or structure.cell.max(initial=0) >= _MOST_CELLS:
        return None
    found = series_at_nodes(correlation)
    if found is None:
        return None
    out = replace(structure, correlation=found)
    size = out.n_bases * bases_size(design)
    return out if size < min(step_size(design, records), MOST_NUMBERS) else None


def products_of(design: ModelData, structure: StructuredResiduals) -> ResidualProducts:
    """Return the quickest way from the parameters of R to W'R^-1 W.

    Parameters
    ----------
    design : Design or GramDesign
        Rows with a response, or cross-products with strata.
    structure : StructuredResiduals
        Their residual covariance.

    Returns
    -------
    ResidualProducts
        Exact; or, with many rows and a formula of log(sigma), interpolated to 3e-11 where sigma
        changes less than exp(8)-fold, and exact elsewhere; or, with many real gaps of time, to
        1e-10.
    """
    if isinstance(design, GramDesign):
        # The structure's rows are the strata, each in a cell of its own.
        bases = StructuredGram.of_strata(design.gram, np.argsort(structure.cell))
        return ResidualProducts(structure, bases)
    return _of_rows(design.coded_rows, structure)


def _of_rows(design: Design, structure: StructuredResiduals) -> ResidualProducts:
    records = structure.records()
    if (at_nodes := _at_nodes(design, structure, records)) is not None:
        by_nodes = StructuredGram.from_design(design, at_nodes.record_parts(), records)
        return ResidualProducts(at_nodes, by_nodes)
    gram = sum_or_pass(design, records)
    exact = ResidualProducts(structure, gram)
    if isinstance(gram, RowGram) and InterpolatedProducts.pays(design):
        return InterpolatedProducts.of(design, exact) or exact
    return exact
