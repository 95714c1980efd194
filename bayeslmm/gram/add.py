"""Addition of Grams: two batches of rows of one model pooled, levels matched by label."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.factors.arms import arms_of_levels
from bayeslmm.errors import DataError
from bayeslmm.gram.coordinates import change_coordinates, common_coordinates
from bayeslmm.gram.strata import require_few

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.factors.arms import Arms
    from bayeslmm.design.scales import DataScales
    from bayeslmm.design.state import DesignState
    from bayeslmm.gram.blocks import CrossProducts, GramFactor, PairBlocks, Strata

    Labels = NDArray[np.str_]


def add_grams[G: CrossProducts](a: G, b: G) -> G:
    """Return the Gram of the rows of two Grams of the same model.

    `b` is carried into `a`'s coordinates first: with X = Xs_b R_b = Xs_a R_a, T = R_b R_a^-1 and
    y = Xs_b slope_b + r_b, its columns [Xs r] are multiplied by [[T, slope_b - T slope_a], [0, 1]].
    Where `a`'s rows were too few or too special to give coordinates that suit all, both are first
    carried into coordinates of all rows (`common_coordinates`).

    Parameters
    ----------
    a, b : Gram
        Same response, coefficients, factors, terms and blocks; levels may differ.

    Returns
    -------
    Gram
        Levels sorted where both were, else `a`'s followed by new ones.

    Raises
    ------
    DataError
        If the models differ.
    """
    _require_same_model(a, b)
    a.require_independent_levels("Adding cross-products")
    a = common_coordinates(a, b)
    return _add_alike(a, change_coordinates(b, a.scale, a.slope, [f.scale for f in a.factors]))


def _add_alike[G: CrossProducts](a: G, b: CrossProducts) -> G:
    """Add Grams in the same coordinates."""
    merged = [merge_levels(f.levels, g.levels) for f, g in zip(a.factors, b.factors, strict=True)]
    factors = tuple(
        _add_factor(f, g, *union) for f, g, union in zip(a.factors, b.factors, merged, strict=True)
    )
    return replace(
        a,
        factors=factors,
        pairs=tuple(_add_pairs(c, d, merged) for c, d in zip(a.pairs, b.pairs, strict=True)),
        n=a.n + b.n,
        sum_log_weights=a.sum_log_weights + b.sum_log_weights,
        cross=a.cross + b.cross,
        state=_add_states(a, b, factors),
        scales=_add_scales(a, b),
        strata=_add_strata(a, b),
        likweight=None if a.likweight is b.likweight is None else a.power + b.power,
    )


def _add_strata(a: CrossProducts, b: CrossProducts) -> Strata | None:
    """Return the strata of both, each told by its columns of sigma's formula."""
    if a.n == 0 or b.n == 0:
        return b.strata if a.n == 0 else a.strata
    if a.strata is None or b.strata is None:
        if a.strata is b.strata:
            return None
        raise DataError(
            "Of these Grams one has strata of the residuals' scale, and the other has none: sum "
            "all rows with the same sigma= and se=."
        )
    if a.strata.names != b.strata.names:
        raise DataError(
            "These Grams differ in the columns of sigma's formula, "
            f"{a.strata.names} against {b.strata.names}: sum all rows with the same sigma= and se=."
        )
    both = dict(zip(map(tuple, a.strata.cells.tolist()), a.strata.grams, strict=True))
    for cell, part in zip(map(tuple, b.strata.cells.tolist()), b.strata.grams, strict=True):
        both[cell] = _add_alike(both[cell], part) if cell in both else part
    require_few(both, a.strata.names)
    cells = np.array(sorted(both)).reshape(len(both), -1)
    return replace(
        a.strata,
        cells=cells,
        grams=tuple(both[cell] for cell in sorted(both)),
        sum_of_variances=a.strata.sum_of_variances + b.strata.sum_of_variances,
    )


def _add_scales(a: CrossProducts, b: CrossProducts) -> DataScales | None:
    if a.n == 0 or b.n == 0:
        return b.scales if a.n == 0 else a.scales
    return a.scales + b.scales if a.scales and b.scales else None


def _add_states(
    a: CrossProducts, b: CrossProducts, factors: tuple[GramFactor, ...]
) -> DesignState | None:
    """Return the state with the levels of both; raise if rows were coded differently."""
    if a.state is None or b.state is None:
        return None
    for what in ("formula", "columns", "transforms", "dropped"):
        first, second = getattr(a.state, what), getattr(b.state, what)
        if first != second:
            msg = (
                f"These Grams were coded differently: the {what} of their designs differ, "
                f"{first} against {second}. Code all rows by one settled reading "
                "(`Reading.settle`, `rebuild_design`)."
            )
            raise DataError(msg)
    levels = {f.name: tuple(f.levels.tolist()) for f in factors}
    arms = {f.name: f.arms for f in factors if f.arms is not None}
    one, other = a.state.dependence, b.state.dependence
    alike = one is not None and other is not None and one.agrees(other)
    return replace(a.state, levels=levels, arms=arms, dependence=one if alike else None)


def merge_levels(first: Labels, second: Labels) -> tuple[Labels, Ints, Ints]:
    """Return the union of two lists of labels, and where each list's labels are in it.

    Parameters
    ----------
    first, second : ndarray of str
        Distinct labels each.

    Returns
    -------
    union : ndarray of str
        Sorted (as numbers if all are numbers) where both lists were; else `first`, then the rest.
    at_first, at_second : ndarray of int64
        Places in `union`.

    Examples
    --------
    >>> union, at_first, at_second = merge_levels(np.array(["2", "10"]), np.array(["3"]))
    >>> union.tolist(), at_first.tolist(), at_second.tolist()
    (['2', '3', '10'], [0, 2], [1])
    """
    if np.array_equal(first, second):
        places = np.arange(len(first))
        return first, places, places
    known = set(first.tolist())
    labels = [*first.tolist(), *(label for label in second.tolist() if label not in known)]
    for key in (str, _number):
        if _is_sorted(first.tolist(), key) and _is_sorted(second.tolist(), key):
            labels.sort(key=key)
            break
    place = {label: k for k, label in enumerate(labels)}
    return (
        np.array(labels),
        np.array([place[label] for label in first.tolist()], dtype=np.int64),
        np.array([place[label] for label in second.tolist()], dtype=np.int64),
    )


def _number(label: str) -> float:
    try:
        return float(label)
    except ValueError:
        return math.nan  # compares false with everything: such labels count as unsorted


def _is_sorted(labels: list[str], key: Callable[[str], str | float]) -> bool:
    keys: list[Any] = [key(label) for label in labels]
    return all(a < b for a, b in pairwise(keys))


def _require_same_model(a: CrossProducts, b: CrossProducts) -> None:
    def shape(gram: CrossProducts) -> dict[str, object]:
        return {
            "response": gram.response,
            "coefficients": gram.coef,
            "random effects": tuple(
                (f.name, f.terms, f.blocks, f.structures) for f in gram.factors
            ),
            "arms": tuple(
                None if f.arms is None else replace(f.arms, levels=()) for f in gram.factors
            ),
        }

    for (what, first), second in zip(shape(a).items(), shape(b).values(), strict=True):
        if first != second:
            msg = (
                f"Grams of different models do not add: the {what} differ, {first} against "
                f"{second}. Build both designs from one formula and one coding (rebuild_design)."
            )
            raise DataError(msg)


def _add_factor(f: GramFactor, g: GramFactor, levels: Labels, at_f: Ints, at_g: Ints) -> GramFactor:
    def both(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        total = np.zeros((len(levels), *first.shape[1:]), dtype=first.dtype)
        total[at_f] = first
        total[at_g] += second
        return total

    def both_or_none(first: Floats | None, second: Floats | None) -> Floats | None:
        return None if first is None or second is None else both(first, second)

    return replace(
        f,
        levels=levels,
        within=both(f.within, g.within),
        with_fixed=both(f.with_fixed, g.with_fixed),
        counts=both(f.counts, g.counts),
        fixed=both_or_none(f.fixed, g.fixed),
        log_weights=both_or_none(f.log_weights, g.log_weights),
        arms=_add_arms(f, g, levels, (at_f, at_g)),
    )


def _add_arms(
    f: GramFactor, g: GramFactor, levels: Labels, places: tuple[Ints, Ints]
) -> Arms | None:
    """Return the arms of the levels of both; raise where a level is in two."""
    if f.arms is None or g.arms is None:
        return None
    codes = np.array([*f.arms.levels, *g.arms.levels], dtype=np.int64)
    both, names = (np.concatenate(places), codes), (f.name, f.arms.by)
    told = arms_of_levels(names, both, levels.tolist(), f.arms.labels)
    return replace(f.arms, levels=told)


def _add_pairs(c: PairBlocks, d: PairBlocks, merged: list[tuple[Labels, Ints, Ints]]) -> PairBlocks:
    _, at_c, at_d = merged[c.first]
    others, other_c, other_d = merged[c.second]
    rows = np.concatenate([at_c[c.rows], at_d[d.rows]])
    cols = np.concatenate([other_c[c.cols], other_d[d.cols]])
    keys, place = np.unique(rows * len(others) + cols, return_inverse=True)
    values = np.zeros((len(keys), *c.values.shape[1:]))
    np.add.at(values, place, np.concatenate([c.values, d.values]))
    rows, cols = np.divmod(keys, len(others))
    return replace(c, rows=rows, cols=cols, values=values)
