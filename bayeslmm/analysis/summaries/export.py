"""Tables for papers: the package's data frames as Markdown and LaTeX, intervals in one column."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from bayeslmm.analysis.summaries.text import KIND_WORDS
from bayeslmm.errors import ArgumentError, names_keywords

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

_BOUND = re.compile(r"(eti|hdi)([\d.]+)_lb")
_COUNTS = ("ess_bulk", "ess_tail", "rows", "n")
# Besides themselves, what is rounded to three digits of the posterior standard deviation.
_ON_ITS_SCALE = ("mean", "median", "estimate", "observed", "reml")

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{one: f"\\{one}" for one in "&%$#_{}"},
}


@names_keywords
def to_markdown(table: pd.DataFrame, *, digits: int = 3) -> str:
    """Write a table of this package as Markdown.

    Parameters
    ----------
    table : DataFrame
        Such as `fixed_effects` and its kin return. Bounds of an interval become one column,
        ``[low, high]``; estimates are rounded to so many digits of their ``sd`` as `digits` says,
        for more would be noise.
    digits : int
        Significant digits of the standard deviation, or of each number where there is none.

    Returns
    -------
    str
        A pipe table, names escaped.

    Raises
    ------
    ArgumentError
        When `table` is no data frame, or `digits` is not positive.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> print(bl.to_markdown(bl.variance_components(idata)[["factor", "term", "quantity", "mean"]]))
    | factor   | term      | quantity | mean |
    |:---------|:----------|:---------|-----:|
    | g        | Intercept | sd       |    2 |
    | g        | x         | sd       |    1 |
    | g        | Intercept | variance |    4 |
    | g        | x         | variance |    1 |
    | g        | Intercept | corr     |  0.5 |
    | Residual |           | sd       |    3 |
    | Residual |           | variance |    9 |
    """
    header, rows, numeric = _cells(table, digits, lambda text: _MARKDOWN.sub(r"\\\1", text))
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, numeric, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        f"{'-' * (width + 1)}:" if right else f":{'-' * (width + 1)}"
        for width, right in zip(widths, numeric, strict=True)
    )
    return "\n".join([line(header), f"|{rule}|", *map(line, rows)])


@names_keywords
def to_latex(table: pd.DataFrame, *, digits: int = 3) -> str:
    r"""Write a table of this package as LaTeX.

    Parameters
    ----------
    table, digits
        As in `to_markdown`.

    Returns
    -------
    str
        A ``tabular`` with the rules of the package booktabs (``\usepackage{booktabs}``), names
        escaped.

    Raises
    ------
    ArgumentError
        As `to_markdown` does.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> print(bl.to_latex(bl.fixed_effects(idata)[["mean", "eti95_lb", "eti95_ub"]]))
    \begin{tabular}{lrr}
    \toprule
    coef & mean & 95 \% equal-tailed interval \\
    \midrule
    Intercept & 1 & [1, 1] \\
    x & 2 & [2, 2] \\
    \bottomrule
    \end{tabular}
    """
    header, rows, numeric = _cells(table, digits, _escaped)
    shown = [
        # A hyphen before a digit is a minus, and an opening bracket no option of a line's end.
        [re.sub(r"(?<![\w.])-(?=\d)", "$-$", cell) if right else f"{cell}" for cell, right in
         zip(row, numeric, strict=True)]
        for row in rows
    ]  # fmt: skip
    lines = [" & ".join(_guarded(row)) + r" \\" for row in shown]
    columns = "".join("r" if right else "l" for right in numeric)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(header) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _guarded(row: Sequence[str]) -> list[str]:
    first, *rest = row
    return [f"{{}}{first}" if first.startswith("[") else first, *rest]


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _cells(
    table: pd.DataFrame, digits: int, escape: Callable[[str], str]
) -> tuple[list[str], list[list[str]], list[bool]]:
    """Return a table's header and cells as text, and which columns are of numbers."""
    if not hasattr(table, "itertuples"):
        raise ArgumentError(
            f"A table is a data frame, such as bl.fixed_effects(fit), not a {type(table).__name__}."
        )
    if isinstance(digits, bool) or not isinstance(digits, int) or digits < 1:
        raise ArgumentError(f"digits is a positive whole number, not {digits!r}.")
    named = [name for name in table.index.names if name is not None]
    frame = table.reset_index() if named else table
    records = frame.to_dict("records")
    columns = [str(name) for name in frame.columns]
    decimals = [_decimals(record, digits) for record in records]
    header: list[str] = []
    cells: list[list[str]] = []
    numeric: list[bool] = []
    for name in columns:
        if (other := _upper(name, columns)) is not None:
            header.append(escape(_interval_name(name)))
            cells.append(
                [
                    _interval(record, name, other, places, digits)
                    for record, places in zip(records, decimals, strict=True)
                ]
            )
            numeric.append(True)
            continue
        if any(_upper(lower, columns) == name for lower in columns):
            continue
        header.append(escape(name))
        is_number = frame[name].dtype.kind in "fiu"
        texts = [
            _number(record[name], name, places, digits) if is_number else str(record[name])
            for record, places in zip(records, decimals, strict=True)
        ]
        plain = ["" if text in {"nan", "None"} else " ".join(text.split()) for text in texts]
        cells.append(texts if is_number else list(map(escape, plain)))
        numeric.append(is_number)
    return header, [list(row) for row in zip(*cells, strict=True)], numeric


def _upper(name: str, columns: Sequence[str]) -> str | None:
    """Return the column of an interval's upper bounds, where a name is that of its lower ones."""
    other = "upper" if name == "lower" else name.removesuffix("_lb") + "_ub"
    return other if (name == "lower" or _BOUND.fullmatch(name)) and other in columns else None


def _interval_name(lower: str) -> str:
    bound = _BOUND.fullmatch(lower)
    return "interval" if bound is None else f"{bound[2]} % {KIND_WORDS[bound[1]]} interval"


def _decimals(record: dict[Any, Any], digits: int) -> int | None:
    """Return how many decimals a row's estimates have; None where nothing says."""
    spread = record.get("sd")
    if not isinstance(spread, int | float) or not math.isfinite(spread) or spread <= 0:
        return None
    return max(digits - 1 - math.floor(math.log10(spread)), 0)


def _interval(record: dict[Any, Any], low: str, high: str, places: int | None, digits: int) -> str:
    bounds = (_rounded(float(record[name]), places, digits) for name in (low, high))
    return f"[{', '.join(bounds)}]"


def _number(value: Any, name: str, places: int | None, digits: int) -> str:
    if value != value:  # noqa: PLR0124 -- NaN
        return ""
    if name in _COUNTS:
        return f"{value:.0f}"
    if name == "r_hat":
        return f"{value:.3f}"
    if name == "sd" or name in _ON_ITS_SCALE:
        return _rounded(float(value), places, digits)
    return str(value) if isinstance(value, int) else _rounded(float(value), None, digits)


def _rounded(value: float, places: int | None, digits: int) -> str:
    text = f"{value:.{digits}g}" if places is None else f"{value:.{places}f}"
    # No minus before a zero.
    return text.lstrip("-") if not any(one in "123456789" for one in text) else text
