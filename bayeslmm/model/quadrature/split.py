r"""Rows of ordered categories as rows of yes and no, whose exponentials are shared by all nodes.

With the stopping ratio each category that is reached is one row, and with the cumulative logit

.. math:: \log [F(a) - F(b)] = \log F(a) + \log F(-b) + \log(1 - e^{-(a - b)})

with a = c_y - eta and b = c_{y-1} - eta: a yes at a, a no at b, and a term of the thresholds alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.families.ordinal.ordered import Cumulative, StoppingRatio
from bayeslmm.kernels.families.codes import CODES
from bayeslmm.model.quadrature.level_rows import lay_out, level_rows
from bayeslmm.model.quadrature.likelihood import LevelLikelihood, Points, Slopes

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.families.family import Family


def level_likelihood(design: Design, centers: tuple[float, ...], n_nodes: int) -> LevelLikelihood:
    """Return the likelihood of a design with its effects integrated out level by level.

    Parameters
    ----------
    design : Design
        With one grouping factor of one or two columns; see `why_not`.
    centers : tuple of float, length p
        What is subtracted from the columns of X.
    n_nodes : int
        For each column of the effects.

    Returns
    -------
    LevelLikelihood
    """
    if not splits(design.family):
        return LevelLikelihood(level_rows(design, centers), n_nodes)
    n, n_cuts = design.n, len(design.family.parameters[0].labels)
    y = design.y.astype(np.int64)
    row, cut, yes = _parts(y, n_cuts, every=design.family.name == StoppingRatio.name)
    X = design.X - np.asarray(centers) if any(centers) else design.X
    offset = np.zeros(n) if design.offset is None else design.offset
    factor = design.factors[0]
    rows = lay_out(
        CODES["bernoulli", design.family.link.name],
        X=np.concatenate([-X[row], np.eye(n_cuts)[cut]], axis=1),
        Z=-factor.columns[row],
        y=yes,
        known=np.ones(len(row)),
        offset=-offset[row],
        level=factor.index[row],
        n_levels=len(factor.levels),
    )
    gaps = np.zeros((len(factor.levels), n_cuts - 1))
    if design.family.name == Cumulative.name:
        inner = (y > 1) & (y <= n_cuts)
        np.add.at(gaps, (factor.index[inner], y[inner] - 2), 1.0)
    return SplitLikelihood(rows, n_nodes, gaps=gaps)


def splits(family: Family) -> bool:
    """Return whether a family's rows are rows of yes and no."""
    logit = family.link.name == "logit"
    return family.name == StoppingRatio.name or (family.name == Cumulative.name and logit)


def _parts(y: Ints, n_cuts: int, *, every: bool) -> tuple[Ints, Ints, Floats]:
    """Return row, threshold and response of each row of yes (at most c) and no.

    Of the thresholds below a row's category `every` one, or the last alone.
    """
    cuts = np.arange(n_cuts)
    at, below = cuts == y[:, None] - 1, cuts < y[:, None] - 1
    no = below if every else cuts == y[:, None] - 2
    row, cut = np.nonzero(at | no)
    return row, cut, at[row, cut].astype(np.float64)


@dataclass(frozen=True, eq=False)
class SplitLikelihood(LevelLikelihood):
    """`LevelLikelihood` by rows of yes and no: thresholds are coefficients there.

    Attributes
    ----------
    gaps : ndarray, shape (J, K - 2)
        How many rows of each inner category a level has, of which the term of thresholds is.
    """

    gaps: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    def with_nodes(self, n_nodes: int) -> SplitLikelihood:
        """Return the same likelihood by another number of nodes."""
        return replace(self, n_nodes=n_nodes)

    def value_and_slopes(self, points: Points) -> tuple[float, Slopes]:
        """Compute log p(y | L, beta, phi) and its gradient at a single point."""
        value, slopes = super().value_and_slopes(_turned(points))
        p, gap, count = points.beta.shape[1], np.diff(points.phi[0]), self.gaps.sum(axis=0)
        d_phi = slopes.beta[p:].copy()
        if count.any():
            value += float(count @ np.log(-np.expm1(-gap)))
            steep = count / np.expm1(gap)
            d_phi[1:] += steep
            d_phi[:-1] -= steep
        return value, Slopes(slopes.L, slopes.beta[:p], d_phi)

    def _values(self, points: Points, levels: Floats, threads: int) -> Floats:
        found = super()._values(_turned(points), levels, threads)
        if self.gaps.any():
            logs = np.log(-np.expm1(-np.diff(points.phi, axis=1)))
            found += logs @ self.gaps.sum(axis=0)
            if len(levels):
                levels += logs @ self.gaps.T
        return found

    def _draw(
        self, points: Points, steps: Ints, rng: np.random.Generator, threads: int
    ) -> tuple[Floats, Ints]:
        return super()._draw(_turned(points), steps, rng, threads)


def _turned(points: Points) -> Points:
    """Return points with the thresholds behind the coefficients."""
    return Points(
        points.L, np.concatenate([points.beta, points.phi], axis=1), np.empty((len(points), 0))
    )
