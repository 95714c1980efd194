"""Whether the rows can tell the parameters apart: rank of X, levels, distinct columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from bayeslmm.design.factors.arms import check_arms
from bayeslmm.design.rank.dependence import Dependence
from bayeslmm.errors import DataError, RankDeficiencyWarning, check_choice, warn
from bayeslmm.names import is_smooth

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.grouping import BlockStructure, GroupingFactor

# A column is dependent if what the others leave of it is below this part of its length. Rounding
# leaves some 1e-15; a calendar year or a time stamp against the intercept leaves 1e-9 and more.
RANK_TOLERANCE = 1e-10
# Parts of a column, of its length, that are rounding.
_NO_PART = 1e-11


class _Factor(Protocol):
    """What a grouping factor is without its rows."""

    @property
    def name(self) -> str: ...
    @property
    def levels(self) -> NDArray[np.str_]: ...
    @property
    def terms(self) -> tuple[str, ...]: ...
    @property
    def structures(self) -> tuple[BlockStructure, ...]: ...


def dependent_columns(X: NDArray[np.float64], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the columns that earlier columns already span, with their multipliers.

    Parameters
    ----------
    X : ndarray of float64, shape (n, p)
        Finite columns.
    names : sequence of str, length p
        Their names.

    Returns
    -------
    dict
        For each dependent column, in order, the earlier columns that make it up and their
        multipliers; empty for a column of zeros.

    References
    ----------
    Golub, G. H. & Van Loan, C. F. (2013). Matrix Computations, 4th ed., section 5.2.
    https://doi.org/10.56021/9781421407944

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 4.0])
    >>> dependent_columns(np.column_stack([x, 2 * x]), ["x", "twice"])
    {'twice': {'x': 2.0}}
    """
    if X.shape[1] == 0:
        return {}
    # Columns of R have the lengths and angles of X's columns, and there are p rows instead of n.
    largest = np.abs(X).max(axis=0)
    within = X / np.where(largest > 0, largest, 1.0)  # squares of 1e200 would overflow
    norm = np.linalg.norm(within, axis=0)
    scale = norm * largest
    unit = np.linalg.qr(within / np.where(norm > 0, norm, 1.0), mode="r")
    kept: list[int] = []
    basis = np.empty((unit.shape[0], 0))
    dependent: dict[str, dict[str, float]] = {}
    for j, name in enumerate(names):
        rest = unit[:, j].copy()
        for _ in range(2):  # twice is enough for orthogonality to rounding
            rest -= basis @ (basis.T @ rest)
        length = float(np.linalg.norm(rest))
        if length > RANK_TOLERANCE:
            kept.append(j)
            basis = np.column_stack([basis, rest / length])
            continue
        multipliers = np.linalg.lstsq(unit[:, kept], unit[:, j], rcond=None)[0]
        dependent[name] = {
            names[k]: float(f"{m * scale[j] / scale[k]:.6g}")
            for k, m in zip(kept, multipliers, strict=True)
            if scale[j] > 0 and abs(m) > 1e-8
        }
    return dependent


def describe_dependence(dependent: dict[str, dict[str, float]]) -> str:
    """Return dependent columns written as equations.

    Examples
    --------
    >>> describe_dependence({"twice": {"x": 2.0}, "none": {}})
    'twice = 2 * x; none = 0'
    """
    equations = []
    for name, parts in dependent.items():
        summed = " + ".join(
            other if value == 1 else f"{value:g} * {other}" for other, value in parts.items()
        )
        equations.append(f"{name} = {summed or '0'}".replace("+ -", "- "))
    return "; ".join(equations)


def check_levels(factor: _Factor) -> None:
    """Raise unless a factor has levels to compare.

    How many random effects there are matters to no one: what the variances can be told from is
    judged by their matrices (`bayeslmm.model.identification`).

    Parameters
    ----------
    factor : GroupingFactor or GramFactor
        Of the training rows.

    A smooth has one level, and many columns from which its standard deviation is told.

    Raises
    ------
    DataError
        If the factor has one level only.
    """
    m = len(factor.levels)
    if m < 2 and not is_smooth(factor.name):
        only = "" if m == 0 else f", {str(factor.levels[0])!r}"
        series = next((at for at in factor.structures if at.positions), None)
        way = "" if series is None else _of_one_series(series, factor)
        raise DataError(
            f"The grouping factor {factor.name!r} has one level only{only}: "
            f"there is no variance between levels to estimate.{way}"
        )


def _of_one_series(series: BlockStructure, factor: _Factor) -> str:
    kind = series.kind.removeprefix("het").removeprefix("hom")
    column = factor.terms[0].partition("[")[0]
    return (
        f" Of a single series, residual='{kind}({column} | {factor.name})' lets residuals "
        "correlate."
    )


def check_columns(factor: GroupingFactor) -> None:
    """Raise unless the random-effect columns of a factor hold different numbers.

    Raises
    ------
    DataError
        Naming both columns.
    """
    columns = factor.columns
    for i in range(columns.shape[1]):
        for j in range(i):
            if columns[0, i] == columns[0, j] and np.array_equal(columns[:, i], columns[:, j]):
                raise DataError(
                    f"The random-effect columns {factor.terms[j]!r} and {factor.terms[i]!r} of "
                    f"{factor.name!r} are the same: their variances cannot be told apart."
                )


def require_distinct(root: NDArray[np.float64], terms: Sequence[str], factor: str) -> None:
    """Raise as `check_columns` does, where only the columns' cross-products are known.

    Parameters
    ----------
    root : ndarray, shape (..., q)
        Any matrix with the columns' cross-products.
    terms : sequence of str, length q
        Their names.
    factor : str
        The factor that they belong to.

    Raises
    ------
    DataError
        Naming two columns that are the same.
    """
    for i in range(root.shape[1]):
        for j in range(i):
            length = float(np.linalg.norm(root[:, i]))
            if np.linalg.norm(root[:, i] - root[:, j]) <= RANK_TOLERANCE * length:
                raise DataError(
                    f"The random-effect columns {terms[j]!r} and {terms[i]!r} of {factor!r} are "
                    "the same: their variances cannot be told apart."
                )


def full_rank(
    X: NDArray[np.float64], names: tuple[str, ...], n: int, policy: str
) -> tuple[list[int], tuple[str, ...]]:
    """Return which columns stay: as in R, those that earlier ones do not span.

    Parameters
    ----------
    X : ndarray, shape (..., p)
        The columns of all rows, or any matrix with the same cross-products.
    names : tuple of str, length p
        Their names.
    n : int
        Number of rows.
    policy : {"raise", "drop"}
        What to do with dependent columns.

    Returns
    -------
    keep : list of int
        Places of the columns that stay.
    dropped : tuple of str
        Names of the others.

    Raises
    ------
    DataError
        If there are too few rows, or dependent columns are not to be dropped.
    """
    check_choice("rank_deficient", policy, ("raise", "drop"))
    dependent = dependent_columns(X, names)
    rank = X.shape[1] - len(dependent)
    if rank >= n or (policy == "raise" and X.shape[1] >= n):
        raise DataError(
            f"{X.shape[1]} coefficients ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})"
            f" from {n} rows: there must be more rows than coefficients."
        )
    keep = [j for j, name in enumerate(names) if name not in dependent]
    if not dependent:
        return keep, ()
    equations = describe_dependence(dependent)
    if policy == "raise":
        raise DataError(
            f"The fixed effects cannot be told apart: {equations}. {_way_out(names, dependent)}"
        )
    warn(f"Dropped fixed-effects columns that others span: {equations}.", RankDeficiencyWarning)
    return keep, tuple(dependent)


def dependence_of(X: NDArray[np.float64], keep: list[int], n: int) -> Dependence | None:
    """Return how the columns that do not stay follow from those that do.

    Parameters
    ----------
    X : ndarray, shape (..., p)
        The columns of all rows, or any matrix with the same cross-products.
    keep : list of int
        Places of the columns that stay, which span the others.
    n : int
        Number of rows.

    Returns
    -------
    Dependence or None
        None where all stay.

    Examples
    --------
    >>> x = np.array([1.0, 2.0, 4.0])
    >>> found = dependence_of(np.column_stack([np.ones(3), x, 3.0 + 2.0 * x]), [0, 1], 3)
    >>> {place: round(part, 9) for place, part in found.parts[2].items()}
    {0: 3.0, 1: 2.0}
    """
    left = [j for j in range(X.shape[1]) if j not in keep]
    if not left:
        return None
    # By the largest value first: a column that is dropped may be of any size, also one that cannot
    # be squared.
    largest = np.abs(X).max(axis=0, initial=0.0)
    largest[largest == 0.0] = 1.0
    triangle = np.linalg.qr(X / largest, mode="r")
    length = np.linalg.norm(triangle, axis=0)
    length[length == 0.0] = 1.0
    unit = triangle / length
    parts = np.linalg.lstsq(unit[:, keep], unit[:, left], rcond=None)[0]
    parts[np.abs(parts) < _NO_PART] = 0.0
    with np.errstate(over="ignore"):  # by columns that stay and are too small for any fit
        parts *= length[left] / length[keep][:, None] * (largest[left] / largest[keep][:, None])
    made = {
        place: {keep[k]: float(column[k]) for k in np.flatnonzero(column)}
        for place, column in zip(left, parts.T, strict=True)
    }
    return Dependence(tuple((length / np.sqrt(n) * largest).tolist()), made)


def _way_out(names: Sequence[str], dependent: Mapping[str, Mapping[str, float]]) -> str:
    involved = [*dependent, *(name for parts in dependent.values() for name in parts)]
    lines = [name.removesuffix("[linear]") for name in involved if name.endswith(")[linear]")]
    if lines:
        return f"{lines[0]} holds the straight line already: leave its variable out beside it."
    if any("cr(" in name for name in names):
        return (
            "The columns of cr() add up to a constant: write cr(x, df=4, constraints='center'), or "
            "leave the intercept out (0 + cr(x, df=4))."
        )
    return (
        'Leave columns out, or give rank_deficient="drop" to have the later ones dropped. '
        "Of an interaction with an empty cell, a column that names the cells says the same."
    )


def check_factors(factors: Sequence[GroupingFactor]) -> None:
    """Raise unless arms, columns and levels of every factor identify its effects.

    Parameters
    ----------
    factors : sequence of GroupingFactor
        Of one design.

    Raises
    ------
    DataError
        As `check_arms`, `check_columns` and `check_levels` do.
    """
    for factor in factors:
        check_arms(factor, factor.columns)
        check_columns(factor)
        check_levels(factor)
