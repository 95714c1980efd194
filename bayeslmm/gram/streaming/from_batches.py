"""`gram_from_batches`: cross-products of rows that are read once or twice, and never held."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import ArgumentError, BayesLMMError, DataError, check_choice, names_keywords
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.formula.model_terms import model_terms, require_independent_levels
from bayeslmm.formula.residual import residual_terms
from bayeslmm.gram.streaming.checkpoint import Checkpoint, Progress
from bayeslmm.gram.streaming.first_pass import Reading, check_options
from bayeslmm.gram.streaming.stateful_calls import stateful_calls
from bayeslmm.resources import single_blas_thread, usable_cores
from bayeslmm.tables.batches import count_rows, in_order
from bayeslmm.tables.sources import open_source

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.gram.gram import Gram
    from bayeslmm.gram.streaming.progress import RowProgress
    from bayeslmm.gram.streaming.second_pass import BatchCoding
    from bayeslmm.tables.batches import Batches

type Levels = Mapping[str, Sequence[Any]]


@names_keywords
def gram_from_batches(
    formula: str | MixedFormula,
    batches: Any,
    *,
    levels: Levels | None = None,
    weights: str | None = None,
    sigma: str | None = None,
    se: str | None = None,
    missing: str = "drop",
    rank_deficient: str = "raise",
    checkpoint: str | os.PathLike[str] | None = None,
    cores: int | None = None,
    progressbar: bool = True,
) -> Gram:
    r"""Compute cross-products of rows that come in batches; memory is bounded by a few batches.

    .. math:: W'W = \sum_b W_b'W_b, \quad W = [Z_1 \ldots Z_K \; X \; y]

    Two passes: the first finds levels and the parameters of transforms, the second sums.
    With `levels`, one pass does. Batches are summed in their order whatever the number of cores,
    so the same batches give the same bits.

    Parameters
    ----------
    formula : str or MixedFormula
        The model.
    batches : iterable, callable or path
        Tables of some rows each (pandas, polars or pyarrow tables, record batches, mappings of
        columns); a function without arguments that returns such an iterable anew at each call;
        the path of a CSV or Parquet file, or of a folder of them; a polars LazyFrame, pyarrow
        dataset or DuckDB relation.
    levels : mapping of str to sequence, optional
        Labels of every grouping factor (``"a:b"`` for combinations, labels ``"A:B"``) and of every
        predictor that holds labels, to make do with one pass. Levels that no row has are dropped.
    weights : str, optional
        The column of weights w: Var(e) = sigma^2 / w.
    sigma : str, optional
        Formula of log(sigma), e.g. ``"~ 0 + arm"``: rows of each combination of its columns' values
        have cross-products of their own, at most 100 of them.
    se : str, optional
        The column of known standard errors, beside which there is no sigma.
    missing : {"drop", "raise"}
        What to do with rows that lack a value in a column that is used.
    rank_deficient : {"raise", "drop"}
        What to do with fixed-effects columns that earlier ones span.
    checkpoint : path, optional
        A file that keeps the sum so far. If the process is killed, the same call goes on from
        there, and gives the same bits; when it is done the file is deleted.
    cores : int, optional
        Batches worked on at a time, in threads; as many as the machine has cores if not given.
    progressbar : bool, default True
        Whether to show rows, and rows per second.

    Returns
    -------
    Gram
        The cross-products, with what it takes to code new rows and to set default priors: give it
        to `fit_bayes` or `fit_reml` in place of a table.

    Raises
    ------
    FormulaError
        If the formula is wrong or names a column that a batch lacks.
    DataError
        If a batch cannot be used (the message says which: columns of another type, unseen levels),
        or all rows together cannot identify the model. Nothing is returned, and a checkpoint
        holds whole batches only.
    ArgumentError
        If the batches can be read once only, and two passes are needed; or weights, sigma and se
        contradict each other.

    Warns
    -----
    DataWarning
        If rows with missing values, or levels without rows, were dropped.
    RankDeficiencyWarning
        If columns were dropped.

    References
    ----------
    Chan, T. F., Golub, G. H. & LeVeque, R. J. (1983). Algorithms for computing the sample
    variance. The American Statistician 37, 242-247. doi:10.1080/00031305.1983.10483115

    Examples
    --------
    >>> batches = [
    ...     {"y": [1.0, 2.0, 4.0], "x": [0.0, 1.0, 2.0], "g": ["b", "a", "a"]},
    ...     {"y": [3.0, 5.0], "x": [1.0, 0.0], "g": ["b", "b"]},
    ... ]
    >>> gram = gram_from_batches("y ~ x + (1 | g)", batches, progressbar=False)
    >>> gram.n, gram.coef, gram.factors[0].levels.tolist()
    (5, ('Intercept', 'x'), ['a', 'b'])
    """
    mixed = formula if isinstance(formula, MixedFormula) else parse_formula(formula)
    check_options(weights, missing, sigma, se)
    if levels is not None and not isinstance(levels, Mapping):
        raise ArgumentError(
            "levels is a mapping from grouping factor to its labels, such as {'g': ['a', 'b']}, "
            f"not {type(levels).__name__}."
        )
    check_choice("rank_deficient", rank_deficient, ("raise", "drop"))
    job = _Job(mixed, weights, missing, levels, sigma, se)
    source = open_source(batches).batches(job.columns)
    job.require_passes(source)
    keeper = Checkpoint(checkpoint)
    done = keeper.resume(job.identity)
    # With rich's bars, which a fit of a table in memory need not load.
    from bayeslmm.gram.streaming.progress import RowProgress  # noqa: PLC0415

    with single_blas_thread(), RowProgress(shown=progressbar) as bar:
        run = _Run(job, source, keeper, _cores(cores), bar)
        if levels is None and done.coding is None:
            done = run.first_pass(done)
        done = run.second_pass(done)
    if done.coding is None or done.gram is None:
        raise DataError("There are no complete rows in any batch.")
    coding = done.coding
    if levels is not None:  # what one pass has counted
        lacking = dict(done.lacking or {})
        coding = replace(coding, n_rows=sum(done.sizes), n=done.gram.n, lacking=lacking)
    gram = coding.finish(done.gram, rank_deficient=rank_deficient)
    keeper.remove()
    return gram


def columns_to_read(terms: ModelTerms, *numbers: str | None) -> tuple[str, ...]:
    """Return the columns that terms use, and those of weights or standard errors, each once.

    Parameters
    ----------
    terms : ModelTerms
        The formula.
    *numbers : str or None
        Further columns.
    """
    own = [name for name in numbers if name is not None]
    names = (*terms.response.variables, *terms.predictors, *terms.grouping, *own)
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class _Job:
    """What is to be summed."""

    formula: MixedFormula
    weights: str | None
    missing: str
    levels: Levels | None
    sigma: str | None
    se: str | None

    @property
    def terms(self) -> ModelTerms:
        """The formula's terms, and those of sigma's."""
        return model_terms(self.formula, residual_terms(None, self.sigma))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to read."""
        require_independent_levels(self.terms)
        return columns_to_read(self.terms, self.weights, self.se)

    @property
    def identity(self) -> dict[str, str]:
        """What tells one sum from another."""
        given = "read from the rows"
        if self.levels is not None:
            listed = {str(k): [str(v) for v in found] for k, found in self.levels.items()}
            digest = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
            given = f"given (SHA-256 {digest[:16]})"
        return {
            "formula": str(self.formula),
            "weights": str(self.weights),
            "sigma": str(self.sigma),
            "se": str(self.se),
            "missing": self.missing,
            "levels": given,
        }

    def read(self, table: Any) -> Reading:
        """Return a batch's reading, for the first pass."""
        return Reading.of(
            self.formula, table,
            weights=self.weights, missing=self.missing, sigma=self.sigma, se=self.se,
        )  # fmt: skip

    def require_passes(self, source: Batches) -> None:
        """Raise unless the batches can be read as often as it takes; no row is read."""
        calls = list(stateful_calls(self.terms))
        if source.repeatable or self.levels is not None:
            return
        learns = f" and what {calls[0].text} learns" if calls else ""
        raise ArgumentError(
            f"These batches can be read once only, and the levels{learns} must be known before "
            "rows are summed. Give a function that returns the batches anew, such as "
            "lambda: pd.read_csv(path, chunksize=500_000), a list, or the path of a file; or give "
            "levels=."
        )


@dataclass(frozen=True, eq=False)
class _Run:
    """A job at work."""

    job: _Job
    source: Batches
    keeper: Checkpoint
    cores: int
    bar: RowProgress

    def first_pass(self, done: Progress) -> Progress:
        """Collect every batch's reading, and fix the coding."""
        self.bar.start("Reading levels", done.sizes, None)
        for size, reading in _map_batches(self.source, done.sizes, self.job.read, self.cores):
            both = reading if done.reading is None else done.reading + reading
            done = replace(done, reading=both, sizes=(*done.sizes, size))
            self.bar.advance(size)
            self.keeper.keep(done)
        if done.reading is None:
            raise DataError("There are no rows: no batch came.")
        coding = done.reading.settle()
        done = Progress(job=done.job, coding=coding, total=sum(done.sizes))
        self.keeper.keep(done, now=True)
        return done

    def second_pass(self, done: Progress) -> Progress:
        """Compute the batches' cross-products, added in the batches' order."""
        self.bar.start("Summing", done.sizes, done.total or None)
        coder = _Coder(self.job, done.coding)
        parts = _map_batches(self.source, done.sizes, coder.sum, self.cores, coder.prepare)
        for size, part in parts:
            gram, lacking = done.gram, dict(done.lacking or {})
            if part is not None and part.gram.n:
                gram = part.gram if gram is None else gram + part.gram
            for name, count in (part.lacking if part else {}).items():
                lacking[name] = lacking.get(name, 0) + count
            sizes = (*done.sizes, size)
            done = replace(done, coding=coder.coding, gram=gram, lacking=lacking, sizes=sizes)
            self.bar.advance(size)
            self.keeper.keep(done)
        return done


@dataclass(frozen=True, eq=False)
class _Part:
    """What one batch adds."""

    gram: Gram
    lacking: Mapping[str, int]


class _Coder:
    """Codes batches; the coding is fixed before, or by the first batch where levels are given."""

    def __init__(self, job: _Job, coding: BatchCoding | None) -> None:
        self.job = job
        self.coding = coding

    def prepare(self, number: int, table: Any) -> None:
        """Fix the coding on the first batch that has a complete row; batches come one by one."""
        if self.coding is None:
            with _in_batch(number):
                reading = self.job.read(table)
            if reading.n:
                self.coding = reading.settle(self.job.levels)

    def sum(self, table: Any) -> _Part | None:
        """Return the sums of one batch; None where no coding is fixed yet."""
        if self.coding is None:
            return None
        rows = self.coding.read(table)
        return _Part(self.coding.gram(rows), rows.lacking)


def _map_batches[T](
    source: Batches,
    done: tuple[int, ...],
    function: Callable[[Any], T],
    cores: int,
    prepare: Callable[[int, Any], None] | None = None,
) -> Iterator[tuple[int, T]]:
    """Iterate over what is left to do: each batch's number of rows, and the function's result."""

    def work(item: tuple[int, Any]) -> tuple[int, T]:
        number, table = item
        with _in_batch(number):
            return count_rows(table), function(table)

    def left() -> Iterator[tuple[int, Any]]:
        count = 0
        for count, table in enumerate(source, 1):
            if count <= len(done):
                _require_same(count - 1, count_rows(table), done[count - 1])
                continue
            if prepare is not None:
                prepare(count - 1, table)
            yield count - 1, table
        if count < len(done):
            raise DataError(
                f"The checkpoint holds {len(done)} batches, and there are {count} now: it was made "
                "from other rows. Delete it, or give another path."
            )

    return in_order(work, left(), cores)


def _require_same(number: int, size: int, before: int) -> None:
    if size != before:
        raise DataError(
            f"Batch {number} (counted from 0) has {size} rows, and had {before} when the "
            "checkpoint was written: it was made from other rows. Delete it, or give another path."
        )


@contextmanager
def _in_batch(number: int) -> Iterator[None]:
    """Name the batch in errors raised inside."""
    try:
        yield
    except DataError as error:
        raise DataError(f"In batch {number} (counted from 0): {error}") from error
    except BayesLMMError as error:
        error.add_note(f"In batch {number} (counted from 0).")
        raise


def _cores(cores: int | None) -> int:
    if cores is None:
        return usable_cores()
    if not isinstance(cores, int) or cores < 1:
        raise ArgumentError(f"cores is a whole number from 1 on, not {cores!r}.")
    return cores
