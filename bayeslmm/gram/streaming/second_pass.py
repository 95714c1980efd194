"""`BatchCoding`: the coding that the second pass over batches applies, to sum cross-products."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bayeslmm.design.build import code_rows
from bayeslmm.design.coding import TableCoder
from bayeslmm.design.columns.evaluate import first_level
from bayeslmm.design.columns.memory import restore
from bayeslmm.design.factors.arms import require_several
from bayeslmm.design.factors.columns import FactorColumns
from bayeslmm.design.grouping import BlockStructure
from bayeslmm.design.rank.identifiability import (
    check_levels,
    dependence_of,
    full_rank,
    require_distinct,
)
from bayeslmm.design.rows import Rows, read_rows
from bayeslmm.design.state import ColumnState, DesignState
from bayeslmm.errors import DataError, DataWarning, warn
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.nodes import Variable
from bayeslmm.formula.residual import residual_terms
from bayeslmm.gram.blocks import GramFactor, PairBlocks
from bayeslmm.gram.coordinates import orthogonal, root_of, with_columns, with_levels
from bayeslmm.gram.gram import Gram
from bayeslmm.tables.column import Column, changed_kind
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.factors.columns import NamedTerm
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.formula.nodes import Atom


@dataclass(frozen=True, eq=False)
class BatchCoding:
    """Column coding fixed after the first pass (levels, contrasts, transform parameters).

    It is applied to every batch; `Reading.settle` makes it.

    Attributes
    ----------
    state : DesignState
        Levels, parameters of transforms, and the names of the columns.
    kinds : mapping of str to str
        What each column holds.
    weights : str or None
        The column of weights.
    missing : str
        ``"drop"`` or ``"raise"``.
    n_rows, n : int
        Rows of the first pass, and those that lacked nothing; -1 where levels were given instead.
    lacking : mapping of str to int
        Rows that lacked a value, by column.

    Examples
    --------
    >>> from bayeslmm import Reading
    >>> rows = [{"y": [1, 2, 4], "g": ["b", "a", "a"]}, {"y": [3, 5], "g": ["c", "b"]}]
    >>> readings = [Reading.of("y ~ 1 + (1 | g)", batch) for batch in rows]
    >>> coding = (readings[0] + readings[1]).settle()
    >>> gram = coding.finish(coding.gram(rows[0]) + coding.gram(rows[1]))
    >>> gram.n, gram.factors[0].levels.tolist(), gram.factors[0].counts.tolist()
    (5, ['a', 'b', 'c'], [2, 2, 1])
    """

    state: DesignState
    kinds: Mapping[str, str]
    weights: str | None
    missing: str
    n_rows: int
    n: int
    lacking: Mapping[str, int]

    @cached_property
    def levels(self) -> dict[str, NDArray[np.str_]]:
        """Levels of the grouping factors, in order."""
        return {name: np.array(found, dtype=str) for name, found in self.state.levels.items()}

    @cached_property
    def _terms(self) -> ModelTerms:
        said = residual_terms(None, self.state.sigma)
        return model_terms(parse_formula(self.state.formula), said)

    @cached_property
    def _columns(self) -> dict[str, FactorColumns]:
        """Names and blocks of each grouping factor's columns."""
        coder = one_row(self._terms, self.state.columns, restore(self.state.transforms))
        labels = {arms.by: arms.labels for arms in self.state.arms.values()}
        return columns_by_factor(self._terms, coder, labels)

    def read(self, table: Any) -> Rows:
        """Return a batch's complete rows.

        Raises
        ------
        FormulaError, DataError
            If a column is not there, or holds something else than in other batches.
        """
        batch = read_table(table, may_be_empty=True)
        rows = read_rows(
            self._terms, batch, self.weights, self.missing,
            need_response=True, whole=False, se=self.state.se,
        )  # fmt: skip
        for name, column in rows.columns.items():
            if self.kinds.get(name, column.kind) != column.kind:
                raise changed_kind(name, self.kinds[name], column.kind)
        return rows

    def gram(self, table: Any) -> Gram:
        """Return the cross-products of one batch.

        Parameters
        ----------
        table : table or mapping of str to array
            The batch, or the `Rows` that `read` gave for it.

        Returns
        -------
        Gram
            To be added to those of the other batches; it has no rows where none is complete.

        Raises
        ------
        FormulaError, DataError
            If a column is not there, holds something else than in other batches, or has a level
            that is not among the fixed ones. Then nothing is counted.
        """
        rows = table if isinstance(table, Rows) else self.read(table)
        if rows.n == 0:
            return self.empty()
        design = code_rows(self.state, self._terms, rows, self.levels)
        for factor in design.factors:
            unseen = factor.levels[factor.n_known :].tolist()
            if unseen:
                shown = ", ".join(map(repr, unseen[:5])) + (", ..." if len(unseen) > 5 else "")
                raise DataError(
                    f"The grouping factor {factor.name!r} has the level {shown} in this batch, "
                    f"which is not among the {factor.n_known} levels that were "
                    f"{'given' if self.n < 0 else 'read in the first pass'}. Give all levels, or "
                    "leave levels= out to have them read from the rows."
                )
        return replace(Gram.from_design(design), state=None)

    def empty(self) -> Gram:
        """Return the Gram of no rows."""
        p = len(self.state.coef)
        factors = [
            GramFactor(
                name,
                np.empty(0, dtype=str),
                terms,
                self._columns[name].blocks,
                np.eye(len(terms)),
                np.zeros((0, len(terms), len(terms))),
                np.zeros((0, len(terms), p + 1)),
                np.zeros(0, dtype=np.int64),
                np.zeros((0, p + 1, p + 1)),
                None if self.weights is None else np.zeros(0),
                arms=replace(self.state.arms[name], levels=()) if name in self.state.arms else None,
            )
            for name, terms in self.state.terms.items()
        ]
        nowhere = np.zeros(0, dtype=np.int64)
        pairs = [
            PairBlocks(k, m, nowhere, nowhere, np.zeros((0, len(f.terms), len(g.terms))))
            for k, f in enumerate(factors)
            for m, g in enumerate(factors)
            if k < m
        ]
        return Gram(
            response=self._terms.formula.response,
            coef=self.state.coef,
            factors=tuple(factors),
            pairs=tuple(pairs),
            n=0,
            sum_log_weights=0.0,
            scale=np.eye(p),
            slope=np.zeros(p),
            cross=np.zeros((p + 1, p + 1)),
        )

    def finish(self, gram: Gram, *, rank_deficient: str = "raise") -> Gram:
        """Validate the total and attach its design state.

        The checks are those of `build_design`.

        Parameters
        ----------
        gram : Gram
            The sum over all batches.
        rank_deficient : {"raise", "drop"}
            What to do with fixed-effects columns that earlier ones span.

        Returns
        -------
        Gram
            With its design's state, so that it can be fitted, saved and merged.

        Raises
        ------
        DataError
            If rows are missing from the sum, or cannot identify the model.

        Warns
        -----
        DataWarning
            If rows or given levels were dropped, or the response is constant.
        RankDeficiencyWarning
            If columns were dropped.
        """
        if self.n >= 0 and gram.n != self.n:
            raise DataError(
                f"The first pass saw {self.n} complete rows and the second one {gram.n}: both "
                "must read the same rows. Batches that can be read once only have to be stored, "
                "or given with levels=."
            )
        if gram.n == 0:
            raise DataError("There are no complete rows in any batch.")
        self._warn_of_missing()
        gram = orthogonal(self._used_levels(gram))
        p = len(gram.coef)
        root = root_of(gram.scale, gram.cross[:p, :p])
        keep, dropped = full_rank(root, gram.coef, gram.n, rank_deficient)
        if dropped:
            gram = orthogonal(with_columns(gram, keep))
        assert gram.scales is not None  # noqa: S101 - sums of designs have them
        for factor in gram.factors:
            require_distinct(
                root_of(factor.scale, factor.within.sum(axis=0)), factor.terms, factor.name
            )
            check_levels(factor)
            if factor.arms is not None:
                require_several(factor.name, factor.arms)
        observed = gram.scales.observed
        if observed.constant:
            warn(f"The response {gram.response!r} is {observed.low:g} in every row.", DataWarning)
        state = replace(
            self.state,
            coef=gram.coef,
            dropped=dropped,
            dependence=dependence_of(root, keep, gram.n),
            levels={f.name: tuple(f.levels.tolist()) for f in gram.factors},
            arms={f.name: f.arms for f in gram.factors if f.arms is not None},
        )
        return replace(gram, state=state)

    def _warn_of_missing(self) -> None:
        n_dropped = self.n_rows - self.n
        if self.n >= 0 and n_dropped:
            shown = ", ".join(f"{name} {count}" for name, count in self.lacking.items() if count)
            warn(
                f"Dropped {n_dropped} of {self.n_rows} rows for missing values: {shown}.",
                DataWarning,
            )

    @staticmethod
    def _used_levels(gram: Gram) -> Gram:
        for k, factor in enumerate(gram.factors):
            used = factor.counts > 0
            if not used.all():
                warn(
                    f"Dropped {int(np.sum(~used))} of {len(used)} levels of {factor.name!r} that "
                    "no row has.",
                    DataWarning,
                )
                gram = with_levels(gram, k, np.flatnonzero(used))
        return gram

    def to_json(self) -> str:
        """Return the coding as JSON; numbers survive to the last bit."""
        content = {
            "state": json.loads(self.state.to_json()),
            "kinds": dict(self.kinds),
            "weights": self.weights,
            "missing": self.missing,
            "n_rows": self.n_rows,
            "n": self.n,
            "lacking": dict(self.lacking),
        }
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the coding that `to_json` wrote."""
        content = json.loads(text)
        state = DesignState.from_json(json.dumps(content.pop("state"), ensure_ascii=False))
        return cls(state=state, **content)


def one_row(
    terms: ModelTerms, columns: Mapping[str, ColumnState], memory: dict[str, dict[Any, Any]]
) -> TableCoder:
    """Return the coder of one row of ones and first levels: columns' names need no more."""
    row: dict[str, Column] = {}
    for name, state in columns.items():
        first = (state.levels or ("",))[0]
        if state.kind == "number":
            row[name] = Column(name, "number", np.ones(1))
        elif state.kind == "boolean":
            row[name] = Column(name, "boolean", np.array([first == "True"]))
        else:
            row[name] = Column(name, "text", np.zeros(1, dtype=np.int64), np.array([first]))
    nowhere = np.zeros(1, dtype=np.int64)
    rows = Rows(nowhere, row, {}, nowhere.astype(bool), None, (), {}, nowhere)
    return _OneRow(terms, rows, memory, columns)


def columns_by_factor(
    terms: ModelTerms, coder: TableCoder, labels: Mapping[str, Sequence[str]]
) -> dict[str, FactorColumns]:
    """Return the columns of each grouping factor, in the order in which the formula names them.

    Parameters
    ----------
    terms : ModelTerms
        The formula.
    coder : TableCoder
        Of any row.
    labels : mapping of str to sequence of str
        Labels of the columns that ``gr(g, by=arm)`` names, among others.
    """
    named: dict[str, list[NamedTerm]] = {}
    by: dict[str, str] = {}
    for term, wanted in terms.random:
        own = (term, coder.column_names(wanted), BlockStructure(term.structure))
        named.setdefault(term.factor, []).append(own)
        by |= {} if term.by is None else {term.factor: term.by}
    return {
        name: FactorColumns.of(those, labels[by[name]] if name in by else ())
        for name, those in named.items()
    }


class _OneRow(TableCoder):
    """A row whose numbers mean nothing: of categories made of them the first one is taken."""

    def _value(self, atom: Atom) -> Any:
        first = None if isinstance(atom, Variable) else first_level(atom, self.memory)
        return super()._value(atom) if first is None else first
