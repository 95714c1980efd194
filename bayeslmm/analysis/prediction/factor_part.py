"""What the effects of one grouping factor add to the linear predictor of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.new_levels import (
    AVERAGE,
    POPULATION,
    BetweenPositions,
    NewLevels,
    RelatedLevels,
    SomeColumns,
    WidenedLevels,
    covariance_roots,
)
from bayeslmm.arrays import positions
from bayeslmm.errors import ArgumentError, DataError, TreeError, nearest
from bayeslmm.model.covariance.bridge import widened
from bayeslmm.relationships.level_map import padded_rows
from bayeslmm.results import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.state import DesignState
    from bayeslmm.relationships.relationship import Relationship
    from bayeslmm.results.factor_info import FactorInfo


@dataclass(frozen=True, eq=False, slots=True)
class FactorPart:
    """Contribution of one grouping factor to the linear predictor.

    Attributes
    ----------
    name : str
        The factor.
    columns : ndarray, shape (n, q)
        Random-effect columns of the rows, times their share.
    position : ndarray of int, shape (n,)
        Each row's level among the tree's levels; -1 for a level that the fit did not see.
    labels : ndarray of str, shape (n,)
        Each row's level.
    effects : ndarray, shape (m, q, s)
        Draws of the known levels' effects.
    new : NewLevels, SomeColumns, RelatedLevels or None
        How to draw unseen levels; with None they are at zero.
    average : ndarray, shape (s, q, q), or None
        Draws of the covariance G over which means of unseen levels are averaged.
    share : ndarray, shape (n,), or None
        What the columns are multiplied by, of one of several levels that rows have.
    """

    name: str
    columns: NDArray[np.float64]
    position: NDArray[np.intp]
    labels: NDArray[Any]
    effects: NDArray[np.float64]
    new: NewLevels | SomeColumns | RelatedLevels | WidenedLevels | None
    average: NDArray[np.float64] | None = None
    share: NDArray[np.float64] | None = None

    def with_columns(self, columns: NDArray[np.float64]) -> FactorPart:
        """Return what other columns add, of the same levels."""
        shared = columns if self.share is None else columns * self.share[:, None]
        return replace(self, columns=shared)

    def add_to(self, eta: NDArray[np.float64], rows: slice | NDArray[np.intp]) -> None:
        """Add Z b of some rows to eta, shape (rows, s), in place."""
        columns, position = self.columns[rows], self.position[rows]
        known = position >= 0
        if known.all():
            for term in range(columns.shape[1]):
                eta += columns[:, term, None] * self.effects[position, term]
            return
        if known.any():
            for term in range(columns.shape[1]):
                eta[known] += columns[known, term, None] * self.effects[position[known], term]
        if self.new is None:
            return
        labels, index = np.unique(self.labels[rows][~known].astype(str), return_inverse=True)
        effects = self.new.effects(labels.tolist())
        for term in range(columns.shape[1]):
            eta[~known] += columns[~known, term, None] * effects[index, term]

    def at_mean(self) -> FactorPart:
        """Return the contribution of the effects' posterior means."""
        new = self.new.at_mean() if isinstance(self.new, RelatedLevels) else None
        return replace(self, effects=self.effects.mean(axis=-1, keepdims=True), new=new)

    def add_variance_to(self, variance: NDArray[np.float64], rows: slice) -> None:
        """Add z' G z of rows of unseen levels to a variance, shape (rows, s), in place."""
        if self.average is None:
            return
        unseen = self.position[rows] < 0
        columns, labels = self.columns[rows][unseen], self.labels[rows][unseen].astype(str).tolist()
        if isinstance(self.new, WidenedLevels):
            variance[unseen] += self.new.variances(labels, columns, self.average)
            return
        if isinstance(self.new, RelatedLevels):
            shares = self.new.shares(labels)
            columns = columns * np.sqrt(shares)[:, None]
        variance[unseen] += np.einsum("rp,spq,rq->rs", columns, self.average, columns)


def factor_parts(
    idata: xr.DataTree,
    factor: GroupingFactor,
    policy: str,
    kept: NDArray[np.intp],
    seed: int,
    *,
    state: DesignState,
) -> list[FactorPart]:
    """Return a factor's contributions to rows: one for each of the levels that a row has.

    Parameters
    ----------
    idata : DataTree
        A result.
    factor : GroupingFactor
        The rows' levels and columns.
    policy : str
        What to do with levels that the fit did not see.
    kept : ndarray of int
        Which draws of each chain are kept.
    seed : int
        Seed of new levels.
    state : DesignState
        Of the fit. Levels that a known covariance holds are foretold from it, effects at positions
        that the fit has no column for from those that it has.

    Raises
    ------
    DataError
        If a level is new and may not be.
    TreeError
        If the tree does not hold a level's draws.
    """
    info, relationship = read.factor(idata, factor.name), state.relationship(factor.name)
    of_level = positions(info.levels, [str(level) for level in factor.levels])
    known = set(read.require_levels(info))
    slots = list(_levels_of_rows(factor))
    occurring = {int(k) for level, _ in slots for k in np.unique(level)}
    without = [str(factor.levels[k]) for k in np.flatnonzero(of_level < 0) if k in occurring]
    if dropped := [level for level in without if level in known]:
        raise TreeError(read.missing_effects(info, dropped))
    unseen = [level for level in without if level not in known]
    if unseen and policy != POPULATION and relationship is not None:
        _require_related(relationship, info, unseen)
    elif unseen and policy == "error":
        _refuse(info, unseen)
    effects = read.effect_draws(idata, info)[:, kept]
    new: NewLevels | RelatedLevels | None = None
    average, noise = None, None
    if unseen and policy == AVERAGE:
        average = read.covariance_draws(idata, info)[_everywhere(idata, kept)]
    elif unseen and (policy == "sample" or (relationship and policy != POPULATION)):
        new = noise = drawn_levels(idata, info, kept, seed)
    if unseen and relationship is not None and policy != POPULATION:
        drawn = _by_draw(read.all_effect_draws(idata, info)[:, kept])
        new = RelatedLevels(relationship, info.levels, drawn, noise)
    by_draw, labels = _by_draw(effects), np.asarray(factor.levels, dtype=object)
    wider: NewLevels | RelatedLevels | WidenedLevels | None = new
    if wide := widened(factor, info.terms, (state.structures or {}).get(factor.name, ())):
        places = _everywhere(idata, kept)
        G = read.covariance_draws(idata, info)[places]
        white: NewLevels | RelatedLevels
        white = _white(idata, factor.name, wide.n_new, places, seed)
        if relationship is not None:
            white = RelatedLevels(relationship, (), np.zeros((0, wide.n_new, len(G))), white)
        beside = BetweenPositions(wide, G, white)
        some = sorted({int(k) for k in of_level[sorted(occurring)] if k >= 0})
        out = np.zeros((len(by_draw), wide.width, by_draw.shape[2]))
        out[some] = beside.effects([info.levels[k] for k in some], by_draw[some])
        by_draw, wider = out, None if new is None else WidenedLevels(new, beside)
        average = None if average is None else wide.covariance(average)
    return [
        FactorPart(
            name=factor.name,
            columns=factor.columns if share is None else factor.columns * share[:, None],
            position=of_level[level],
            labels=labels[level],
            effects=by_draw,
            new=wider,
            average=average,
            share=share,
        )
        for level, share in slots
    ]


def _levels_of_rows(
    factor: GroupingFactor,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64] | None]]:
    """Yield the first level of each row, the second, and so on, and the shares of several."""
    if factor.latent is None or not factor.has_members:
        yield factor.index, None
        return
    places, shares = padded_rows(factor.latent)
    none = shares == 0.0
    # Where a row has fewer levels than others its first one, which it has, stands with no share.
    some = np.take_along_axis(places, np.argmin(none, axis=1)[:, None], axis=1)
    places = np.where(none, some, places)
    for slot in range(places.shape[1]):
        yield places[factor.index, slot], shares[factor.index, slot]


def _by_draw(effects: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay draws (chain, draw, m, q) out as (m, q, s)."""
    return np.ascontiguousarray(effects.reshape(-1, *effects.shape[2:]).transpose(1, 2, 0))


def _require_related(relationship: Relationship, info: FactorInfo, unseen: list[str]) -> None:
    if lacking := [level for level in unseen if level not in relationship]:
        raise DataError(
            f"The factor {info.name!r} has levels that neither the fit saw nor its known "
            f"covariance holds. {relationship.lacks(lacking)} `predict` and `compare_predictions` "
            "take them with new_levels='population' (their effects at zero); or fit with a "
            "covariance that holds them, too."
        )


def new_in_parameter(
    idata: xr.DataTree,
    factor: GroupingFactor,
    policy: str,
    kept: NDArray[np.intp],
    seed: int,
) -> NDArray[np.float64]:
    """Return the effects in a parameter of levels that the fit did not see, (s, levels, q).

    Parameters and errors are those of `factor_part`.

    Raises
    ------
    ArgumentError
        If responses would be averaged over them.
    """
    info = read.describe_factor(idata, factor.name)
    unseen = [str(level) for level in factor.levels[factor.n_known :]]
    if policy == "error":
        _refuse(info, unseen)
    if policy == AVERAGE:
        parameter = names.apart(info.name)[0]
        raise ArgumentError(
            f"new_levels={AVERAGE!r} averages expected responses over groups, which of "
            f"{unseen[0]!r} depend on its {parameter}, and over {parameter}s of groups they have "
            f"no {'finite mean' if parameter == names.SIGMA else 'mean in closed form'}: take "
            "new_levels='population' or 'sample'."
        )
    size = read.sample_shape(idata)[0] * len(kept)
    if policy == "population":
        return np.zeros((size, len(unseen), len(factor.terms)))
    return drawn_levels(idata, info, kept, seed).effects(unseen).transpose(2, 0, 1)


def _white(
    idata: xr.DataTree, factor: str, k: int, places: NDArray[np.intp], seed: int
) -> NewLevels:
    chains, total = read.sample_shape(idata)
    roots = np.broadcast_to(np.eye(k), (len(places), k, k))
    return NewLevels(f"{factor}\x1fpositions", roots, places, chains * total, seed)


def _everywhere(idata: xr.DataTree, kept: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the kept draws' places among all draws, chains laid end to end."""
    chains, total = read.sample_shape(idata)
    return (np.arange(chains)[:, None] * total + kept).reshape(-1)


def drawn_levels(
    idata: xr.DataTree, info: FactorInfo, kept: NDArray[np.intp], seed: int
) -> NewLevels:
    """Return the generator of effects, from N(0, G), of levels that the fit did not see."""
    chains, total = read.sample_shape(idata)
    everywhere = _everywhere(idata, kept)
    roots = covariance_roots(read.covariance_draws(idata, info)[everywhere])
    return NewLevels(info.name, roots, everywhere, chains * total, seed)


def _refuse(info: FactorInfo, unseen: list[str]) -> None:
    shown = ", ".join(repr(level) for level in unseen[:5])
    more = f" and {len(unseen) - 5} more" if len(unseen) > 5 else ""
    msg = (
        f"The factor {info.name!r} has levels that the fit did not see: {shown}{more}."
        f"{nearest(unseen[0], info.all_levels)} `predict` and `compare_predictions` take "
        "them with new_levels='population' (their effects at zero), new_levels='sample' (effects "
        "drawn from N(0, G)) or new_levels='average' (expected values averaged over N(0, G))."
    )
    raise DataError(msg)
