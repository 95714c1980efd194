"""`gram_from_table`: cross-products of a table wherever it is held, by the means of its engine."""

from __future__ import annotations

from functools import partial
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import check_choice, names_keywords
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.gram.streaming.first_pass import Reading
from bayeslmm.gram.streaming.from_batches import columns_to_read, gram_from_batches
from bayeslmm.resources import single_blas_thread
from bayeslmm.tables.engines.engine import StreamingEngine
from bayeslmm.tables.sources import EngineTable, open_source

if TYPE_CHECKING:
    from bayeslmm.gram.gram import Gram


@names_keywords
def gram_from_table(
    formula: str | MixedFormula,
    data: Any,
    *,
    weights: str | None = None,
    sigma: str | None = None,
    se: str | None = None,
    missing: str = "drop",
    rank_deficient: str = "raise",
) -> Gram:
    r"""Compute a table's cross-products where its rows are, in two passes.

    .. math:: W'W = \sum_b W_b'W_b, \quad W = [Z_1 \ldots Z_K \; X \; y]

    Only the columns that the formula uses are read. A polars LazyFrame, a pyarrow dataset, a
    DuckDB relation and the path of a CSV or Parquet file or folder are streamed in batches; a Dask
    or Spark dataframe maps on its own workers and combines there what they return, so that
    cross-products travel, and rows do not.

    Parameters
    ----------
    formula : str or MixedFormula
        The model.
    data : table or path
        One of the above, or a table in memory. It is read twice: a query whose rows differ from
        one run to the next (a random sample, say) has to be stored first.
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

    Returns
    -------
    Gram
        What `fit_bayes` and `fit_reml` take in place of the table. Its sums differ between engines
        by rounding only: 1e-12 relative and less.

    Raises
    ------
    FormulaError
        If the formula is wrong or names a column that is not there; no row is read then.
    DataError
        If a column cannot be used, the engine fails, or the rows cannot identify the model.
    ArgumentError
        If weights, sigma and se contradict each other.

    Warns
    -----
    DataWarning
        If rows with missing values were dropped.
    RankDeficiencyWarning
        If columns were dropped.

    References
    ----------
    Dean, J. & Ghemawat, S. (2008). MapReduce: simplified data processing on large clusters.
    Communications of the ACM 51, 107-113. doi:10.1145/1327452.1327492

    Examples
    --------
    >>> import polars as pl
    >>> lazy = pl.LazyFrame({"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "a", "b", "b"], "z": [0] * 4})
    >>> gram = gram_from_table("y ~ 1 + (1 | g)", lazy)
    >>> gram.n, gram.coef, gram.factors[0].levels.tolist()
    (4, ('Intercept',), ['a', 'b'])
    """
    mixed = formula if isinstance(formula, MixedFormula) else parse_formula(formula)
    source = open_source(data)
    if isinstance(source, EngineTable):
        engine = source.engine
        read = partial(Reading.of, mixed, weights=weights, missing=missing, sigma=sigma, se=se)
        # A batch without rows: what is missing, misspelt or beyond batches is told now.
        nothing = read(dict.fromkeys(engine.columns, np.empty(0)))
        columns = columns_to_read(nothing.terms, weights, se)
        if not isinstance(engine, StreamingEngine):
            check_choice("rank_deficient", rank_deficient, ("raise", "drop"))
            reading: Reading = engine.reduce(columns, read, add)
            coding = reading.settle()
            total: Gram = engine.reduce(columns, coding.gram, add)
            with single_blas_thread():
                return coding.finish(total, rank_deficient=rank_deficient)
    return gram_from_batches(
        mixed,
        source,
        weights=weights,
        sigma=sigma,
        se=se,
        missing=missing,
        rank_deficient=rank_deficient,
        progressbar=False,
    )
