"""What the rows of a fit must be for a residual structure, and what they do not tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import DataError, IdentificationWarning, warn
from bayeslmm.formula.residual import KINDS, parse_correlation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bayeslmm.arrays import Ints
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.formula.residual import Correlation

# Structures of which a variance that is common to a group's rows is a part.
_WITH_COMMON_VARIANCE = frozenset({"us", "cs", "toep"})


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
        If no group has two rows, or orders of ``arma`` ask for more than the times have lags.

    Warns
    -----
    IdentificationWarning
        Naming the parameters.
    """
    if rows is None or rows.correlation is None:
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


def correlated_within(residual: str) -> str:
    """Return the column within whose values a structure correlates residuals.

    Examples
    --------
    >>> correlated_within("ar1(week | arm/subject)")
    'subject'
    """
    return parse_correlation(residual).group


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
