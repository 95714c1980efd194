r"""Effects at positions that no training row had, given those at positions that some had.

The processes behind ``ar1`` and ``ou`` have no memory beyond their neighbours: with correlation
:math:`\rho^d` over a distance d, and t between a and b, d_1 after the one and d_2 before the other,

.. math:: u(t) \mid u(a), u(b) \sim N(w_1 u(a) + w_2 u(b), \; v s^2), \quad
          w_1 = \rho^{d_1} \frac{1 - \rho^{2 d_2}}{1 - \rho^{2 (d_1 + d_2)}}, \quad
          v = \frac{(1 - \rho^{2 d_1})(1 - \rho^{2 d_2})}{1 - \rho^{2 (d_1 + d_2)}},

w_2 likewise, and :math:`w_1 = \rho^{d_1}, v = 1 - \rho^{2 d_1}` beyond the last one. Several are
taken one after the other.

References
----------
Rue & Held (2005), Gaussian Markov Random Fields, Chapman & Hall, chapter 1.
doi:10.1201/9780203492024
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from bayeslmm.model.covariance.block_covariance import BlockCovariance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.grouping import BlockStructure, GroupingFactor
    from bayeslmm.model.covariance.of_matrix import OfMatrix

# The ends of (-1, 1), where a process stays at its value for ever.
_CLOSEST = 1.0 - 1e-12


@dataclass(frozen=True, eq=False)
class Bridge:
    """A block of columns at positions, among them some that no training row had.

    Attributes
    ----------
    structure : OfMatrix
        Of the columns that the fit has: an autoregressive or an Ornstein-Uhlenbeck process.
    columns : ndarray of int, shape (q,)
        These columns' places in the fit's factor.
    known : ndarray of int, shape (q,)
        The places of the same columns where the others stand between them.
    new : ndarray of int, shape (k,)
        The places of the others there, ascending in position.
    times : ndarray, shape (q + k,)
        Positions of all, in units of the distance over which rho is the correlation.
    start : int
        The place of the first of all.
    """

    structure: OfMatrix
    columns: NDArray[np.intp]
    known: NDArray[np.intp]
    new: NDArray[np.intp]
    times: Floats
    start: int

    def numbers(self, G: Floats) -> tuple[Floats, Floats]:
        """Return rho and the standard deviation of covariances (..., q, q), shape (...)."""
        own = G[(..., *np.ix_(self.columns, self.columns))]
        sd = np.sqrt(own[..., 0, 0])
        with np.errstate(all="ignore"):
            corr = own / np.where(sd > 0.0, sd, 1.0)[..., None, None] ** 2
        rho = self.structure.values(self.structure.near(corr))[..., 0]
        return np.clip(np.nan_to_num(rho), -_CLOSEST, _CLOSEST), sd

    def fill(self, effects: Floats, rho: Floats, spread: Floats | float, noise: Floats) -> None:
        """Put effects at new places in between those at known ones, in place.

        Parameters
        ----------
        effects : ndarray, shape (m, columns, s)
            Known ones at their places.
        rho, spread : ndarray, shape (s,)
            Correlation over a unit, and standard deviation.
        noise : ndarray, shape (m, k, s)
            Standard normals.
        """
        for k, place in enumerate(self.new.tolist()):
            later = [other for other in self.known.tolist() if other > place]
            before = place - 1 if place > self.start else None
            after = later[0] if later else None
            left = None if before is None else self._distance(before, place)
            right = None if after is None else self._distance(place, after)
            weights, variance = _between(rho, left, right)
            mean = np.zeros(effects[:, place].shape)
            for neighbour, weight in ((before, weights[0]), (after, weights[1])):
                if neighbour is not None:
                    mean += weight * effects[:, neighbour]
            effects[:, place] = mean + np.sqrt(variance) * spread * noise[:, k]

    def _distance(self, first: int, second: int) -> float:
        return float(self.times[second - self.start] - self.times[first - self.start])


def _between(
    rho: Floats, left: float | None, right: float | None
) -> tuple[tuple[Floats, Floats], Floats]:
    """Return the neighbours' weights, and the variance that is left, in units of the process's."""
    none = np.zeros_like(rho)
    if left is None or right is None:
        distance = right if left is None else left
        assert distance is not None  # noqa: S101 - some position is known
        weight, variance = _power(rho, distance), _lost(rho, distance)
        return ((none, weight) if left is None else (weight, none)), variance
    whole = _lost(rho, left + right)
    weights = (
        _power(rho, left) * _lost(rho, right) / whole,
        _power(rho, right) * _lost(rho, left) / whole,
    )
    return weights, _lost(rho, left) * _lost(rho, right) / whole


def _power(rho: Floats, distance: float) -> Floats:
    """Compute rho^d; of a negative rho d is whole."""
    sign = np.where(rho < 0.0, (-1.0) ** round(distance), 1.0)
    return np.asarray(sign * np.abs(rho) ** distance)


def _lost(rho: Floats, distance: float) -> Floats:
    """Compute 1 - rho^2d, right also where rho is near one."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(2.0 * distance * np.log(np.abs(rho))))


@dataclass(frozen=True, eq=False)
class Widened:
    """A factor's columns with others at positions that the fit has no columns for.

    Attributes
    ----------
    places : ndarray of int, shape (q,)
        Where the fit's columns stand among all.
    width : int
        How many there are in all.
    bridges : tuple of Bridge
        The blocks that have others.
    """

    places: NDArray[np.intp]
    width: int
    bridges: tuple[Bridge, ...]

    @property
    def n_new(self) -> int:
        """How many columns the fit has not."""
        return self.width - len(self.places)

    def effects(self, known: Floats, G: Floats, noise: Floats) -> Floats:
        """Return effects of all columns, (m, width, s), from those of the fit's, (m, q, s).

        Parameters
        ----------
        known : ndarray, shape (m, q, s)
            The fit's.
        G : ndarray, shape (s, q, q)
            Their covariance.
        noise : ndarray, shape (m, n_new, s)
            Standard normals; zeros for conditional means.
        """
        out = np.zeros((len(known), self.width, known.shape[2]))
        out[:, self.places] = known
        at = 0
        for bridge in self.bridges:
            rho, sd = bridge.numbers(G)
            bridge.fill(out, rho, sd, noise[:, at : at + len(bridge.new)])
            at += len(bridge.new)
        return out

    def covariance(self, G: Floats) -> Floats:
        """Return G with the variances of all columns, (..., q, q) -> (..., width, width).

        No covariances of the others: a row is at one position.
        """
        out = np.zeros((*G.shape[:-2], self.width, self.width))
        out[(..., *np.ix_(self.places, self.places))] = G
        for bridge in self.bridges:
            _, sd = bridge.numbers(G)
            out[..., bridge.new, bridge.new] = sd[..., None] ** 2
        return out

    def weights(self, G: Floats) -> tuple[Floats, Floats]:
        """Return each column's weights on the fit's, (width, q), and the variance left, (width,).

        Parameters
        ----------
        G : ndarray, shape (q, q)
            Covariance of the fit's columns.
        """
        q, k = len(self.places), self.n_new
        means = self.effects(np.eye(q)[..., None], G[None], np.zeros((q, k, 1)))[..., 0]
        return means.T, self.left(G[None])[:, 0]

    def left(self, G: Floats) -> Floats:
        """Return each column's variance given the fit's, (width, s), of covariances (s, q, q)."""
        q, k, s = len(self.places), self.n_new, len(G)
        noise = np.broadcast_to(np.eye(k)[..., None], (k, k, s))
        parts = self.effects(np.zeros((k, q, s)), G, noise)
        return np.asarray(np.sum(parts**2, axis=0))


def widened(
    factor: GroupingFactor, terms: Sequence[str], structures: Sequence[BlockStructure]
) -> Widened | None:
    """Return what columns of a fit's factor are beside others; None where there are no others.

    Parameters
    ----------
    factor : GroupingFactor
        Of rows, some at positions that no training row had.
    terms : sequence of str
        Names of the fit's columns.
    structures : sequence of BlockStructure
        What is said of each block there.
    """
    lacking = [
        ~np.isin(wide.positions, own.positions)
        for wide, own in zip(factor.structures, structures, strict=True)
    ]
    if not any(new.any() for new in lacking):
        return None
    blocks, places, found, at = [], [], [], 0
    for columns, new in zip(factor.blocks, lacking, strict=True):
        count = len(columns) - int(new.sum())
        blocks.append(tuple(range(at, at + count)))
        places += [j for j, other in zip(columns, new, strict=False) if not other]
        places += columns[len(new) :]
        at += count
    covariance = BlockCovariance.of_blocks(factor.name, tuple(terms), tuple(blocks), structures)
    members = {columns: structure for structure, columns in covariance.members}
    for columns, own, new, said in zip(
        factor.blocks, blocks, lacking, factor.structures, strict=True
    ):
        if new.any():
            structure, wide = cast("OfMatrix", members[own]), np.array(columns)
            times = np.array(said.positions) / getattr(structure, "gap", 1.0)
            found.append(Bridge(structure, np.array(own), wide[~new], wide[new], times, columns[0]))
    return Widened(np.array(places), len(factor.terms), tuple(found))
