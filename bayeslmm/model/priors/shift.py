r"""`Shift`: random effects at the means of their columns, where default priors stand.

For a correlated set of columns with an intercept, in which column k has the mean :math:`\bar z_k`,

.. math:: \tilde b_0 = b_0 + \sum_k \bar z_k b_k, \quad \tilde b_k = b_k, \quad
          \tilde b = T b, \quad \tilde G = T G T'

are the effects of the columns less their means, and their covariance. A prior of
:math:`\tilde G` does not depend on where a column has its zero; one of G does, however wide: an LKJ
prior holds the correlation off -1 and 1, between which there is no room for a slope whose column
is far from zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bayeslmm import names
from bayeslmm.model.covariance.unstructured import Unstructured

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.design.scales import ColumnScale
    from bayeslmm.model.covariance.block_covariance import BlockCovariance


@dataclass(frozen=True)
class Shift:
    """Which columns of a factor are taken from their means, for its priors.

    Attributes
    ----------
    columns : tuple of int
        The correlated set, its intercept first; empty where priors are of the effects as they are.
        Of several sets, as ``gr(g, by=arm)`` has one for each arm, one after another.
    means : tuple of float
        The columns' means; zero for the intercept and for columns that are taken as they are.
    sizes : tuple of int
        How many columns each set has; empty where there is one set.

    Examples
    --------
    >>> shift = Shift((0, 1), (0.0, 10.0))
    >>> shift.to_means(np.array([10.0, 1.0]), np.array([[1.0, -0.6], [-0.6, 1.0]]))[0].round(3)
    array([8.944, 1.   ])
    """

    columns: tuple[int, ...] = ()
    means: tuple[float, ...] = ()
    sizes: tuple[int, ...] = ()

    @classmethod
    def of_sets(cls, sets: Sequence[tuple[tuple[int, ...], tuple[float, ...]]]) -> Self:
        """Return the shift of sets of columns, of which each has columns and their means."""
        columns = tuple(k for own, _ in sets for k in own)
        means = tuple(mean for _, own in sets for mean in own)
        sizes = tuple(len(own) for own, _ in sets)
        return cls(columns, means, sizes if len(sets) > 1 else ())

    @property
    def sets(self) -> tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]:
        """The sets, each with its columns, the intercept first, and their means."""
        ends = np.cumsum(self.sizes or [len(self.columns)]).tolist()
        starts = [0, *ends[:-1]]
        return tuple(
            (self.columns[start:end], self.means[start:end])
            for start, end in zip(starts, ends, strict=True)
            if end > start
        )

    def turn(self, q: int) -> Floats:
        """Return T, shape (q, q); its inverse has the means with the other sign."""
        T = np.eye(q)
        for columns, means in self.sets:
            T[columns[0], list(columns)] += means
        return T

    def to_means(self, sd: Floats, corr: Floats | None) -> tuple[Floats, Floats | None]:
        """Return standard deviations (..., q) and correlations (..., q, q) at the means."""
        if not self.columns or corr is None:
            return sd, corr
        return _turned(self.turn(sd.shape[-1]), sd, corr)

    def to_origin(self, sd: Floats, corr: Floats) -> tuple[Floats, Floats]:
        """Undo `to_means`."""
        return _turned(np.linalg.inv(self.turn(sd.shape[-1])), sd, corr)

    def raw_effects(self, effects: Floats) -> Floats:
        """Return b, shape (..., q), of the effects at the means."""
        if not self.columns:
            return effects
        raw = effects.copy()
        for (first, *others), means in self.sets:
            raw[..., first] -= effects[..., others] @ np.asarray(means[1:])
        return raw

    def less_means(self, matrix: Floats) -> Floats:
        """Return columns less their means in the rows of their intercepts, shape (n, q).

        An arm's intercept is one in its own rows, and zero in others.
        """
        out = matrix.copy()
        for columns, means in self.sets:
            out[:, list(columns)] -= matrix[:, columns[:1]] * means
        return out

    def to_json(self) -> dict[str, Any]:
        """Return columns and means in JSON's types."""
        content: dict[str, Any] = {"columns": self.columns, "means": self.means}
        return content | ({"sizes": self.sizes} if self.sizes else {})

    @classmethod
    def from_json(cls, content: Mapping[str, Any] | None) -> Shift:
        """Return what `to_json` wrote; none, of earlier results, is no shift."""
        if content is None:
            return cls()
        columns, means = content["columns"], content["means"]
        if any(isinstance(k, bool) or not isinstance(k, int) or k < 0 for k in columns):
            raise TypeError(f"columns are numbered from 0: {columns!r}")
        if len(means) != len(columns):
            raise ValueError(f"{len(means)} means of {len(columns)} columns")
        sizes = tuple(content.get("sizes", ()))
        if sizes and (sum(sizes) != len(columns) or min(sizes) < 1):
            raise ValueError(f"{len(columns)} columns in sets of {sizes}")
        return cls(tuple(columns), tuple(map(float, means)), sizes)


NO_SHIFT = Shift()


def shift_of(
    covariance: BlockCovariance,
    bases: Sequence[str],
    columns: Sequence[ColumnScale],
    at_default: Collection[str],
) -> Shift:
    """Return the means of columns off zero, where the random intercept's sd has its default prior.

    Where a column has values on both sides of zero, or zero itself, what the effects are at zero
    is within the data, and the prior is of that.

    Parameters
    ----------
    covariance : BlockCovariance
        The structure of a factor's G.
    bases : sequence of str
        Names of its columns, without arms.
    columns : sequence of ColumnScale
        Means and spreads of its columns.
    at_default : collection of str
        Names of the standard deviations that have their default priors.
    """
    sets = []
    for structure, block in covariance.correlated:
        for first in block if isinstance(structure, Unstructured) else ():
            default = covariance.sd_names[covariance.sd_columns[first]] in at_default
            if bases[first] == names.INTERCEPT and default:
                others = [k for k in block if k != first]
                means = [columns[k].mean if _off_zero(columns[k]) else 0.0 for k in others]
                if any(means):
                    sets.append(((first, *others), (0.0, *means)))
    return Shift.of_sets(sets)


def _off_zero(column: ColumnScale) -> bool:
    return column.low > 0.0 or column.high < 0.0


def _turned(turn: Floats, sd: Floats, corr: Floats) -> tuple[Floats, Floats]:
    G = turn @ (sd[..., :, None] * corr * sd[..., None, :]) @ turn.T
    there = np.sqrt(np.maximum(np.diagonal(G, axis1=-2, axis2=-1), np.finfo(float).tiny))
    scaled = np.clip(G / there[..., :, None] / there[..., None, :], -1.0, 1.0)
    scaled[..., np.arange(len(turn)), np.arange(len(turn))] = 1.0
    return there, scaled
