"""A smooth's columns of a table's rows: what is not penalised to X, the rest to a factor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.design.columns.model_matrix import check_finite, vector
from bayeslmm.design.grouping import BlockStructure, GroupingFactor
from bayeslmm.design.smooths.basis import SplineBasis, place_knots
from bayeslmm.design.smooths.transformation import SmoothTransformation
from bayeslmm.errors import DataWarning, FormulaError, warn
from bayeslmm.formula.smooth_terms import SMALLEST
from bayeslmm.formula.tokens import quote
from bayeslmm.names import CURVE, smooth_column

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from bayeslmm.arrays import Floats
    from bayeslmm.design.rows import Rows
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.formula.smooth_terms import SmoothTerm


@dataclass(frozen=True, eq=False)
class SmoothColumns:
    """The columns of one smooth.

    Attributes
    ----------
    name : str
        The smooth's, e.g. ``"s(x)"`` or ``"s(x, by=f)"``.
    fixed : ndarray, shape (n, u)
        Columns that no penalty concerns.
    coef : tuple of str, length u
        Their names.
    penalized : ndarray, shape (n, m q)
        Curve by curve, the columns whose effects share the curve's standard deviation.
    curves : tuple of str, length m
        The levels of `by` that have a curve each; one empty text without any.
    """

    name: str
    fixed: Floats
    coef: tuple[str, ...]
    penalized: Floats
    curves: tuple[str, ...]

    @property
    def size(self) -> int:
        """q, the number of penalised columns of a curve."""
        return int(self.penalized.shape[1] // len(self.curves))

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the penalised columns, such as ``"curve[1]"`` or ``"a[1]"``."""
        curves = [curve or CURVE for curve in self.curves]
        if self.size == 1:
            return tuple(curves)
        return tuple(f"{curve}[{j}]" for curve in curves for j in range(1, self.size + 1))

    def factor(self) -> GroupingFactor:
        """Return the penalised columns as a factor of one level, to which all rows belong."""
        return GroupingFactor(
            name=self.name,
            variables=(),
            levels=np.array([self.name]),
            n_known=1,
            index=np.zeros(len(self.penalized), dtype=np.int64),
            columns=self.penalized,
            terms=self.terms,
            blocks=tuple(
                tuple(range(first, first + self.size))
                for first in range(0, self.penalized.shape[1], self.size)
            ),
            structures=(BlockStructure("homdiag"),) * len(self.curves),
        )


def code_smooth(
    term: SmoothTerm,
    value: Any,
    by: Any,
    memory: MutableMapping[str, dict[Any, Any]],
    where: tuple[ModelTerms, Rows],
) -> SmoothColumns:
    """Compute a smooth's columns.

    Parameters
    ----------
    term : SmoothTerm
        What is asked for.
    value : ndarray, shape (n,), or Categorical
        What it is a function of.
    by : Categorical, ndarray of shape (n,), or None
        The values of ``by=``.
    memory : dict
        What the training rows taught under the term's text; filled by them, used on new ones.
    where : tuple of ModelTerms and Rows
        The other terms and the rows, for messages.

    Returns
    -------
    SmoothColumns

    Raises
    ------
    FormulaError
        If the variable holds labels, the rows have too few distinct values for the basis, or lie
        beyond knots that are given.
    DataError
        If a value is not finite.

    Warns
    -----
    DataWarning
        If new rows lie beyond the training rows, where curves are straight lines, or levels have
        curves and no means of their own.
    """
    terms, rows = where
    formula, key = terms.formula, str(term)
    x = _numbers(term, value, rows.n, formula)
    numbers = [x] if by is None or isinstance(by, pd.Categorical) else [x, by]
    names = [term.variable, str(term.by)][: len(numbers)]
    check_finite(np.column_stack(numbers), names, rows.positions, "smooth's column")
    if key not in memory:
        if isinstance(by, pd.Categorical):
            _warn_without_means(term, terms)
        memory[key] = _learn(term, x, formula).plain()
        smooth = SmoothTransformation.of_plain(memory[key])
    else:
        smooth = SmoothTransformation.of_plain(memory[key])
        _warn_beyond(term, smooth, x)
    Z = smooth.penalized(x)
    line = [smooth.line(x)] if smooth.straight else []
    parts = ["linear"] * len(line)
    curves: tuple[str, ...]
    if by is None:
        masks, curves = [np.ones(len(x))], ("",)
    elif isinstance(by, pd.Categorical):
        masks = [(by.codes == code).astype(np.float64) for code in range(len(by.categories))]
        curves = tuple(map(str, by.categories))
    else:  # a coefficient that varies with x is not zero on average
        masks, curves = [np.asarray(by, dtype=np.float64)], ("",)
        line, parts = [np.ones(len(x)), *line], ["constant", *parts]
    return SmoothColumns(
        name=term.name,
        fixed=np.column_stack([np.empty((len(x), 0)), *(m * part for m in masks for part in line)]),
        coef=tuple(f"{term.name}[{smooth_column(part, c)}]" for c in curves for part in parts),
        penalized=np.hstack([mask[:, None] * Z for mask in masks]),
        curves=curves,
    )


def _learn(term: SmoothTerm, x: Floats, formula: MixedFormula) -> SmoothTransformation:
    distinct = len(np.unique(x))
    if distinct < term.k and len(term.knots) < 3:
        least = SMALLEST[term.basis]
        write = (
            f"write k={distinct}, or fewer"
            if distinct >= least
            else f"a curve takes {least}; write {term.variable} for a straight line, or "
            f"C({term.variable}) for a coefficient of each value"
        )
        raise _error(
            f"{term} has a basis of k={term.k} functions, and the rows have {distinct} distinct "
            f"values of {term.variable}: {write}.",
            term,
            formula,
        )
    if term.knots and not (term.knots[0] <= x.min() and x.max() <= term.knots[-1]):
        raise _error(
            f"The knots of {term} reach from {term.knots[0]:g} to {term.knots[-1]:g}, and the "
            f"rows' {term.variable} from {x.min():g} to {x.max():g}: they have to enclose these.",
            term,
            formula,
        )
    basis = SplineBasis(term.basis, place_knots(term.basis, x, term.k, term.knots))
    return SmoothTransformation.of(basis, x)


def _error(message: str, term: SmoothTerm, formula: MixedFormula) -> FormulaError:
    return FormulaError(message, formula.text or str(formula), term.span if formula.text else None)


def _warn_beyond(term: SmoothTerm, smooth: SmoothTransformation, x: Floats) -> None:
    low, high = smooth.reach
    beyond = int(((x < low) | (x > high)).sum())
    if beyond and smooth.straight:
        warn(
            f"{beyond} of {len(x)} rows have {term.variable} beyond the training rows, which reach "
            f"from {low:g} to {high:g}: {term.name} goes on there as a straight line.",
            DataWarning,
        )


def _numbers(term: SmoothTerm, value: Any, n: int, formula: MixedFormula) -> Floats:
    if isinstance(value, pd.Categorical):
        raise _error(
            f"{term} takes numbers, and {term.variable} holds labels: write C({term.variable}) for "
            f"an effect of each, or (1 | {term.variable}).",
            term,
            formula,
        )
    return vector(value, n, term.name)


def _warn_without_means(term: SmoothTerm, terms: ModelTerms) -> None:
    """Warn where the levels of ``by=`` have curves about zero, and no means of their own."""
    alone = {atoms[0].text for atoms in terms.fixed.terms if len(atoms) == 1}
    own = {quote(str(term.by)), f"C({quote(str(term.by))})"}
    if not alone & own and term.by not in terms.grouping:
        warn(
            f"The curves of {term.name} are zero on average, and {term.by} has no effect of its "
            f"own: its levels would have the same mean. Write {term.by} + {term}.",
            DataWarning,
        )
