"""Weights of contrasts of cells: pairwise, against a reference, sequential, from the mean, own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.arguments import label
from bayeslmm.errors import ArgumentError, check_choice, nearest

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

KINDS = ("pairwise", "reference", "sequential", "meandev")
# What emmeans calls the same.
_THEIRS = {
    "pairs": "pairwise",
    "revpairwise": "pairwise",
    "trt.vs.ctrl": "reference",
    "trt.vs.ctrl1": "reference",
    "dunnett": "reference",
    "consec": "sequential",
    "eff": "meandev",
}


def contrast_weights(
    contrasts: Any,
    cells: Sequence[str],
    argument: str,
    reference: Any = None,
    *,
    ratio: bool = False,
) -> tuple[list[str], Floats]:
    """Return contrasts' names and their weights on the cells.

    Parameters
    ----------
    contrasts : str, mapping, DataFrame or array
        One of `KINDS`; name -> weights, as a sequence or by cell; or a matrix with a row for each
        contrast.
    cells : sequence of str, length k
        The cells' labels.
    argument : str
        What the caller calls it.
    reference : label, optional
        The cell that ``"reference"`` compares with; the first without it.
    ratio : bool
        Whether the weights are of logarithms: they sum to zero then.

    Returns
    -------
    labels : list of str, length c
    weights : ndarray, shape (c, k)

    Raises
    ------
    ArgumentError
        If the kind or a cell is unknown, or weights do not fit.

    Examples
    --------
    >>> contrast_weights("sequential", ["a", "b", "c"], "contrasts")
    (['b - a', 'c - b'], array([[-1.,  1.,  0.],
           [ 0., -1.,  1.]]))
    >>> contrast_weights({"ends": {"a": -1, "c": 1}}, ["a", "b", "c"], "contrasts")
    (['ends'], array([[-1.,  0.,  1.]]))
    >>> contrast_weights("pairwise", ["a", "b"], "contrasts", ratio=True)[0]
    ['b / a']
    """
    if isinstance(contrasts, str):
        return _named(contrasts, cells, argument, reference, " / " if ratio else " - ")
    labels, weights = _own(contrasts, cells, argument, reference)
    if ratio:
        _require_zero_sums(labels, weights, argument)
    return labels, weights


def _require_zero_sums(labels: Sequence[str], weights: Floats, argument: str) -> None:
    for name, row in zip(labels, weights, strict=True):
        if abs(row.sum()) > 1e-9 * np.abs(row).sum():
            raise ArgumentError(
                f"ratio=True compares cells with each other, and the weights of {name!r} in "
                f"{argument} sum to {row.sum():g}: make them sum to zero."
            )


def _own(
    contrasts: Any, cells: Sequence[str], argument: str, reference: Any
) -> tuple[list[str], Floats]:
    if reference is not None:
        raise ArgumentError(f"reference goes with {argument}='reference'; leave it out.")
    given = dict(contrasts.iterrows()) if isinstance(contrasts, pd.DataFrame) else contrasts
    try:
        if isinstance(given, Mapping):
            labels = [str(name) for name in given]
            rows = [_row(str(name), row, cells, argument) for name, row in given.items()]
            return labels, _checked(np.array(rows, dtype=np.float64), cells, argument)
        weights = _checked(np.atleast_2d(np.asarray(given, dtype=np.float64)), cells, argument)
    except ArgumentError:
        raise
    except (TypeError, ValueError):
        kinds = ", ".join(map(repr, KINDS))
        raise ArgumentError(
            f"{argument} is one of {kinds}, a mapping from names to weights, or a matrix of "
            f"numbers; it was {contrasts!r}."
        ) from None
    return [_written(row, cells) for row in weights], weights


def _named(
    kind: str, cells: Sequence[str], argument: str, reference: Any, sign: str
) -> tuple[list[str], Floats]:
    if kind in _THEIRS:
        raise ArgumentError(f"Write {argument}={_THEIRS[kind]!r} for emmeans's {kind!r}.")
    check_choice(argument, kind, KINDS)
    if reference is not None and kind != "reference":
        raise ArgumentError(f"reference goes with {argument}='reference'; it was {kind!r}.")
    k = len(cells)
    if k < 2:
        raise ArgumentError(
            f"A contrast needs two cells or more; there is {', '.join(cells)} only."
        )
    unit = np.eye(k)
    if kind == "meandev":
        return [f"{cell}{sign}mean" for cell in cells], unit - 1.0 / k
    if kind == "pairwise":
        pairs = list(combinations(range(k), 2))
    elif kind == "sequential":
        pairs = [(j, j + 1) for j in range(k - 1)]
    else:
        base = 0 if reference is None else _place(label(reference), cells, "reference")
        pairs = [(base, j) for j in range(k) if j != base]
    labels = [f"{cells[high]}{sign}{cells[low]}" for low, high in pairs]
    return labels, np.array([unit[high] - unit[low] for low, high in pairs])


def _row(name: str, given: Any, cells: Sequence[str], argument: str) -> list[float]:
    if not isinstance(given, (Mapping, pd.Series)):
        values = list(np.atleast_1d(np.asarray(given, dtype=object)))
        if len(values) != len(cells):
            raise ArgumentError(
                f"{argument}: {name!r} has {len(values)} weights for {len(cells)} cells "
                f"({', '.join(cells)})."
            )
        return values
    row = [0.0] * len(cells)
    for cell, weight in given.items():
        row[_place(label(cell), cells, f"{argument}: {name!r}")] = weight
    return row


def _place(cell: str, cells: Sequence[str], what: str) -> int:
    if cell not in cells:
        raise ArgumentError(
            f"{what} names {cell!r}, which is none of {', '.join(cells)}.{nearest(cell, cells)}"
        )
    return list(cells).index(cell)


def _checked(weights: Floats, cells: Sequence[str], argument: str) -> Floats:
    if weights.ndim != 2 or weights.shape[1] != len(cells) or not len(weights):
        raise ArgumentError(
            f"{argument} is a matrix with a row for each contrast and {len(cells)} columns, one "
            f"for each of {', '.join(cells)}; its shape was {weights.shape}."
        )
    if not np.isfinite(weights).all():
        raise ArgumentError(f"{argument} holds weights that are not finite.")
    return weights


def _written(row: Floats, cells: Sequence[str]) -> str:
    """Write a combination: ``0.5 a + 0.5 b - c``."""
    parts = []
    for weight, cell in zip(row, cells, strict=True):
        if weight:
            size = "" if abs(weight) == 1 else f"{abs(weight):.4g} "
            parts.append(f"{'-' if weight < 0 else '+'} {size}{cell}")
    return " ".join(parts).removeprefix("+ ") or "0"
