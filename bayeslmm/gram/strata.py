"""Strata of the residuals' scale: their cross-products summed, and laid out alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.registry import family_of
from bayeslmm.formula.mixed_formula import MixedFormula, StackedFormula, parse_formula
from bayeslmm.gram.blocks import CrossProducts, GramFactor, PairBlocks, Strata
from bayeslmm.gram.coordinates import change_coordinates
from bayeslmm.gram.sums import _factor_sums, pair_sums

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.residual_rows import ResidualRows

# Each has cross-products of its own, and a step combines them all.
MOST_STRATA = 100


def require_sums(formula: Any, family: Any, link: str | None) -> None:
    """Raise unless cross-products are all that a likelihood needs: one Gaussian response's.

    Raises
    ------
    ArgumentError
        With what to do.
    """
    mixed = formula if isinstance(formula, MixedFormula) else parse_formula(formula)
    several = isinstance(mixed, StackedFormula) or isinstance(family, Mapping)
    if not several and family_of(family, link).name == GAUSSIAN.name:
        return
    named = "Several responses need" if several else f"family={family_of(family).name!r} needs"
    raise ArgumentError(
        f"{named} the rows in memory: only the likelihood of one Gaussian response is a function "
        "of cross-products. Fetch them from the engine, and give an eager table."
    )


def require_strata(residual: object, sigma: object, se: object) -> None:
    """Raise unless what is said of residuals leaves sums over strata of rows.

    Parameters
    ----------
    residual, sigma, se : object
        As in `build_design`; None where nothing is said.

    Raises
    ------
    ArgumentError
        With what to do instead.
    """
    if residual is not None:
        raise ArgumentError(
            f"residual={residual!r} correlates rows, and cross-products of batches are sums over "
            "single rows: read the rows into a table and fit that. A formula of sigma and known "
            "standard errors (se=) do without."
        )
    if sigma is not None and se is not None:
        raise ArgumentError(
            "sigma= beside se= weighs every row in a way that depends on sigma, which no sum over "
            "rows holds: read the rows into a table and fit that, or leave one of them out."
        )


def require_few(cells: Sized, names: Sequence[str]) -> None:
    """Raise where a formula of sigma tells too many strata apart.

    Parameters
    ----------
    cells : sized
        The strata.
    names : sequence of str
        Columns of log(sigma).

    Raises
    ------
    DataError
        Naming the columns.
    """
    if len(cells) > MOST_STRATA:
        raise DataError(
            f"The columns of sigma's formula ({', '.join(names)}) have more than {MOST_STRATA} "
            "different values, each of which would take cross-products of its own: cut them into "
            "classes beforehand, or read the rows into a table and fit that."
        )


def strata_of(
    design: Design, total: CrossProducts, fixed: Floats, columns: Sequence[Floats]
) -> Strata | None:
    """Sum the cross-products of each stratum's rows; None where there is one sigma for all.

    Parameters
    ----------
    design : Design
        The rows.
    total : CrossProducts
        Their cross-products as they are, whose coordinates the strata have.
    fixed : ndarray, shape (n, p + 1)
        [Xs r] in those coordinates.
    columns : sequence of ndarray, shapes (n, q)
        Zs of each factor in those coordinates.

    Raises
    ------
    ArgumentError
        If residuals are correlated, have known standard errors beside a sigma, or a sigma with
        random effects.
    DataError
        If there are too many strata.
    """
    rows = design.residual
    if rows is None:
        return None
    beside = rows.has_sigma and rows.se is not None
    if rows.factors:
        raise ArgumentError(
            "Random effects in sigma are fitted to rows, which cross-products do not hold: fit the "
            "table itself."
        )
    require_strata(
        None if rows.correlation is None else str(rows.correlation),
        f"~ {rows.sigma or 1}" if beside else None,
        rows.se if beside else None,
    )
    cells, cell = _cells(rows)
    require_few(cells, rows.names)
    grams = tuple(
        _sums(design, total, (fixed, columns), np.flatnonzero(cell == k)) for k in range(len(cells))
    )
    return Strata(rows.names, cells, grams, 0.0 if rows.se is None else float(rows.se @ rows.se))


def _cells(rows: ResidualRows) -> tuple[Floats, Ints]:
    if rows.se is not None:
        return np.zeros((1, 0)), np.zeros(rows.n, np.int64)
    cells, cell = np.unique(rows.columns + 0.0, axis=0, return_inverse=True)  # no -0.0
    return cells, cell.ravel()


def _sums(
    design: Design, total: CrossProducts, coded: tuple[Floats, Sequence[Floats]], some: Ints
) -> CrossProducts:
    """Sum the cross-products of some rows, of the levels that they have."""
    fixed, columns = coded
    se = None if design.residual is None else design.residual.se
    root = None if se is None else 1.0 / se[some]
    logs = None if root is None else 2.0 * np.log(root)
    weight = 1.0 if root is None else root[:, None]
    own = fixed[some] * weight
    parts = [Z[some] * weight for Z in columns]
    factors = [_present(factor, some) for factor in design.factors]
    return CrossProducts(
        response=total.response,
        coef=total.coef,
        factors=tuple(
            _factor_sums(factor, Z, own, known.scale, logs)
            for factor, Z, known in zip(factors, parts, total.factors, strict=True)
        ),
        pairs=tuple(
            PairBlocks(k, m, *pair_sums(first.index, parts[k], second.index, parts[m]))
            for k, first in enumerate(factors)
            for m, second in enumerate(factors)
            if k < m
        ),
        n=len(some),
        sum_log_weights=0.0 if logs is None else float(logs.sum()),
        scale=total.scale,
        slope=total.slope,
        cross=own.T @ own,
    )


def _present(factor: GroupingFactor, some: Ints) -> GroupingFactor:
    """Return a factor of some rows, with the levels that they have."""
    used, index = np.unique(factor.index[some], return_inverse=True)
    return replace(
        factor,
        levels=factor.levels[used],
        n_known=len(used),
        index=index.ravel(),
        columns=factor.columns[some],
    )


def laid_out_as[G: CrossProducts](total: G, part: CrossProducts) -> G:
    """Return the cross-products of a stratum in the coordinates, and of the levels, of the whole.

    Parameters
    ----------
    total : CrossProducts
        Of all rows.
    part : CrossProducts
        Of some of them.

    Raises
    ------
    LookupError
        If the part has levels that the whole has not.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "f": list("abaa"), "g": list("xxyy")}
    >>> gram = Gram.from_design(build_design("y ~ 1 + (1 | g)", table, sigma="~ 0 + f"))
    >>> parts = [laid_out_as(gram, part) for part in gram.strata.grams]
    >>> [part.factors[0].counts.tolist() for part in parts]
    [[1, 0], [1, 2]]
    """
    part = change_coordinates(part, total.scale, total.slope, [f.scale for f in total.factors])
    places = [_places(whole, own) for whole, own in zip(total.factors, part.factors, strict=True)]
    spread = zip(total.factors, part.factors, places, strict=True)
    pairs = zip(total.pairs, part.pairs, strict=True)
    return replace(
        total,
        factors=tuple(_spread_factor(whole, own, place) for whole, own, place in spread),
        pairs=tuple(_spread_pair(total, whole, own, places) for whole, own in pairs),
        n=part.n,
        sum_log_weights=part.sum_log_weights,
        cross=part.cross,
        strata=None,
    )


def _places(whole: GramFactor, own: GramFactor) -> Ints:
    """Return where levels are among those of the whole."""
    known = {label: k for k, label in enumerate(whole.levels.tolist())}
    return np.array([known[label] for label in own.levels.tolist()], dtype=np.int64)


def _spread_factor(whole: GramFactor, own: GramFactor, place: Ints) -> GramFactor:
    n = len(whole.levels)
    return replace(
        own,
        levels=whole.levels,
        within=_spread(own.within, place, n),
        with_fixed=_spread(own.with_fixed, place, n),
        counts=_spread(own.counts, place, n),
        fixed=None if own.fixed is None else _spread(own.fixed, place, n),
        log_weights=None if own.log_weights is None else _spread(own.log_weights, place, n),
    )


def _spread(values: NDArray[Any], place: Ints, n_levels: int) -> NDArray[Any]:
    out = np.zeros((n_levels, *values.shape[1:]), dtype=values.dtype)
    out[place] = values
    return out


def _spread_pair(
    total: CrossProducts, whole: PairBlocks, own: PairBlocks, places: Sequence[Ints]
) -> PairBlocks:
    width = len(total.factors[whole.second].levels)
    keys = whole.rows * width + whole.cols
    mine = places[own.first][own.rows] * width + places[own.second][own.cols]
    at = np.searchsorted(keys, mine)
    if not np.isin(mine, keys).all():
        raise LookupError("pairs of levels share rows in a part, and none in the whole")
    values = np.zeros(whole.values.shape)
    values[at] = own.values
    return replace(whole, values=values)
