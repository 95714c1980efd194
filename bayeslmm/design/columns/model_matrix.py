"""Model matrices: formulaic codes and names the columns, of values that are already computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.errors import DataError
from bayeslmm.names import INTERCEPT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.formula.expand import TermSet

# Beyond this a matrix of coefficients is a mistake: usually a factor of many levels that belongs
# right of a bar.
MAX_BYTES = 8e9


def model_matrix(
    wanted: TermSet, values: Mapping[str, Any], n_rows: int
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Compute the numeric columns of a right-hand side's terms.

    Categorical factors get treatment contrasts where the columns before already span their
    intercept, and one column for each level where not, as in R.

    Parameters
    ----------
    wanted : TermSet
        Intercept and terms.
    values : mapping of str to array, Categorical or FactorValues
        The value of every column and call, under its text.
    n_rows : int
        Rows.

    Returns
    -------
    matrix : ndarray of float64, shape (n_rows, k)
    names : tuple of str, length k

    Raises
    ------
    DataError
        If the values cannot be coded or the matrix would be absurdly large.

    Examples
    --------
    >>> from bayeslmm.formula.mixed_formula import parse_formula
    >>> from bayeslmm.formula.model_terms import model_terms
    >>> terms = model_terms(parse_formula("y ~ x * f"))
    >>> values = {"x": np.array([1.0, 2.0]), "f": pd.Categorical(["a", "b"])}
    >>> model_matrix(terms.fixed, values, 2)[1]
    ('Intercept', 'x', 'f[T.b]', 'x:f[T.b]')
    """
    _refuse_huge(wanted, values, n_rows)
    if not wanted.terms:
        alone = (INTERCEPT,) if wanted.intercept else ()
        return np.ones((n_rows, len(alone))), alone
    matrix, names = _materialize(wanted, values, n_rows)
    if INTERCEPT in names and not wanted.intercept:
        raise DataError(
            f"A column is called {INTERCEPT!r}, which is the name of the column of ones: rename it."
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f"Two columns would both be called {', '.join(repeated)}: rename one.")
    return matrix, names


def _materialize(
    wanted: TermSet, values: Mapping[str, Any], n_rows: int
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    from formulaic import ModelSpec, SimpleFormula  # noqa: PLC0415 - slow to import
    from formulaic.errors import FormulaicError  # noqa: PLC0415
    from formulaic.materializers import PandasMaterializer  # noqa: PLC0415
    from formulaic.materializers.types import NAAction  # noqa: PLC0415
    from formulaic.parser.types import Factor, Term  # noqa: PLC0415

    terms = [Term([Factor("1", eval_method="literal")])] if wanted.intercept else []
    # Every factor is looked up, none evaluated, and every name is in the context given.
    terms += [
        Term([Factor(atom.text, eval_method="lookup") for atom in term]) for term in wanted.terms
    ]
    context = {
        name: pd.Series(value) if isinstance(value, pd.Categorical) else value
        for name, value in values.items()
    }
    spec = ModelSpec(
        formula=SimpleFormula(terms, _ordering="none"),
        ensure_full_rank=True,
        na_action=NAAction.IGNORE,
        output="numpy",
    )
    try:
        with np.errstate(all="ignore"):
            no_data = pd.DataFrame(index=pd.RangeIndex(n_rows))
            built = PandasMaterializer(no_data, context).get_model_matrix(spec)
    except (FormulaicError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        shown = " + ".join(":".join(atom.text for atom in term) for term in wanted.terms)
        raise DataError(f"The columns of {shown} cannot be coded: {error}") from error
    matrix = np.ascontiguousarray(built, dtype=np.float64)
    return matrix, tuple(built.model_spec.column_names)


def _refuse_huge(wanted: TermSet, values: Mapping[str, Any], n_rows: int) -> None:
    for term in wanted.terms:
        width = float(np.prod([float(_width(values[atom.text])) for atom in term]))
        if 8.0 * n_rows * width > MAX_BYTES:
            shown = ":".join(atom.text for atom in term)
            raise DataError(
                f"{shown} has {width:.0f} columns, which for {n_rows} rows take "
                f"{8e-9 * n_rows * width:.0f} GB. A factor with many levels belongs right of a "
                "bar, as in (1 | g)."
            )


def _width(value: Any) -> int:
    if isinstance(value, pd.Categorical):
        return len(value.categories)
    if isinstance(value, Mapping):
        return len(value)
    if hasattr(value, "cat"):  # a categorical inside formulaic's C()
        return len(value.cat.categories)
    return int(np.shape(value)[1]) if np.ndim(value) == 2 else 1


def check_finite(
    matrix: NDArray[np.float64], names: Sequence[str], rows: NDArray[np.int64], what: str
) -> None:
    """Raise unless every value of the columns is finite.

    Parameters
    ----------
    matrix : ndarray, shape (n, k)
        Columns.
    names : sequence of str, length k
        Their names.
    rows : ndarray of int64, shape (n,)
        Each row's position in the table, for the message.
    what : str
        What the columns are, e.g. ``"fixed-effects column"``.

    Raises
    ------
    DataError
        Naming the column, how many values are wrong, and the first row.
    """
    for j, name in enumerate(names):
        column = matrix[:, j]
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(column.sum()):  # a finite sum has finite parts: one fast pass
                continue
        bad = np.flatnonzero(~np.isfinite(column))
        if bad.size:
            raise DataError(
                f"The {what} {name!r} is not finite in {bad.size} of {len(column)} rows; the first "
                f"is row {rows[bad[0]]} (counted from 0), with {column[bad[0]]}."
            )


def vector(value: Any, n: int, what: str) -> NDArray[np.float64]:
    """Return a value as one column of numbers, shape (n,).

    Raises
    ------
    DataError
        If it is none; `what` begins the message.
    """
    if isinstance(value, (pd.Categorical, Mapping)) or hasattr(value, "cat"):
        raise DataError(f"{what} is not numeric.")
    values = np.asarray(value)
    if values.dtype.kind not in "fiu":
        raise DataError(f"{what} is not numeric.")
    if values.ndim == 0:
        values = np.full(n, values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n,):
        raise DataError(f"{what} has more than one column.")
    return values.astype(np.float64)
