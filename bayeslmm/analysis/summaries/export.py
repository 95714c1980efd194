"""Tables for papers: the package's data frames as Markdown and LaTeX, intervals in one column."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.analysis.summaries.text import KIND_WORDS
from bayeslmm.errors import ArgumentError, names_keywords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_BOUND = re.compile(r"(eti|hdi)([\d.]+)_lb")
_SPREADS = ("sd", "std_error", "reml_se")
# Besides themselves, what is rounded to three digits of the standard deviation.
_ON_ITS_SCALE = (*_SPREADS, "mean", "median", "estimate", "observed", "reml")
_PROBABILITIES = ("p_positive", "p_above", "p_worse", "p_value", "probability")
# Decimals of counts, and of what counts by its differences, however large it is.
_DECIMALS = {
    **dict.fromkeys(("ess_bulk", "ess_tail", "rows", "n"), 0),
    **dict.fromkeys(("log_likelihood", "deviance", "aic", "bic", "elpd", "elpd_diff"), 2),
    "r_hat": 3,
}
# What is of no row's scale: errors of computation, ratios, quantiles of a prior.
_OWN_SCALE = re.compile(
    r"mcse(_mean)?|moved|spread|odds|variance|corr_.+|diff_(sd|mcse)|prior_pull|reliability|chisq"
    r"|dse|(response_)?q\d+"
)
# Names that data may have, too: statistics in a table with the other column only.
_IN_TABLES_WITH = {
    "se": "elpd", "p": "elpd", "weight": "elpd", "prior": "likelihood", "likelihood": "prior",
    "value": "is_mode", "slope": "is_mode", "curvature": "is_mode", "distance": "is_mode",
}  # fmt: skip
# What the columns of matrices are called: covariances and random effects of a REML fit.
_MATRICES = ("coef", "term")
_SHORTEST = 3  # decimals of a probability, however few digits estimates have

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
        ``[low, high]``; estimates are rounded to so many digits of their ``sd``, ``std_error`` or
        else half their interval as `digits` says, for more would be noise. Probabilities stay off
        0 and 1, as ``< 0.001`` and ``> 0.999``. Columns that are no known statistic, such as those
        of the data, are written in full: round them beforehand where this is too much.
    digits : int
        Significant digits of that spread, or of each statistic where there is none; no digit
        before the decimal point is lost.

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
        [_mathematical(cell) if right else cell for cell, right in
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


def _mathematical(number: str) -> str:
    """Write signs as mathematics: a hyphen before a number is a minus."""
    return re.sub(r"(?<![\w.])-(?=\d|inf)|[<>]", r"$\g<0>$", number)


def _guarded(row: Sequence[str]) -> list[str]:
    """Keep an opening bracket from being an option of the line's end before it."""
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
    columns = [str(name) for name in frame.columns]
    records = [dict(zip(columns, row, strict=True)) for row in frame.itertuples(index=False)]
    dtypes = dict(zip(columns, frame.dtypes, strict=True))
    numbers = [name for name in columns if dtypes[name].kind in "fiu"]
    decimals = [_decimals(record, numbers, digits) for record in records]
    of_matrix = table.columns.name in _MATRICES
    header: list[str] = []
    cells: list[list[str]] = []
    numeric: list[bool] = []
    for name in columns:
        if (other := _upper(name, numbers)) is not None:
            header.append(escape(_interval_name(name)))
            cells.append(
                [
                    _interval(record, name, other, places, digits)
                    for record, places in zip(records, decimals, strict=True)
                ]
            )
            numeric.append(True)
            continue
        if any(_upper(lower, numbers) == name for lower in numbers):
            continue
        header.append(escape(name))
        is_number = name in numbers
        write = _writer(name, columns, dtypes[name], digits, of_matrix=of_matrix)
        texts = [
            ("" if pd.isna(record[name]) else write(record[name], places))
            if is_number
            else str(record[name])
            for record, places in zip(records, decimals, strict=True)
        ]
        plain = ["" if text in {"nan", "None"} else " ".join(text.split()) for text in texts]
        cells.append(texts if is_number else list(map(escape, plain)))
        numeric.append(is_number)
    return header, [list(row) for row in zip(*cells, strict=True)], numeric


def _upper(name: str, columns: Sequence[str]) -> str | None:
    """Return which column holds an interval's upper bounds, if a name is that of its lower ones."""
    if name not in columns:
        return None
    other = "upper" if name == "lower" else name.removesuffix("_lb") + "_ub"
    return other if (name == "lower" or _BOUND.fullmatch(name)) and other in columns else None


def _interval_name(lower: str) -> str:
    bound = _BOUND.fullmatch(lower)
    return "interval" if bound is None else f"{bound[2]} % {KIND_WORDS[bound[1]]} interval"


def _decimals(record: dict[str, Any], numbers: Sequence[str], digits: int) -> int | None:
    """Return how many decimals a row's estimates have; None where nothing says."""
    for spread in _spreads(record, numbers):
        if math.isfinite(spread) and spread > 0:
            return max(digits - 1 - math.floor(math.log10(spread)), 0)
    return None


def _spreads(record: dict[str, Any], numbers: Sequence[str]) -> Iterator[float]:
    """Yield what may be a row's scale: standard deviation or error, half an interval's width."""
    yield from (_float(record[name]) for name in _SPREADS if name in numbers)
    for name in numbers:
        if (other := _upper(name, numbers)) is not None:
            yield (_float(record[other]) - _float(record[name])) / 2


def _float(value: Any) -> float:
    return math.nan if pd.isna(value) else float(value)


def _interval(record: dict[str, Any], low: str, high: str, places: int | None, digits: int) -> str:
    bounds = [_float(record[name]) for name in (low, high)]
    if all(map(math.isnan, bounds)):
        return ""
    return f"[{', '.join(_rounded(bound, places, digits) for bound in bounds)}]"


def _writer(
    name: str, columns: Sequence[str], dtype: Any, digits: int, *, of_matrix: bool
) -> Callable[[Any, int | None], str]:
    """Return how the numbers of a column are written, given the decimals of their row."""
    if dtype.kind != "f":
        return lambda value, _: str(value)
    if name in _DECIMALS:
        return lambda value, _: _rounded(value, _DECIMALS[name], digits)
    if name in _PROBABILITIES:
        return lambda value, _: _probability(value, max(digits, _SHORTEST))
    if name in _ON_ITS_SCALE:
        return lambda value, places: _rounded(value, places, digits)
    if of_matrix or _OWN_SCALE.fullmatch(name) or _IN_TABLES_WITH.get(name) in columns:
        return lambda value, _: _rounded(value, None, digits)
    precision = np.finfo(getattr(dtype, "numpy_dtype", dtype)).precision
    return lambda value, _: _without_minus_zero(f"{value:.{precision}g}")


def _probability(value: float, places: int) -> str:
    least = 10.0**-places
    if 0 <= value < least:
        return f"< {least:.{places}f}"
    return f"> {1 - least:.{places}f}" if 1 - least < value <= 1 else f"{value:.{places}f}"


def _rounded(value: float, places: int | None, digits: int) -> str:
    if places is not None:
        return _without_minus_zero(f"{value:.{places}f}")
    if value == 0 or not math.isfinite(value):
        return _without_minus_zero(f"{value:g}")
    decimals = max(digits - 1 - math.floor(math.log10(abs(value))), 0)
    return f"{round(value, decimals):.15g}"


def _without_minus_zero(text: str) -> str:
    return text.removeprefix("-") if float(text) == 0 else text
