"""`update`: a fit again, with something changed and the rest as it was."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import pandas as pd

from bayeslmm import names
from bayeslmm.arguments import ParameterFormulas
from bayeslmm.design.predictors import parameter_terms
from bayeslmm.design.state import state_content
from bayeslmm.errors import (
    ArgumentError,
    BayesLMMWarning,
    DataError,
    TreeError,
    passes_keywords_to,
)
from bayeslmm.families.parameters import with_modelled
from bayeslmm.families.registry import family_of
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.residual import residual_terms
from bayeslmm.formula.update import update_formula
from bayeslmm.gram.file import gram_of_dataset
from bayeslmm.gram.gram import Gram, gram_of
from bayeslmm.gram.gram_design import design_of
from bayeslmm.inference.fit import fit_bayes
from bayeslmm.inference.parametrization import ASKED
from bayeslmm.inference.settings import DEFAULT_TARGET_ACCEPT
from bayeslmm.model.priors.given import SCHEME
from bayeslmm.model.priors.priors import Priors
from bayeslmm.model.priors.resolve import DEFAULT, USER, resolve_priors, vary_priors
from bayeslmm.model.priors.schemes import SCHEMES
from bayeslmm.reml.fit import fit_reml
from bayeslmm.reml.krylov.comparison import same_border
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read
from bayeslmm.results.family import family
from bayeslmm.results.known import known_covariances
from bayeslmm.results.record import recorded, refuse_rows_of_several
from bayeslmm.results.residual import has_structure
from bayeslmm.results.row_statements import held_column, row_statements_of
from bayeslmm.results.rows import training_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

    from bayeslmm.design.model_data import ModelData
    from bayeslmm.formula.predictor import PredictorTerms
    from bayeslmm.formula.residual import ResidualTerms
    from bayeslmm.model.priors.resolve import PriorsLike
    from bayeslmm.relationships.known import Known


@overload
def update(
    fit: xr.DataTree,
    formula: str | MixedFormula | None = None,
    data: Any = None,
    *,
    priors: PriorsLike | None = None,
    **settings: Any,
) -> xr.DataTree: ...
@overload
def update(
    fit: REMLFit,
    formula: str | MixedFormula | None = None,
    data: Any = None,
    **settings: Any,
) -> REMLFit: ...
@passes_keywords_to(fit_bayes, fit_reml)
def update(
    fit: xr.DataTree | REMLFit,
    formula: str | MixedFormula | None = None,
    data: Any = None,
    *,
    priors: PriorsLike | None = None,
    **settings: Any,
) -> xr.DataTree | REMLFit:
    """Fit again with another formula, other data, priors or settings, and the rest as it was.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`.
    formula : str or MixedFormula, optional
        The new formula. Dots stand for the old one's sides, as in R's `update`: ``". ~ . + x"``,
        ``". ~ . - (x | g) + (1 | g)"``, ``"log(.) ~ ."``.
    data : table or Gram, optional
        The rows. Without it those that the fit holds: the columns that the old formula reads, of
        the rows that were fitted, so that fits can be compared. Where the new formula reads
        others, and after a fit to cross-products where it differs, it is needed.
    priors : mapping, str, PriorScheme or Priors, optional
        A mapping changes what it names, and leaves what the user set for the fit, where the new
        model has the parameter; defaults and schemes follow the new data. A scheme, or `Priors`,
        stands for everything.
    **settings
        Further arguments of `fit_bayes` (draws, seed, sampler, ...) or `fit_reml` (method, ...);
        those that are not named are the fit's own, the seed included. Weights, trials,
        ``residual``, ``sigma`` and ``se`` are the fit's (new weights stand for the latter three,
        and these for old weights); with new data, of the column that they were taken from. So is
        the family, with its link where no other family is given. None takes any of them away.

    Returns
    -------
    DataTree or REMLFit
        As the function gives it that made the fit.

    Raises
    ------
    DataError
        If rows, columns, weights or trials are needed that nothing holds.
    FormulaError, PriorError, SamplingError, ArgumentError
        As `fit_bayes` or `fit_reml` raise them.
    TreeError
        When `fit` is no result of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit_reml("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> round(bl.update(fit, method="ML").aic, 1)
    1763.9
    >>> bl.update(fit, ". ~ . - (Days | Subject) + (1 | Subject)").formula
    'Reaction ~ 1 + Days + (1 | Subject)'
    """
    if isinstance(fit, REMLFit):
        if priors is not None:
            raise ArgumentError("A REML fit has no priors: leave priors out.")
        return _update_reml(fit, formula, data, settings)
    read.require_tree(fit)
    refuse_rows_of_several(fit)
    read.group(fit, "posterior")
    asked = settings.keys()
    old = parse_formula(str(fit.attrs["formula"]))
    new = _new_formula(old, formula)
    settings = {**_likelihood(fit, settings), **settings}
    settings = {**_residuals_of_tree(fit, settings, same_rows=data is None), **settings}
    settings = {**_formulas(fit, settings), **row_statements_of(fit, data), **settings}
    settings = _with_known(new, known_covariances(fit), settings)
    rows, known = _rows(fit, new, data, settings)
    with warnings.catch_warnings():
        # What there is to say of the data, the fit says.
        warnings.simplefilter("ignore", BayesLMMWarning)
        given = {**_rows_settings(fit), **settings, **known}
        coding = {name: given[name] for name in _CODING if name in given}
        design = design_of(new, rows, **coding)
    # Defaults follow what the rows are and weigh.
    same = data is None and str(new) == str(old) and not asked & set(_CODING)
    chosen = _priors(fit, design, priors, same=same)
    given = _settings(fit, design, given)
    if not design.has_rows:
        # Rows that are held elsewhere are summed once.
        rows, given["weights"] = gram_of(design), None
    return fit_bayes(new, rows, priors=chosen, **given)


# Arguments that decide how rows are read, of `design_of` and `fit_bayes`.
_OF_RESIDUALS = ("residual", "sigma", "se")
_CODING = ("weights", "missing", "rank_deficient", "family", "link", "trials", *_OF_RESIDUALS,
           "known", *ParameterFormulas.__annotations__)  # fmt: skip


def _formulas(fit: xr.DataTree, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the formulas of parameters that the fit has, and the new family, too."""
    own = state_content(str(fit.attrs["design"])).get("formulas", {})
    member = with_modelled(family_of(settings["family"]), own) if own else None
    there = [] if member is None else [p.name for p in member.parameters]
    return {name: text for name, text in own.items() if name in there}


def _with_known(new: MixedFormula, own: Known, settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the fit's covariances of levels that a formula names."""
    used = {term.cov for term in new.random}
    kept = {name: matrix for name, matrix in own.items() if name in used}
    given = settings.get("known")
    if not kept or not (given is None or isinstance(given, Mapping)):
        return settings
    return {**settings, "known": {**kept, **(given or {})}}


def _rows_settings(fit: xr.DataTree) -> dict[str, Any]:
    """Return how the fit read its rows, as far as a tree shows it."""
    return {"rank_deficient": "drop"} if fit.attrs.get("dropped_columns") else {}


def _likelihood(fit: xr.DataTree, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the fit's family, with its link where neither is given anew."""
    if "family" in settings:
        return {}
    own = family(fit)
    return {"family": own.name, "link": own.link.name}


def _new_formula(old: MixedFormula, formula: str | MixedFormula | None) -> MixedFormula:
    if formula is None:
        return old
    if isinstance(formula, MixedFormula):
        return formula
    # What is no text is refused by `parse_formula`.
    return update_formula(old, formula) if isinstance(formula, str) else parse_formula(formula)


def _update_reml(fit: REMLFit, formula: Any, data: Any, settings: dict[str, Any]) -> REMLFit:
    new = _new_formula(parse_formula(fit.formula), formula)
    own, state = fit.data.residual, fit.data.state
    if state.layout is not None:
        raise ArgumentError("update changes fits of one response: give several to fit_reml again.")
    se = None if own is None else own.se if fit.data.has_rows else state.se
    said = {"residual": state.residual, "sigma": state.sigma, "se": state.se}
    settings = {**_residuals_of(said, se, settings, same_rows=data is None), **settings}
    if data is None and fit.data.has_rows:
        rows = fit.data.coded_rows
        data = pd.DataFrame(dict(rows.data), index=rows.obs)
        terms = residual_terms(settings.get("residual"), settings.get("sigma"))
        _require_columns(data, new, fit.formula, terms)
        if not any(settings.get(name) is not None for name in _OF_RESIDUALS):
            settings = {"weights": rows.weights, **settings}
    elif data is None:
        if str(new) != fit.formula or "weights" in settings:
            raise DataError(
                f"The fit holds the cross-products of {fit.formula!r}, not the rows: give data=."
            )
        data = gram_of(fit.data)
    elif "weights" not in settings and not isinstance(data, Gram):
        weighted = fit.residual is None and fit.gram.sum_log_weights != 0
        column = None if fit.gram.state is None else fit.gram.state.weights
        settings = {**settings, "weights": held_column(column, "weights", had=weighted)}
    settings = _with_known(new, state.known, settings)
    return fit_reml(new, data, **{"method": fit.method, **same_border(fit), **settings})


def _residuals_of(
    said: Mapping[str, Any], se: Any, settings: dict[str, Any], *, same_rows: bool
) -> dict[str, Any]:
    """Return what a fit says of its residuals, as far as it is not said anew.

    `said` is the text of its arguments and the column of its standard errors, which are `se`.
    """
    if settings.get("weights") is not None:
        return {}
    found: dict[str, Any] = {"residual": said.get("residual"), "sigma": said.get("sigma")}
    if se is not None and "se" not in settings:
        found["se"] = se if same_rows else held_column(said.get("se"), "se", had=True)
    if found.get("se") is not None and settings.get("residual") is not None:
        found.pop("se")
    return found


def _residuals_of_tree(
    fit: xr.DataTree, settings: dict[str, Any], *, same_rows: bool
) -> dict[str, Any]:
    other = settings["family"] != family(fit).name
    if not has_structure(fit) or (other and family_of(settings["family"]).gaussian_scale is None):
        return {}
    said = state_content(str(fit.attrs["design"]))
    summed = read.from_cross_products(fit)
    se = said.get("se") if summed else read.constant(fit, "se")
    found = _residuals_of(said, se, settings, same_rows=same_rows)
    return {name: value for name, value in found.items() if value is not None}


def _rows(
    fit: xr.DataTree, new: MixedFormula, data: Any, settings: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return the rows to fit, and what is known of them: weights and trials, if any."""
    member = family_of(settings["family"], settings.get("link"))
    # Trials of the binomial are nothing that another family could take.
    roles = ("weights", "trials")[: 2 if member.response.known == "trials" else 1]
    if any(settings.get(name) is not None for name in _OF_RESIDUALS):
        roles = tuple(role for role in roles if role != "weights")
    given = [role for role in ("weights", "trials") if role in settings]
    known: dict[str, Any] = {role: settings[role] for role in given}
    if data is not None:
        for role in () if isinstance(data, Gram) else roles:
            if role not in known:
                column = state_content(str(fit.attrs["design"])).get(role)
                known[role] = held_column(column, role, had=_had(fit, role))
        return data, known
    if read.from_cross_products(fit):
        if (old := str(fit.attrs["formula"])) != str(new):
            raise DataError(
                f"The tree holds the cross-products of {old!r}, which serve no other formula: give "
                "data=."
            )
        return gram_of_dataset(Gram, read.group(fit, names.CROSS_PRODUCTS)), known
    table = training_table(fit)
    terms = residual_terms(settings.get("residual"), settings.get("sigma"))
    formulas = {name: settings.get(name) for name in ParameterFormulas.__annotations__}
    others = parameter_terms(member, formulas)
    _require_columns(table, new, str(fit.attrs["formula"]), terms, others)
    return table, {**{role: read.constant(fit, role) for role in roles}, **known}


def _require_columns(
    table: pd.DataFrame,
    new: MixedFormula,
    old: str,
    said: ResidualTerms | None = None,
    others: Sequence[PredictorTerms] = (),
) -> None:
    terms = replace(model_terms(new, said), parameters=tuple(others))
    beside = (*terms.shares, *terms.correlation_columns, *terms.parameter_grouping)
    for name in (*terms.response.variables, *terms.predictors, *terms.grouping, *beside):
        if name not in table:
            raise DataError(
                f"The fit holds the columns that {old!r} reads ({', '.join(map(str, table))}), "
                f"and {name!r} is none of them: give data=."
            )


def _had(fit: xr.DataTree, role: str) -> bool:
    """Whether a fit's rows had weights or trials."""
    if not read.from_cross_products(fit):
        return read.constant(fit, role) is not None
    return role == "weights" and bool(
        gram_of_dataset(Gram, read.group(fit, names.CROSS_PRODUCTS)).sum_log_weights
    )


def _priors(fit: xr.DataTree, design: ModelData, given: PriorsLike | None, *, same: bool) -> Any:
    """Return the priors of the new fit: the given ones over those that the user set."""
    whole = given is not None and (not isinstance(given, Mapping) or SCHEME in given)
    if whole:
        return given
    try:
        old = Priors.from_json(str(fit.attrs["priors"]))
    except (KeyError, ValueError) as error:
        raise TreeError(
            "This tree lost the root attribute 'priors': give priors= as a scheme."
        ) from error
    base = old if same else resolve_priors(design, _kept(old, design))
    return base if given is None else vary_priors(design, given, base)[0]  # type: ignore[arg-type]


def _kept(old: Priors, design: ModelData) -> dict[str, Any]:
    """Return what the user set for parameters that the new model has, and the scheme."""
    there = {name for name, _ in resolve_priors(design).entries()}
    kept: dict[str, Any] = {
        name: prior
        for name, prior in old.entries()
        if old.origins.get(name) == USER and name in there
    }
    schemes = set(old.origins.values()) - {USER, DEFAULT}
    if unknown := sorted(schemes - set(SCHEMES)):
        raise ArgumentError(
            f"The fit's priors follow the scheme {unknown[0]!r}, which is none of the package's "
            "own: give priors=."
        )
    return {**kept, **({SCHEME: min(schemes)} if schemes else {})}


def _settings(fit: xr.DataTree, design: ModelData, given: dict[str, Any]) -> dict[str, Any]:
    """Return how to sample: as the fit did, and as given."""
    own = recorded(fit, "settings")
    if own and "parametrization" in fit.attrs:
        own["parametrization"] = str(fit.attrs["parametrization"])
    for name in ("sampler", "parametrization"):
        if fit.attrs.get(f"{name}_reason", ASKED) != ASKED:
            own.pop(name, None)
    stats = fit["sample_stats"].attrs if "sample_stats" in fit.children else {}
    chosen = "target_accept_reason" in stats or own.get("target_accept") == DEFAULT_TARGET_ACCEPT
    if chosen or {"sampler", "parametrization"} & given.keys():
        # Nobody asked for it, or it was settled for the other way to sample.
        own.pop("target_accept", None)
    own["effects"] = _effects(fit, {factor.name for factor in design.factors})
    return {**own, **given}


def _effects(fit: xr.DataTree, factors: set[str]) -> dict[str, Any]:
    """Return which random effects the fit kept."""
    kept: dict[str, Any] = {}
    for info in read.factors(fit):
        if info.name not in factors:
            continue
        if read.has_moments(fit, info.name):
            kept[info.name] = "moments"
        elif info.levels != info.all_levels:
            kept[info.name] = list(info.levels)
    return kept
