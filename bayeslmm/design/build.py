"""A formula and a table in, a frozen `Design` out: of training rows, and of new ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.arguments import given_formulas, row_statements, takes_formulas
from bayeslmm.design.coding import TableCoder
from bayeslmm.design.columns.memory import restore, store
from bayeslmm.design.design import Design
from bayeslmm.design.factors.gather import gather_factors, named_covariances
from bayeslmm.design.predictors import (
    all_terms,
    code_predictors,
    kept_of,
    parameter_terms,
    predictor_factors,
    share_effects,
    split_sigma,
)
from bayeslmm.design.rank.identifiability import check_factors, dependence_of, full_rank
from bayeslmm.design.residual_checks import check_arguments, check_residuals
from bayeslmm.design.residual_rows import code_residuals, sigma_factors
from bayeslmm.design.response import (
    require_intercept,
    require_known,
    require_trials,
    told_family,
)
from bayeslmm.design.rows import NO_LEVEL, read_rows
from bayeslmm.design.stacked.any_kind import is_stacked, stack_up
from bayeslmm.design.stacked.build import Asked, refuse_of_rows, restack
from bayeslmm.design.state import DesignState, require_state
from bayeslmm.errors import (
    DataError,
    DataWarning,
    check_choice,
    names_keywords,
    warn,
)
from bayeslmm.families.parameters import variables_of
from bayeslmm.families.registry import family_of
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.residual import residual_terms
from bayeslmm.formula.sharing import share
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from numpy.typing import ArrayLike, NDArray

    from bayeslmm.arguments import ParameterFormulas
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.predictors import ParameterRows
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.design.rows import Rows
    from bayeslmm.families.family import Family
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.relationships.known import KnownLike


@names_keywords
@takes_formulas
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
    **formulas: Unpack[ParameterFormulas],
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
        Covariances of levels by the names that ``gr(g, cov=A)`` gives them, as in `fit_bayes`.
    phi, shape, nu, zi, hu, zoi, coi, disc, alpha : str, optional
        Formulas of the family's parameters, as in `fit_bayes`; one number without.
    likweights, cens, y2 : str or array-like, optional
        How often rows count, and how they are censored, as in `fit_bayes`.

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
    _check_choices(missing, rank_deficient, response)
    mixed = parse_formula(formula) if not isinstance(formula, MixedFormula) else formula
    if is_stacked(mixed, family):
        refuse_of_rows({"weights": weights, "sigma": sigma, "se": se, **formulas})
        asked = Asked(family, link, trials, residual, known, missing, rank_deficient, response)
        return stack_up(mixed, read_table(data), asked, build_design)
    of_rows = row_statements(formulas)
    chosen = told_family(family_of(family, link), of_rows, weights, (residual, sigma, se))
    require_known(chosen, weights, trials)
    sigma, others = split_sigma(chosen, sigma, given_formulas(formulas))
    check_arguments(chosen, weights, residual, sigma, se)
    terms = all_terms(mixed, chosen, (residual, sigma), others)
    require_trials(chosen, trials)
    relationships = named_covariances(terms, known)
    require_intercept(chosen, terms)
    rows = read_rows(
        terms, read_table(data), weights, missing, trials=trials, se=se,
        need_response=response == "required" or None, beside=of_rows,
    )  # fmt: skip
    _warn(rows)
    coder = TableCoder(terms, rows, {}, family=chosen)
    X, columns = coder.fixed()
    keep, dropped = full_rank(X, columns, rows.n, rank_deficient)
    dependence = dependence_of(X, keep, rows.n)
    keep = [j for j in keep if not coder.stands_for(columns[j])]
    X = X if len(keep) == len(columns) else np.ascontiguousarray(X[:, keep])
    factors = gather_factors(coder, None, relationships)
    coder.response()  # before the factors' own troubles
    check_factors(factors)
    of_residuals = code_residuals(coder)
    factors, predictors = share_effects(coder, factors, code_predictors(coder))
    in_parameters = (*sigma_factors(of_residuals), *predictor_factors(predictors))
    known_factors = [factor.name for factor in (*factors, *in_parameters)]
    names.check_coefficients(columns, known_factors, list(variables_of(chosen)))
    check_residuals(of_residuals, factors)
    state = DesignState(
        formula=str(terms.formula),
        columns=coder.column_states(),
        transforms=store(coder.memory),
        coef=tuple(columns[j] for j in keep),
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
        structures={f.name: f.structures for f in factors if f.structures} or None,
        visits=None if of_residuals is None else of_residuals.visits or None,
        strata=None if of_residuals is None else of_residuals.by_labels or None,
        known=relationships,
        parameter_terms={f.name: f.terms for f in in_parameters},
        parameter_levels={f.name: tuple(f.levels.tolist()) for f in in_parameters},
        beside={name: said for name, said in of_rows.items() if isinstance(said, str)},
        **kept_of(predictors, others),
    )
    return _design(coder, X, factors, state, (of_residuals, predictors))


def _check_choices(missing: str, rank_deficient: str, response: str) -> None:
    check_choice("missing", missing, ("drop", "raise"))
    check_choice("rank_deficient", rank_deficient, ("raise", "drop"))
    check_choice("response", response, ("required", "optional"))


def _warn(rows: Rows) -> None:
    for note in rows.notes:
        warn(note, DataWarning)


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
    in_parameters: Sequence[str] | None = None,
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
    in_parameters : sequence of str, optional
        The effects in sigma and other parameters that the rows have, by `names.in_parameter`, all
        by default; the grouping columns of others are not needed.

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
    if said.layout is not None:
        refuse_of_rows({"weights": weights, "se": se})
        asked = {"response": response, "missing": missing, "no_level": no_level, "trials": trials}
        return restack(said, factors, partial(_rebuilt, data, asked))
    of_residuals = residual_terms(said.residual, said.sigma) if residual else None
    others = parameter_terms(family_of(said.family, said.link), said.formulas)
    whole = model_terms(parse_formula(said.formula), of_residuals)
    unknown = [name for name in factors or () if name not in state.terms]
    if unknown:
        known = ", ".join(state.terms) or "none"
        raise DataError(f"There is no grouping factor {unknown[0]!r}; there are: {known}.")
    whole = share(replace(whole, parameters=others))
    terms = whole.only(None if factors is None else tuple(factors))
    if in_parameters is not None:
        terms = terms.only_in_parameters(tuple(in_parameters))
    needed = {"optional": None, "required": True, "ignored": False}[response]
    if no_level and any(NO_LEVEL in label for known in state.levels.values() for label in known):
        raise DataError(f"A level is called {NO_LEVEL!r}: missing values need another label.")
    table = read_table(data)
    rows = read_rows(
        terms, table, weights, missing, need_response=needed, training=False, no_level=no_level,
        trials=trials, se=se,
    )  # fmt: skip
    _warn(rows)
    return code_rows(state, terms, rows, state.levels)


def _rebuilt(
    data: Any, asked: Mapping[str, Any], state: DesignState, *, factors: Sequence[str] | None
) -> Design:
    """Return the design of one of several responses."""
    return rebuild_design(state, data, factors=factors, **asked)


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
    built, predictors = share_effects(coder, built, code_predictors(coder, state))
    rebuilt = {factor.name: factor.terms for factor in built}
    if coef != state.coef or any(state.terms[name] != rebuilt[name] for name in rebuilt):
        raise DataError("The state does not belong to this formula: its columns differ.")
    return _design(coder, X, built, state, (code_residuals(coder, state), predictors))


def _design(
    coder: TableCoder,
    X: NDArray[np.float64],
    factors: tuple[GroupingFactor, ...],
    state: DesignState,
    beside: tuple[ResidualRows | None, tuple[ParameterRows, ...]],
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
        likweights=rows.likweights,
        ends=coder.ends(),
        residual=beside[0],
        predictors=beside[1],
        _state=state,
    )
