"""`ResidualRows`: what a residual structure reads of each row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.design.columns.model_matrix import check_finite
from bayeslmm.design.factors.visit_order import require_order, warn_of_gaps
from bayeslmm.design.predictors import code_effects
from bayeslmm.design.scales import ColumnScale
from bayeslmm.errors import DataError
from bayeslmm.formula.residual import BY_VISIT, KINDS, Correlation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.coding import TableCoder
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.rows import Rows
    from bayeslmm.design.state import DesignState
    from bayeslmm.tables.column import Column


@dataclass(frozen=True, eq=False)
class ResidualRows:
    """Scale, group and time of each row's residual.

    Attributes
    ----------
    correlation : Correlation or None
        How it is spelt; None where residuals are independent.
    sigma : str or None
        Formula of log(sigma), canonically; None where sigma is one number.
    has_sigma : bool
        False where known standard errors are all there is.
    columns : ndarray, shape (n, r)
        Columns of log(sigma); none where it is one number.
    names : tuple of str, length r
        Their names.
    se : ndarray, shape (n,), or None
        Known standard errors.
    group : ndarray of int64, shape (n,)
        Each row's group; its own where residuals are independent.
    by : ndarray of int64, shape (n,), or None
        The group's stratum that has parameters of its own.
    by_labels : tuple of str
        Labels of the strata.
    time : ndarray, shape (n,), or None
        Codes of visits, or times as numbers.
    visits : tuple of str
        Labels of the visits, in their order; none where times are numbers.
    places : ndarray, shape (number of visits,)
        Where the visits are on the axis of time: their numbers, or counted from zero.
    labels : ndarray of str
        Labels of the groups; none where residuals are independent.
    counts : ndarray, shape (n,), or None
        How many rows each of these stands for, where there are cross-products only: all of a
        stratum, of whose squared standard errors that of `se` is then the mean. None of rows
        themselves.
    log_se : ndarray, shape (n,), or None
        The mean of log(se) of those rows, where there are such.
    factors : tuple of GroupingFactor
        Of effects in log(sigma), named by `names.in_parameter`.
    """

    correlation: Correlation | None
    sigma: str | None
    has_sigma: bool
    columns: Floats
    names: tuple[str, ...]
    se: Floats | None
    group: Ints
    by: Ints | None = None
    by_labels: tuple[str, ...] = ()
    time: NDArray[Any] | None = None
    visits: tuple[str, ...] = ()
    places: Floats = field(default_factory=lambda: np.zeros(0))
    labels: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=np.str_))
    counts: Floats | None = None
    log_se: Floats | None = None
    factors: tuple[GroupingFactor, ...] = ()

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.group)

    @property
    def by_visit(self) -> bool:
        """Whether each visit has a standard deviation of its own."""
        return self.correlation is not None and self.correlation.kind in BY_VISIT

    @property
    def multiplicity(self) -> Floats:
        """How many rows each of these stands for, shape (n,)."""
        return np.ones(self.n) if self.counts is None else self.counts

    @cached_property
    def scales(self) -> tuple[tuple[ColumnScale, ...], ...]:
        """Means and spreads of the columns of effects in log(sigma), factor by factor."""
        return tuple(tuple(map(ColumnScale.of, f.columns.T)) for f in self.factors)

    def arrays(self) -> list[NDArray[Any]]:
        """Return all that a fit sees of it, in one order."""
        given = [self.columns, self.se, self.group, self.by, self.time]
        for factor in self.factors:
            given += [factor.index, factor.columns]
        return [array for array in given if array is not None]

    def take(self, some: Ints | slice) -> ResidualRows:
        """Return some of the rows."""
        return replace(
            self,
            columns=self.columns[some],
            se=None if self.se is None else self.se[some],
            group=self.group[some],
            by=None if self.by is None else self.by[some],
            time=None if self.time is None else self.time[some],
            factors=tuple(
                replace(f, index=f.index[some], columns=f.columns[some]) for f in self.factors
            ),
        )

    def before(self, others: ResidualRows) -> ResidualRows:
        """Return these rows and others that were coded alike, groups matched by their labels.

        Raises
        ------
        DataError
            If a group is in another stratum there than here.
        """
        group = np.concatenate([self.group, others.group + self.n])
        labels = self.labels
        if self.correlation is not None:
            spelt = np.concatenate([self.labels[self.group], others.labels[others.group]])
            labels, group = np.unique(spelt, return_inverse=True)
            group = group.ravel()
            if self.by is not None and others.by is not None:
                by = np.concatenate([self.by, others.by])
                _require_one_stratum(group, by, labels, self.by_labels, self.correlation)

        def both(one: NDArray[Any] | None, other: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if one is None or other is None else np.concatenate([one, other])

        return replace(
            self,
            columns=np.concatenate([self.columns, others.columns]),
            se=both(self.se, others.se),
            group=group,
            by=both(self.by, others.by),
            time=both(self.time, others.time),
            labels=labels,
            # Levels of the others begin with those that these rows have.
            factors=tuple(
                replace(
                    theirs,
                    index=np.concatenate([ours.index, theirs.index]),
                    columns=np.concatenate([ours.columns, theirs.columns]),
                )
                for ours, theirs in zip(self.factors, others.factors, strict=True)
            ),
        )


def sigma_factors(rows: ResidualRows | None) -> tuple[GroupingFactor, ...]:
    """Return the grouping factors of random effects in log(sigma); none without a structure."""
    return () if rows is None else rows.factors


def code_residuals(coder: TableCoder, learnt: DesignState | None = None) -> ResidualRows | None:
    """Return what a residual structure reads of a table's rows; None where there is none.

    Parameters
    ----------
    coder : TableCoder
        Of the rows.
    learnt : DesignState, optional
        Of the training rows; of training rows themselves not given.

    Raises
    ------
    DataError
        If columns are not what the structure reads; the message names the column.
    """
    terms, rows = coder.terms.residual, coder.rows
    silent = terms is None or (terms.correlation is None and terms.sigma_text is None)
    # Effects in sigma that are left out of new rows are columns of zeros.
    silent = silent and (terms is None or learnt is None or not learnt.effects_in(names.SIGMA))
    if silent and rows.se is None:
        return None
    columns = np.zeros((rows.n, 0))
    called: tuple[str, ...] = ()
    sigma = None if terms is None or terms.sigma is None else terms.sigma
    if sigma is not None:
        columns, called = coder.columns_of_parameter(sigma, names.SIGMA)
    correlation = None if terms is None else terms.correlation
    has_sigma = rows.se is None or (terms is not None and terms.asked)
    plain = ResidualRows(
        correlation, None if terms is None else terms.sigma_text, has_sigma, columns, called,
        rows.se, np.arange(rows.n), factors=_sigma_factors(coder, learnt),
    )  # fmt: skip
    if correlation is None:
        return plain
    visits = None if learnt is None else learnt.visits
    if learnt is not None and correlation.time is not None and KINDS[correlation.kind] == "steps":
        _require_same_steps(rows.columns[correlation.time], labelled=visits is not None)
    strata = None if learnt is None else learnt.strata
    return _correlated(plain, correlation, rows, (visits, strata))


def _sigma_factors(coder: TableCoder, learnt: DesignState | None) -> tuple[GroupingFactor, ...]:
    """Return the factors of effects in log(sigma): of new rows all that the fit had."""
    said = coder.terms.residual
    effects, text = ((), "") if said is None else (said.effects, said.text)
    return code_effects(coder, (names.SIGMA, effects, text), learnt)


def _correlated(
    plain: ResidualRows,
    correlation: Correlation,
    rows: Rows,
    known: tuple[Sequence[str] | None, Sequence[str] | None],
) -> ResidualRows:
    visits, strata = known
    group, labels = rows.columns[correlation.group].levels()
    by: Ints | None = None
    by_labels: tuple[str, ...] = ()
    if correlation.by is not None:
        column = rows.columns[correlation.by]
        by, by_labels = _matched(column, strata, f"its {correlation.kind}() would be another one")
        _require_one_stratum(group, by, labels, by_labels, correlation)
    time: NDArray[Any] | None = None
    order: tuple[str, ...] = ()
    places = np.zeros(0)
    if correlation.time is not None:
        column = rows.columns[correlation.time]
        if column.kind == "number":
            values = column.array.astype(np.float64)[:, None]
            check_finite(values, [column.name], rows.positions, "column of times")
        time, order = _time(column, correlation, visits)
        places = _places(column, correlation, order)
        _require_once((group, labels), (time, order), rows.labels, correlation)
    elif KINDS[correlation.kind] != "any":
        raise DataError(
            f"{correlation.kind}() needs the column of times before the bar, as in "
            f"{correlation.kind}(week | {correlation.group})."
        )
    return replace(
        plain, group=group, by=by, by_labels=by_labels, time=time, visits=order, places=places,
        labels=labels,
    )  # fmt: skip


def _time(
    column: Column, correlation: Correlation, visits: Sequence[str] | None
) -> tuple[NDArray[Any], tuple[str, ...]]:
    reads = KINDS[correlation.kind]
    if reads in ("visits", "any"):
        if visits is None:
            require_order(column, correlation.kind)
            warn_of_gaps(column, correlation.kind)
        known = None if reads == "any" else visits
        return _matched(column, known, f"{correlation.kind}() has no correlations of it")
    if reads == "steps" and (column.kind == "category" or visits is not None):
        if visits is None:
            warn_of_gaps(column, correlation.kind)
        return _matched(column, visits, f"{correlation.kind}() does not know when it is")
    if column.kind != "number":
        raise DataError(
            f"{correlation.kind}() reads times as numbers, and column {column.name!r} holds "
            f"{column.kind}: give the number of each visit, so that gaps count."
        )
    times = column.array.astype(np.float64)
    if reads == "steps":
        _require_steps(column, correlation)
    return times, ()


def _require_same_steps(column: Column, *, labelled: bool) -> None:
    """Raise unless new rows' times are labels where those of the training rows were."""
    if labelled and column.kind == "number":
        raise DataError(
            f"Column {column.name!r} held labels of visits in the training rows and holds numbers "
            "now: give the labels."
        )
    if not labelled and column.kind == "category":
        raise DataError(
            f"Column {column.name!r} held numbers in the training rows and holds categories now: "
            "give the numbers, so that gaps count."
        )


def _places(column: Column, correlation: Correlation, visits: tuple[str, ...]) -> Floats:
    """Return where visits are in time: numbers count as steps where rows of ``ar1`` do."""
    if correlation.kind == "ar1h" and column.kind == "number":
        _require_steps(column, correlation)
        return np.array([float(label) for label in visits])
    return np.arange(float(len(visits)))


def _require_steps(column: Column, correlation: Correlation) -> None:
    times = column.array.astype(np.float64)
    broken = np.flatnonzero(times != np.rint(times))
    if broken.size:
        raise DataError(
            f"{correlation.kind}() counts steps in whole numbers, and column {column.name!r} holds "
            f"{float(times[broken[0]]):g}: ou({column.name} | {correlation.group}) takes any times."
        )


def _matched(
    column: Column, known: Sequence[str] | None, lacking: str
) -> tuple[Ints, tuple[str, ...]]:
    """Return a column's codes among the training rows' labels, and those."""
    codes, labels = column.levels()
    if known is None:
        return codes, tuple(labels.tolist())
    place = {label: k for k, label in enumerate(known)}
    if strange := [label for label in labels.tolist() if label not in place]:
        raise DataError(
            f"{column.name!r} is {strange[0]!r} in some rows, and no training row was (they had "
            f"{', '.join(known)}): {lacking}."
        )
    return np.array([place[label] for label in labels.tolist()])[codes], tuple(known)


def _require_once(
    groups: tuple[Ints, NDArray[np.str_]],
    times: tuple[NDArray[Any], tuple[str, ...]],
    rows: NDArray[Any],
    correlation: Correlation,
) -> None:
    (group, labels), (time, visits) = groups, times
    order = np.lexsort((time, group))
    same = (np.diff(group[order]) == 0) & (np.diff(time[order]) == 0)
    if same.any():
        k = int(np.flatnonzero(same)[0])
        first, second = order[k], order[k + 1]
        when = visits[int(time[first])] if visits else f"{time[first]:g}"
        raise DataError(
            f"{correlation.group} {str(labels[group[first]])!r} has two rows at {correlation.time} "
            f"{when} (rows {rows[first]} and {rows[second]}): residuals within a group are told "
            "apart by their time. Average such rows, or give them times of their own."
        )


def _require_one_stratum(
    group: Ints,
    by: Ints,
    labels: NDArray[np.str_],
    by_labels: tuple[str, ...],
    correlation: Correlation,
) -> None:
    home = np.zeros(len(labels), dtype=np.int64)
    home[group] = by
    wrong = np.flatnonzero(home[group] != by)
    if wrong.size:
        row = wrong[0]
        one, other = by_labels[by[row]], by_labels[home[group[row]]]
        raise DataError(
            f"{correlation.group} {str(labels[group[row]])!r} is in {correlation.by} {one!r} and "
            f"in {other!r}: each has one covariance matrix, so that a group belongs to one of them."
        )
