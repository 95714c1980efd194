"""What must hold of cross-products before compiled code reads them; files come from strangers."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.gram.strata import laid_out_as

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.scales import ColumnScale, DataScales
    from bayeslmm.gram.blocks import CrossProducts, GramFactor, PairBlocks, Strata

# Whole numbers up to here are exact as floats, which is how compiled code has them.
_MOST_ROWS = 2**53
# Rounding of sums and of changes of coordinates leaves eigenvalues below zero by less than this
# part of the largest one.
_ROUNDING = 1e-6
# Columns of random effects up to which all are judged together: a second, and 32 MB.
_MOST_DENSE = 2_000
_NO_SUM = "is not positive semidefinite, as cross-products are"


def check_gram(gram: CrossProducts) -> None:
    """Raise unless every field of a Gram has the type, the size and the properties of a sum.

    Compiled code takes places, sizes and memory layout on trust; what passes here can be trusted.

    Parameters
    ----------
    gram : CrossProducts
        Read from a file or a tree.

    Raises
    ------
    TypeError, ValueError
        For the first field that is wrong; the message names it.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from bayeslmm.design.build import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "a", "b", "b"]}
    >>> gram = Gram.from_design(build_design("y ~ 1 + (1 | g)", table))
    >>> check_gram(gram)
    >>> check_gram(replace(gram, cross=-gram.cross))
    Traceback (most recent call last):
    ValueError: cross is not positive semidefinite, as cross-products are
    """
    _check_names(gram)
    p = len(gram.coef)
    _require(_whole(gram.n, 0, _MOST_ROWS), f"n is {gram.n!r} and not a number of rows")
    _require(bool(np.isfinite(gram.sum_log_weights)), "sum_log_weights is not finite")
    _check_scale("scale", gram.scale, p)
    _expect("slope", gram.slope, (p,))
    _expect("cross", gram.cross, (p + 1, p + 1))
    lengths = _lengths(gram)
    _check_moments("cross", gram.cross, lengths)
    for k, factor in enumerate(gram.factors):
        _check_factor(f"factor_{k}", factor, gram, lengths)
    places = [(pair.first, pair.second) for pair in gram.pairs]
    if places != list(combinations(range(len(gram.factors)), 2)):
        raise ValueError(f"pairs are {places} and not those of {len(gram.factors)} factors")
    for j, pair in enumerate(gram.pairs):
        _check_pair(f"pair_{j}", pair, gram)
    _check_together(gram, lengths)
    _check_state(gram)
    if gram.scales is not None:
        _check_scales(gram, gram.scales)
    if gram.strata is not None:
        _check_strata(gram, gram.strata)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _whole(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _texts(what: str, values: tuple[Any, ...]) -> None:
    """Raise unless these are distinct texts."""
    if not all(type(value) is str for value in values):
        raise TypeError(f"{what} are not all text")
    _require(len(set(values)) == len(values), f"{what} are not distinct")


def _check_names(gram: CrossProducts) -> None:
    _texts("response", (gram.response,))
    _texts("coef", gram.coef)
    _texts("names of factors", tuple(f.name for f in gram.factors))
    for k, f in enumerate(gram.factors):
        _texts(f"factor_{k}'s terms", f.terms)
        _require(len(f.terms) > 0, f"factor_{k} has no terms")
        _require(len(f.levels) > 0 or gram.n == 0, f"factor_{k} has no levels")
        if f.levels.dtype.kind != "U" or f.levels.ndim != 1:
            raise TypeError(f"factor_{k}_levels is not a list of text")
        _texts(f"factor_{k}_levels", tuple(f.levels.tolist()))
        flat = [place for block in f.blocks for place in block]
        if any(type(place) is not int for place in flat) or flat != list(range(len(f.terms))):
            raise ValueError(f"factor_{k}'s blocks {f.blocks} do not part its {len(f.terms)} terms")
        _require(
            len(f.structures) in (0, len(f.blocks))
            and all(
                len(at.positions) in (0, len(block))
                for at, block in zip(f.structures, f.blocks, strict=False)
            ),
            f"factor_{k}'s structures are not those of its blocks",
        )
        if f.arms is not None:
            fits = (len(f.arms.columns), len(f.arms.levels)) == (len(f.terms), len(f.levels))
            _require(fits, f"factor_{k}'s arms are of other columns or levels")


def _expect(
    name: str, array: NDArray[Any], shape: tuple[int, ...], kind: type = np.float64
) -> None:
    """Raise unless an array has a type, a shape, the layout of C, and finite values only."""
    if array.dtype != np.dtype(kind):
        raise TypeError(f"{name} holds {array.dtype} and not {np.dtype(kind)}")
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape} and not {shape}")
    _require(array.flags.c_contiguous and array.flags.aligned, f"{name} is not contiguous")
    finite = kind is np.int64 or bool(np.isfinite(array).all())
    _require(finite, f"{name} holds values that are not finite")


def _check_scale(name: str, scale: Floats, size: int) -> None:
    """Raise unless coordinates are an upper triangle that can be inverted."""
    _expect(name, scale, (size, size))
    _require(not np.tril(scale, -1).any(), f"{name} is not upper triangular")
    with np.errstate(all="ignore"):
        turns = bool((np.diag(scale) > 0.0).all()) and bool(np.isfinite(np.linalg.inv(scale)).all())
    _require(turns, f"{name} cannot be inverted")


def _lengths(gram: CrossProducts) -> Floats:
    """Compute the length of each column of [Xs y], in whose units rounding is judged."""
    p = len(gram.coef)
    with np.errstate(all="ignore"):
        squares = np.diag(gram.cross).copy()
        squares[p] += 1e-10 * (gram.slope @ gram.cross[:p, :p] @ gram.slope)
        _require(bool(np.isfinite(squares).all()), "cross and slope are too large")
        _require(bool((squares >= 0.0).all()), f"cross {_NO_SUM}")
    return np.where(squares > 0.0, np.sqrt(squares), 1.0)


def _check_moments(name: str, moments: Floats, lengths: Floats) -> None:
    """Raise unless matrices (..., k, k) are symmetric and, up to rounding, have no negative values.

    Rounding is judged with the columns in units of their lengths.
    """
    with np.errstate(all="ignore"):
        unit = moments / lengths[..., :, None] / lengths[..., None, :]
        _require(bool(np.isfinite(unit).all()), f"{name} holds values that are too large")
        size = np.abs(unit).max(axis=(-2, -1), initial=0.0)[..., None]
        odd = np.abs(unit - np.swapaxes(unit, -1, -2)) > 1e-9 * size[..., None]
        _require(not odd.any(), f"{name} is not symmetric")
        lowest = np.linalg.eigvalsh(unit) if unit.size else np.zeros(1)
    _require(bool((lowest >= -_ROUNDING * size).all()), f"{name} {_NO_SUM}")


def _check_factor(name: str, f: GramFactor, gram: CrossProducts, lengths: Floats) -> None:
    p, m, q = len(gram.coef), len(f.levels), len(f.terms)
    _check_scale(f"{name}_scale", f.scale, q)
    _expect(f"{name}_within", f.within, (m, q, q))
    _expect(f"{name}_with_fixed", f.with_fixed, (m, q, p + 1))
    _expect(f"{name}_counts", f.counts, (m,), np.int64)
    _require(bool((f.counts >= 0).all()), f"{name}_counts holds negative numbers")
    total = sum(f.counts.tolist())  # Python's integers do not overflow
    _require(total == gram.n, f"{name}_counts sum to {total} and not to n = {gram.n}")
    if f.log_weights is not None:
        _expect(f"{name}_log_weights", f.log_weights, (m,))
    logs = np.zeros(1) if f.log_weights is None else f.log_weights
    slack = _ROUNDING * (1.0 + np.abs(logs).sum())
    agrees = bool(abs(logs.sum() - gram.sum_log_weights) <= slack)
    _require(agrees, f"{name}_log_weights do not sum to sum_log_weights = {gram.sum_log_weights}")
    _check_moments(f"{name}_within", f.within, np.ones((m, q)))
    if f.fixed is not None:
        _expect(f"{name}_fixed", f.fixed, (m, p + 1, p + 1))
        _check_moments(f"{name}_fixed", f.fixed, np.broadcast_to(lengths, (m, p + 1)))
    _check_rest(f"{name}_with_fixed", f, gram.cross, lengths)
    if f.arms is not None:
        squares = np.einsum("rj,mrs,sj->mj", f.scale, f.within, f.scale)
        outside = np.where(f.arms.holds, 0.0, np.abs(squares)).max(axis=0, initial=0.0)
        none = bool((outside <= _ROUNDING * squares.max(axis=0, initial=0.0)).all())
        _require(none, f"{name} has levels with columns of other arms")


def _check_rest(name: str, f: GramFactor, cross: Floats, lengths: Floats) -> None:
    """Raise unless a factor explains no more of [Xs r] than there is: A - sum_i F_i' W_i^-1 F_i."""
    values, vectors = np.linalg.eigh(f.within)
    most = values.max(axis=1, initial=0.0)[:, None]
    with np.errstate(all="ignore"):
        along = np.swapaxes(vectors, 1, 2) @ f.with_fixed / lengths
        bounded = np.maximum(values, 0.0) + _ROUNDING * np.where(most > 0.0, most, 1.0)
        explained = np.einsum("iqa,iq,iqb->ab", along, 1.0 / bounded, along, optimize=True)
        unit = cross / lengths / lengths[:, None]
        rest = unit - explained
        _require(bool(np.isfinite(rest).all()), f"{name} holds values that are too large")
    lowest = np.linalg.eigvalsh(rest)[0]
    _require(bool(lowest >= -_ROUNDING), f"{name} explains more than cross holds")


def _check_pair(name: str, pair: PairBlocks, gram: CrossProducts) -> None:
    first, second = gram.factors[pair.first], gram.factors[pair.second]
    count = len(pair.rows)
    _expect(f"{name}_rows", pair.rows, (count,), np.int64)
    _expect(f"{name}_cols", pair.cols, (count,), np.int64)
    _expect(f"{name}_values", pair.values, (count, len(first.terms), len(second.terms)))
    for places, factor in ((pair.rows, first), (pair.cols, second)):
        inside = bool(np.all((places >= 0) & (places < len(factor.levels))))
        _require(inside, f"{name} names levels that are not there")
        alone = np.setdiff1d(np.flatnonzero(factor.counts), places)
        _require(not len(alone), f"{name} leaves out levels that have rows")
    step = np.diff(pair.rows)
    ordered = (step > 0) | ((step == 0) & (np.diff(pair.cols) > 0))
    _require(bool(ordered.all()), f"{name} is not in order, or names a pair of levels twice")
    # |z_i' z_j|^2 <= |z_i|^2 |z_j|^2, column by column.
    squares = [np.einsum("mqq->mq", f.within) for f in (first, second)]
    most = np.abs(squares[0][pair.rows][:, :, None]) ** 0.5
    most = most * np.abs(squares[1][pair.cols][:, None, :]) ** 0.5
    slack = _ROUNDING * most.max(initial=0.0)
    possible = bool((np.abs(pair.values) <= most + slack).all())
    _require(possible, f"{name}_values is larger than cross-products of its columns can be")


def _check_together(gram: CrossProducts, lengths: Floats) -> None:
    """Raise unless all columns' cross-products have a Cholesky factor, up to rounding."""
    starts = np.cumsum([0, *(f.counts.size * len(f.terms) for f in gram.factors)])
    size = int(starts[-1])
    if size > _MOST_DENSE:
        return
    columns = [
        start + np.arange(f.counts.size * len(f.terms)).reshape(-1, len(f.terms))
        for start, f in zip(starts, gram.factors, strict=False)
    ]
    fixed = size + np.arange(len(lengths))
    lower = np.zeros((size + len(lengths), size + len(lengths)))
    lower[np.ix_(fixed, fixed)] = gram.cross
    for at, f in zip(columns, gram.factors, strict=True):
        lower[at[:, :, None], at[:, None, :]] = f.within
        lower[fixed, at[:, :, None]] = f.with_fixed
    for pair in gram.pairs:
        above, below = columns[pair.first][pair.rows], columns[pair.second][pair.cols]
        lower[below[:, None, :], above[:, :, None]] = pair.values
    length = np.sqrt(np.maximum(np.diag(lower), 0.0))
    length[size:] = lengths
    unit = lower / np.where(length > 0.0, length, 1.0)
    unit /= np.where(length > 0.0, length, 1.0)[:, None]
    try:
        np.linalg.cholesky(unit + _ROUNDING * len(unit) * np.eye(len(unit)))
    except np.linalg.LinAlgError as error:
        raise ValueError(f"the matrix of all cross-products {_NO_SUM}") from error


def _check_state(gram: CrossProducts) -> None:
    """Raise unless the coding of rows is that of the same columns."""
    state = gram.state
    if state is None:
        return
    _texts("the state's formula", (state.formula,))
    if state.coef != gram.coef or dict(state.terms) != {f.name: f.terms for f in gram.factors}:
        raise ValueError("state names other columns than the cross-products")
    if state.arms != {f.name: f.arms for f in gram.factors if f.arms is not None}:
        raise ValueError("state has other arms than the cross-products")
    _texts("the state's dropped columns", state.dropped)
    for name, column in state.columns.items():
        _require(column.kind in {"number", "boolean", "label"}, f"column {name!r} has no kind")
        levels = column.levels or ()
        _texts(f"levels of column {name!r}", levels)
        _require(bool(levels) == (column.kind != "number"), f"column {name!r} has levels {levels}")
    for call, learnt in dict(state.transforms).items():
        _require(isinstance(learnt, dict), f"the state of {call!r} is {learnt!r}")


def _check_strata(gram: CrossProducts, strata: Strata) -> None:
    """Raise unless strata are parts of the rows, of the same columns, that add up to them."""
    _texts("names of sigma's columns", strata.names)
    _expect("strata_cells", strata.cells, (len(strata.grams), len(strata.names)))
    distinct = len(np.unique(strata.cells, axis=0)) == len(strata.grams)
    _require(distinct, "strata_cells holds a stratum twice")
    for k, part in enumerate(strata.grams):
        same = (part.response, part.coef) == (gram.response, gram.coef)
        columns = [
            [(f.name, f.terms, f.blocks, f.structures) for f in g.factors] for g in (part, gram)
        ]
        _require(same and columns[0] == columns[1], f"stratum_{k} has other columns than the whole")
        alone = part.state is None and part.scales is None and part.strata is None
        _require(alone, f"stratum_{k} is no part of a sum")
        check_gram(part)
    _check_variances(strata)
    _check_sum(gram, [laid_out_as(gram, part) for part in strata.grams], known=strata.known)


def _check_variances(strata: Strata) -> None:
    """Raise unless a mean of squares is no less than their geometric mean; and zero of none."""
    total = strata.sum_of_variances
    if not strata.known:
        _require(total == 0.0, f"sum_of_variances is {total}, and no standard errors are known")
        return
    _require(len(strata.grams) == 1, "strata are told apart by no column")
    n, logs = strata.grams[0].n, -strata.grams[0].sum_log_weights
    finite = bool(np.isfinite(total)) and total > 0.0
    possible = finite and n * np.log(total / n) >= logs - _ROUNDING * (n + abs(logs))
    _require(bool(possible), f"sum_of_variances is {total}, which no standard errors give")


def _check_sum(gram: CrossProducts, parts: list[CrossProducts], *, known: bool) -> None:
    """Raise unless parts, laid out alike, have the rows of the whole; and its sums, unweighted."""
    _require(sum(part.n for part in parts) == gram.n, "strata have other rows than the whole")
    for k, factor in enumerate(gram.factors):
        counts = sum(part.factors[k].counts for part in parts)
        _require(np.array_equal(counts, factor.counts), f"strata have other rows of factor_{k}")
    if known:
        return
    rows = zip(*(_sums(part) for part in parts), strict=True)
    for whole, several in zip(_sums(gram), rows, strict=True):
        slack = _ROUNDING * np.abs(whole).max(initial=0.0)
        agrees = bool((np.abs(whole - sum(several)) <= slack).all())
        _require(agrees, "the strata's cross-products do not add up to those of all rows")


def _sums(gram: CrossProducts) -> list[Floats]:
    of_factors = [block for f in gram.factors for block in (f.within, f.with_fixed)]
    return [gram.cross, *of_factors, *(pair.values for pair in gram.pairs)]


def _check_scales(gram: CrossProducts, scales: DataScales) -> None:
    """Raise unless means and spreads are those of the same columns and rows."""
    p, widths = len(gram.coef), [len(f.terms) for f in gram.factors]
    if len(scales.fixed) != p or [len(columns) for columns in scales.random] != widths:
        raise ValueError("scales are those of other columns than the cross-products")
    columns = [scales.response, scales.observed, *scales.fixed]
    columns += [column for random in scales.random for column in random]
    columns += [] if scales.weights is None else [scales.weights]
    for column in columns:
        _require(column.n == gram.n and _is_scale(column), f"scales hold {column}")
    if scales.root is not None:
        _expect("scales' root", scales.root, (p + 1, p + 1))


def _is_scale(column: ColumnScale) -> bool:
    """Return whether some column has such a mean and such squares; Bhatia & Davis (2000)."""
    if column.n == 0:
        return (column.mean, column.squares) == (0.0, 0.0)
    low, high = column.low, column.high
    if not np.isfinite([column.mean, column.squares, low, high]).all() or low > high:
        return False
    slack = _ROUNDING * (high - low) + 1e-15 * max(abs(low), abs(high))
    inside = low - slack <= column.mean <= high + slack
    most = column.n * ((high - column.mean) * (column.mean - low) + slack * (high - low))
    return inside and 0.0 <= column.squares <= max(most, 0.0) + slack**2
