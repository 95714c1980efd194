"""`Reading`: the first of two passes over rows that come in batches; a value that adds.

What coding a row needs to know of all rows (levels, means and spreads inside transforms) is read
batch by batch and united. With `BatchCoding` in the second pass this is map and reduce, whoever
maps::

    reading = Reading.of(formula, batch)  for every batch, added up
    coding = reading.settle()
    gram = coding.gram(batch)             for every batch, added up
    gram = coding.finish(gram)

Readings, codings and Grams can be pickled and sent to other processes.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bayeslmm.design.residual_checks import check_arguments
from bayeslmm.design.rows import read_rows
from bayeslmm.design.scales import ColumnScale
from bayeslmm.errors import ArgumentError, DataError, check_choice
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.formula.model_terms import model_terms, require_independent_levels
from bayeslmm.formula.residual import residual_terms
from bayeslmm.formula.tokens import quote
from bayeslmm.gram.strata import require_strata
from bayeslmm.gram.streaming.fix_coding import fix_coding
from bayeslmm.gram.streaming.stateful_calls import stateful_calls
from bayeslmm.tables.column import changed_kind
from bayeslmm.tables.levels import Combinations, LevelSet, require_whole
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.design.rows import Rows
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.gram.streaming.second_pass import BatchCoding
    from bayeslmm.tables.column import Column

VERSION = 1
_NUMBERS = {"weights": "weights", "se": "standard errors"}


@dataclass(frozen=True, eq=False)
class Reading:
    """Coding information collected from one or more batches; mergeable with ``+``.

    It holds column types, factor levels, missing counts and transform statistics.

    Attributes
    ----------
    formula : MixedFormula
        The model.
    weights : str or None
        The column of weights.
    missing : str
        ``"drop"`` or ``"raise"``.
    sigma : str or None
        Formula of log(sigma).
    se : str or None
        The column of known standard errors.
    n_rows, n : int
        Rows read, and rows that lack nothing.
    lacking : mapping of str to int
        Rows that lack a value, by column.
    kinds : mapping of str to str
        ``"number"``, ``"boolean"``, ``"text"`` or ``"category"``, by column.
    levels : mapping of str to LevelSet
        Values of the columns that serve as labels.
    combinations : mapping of str to Combinations
        Of the levels of several columns, by grouping factor.
    statistics : mapping of str to ColumnScale or LevelSet
        What calls such as ``center(x)`` and ``C(x)`` estimate their parameters from, by their text.

    Examples
    --------
    >>> first = Reading.of("y ~ center(x) + (1 | g)", {"y": [1, 2], "x": [0, 4], "g": ["b", "a"]})
    >>> second = Reading.of("y ~ center(x) + (1 | g)", {"y": [3, 5], "x": [1, 3], "g": ["c", "a"]})
    >>> both = first + second
    >>> both.n, both.levels["g"].labels().tolist(), both.statistics["center(x)"].mean
    (4, ['a', 'b', 'c'], 2.0)
    """

    formula: MixedFormula
    weights: str | None
    missing: str
    n_rows: int
    n: int
    lacking: Mapping[str, int]
    kinds: Mapping[str, str]
    levels: Mapping[str, LevelSet]
    combinations: Mapping[str, Combinations]
    statistics: Mapping[str, ColumnScale | LevelSet]
    sigma: str | None = None
    se: str | None = None

    @property
    def terms(self) -> ModelTerms:
        """The formula's terms, and those of sigma's."""
        return model_terms(self.formula, residual_terms(None, self.sigma))

    @classmethod
    def of(
        cls,
        formula: str | MixedFormula,
        table: Any,
        *,
        weights: str | None = None,
        missing: str = "drop",
        sigma: str | None = None,
        se: str | None = None,
    ) -> Self:
        """Return the reading of one batch.

        Parameters
        ----------
        formula : str or MixedFormula
            The model.
        table : table or mapping of str to array
            The batch; it may be empty, and may lack every value of a column.
        weights : str, optional
            The column of weights.
        missing : {"drop", "raise"}
            What to do with rows that lack a value.
        sigma : str, optional
            Formula of log(sigma), e.g. ``"~ 0 + arm"``.
        se : str, optional
            The column of known standard errors.

        Returns
        -------
        Reading

        Raises
        ------
        FormulaError
            If the formula is wrong or names a column that is not there.
        DataError
            If the formula needs what no merging of batches gives, or a column cannot be used.
        """
        mixed = formula if isinstance(formula, MixedFormula) else parse_formula(formula)
        check_options(weights, missing, sigma, se)
        terms = model_terms(mixed, residual_terms(None, sigma))
        require_independent_levels(terms)
        calls = list(stateful_calls(terms))
        batch = read_table(table, may_be_empty=True)
        rows = read_rows(terms, batch, weights, missing, need_response=True, whole=False, se=se)
        levels, combinations = _labels(terms, rows) if rows.n else ({}, {})
        inputs = {quote(name): _as_input(column) for name, column in rows.columns.items()}
        return cls(
            formula=mixed,
            weights=weights,
            missing=missing,
            n_rows=batch.n_rows,
            n=rows.n,
            lacking=rows.lacking,
            kinds={name: column.kind for name, column in rows.columns.items()},
            levels=levels,
            combinations=combinations,
            statistics={call.text: call.read(inputs) for call in calls} if rows.n else {},
            sigma=sigma,
            se=se,
        )

    def __add__(self, other: Reading) -> Self:
        """Return the reading of two groups of batches.

        Raises
        ------
        DataError
            If a column is of another kind in some batch, or the formulas differ.
        """
        if not isinstance(other, Reading):
            return NotImplemented
        for what in ("formula", "weights", "missing", "sigma", "se"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                raise DataError(f"These readings do not add: {what} {mine} against {theirs}.")
        _require_same_kinds(self.kinds, other.kinds)
        return replace(
            self,
            n_rows=self.n_rows + other.n_rows,
            n=self.n + other.n,
            lacking=_united(self.lacking, other.lacking, lambda a, b: a + b),
            kinds={**self.kinds, **other.kinds},
            levels=_united(self.levels, other.levels, lambda a, b: a | b),
            combinations=_united(self.combinations, other.combinations, lambda a, b: a | b),
            statistics=_united(self.statistics, other.statistics, _pooled),
        )

    def settle(self, levels: Mapping[str, Any] | None = None) -> BatchCoding:
        """Return the coding of all batches: see `fix_coding`."""
        return fix_coding(self, levels)

    def to_json(self) -> str:
        """Return the reading as JSON; numbers survive to the last bit."""
        content = {
            "version": VERSION,
            "formula": str(self.formula),
            "weights": self.weights,
            "missing": self.missing,
            # Where they are said, so that readings of other models stay as they were.
            **{k: v for k, v in {"sigma": self.sigma, "se": self.se}.items() if v is not None},
            "n_rows": self.n_rows,
            "n": self.n,
            "lacking": dict(self.lacking),
            "kinds": dict(self.kinds),
            "levels": {name: found.to_dict() for name, found in self.levels.items()},
            "combinations": {k: found.labels.tolist() for k, found in self.combinations.items()},
            "learnt": {
                call: found.to_dict() if isinstance(found, LevelSet) else list(astuple(found))
                for call, found in self.statistics.items()
            },
        }
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the reading that `to_json` wrote."""
        content = json.loads(text)
        if content.pop("version", None) != VERSION:
            raise DataError(f"This is no reading of version {VERSION}.")
        content["formula"] = parse_formula(content["formula"])
        content["levels"] = {k: LevelSet.from_dict(v) for k, v in content["levels"].items()}
        content["combinations"] = {
            factor: Combinations(np.array(labels, dtype=str))
            for factor, labels in content["combinations"].items()
        }
        content["statistics"] = {
            call: ColumnScale(*found) if isinstance(found, list) else LevelSet.from_dict(found)
            for call, found in content.pop("learnt").items()
        }
        return cls(**content)


def check_options(weights: Any, missing: str, sigma: Any = None, se: Any = None) -> None:
    """Raise unless batches can answer what is asked.

    Raises
    ------
    ArgumentError
        If weights or standard errors are no column's name, what is said of the residuals leaves no
        sums over rows, or there is no such way with missing values.
    """
    for name, given in (("weights", weights), ("se", se)):
        if given is not None and not isinstance(given, str):
            raise ArgumentError(
                f"Rows that come in batches carry their {_NUMBERS[name]} along: give {name} as the "
                f"name of a column, not as {type(given).__name__}."
            )
    check_arguments(GAUSSIAN, weights, None, sigma, se)
    require_strata(None, sigma, se)
    check_choice("missing", missing, ("drop", "raise"))


def _labels(terms: ModelTerms, rows: Rows) -> tuple[dict[str, LevelSet], dict[str, Combinations]]:
    """Return the columns that serve as labels, and the combinations that make up factors."""
    wanted = [*terms.grouping, *(k for k in terms.predictors if rows.columns[k].kind != "number")]
    levels = {name: LevelSet.of(rows.columns[name]) for name in dict.fromkeys(wanted)}
    combinations = {
        term.factor: Combinations.of(term.variables, rows.columns)
        for term, _ in terms.random
        if len(term.variables) > 1
    }
    for name in terms.grouping:
        require_whole(rows.columns[name])
    return levels, combinations


def _as_input(column: Column) -> Any:
    return column.array.astype(np.float64) if column.kind == "number" else column.native()


def _require_same_kinds(mine: Mapping[str, str], theirs: Mapping[str, str]) -> None:
    for name, kind in mine.items():
        if theirs.get(name, kind) != kind:
            raise changed_kind(name, kind, theirs[name])


def _united[Value](
    mine: Mapping[str, Value],
    theirs: Mapping[str, Value],
    unite: Callable[[Value, Value], Value],
) -> dict[str, Value]:
    both = {name: unite(mine[name], theirs[name]) for name in mine if name in theirs}
    return {**mine, **theirs, **both}


def _pooled(mine: ColumnScale | LevelSet, theirs: ColumnScale | LevelSet) -> Any:
    if isinstance(mine, LevelSet) and isinstance(theirs, LevelSet):
        return mine | theirs
    if isinstance(mine, ColumnScale) and isinstance(theirs, ColumnScale):
        return mine + theirs
    raise DataError("These readings do not add: their calls learn different things.")
