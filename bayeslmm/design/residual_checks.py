"""What a fit must be for a residual structure: its arguments, its rows, what they tell of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.design.rank.identifiability import check_columns, check_levels
from bayeslmm.errors import ArgumentError, DataError, IdentificationWarning, warn
from bayeslmm.families.tails.student import StudentT
from bayeslmm.formula.residual import KINDS, parse_correlation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bayeslmm.arrays import Ints
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.families.family import Family
    from bayeslmm.formula.residual import Correlation

# Structures of which a variance that is common to a group's rows is a part.
_WITH_COMMON_VARIANCE = frozenset({"us", "cs", "toep"})


def check_arguments(
    family: Family, weights: Any, residual: str | None, sigma: str | None, se: Any
) -> None:
    """Raise unless a family's residuals can have what is said of them.

    Raises
    ------
    ArgumentError
        With what to do instead.
    """
    given = {"residual": residual, "sigma": sigma, "se": se}
    said = [name for name, value in given.items() if value is not None]
    if not said:
        return
    if family.name == StudentT.name:
        _require_scales(said)
    elif family.gaussian_scale is None:
        raise ArgumentError(
            f"{said[0]}= is about the residuals of a Gaussian response, and the family is "
            f"{family.name!r}, whose spread follows from its mean{_beside(family)}: leave it out."
        )
    if weights is not None:
        raise ArgumentError(
            f"weights= and {said[0]}= both say how residuals spread: give one of them. A weight w "
            "means Var(e) = sigma^2 / w; known standard errors are se=."
        )
    if se is not None and residual is not None:
        raise ArgumentError(
            "se= gives each row a known standard error of its own, and residual= correlates rows: "
            "give one of them."
        )


def _beside(family: Family) -> str:
    """Say by which arguments the spread of other responses has a formula."""
    found = [f"{own.name}='~ x'" for own in family.parameters if not own.labels]
    return f" and {' and '.join(found)}" if found else ""


def _require_scales(said: Sequence[str]) -> None:
    """Raise unless nothing but a formula of sigma is said of Student's residuals."""
    why = {
        "residual": "correlates residuals, and Student's t has one variable of outlying for each "
        "row: leave residual= out, or take the Gaussian family",
        "se": "are standard errors of a Gaussian response, and the sum of an error of known "
        "size and a Student's t has no density in closed form: leave se= out, or take the "
        "Gaussian family",
    }
    for name in said:
        if name in why:
            raise ArgumentError(f"{name}= {why[name]}. A formula of sigma goes with both.")


def check_residuals(rows: ResidualRows | None, factors: Sequence[GroupingFactor]) -> None:
    """Raise where rows tell nothing of residuals' correlation; warn where priors tell it alone.

    Parameters
    ----------
    rows : ResidualRows or None
        Of a fit.
    factors : sequence of GroupingFactor
        The random effects beside them.

    Raises
    ------
    DataError
        If no group has two rows, ``us`` has more covariances than there are rows, or orders of
        ``arma`` ask for more than the times have lags; or if effects in sigma have no levels to
        compare.

    Warns
    -----
    IdentificationWarning
        Naming the parameters.
    """
    if rows is None:
        return
    for in_sigma in rows.factors:
        _check_in_sigma(in_sigma)
    if rows.correlation is None:
        return
    correlation = rows.correlation
    if np.bincount(rows.group).max() == 1:
        raise DataError(
            f"Each {correlation.group} has one row, so that there are no correlations within one: "
            f"leave residual={str(correlation)!r} out."
        )
    if correlation.kind == "arma" and rows.time is not None:
        orders, lags = sum(correlation.options.values()), len(np.unique(rows.time)) - 1
        if orders > lags:
            raise DataError(
                f"{correlation} has {orders} parameters, and the {lags + 1} times of "
                f"{correlation.time} are at most {lags} lags apart: lower p or q."
            )
    _check_pairs(rows, correlation)
    for factor in common_variances(rows, factors):
        warn(
            f"{correlation} holds what (1 | {factor}) adds, a covariance that all rows of a "
            f"{correlation.group} share: the data tell their sum, and the priors the parts. Leave "
            "one of them out.",
            IdentificationWarning,
        )
    if open_ones := list(_untold(rows, correlation)):
        shown = "; ".join(open_ones[:3]) + ("; ..." if len(open_ones) > 3 else "")
        warn(
            f"Part of what {correlation} says has its prior only: {shown}.",
            IdentificationWarning,
        )


def _check_pairs(rows: ResidualRows, correlation: Correlation) -> None:
    """Raise where any two visits have a covariance of their own, and rows are fewer than these."""
    visits = len(rows.visits)
    pairs = visits * (visits + 1) // 2
    if correlation.kind != "us" or pairs <= rows.n:
        return
    within = f"{correlation.by}/{correlation.group}" if correlation.by else correlation.group
    groups = len(np.unique(rows.group))
    turned = f"us({correlation.group} | {correlation.time})"
    swapped = (
        f"Visits stand before the bar, subjects behind it: was it residual={turned!r}? Else take"
        if groups < visits and not correlation.by
        else "Take"
    )
    raise DataError(
        f"{correlation} has {pairs} variances and covariances of {visits} different values of "
        f"{correlation.time}, and there are {rows.n} rows in {groups} of {within}. {swapped} a "
        "structure with fewer parameters, such as 'ar1', 'toep' or 'cs'."
    )


def correlated_within(residual: str) -> str:
    """Return the column within whose values a structure correlates residuals.

    Examples
    --------
    >>> correlated_within("ar1(week | arm/subject)")
    'subject'
    """
    return parse_correlation(residual).group


def _check_in_sigma(factor: GroupingFactor) -> None:
    """Raise unless effects in sigma can be told apart; warn where one row has to tell each."""
    grouping = ":".join(factor.variables)
    # By the name that the column has in the table.
    own = replace(factor, name=grouping)
    check_columns(own)
    check_levels(own)
    if np.bincount(factor.index).max() == 1:
        warn(
            f"Each level of {grouping!r} has one row: its sigma is told from the size of one "
            "residual, so that effects in sigma are no more than a longer tail of all residuals. "
            "family='student' has such a tail with one parameter.",
            IdentificationWarning,
        )


def common_variances(rows: ResidualRows, factors: Sequence[GroupingFactor]) -> Iterator[str]:
    """Name the factors whose random intercepts are a part of the residuals' covariance.

    Parameters
    ----------
    rows : ResidualRows
        Of a fit.
    factors : sequence of GroupingFactor
        The random effects beside them.
    """
    if rows.correlation is None or rows.correlation.kind not in _WITH_COMMON_VARIANCE:
        return
    for factor in factors:
        if factor.latent is not None:  # whose levels vary together, as residuals do not
            continue
        pairs = np.unique(np.stack([factor.index, rows.group]), axis=1).shape[1]
        same = pairs == len(np.unique(factor.index)) == len(np.unique(rows.group))
        if same and names.INTERCEPT in factor.terms:
            yield factor.name


def _untold(rows: ResidualRows, correlation: Correlation) -> Iterator[str]:
    """Say which visits, or pairs of visits, an arm's rows do not show."""
    if rows.by is not None:
        yield from _single(rows, correlation)
    if rows.time is None or not rows.visits or KINDS[correlation.kind] != "visits":
        return
    n = len(rows.visits)
    for arm, label in enumerate(rows.by_labels or ("",)):
        some = np.flatnonzero(rows.by == arm) if rows.by is not None else np.arange(rows.n)
        where = f" in {correlation.by} {label!r}" if label else ""
        seen = _together(rows.group[some], rows.time[some].astype(np.int64), n)
        for visit in np.flatnonzero(np.diag(seen) == 0) if rows.by_visit else ():
            yield f"no row{where} is at {correlation.time} {rows.visits[visit]!r}"
        for first, second in _unseen(seen, correlation.kind):
            yield (
                f"no {correlation.group}{where} has rows at {correlation.time} "
                f"{rows.visits[first]!r} and {rows.visits[second]!r}"
            )


def _single(rows: ResidualRows, correlation: Correlation) -> Iterator[str]:
    """Say which arms have groups of one row only."""
    size = np.bincount(rows.group)[rows.group]
    for arm, label in enumerate(rows.by_labels):
        if size[rows.by == arm].max(initial=1) == 1:
            yield f"each {correlation.group} in {correlation.by} {label!r} has one row"


def _unseen(seen: Ints, kind: str) -> list[tuple[int, int]]:
    """Return examples of pairs of visits that would tell a parameter of their own."""
    n = len(seen)
    pairs = [(s, t) for s in range(n) for t in range(s + 1, n)]
    if kind == "us":
        return [pair for pair in pairs if not seen[pair]]
    if kind in ("toep", "toeph"):
        return [(0, lag) for lag in range(1, n) if not np.diagonal(seen, lag).any()]
    if kind in ("ad", "adh"):
        # A step is told by any pair of visits around it.
        return [(k, k + 1) for k in range(n - 1) if not seen[: k + 1, k + 1 :].any()]
    return []


def _together(group: Ints, visit: Ints, n: int) -> Ints:
    """Count groups by the pairs of visits that they were seen at, shape (n, n)."""
    _, group = np.unique(group, return_inverse=True)
    out = np.zeros((n, n), np.int64)
    order = np.lexsort((visit, group))
    group, visit = group[order], visit[order]
    for gap in range(n):
        last = len(group) - gap
        same = np.flatnonzero(group[gap:] == group[:last]) if last > 0 else np.zeros(0, np.int64)
        np.add.at(out, (visit[same], visit[same + gap]), 1)
    return out
