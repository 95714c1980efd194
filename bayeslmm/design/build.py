"""A formula and a table in, a frozen `Design` out: of training rows, and of new ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.design.coding import TableCoder
from bayeslmm.design.design import Design
from bayeslmm.design.factors.arms import check_arms
from bayeslmm.design.factors.gather import gather_factors
from bayeslmm.design.rank.identifiability import (
    check_columns,
    check_levels,
    dependence_of,
    full_rank,
)
from bayeslmm.design.residual_checks import check_arguments, check_residuals
from bayeslmm.design.residual_rows import code_residuals, sigma_factors
from bayeslmm.design.response import require_intercept, require_known, require_trials
from bayeslmm.design.rows import NO_LEVEL, read_rows
from bayeslmm.design.state import DesignState, require_state, restore, store
from bayeslmm.errors import (
    DataError,
    DataWarning,
    FormulaError,
    check_choice,
    names_keywords,
    warn,
)
from bayeslmm.families.parameters import variables_of
from bayeslmm.families.registry import family_of
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.residual import residual_terms
from bayeslmm.relationships.known import read_known, require_used
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.design.rows import Rows
    from bayeslmm.families.family import Family
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.relationships.known import Known, KnownLike


@names_keywords
def build_design(
    formula: str | MixedFormula,
    data: Any,
    *,
    weights: str | ArrayLike | None = None,
    missing: str = "drop",
    rank_deficient: str = "raise",
    response: str = "required",
    family: str | Family = "gaussian",
    link: str | None = None,
    trials: str | ArrayLike | None = None,
    residual: str | None = None,
    sigma: str | None = None,
    se: str | ArrayLike | None = None,
    known: KnownLike | None = None,
) -> Design:
    r"""Compute the matrices of a linear mixed model from a table.

    .. math:: y = X \beta + \sum_k Z_k b_k + o + e, \quad e_i \sim N(0, \sigma^2 / w_i)

    Row i of :math:`Z_k` holds the factor's ``columns[i]`` at level ``index[i]`` and zeros
    elsewhere; it is never formed.

    Parameters
    ----------
    formula : str or MixedFormula
        See `bayeslmm.formula.mixed_formula`.
    data : table or mapping of str to array
        Any eager table that narwhals knows (pandas, polars, pyarrow), or a mapping of columns.
    weights : str or array-like of shape (rows of the table,), optional
        Positive weights w, or the column that holds them.
    missing : {"drop", "raise"}
        What to do with rows that lack a value in a column that is used.
    rank_deficient : {"raise", "drop"}
        What to do with fixed-effects columns that earlier ones span.
    response : {"required", "optional"}
        With ``"optional"`` a table without the response gives NaN: a design to simulate from.
    family : str or Family
        How the response is distributed given the linear predictor: ``"gaussian"``,
        ``"bernoulli"``, ``"binomial"``, ``"poisson"``, ``"negbinomial"``, ``"gamma"``,
        ``"lognormal"``, ``"beta"``, ``"student"``, ``"cumulative"``, ``"sratio"``, ``"acat"``.
    link : str, optional
        The link, where it is not the family's default one.
    trials : str, array-like of shape (rows of the table,) or int, optional
        Numbers of trials of a binomial response, or the column that holds them.
    residual : str, optional
        Structure of the residuals' covariance, e.g. ``"ar1(week | subject)"``; independent
        without.
    sigma : str, optional
        Formula of log(sigma), e.g. ``"~ 0 + arm"`` or ``"~ x + (1 | subject)"``; one number
        without.
    se : str or array-like of shape (rows of the table,), optional
        Known standard errors, or the column that holds them. There is no sigma beside them unless
        ``sigma=`` asks for one.
    known : mapping, optional
        Covariances of levels by the names that ``gr(g, cov=A)`` gives them, e.g. ``{"A": A}``: a
        pandas DataFrame labelled by levels, a pair of matrix and levels, or what `phylogeny`,
        `pedigree`, `precision` and `known_covariance` return.

    Returns
    -------
    Design

    Raises
    ------
    FormulaError
        If the formula is wrong or names a column that is not there.
    DataError
        If the table cannot answer what the formula asks; the message names the column.

    Warns
    -----
    DataWarning
        If rows or unused categories were dropped.
    RankDeficiencyWarning
        If columns were dropped.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015). doi:10.18637/jss.v067.i01

    Examples
    --------
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0, 5.0], "x": [0, 1, 0, 1, 2], "g": list("aabbb")}
    >>> design = build_design("y ~ x + (1 | g)", table)
    >>> design.coef, design.factors[0].levels, design.factors[0].index
    (('Intercept', 'x'), array(['a', 'b'], dtype='<U1'), array([0, 0, 1, 1, 1]))
    """
    check_choice("missing", missing, ("drop", "raise"))
    check_choice("rank_deficient", rank_deficient, ("raise", "drop"))
    check_choice("response", response, ("required", "optional"))
    chosen = family_of(family, link)
    require_known(chosen, weights, trials)
    check_arguments(chosen, weights, residual, sigma, se)
    mixed = parse_formula(formula) if not isinstance(formula, MixedFormula) else formula
    terms = model_terms(mixed)
    terms = replace(terms, residual=residual_terms(residual, sigma, terms.response))
    require_trials(chosen, trials)
    needed = True if response == "required" else None
    relationships = read_known(known)
    _require_known(terms, relationships)
    require_intercept(chosen, terms)
    rows = read_rows(
        terms, read_table(data), weights, missing, need_response=needed, trials=trials, se=se
    )
    for note in rows.notes:
        warn(note, DataWarning)
    coder = TableCoder(terms, rows, {}, family=chosen)
    X, columns = coder.fixed()
    keep, dropped = full_rank(X, columns, rows.n, rank_deficient)
    dependence = dependence_of(X, keep, rows.n)
    keep = [j for j in keep if not coder.stands_for(columns[j])]
    coef = tuple(columns[j] for j in keep)
    X = X if len(keep) == len(columns) else np.ascontiguousarray(X[:, keep])
    factors = gather_factors(coder, None, relationships)
    in_sigma = () if terms.residual is None else terms.residual.sigma_factors
    all_factors = [*(factor.name for factor in factors), *map(names.in_sigma, in_sigma)]
    names.check_coefficients(columns, all_factors, list(variables_of(chosen)))
    coder.response()  # before the factors' own troubles
    for factor in factors:
        check_arms(factor, factor.columns)
        check_columns(factor)
        check_levels(factor)
    of_residuals = code_residuals(coder)
    check_residuals(of_residuals, factors)
    state = DesignState(
        formula=str(mixed),
        columns=coder.column_states(),
        transforms=store(coder.memory),
        coef=coef,
        dropped=dropped,
        dependence=dependence,
        terms={factor.name: factor.terms for factor in factors},
        levels={factor.name: tuple(factor.levels.tolist()) for factor in factors},
        arms={factor.name: factor.arms for factor in factors if factor.arms is not None},
        weights=weights if isinstance(weights, str) else None,
        family=chosen.name,
        link=chosen.link.name,
        trials=trials if isinstance(trials, str) else None,
        response_levels=coder.response_levels,
        residual=residual,
        sigma=None if of_residuals is None else sigma,
        se=se if isinstance(se, str) else None,
        structures={factor.name: factor.structures for factor in factors if factor.structures}
        or None,
        visits=None if of_residuals is None else of_residuals.visits or None,
        strata=None if of_residuals is None else of_residuals.by_labels or None,
        known=relationships,
        sigma_terms={f.name: f.terms for f in sigma_factors(of_residuals)},
        sigma_levels={f.name: tuple(f.levels.tolist()) for f in sigma_factors(of_residuals)},
    )
    return _design(coder, X, factors, state, of_residuals)


def _require_known(terms: ModelTerms, known: Known) -> None:
    """Raise unless the formula names just the covariances that are given."""
    used = []
    for term, _ in terms.random:
        if term.cov is None:
            continue
        if term.cov not in known:
            there = f"known= has: {', '.join(known)}" if known else "there is no known="
            raise FormulaError(
                f"{term.factor!r} has the covariance {term.cov}, and {there}: give "
                f"known={{{term.cov!r}: ...}}, a covariance of its levels.",
                terms.formula.text or str(terms.formula),
                term.span if terms.formula.text else None,
            )
        used.append(term.cov)
    require_used(known, used)


@names_keywords
def rebuild_design(
    state: DesignState,
    data: Any,
    *,
    response: str = "optional",
    factors: Sequence[str] | None = None,
    weights: str | ArrayLike | None = None,
    missing: str = "raise",
    no_level: Sequence[str] = (),
    trials: str | ArrayLike | None = None,
    residual: bool = False,
    se: str | ArrayLike | None = None,
    in_sigma: Sequence[str] | None = None,
) -> Design:
    """Compute the matrices of new rows, coded exactly as the training rows were.

    Means, scales, knots, contrasts and levels are those of the training rows. Levels of grouping
    factors that those did not have follow the known ones (`GroupingFactor.n_known`).

    Parameters
    ----------
    state : DesignState
        From `Design.state`, or read from JSON.
    data : table or mapping of str to array
        The new rows.
    response : {"optional", "required", "ignored"}
        With ``"optional"``, a table without the response, or rows without it, give NaN; with
        ``"ignored"``, all rows do, whatever the table holds.
    factors : sequence of str, optional
        The grouping factors to rebuild, all by default; ``()`` needs no grouping column at all.
    weights : str or array-like of shape (rows of the table,), optional
        Positive weights of the new rows.
    missing : {"raise", "drop"}
        What to do with rows that lack a value. To drop them would part predictions from rows, so
        it must be asked for.
    no_level : sequence of str
        Grouping columns in which a missing value is no lack: the row belongs to no level that the
        training rows had, and has the level ``"(no level)"``.
    trials : str, array-like of shape (rows of the table,) or int, optional
        Numbers of trials of a binomial response, or their column.
    residual : bool
        Whether to code what the structure of the residuals reads of the rows, too.
    se : str or array-like of shape (rows of the table,), optional
        Known standard errors of the new rows, or their column.
    in_sigma : sequence of str, optional
        The grouping factors whose effects in sigma the rows have, all by default; without those
        their columns are not needed.

    Returns
    -------
    Design

    Raises
    ------
    DataError
        If a column is absent or of another kind, or a fixed effect has a level that the training
        rows did not have.

    Examples
    --------
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0, 5.0], "x": [0, 1, 0, 1, 2], "g": list("aabbb")}
    >>> state = build_design("y ~ center(x) + (1 | g)", table).state
    >>> new = rebuild_design(state, {"x": [1.8], "g": ["c"]})
    >>> new.X, new.factors[0].levels, new.factors[0].n_known
    (array([[1., 1.]]), array(['a', 'b', 'c'], dtype='<U1'), 2)
    """
    check_choice("missing", missing, ("drop", "raise"))
    check_choice("response", response, ("optional", "required", "ignored"))
    said = require_state(state)
    of_residuals = residual_terms(said.residual, said.sigma) if residual else None
    whole = model_terms(parse_formula(said.formula), of_residuals)
    unknown = [name for name in factors or () if name not in state.terms]
    if unknown:
        known = ", ".join(state.terms) or "none"
        raise DataError(f"There is no grouping factor {unknown[0]!r}; there are: {known}.")
    terms = whole.only(None if factors is None else tuple(factors))
    terms = terms if in_sigma is None else terms.only_in_sigma(tuple(in_sigma))
    needed = {"optional": None, "required": True, "ignored": False}[response]
    if no_level and any(NO_LEVEL in label for known in state.levels.values() for label in known):
        raise DataError(f"A level is called {NO_LEVEL!r}: missing values need another label.")
    table = read_table(data)
    rows = read_rows(
        terms,
        table,
        weights,
        missing,
        need_response=needed,
        training=False,
        no_level=no_level,
        trials=trials,
        se=se,
    )
    for note in rows.notes:
        warn(note, DataWarning)
    return code_rows(state, terms, rows, state.levels)


def code_rows(
    state: DesignState, terms: ModelTerms, rows: Rows, levels: Mapping[str, Any]
) -> Design:
    """Compute the design of rows that were read; `levels` are the state's, in any sequence."""
    family = family_of(state.family, state.link)
    memory = restore(state.transforms)
    said = state.response_levels
    coder = TableCoder(terms, rows, memory, state.columns, family=family, response_levels=said)
    X, columns = coder.fixed()
    left = {*state.dropped, *filter(coder.stands_for, columns)}
    keep = [j for j, name in enumerate(columns) if name not in left]
    X, coef = np.ascontiguousarray(X[:, keep]), tuple(columns[j] for j in keep)
    built = gather_factors(coder, levels, state.known, (state.structures or {}, state.arms))
    rebuilt = {factor.name: factor.terms for factor in built}
    if coef != state.coef or any(state.terms[name] != rebuilt[name] for name in rebuilt):
        raise DataError("The state does not belong to this formula: its columns differ.")
    residual = code_residuals(coder, state)
    return _design(coder, X, built, state, residual)


def _design(
    coder: TableCoder,
    X: NDArray[np.float64],
    factors: tuple[GroupingFactor, ...],
    state: DesignState,
    residual: ResidualRows | None = None,
) -> Design:
    rows = coder.rows
    return Design(
        formula=coder.terms.formula,
        response=coder.terms.formula.response,
        y=coder.response(),
        X=X,
        coef=state.coef,
        factors=factors,
        weights=rows.weights,
        offset=coder.offset(),
        data={name: column.native() for name, column in rows.columns.items()},
        rows=rows.positions,
        labels=rows.labels,
        units=rows.units,
        family=coder.family,
        trials=rows.trials,
        residual=residual,
        _state=state,
    )
