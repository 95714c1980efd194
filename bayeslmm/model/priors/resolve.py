"""The user's priors over a scheme's over the defaults: every prior of the model comes out.

The intercept's prior is a statement about the response at the predictors' means. The default prior
of a random intercept's sd, with those of its correlated set, is one about the effects at the means
of columns that do not reach zero (`Shift`). Every other prior is a statement about the parameter
of that name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bayeslmm import names
from bayeslmm.design.scales import check_magnitudes
from bayeslmm.errors import PriorError, names_keywords, nearest
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.predictors import effect_scales, parameter_factors, predictors_of
from bayeslmm.model.priors.defaults import DefaultPriors, default_corr, default_priors
from bayeslmm.model.priors.dirichlet import with_sticks
from bayeslmm.model.priors.factor_priors import FactorPriors
from bayeslmm.model.priors.given import SCHEME, read_prior, require_design, split_scheme
from bayeslmm.model.priors.of_parts import (
    base_of_parts,
    intercepts_of_parts,
    scheme_of_correlations,
)
from bayeslmm.model.priors.priors import Priors
from bayeslmm.model.priors.schemes import PriorScheme
from bayeslmm.model.priors.shift import shift_of
from bayeslmm.model.priors.supports import (
    ANY,
    MATRIX,
    POSITIVE,
    Allowed,
    allowed_of,
    check_support,
)
from bayeslmm.model.residual.of_design import parameter_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import FactorData, ModelData
    from bayeslmm.design.scales import ColumnScale
    from bayeslmm.design.stacked.stack import Stack
    from bayeslmm.model.priors.prior import Prior, PriorLike


# What a user may give: nothing, a scheme, single priors over a scheme or the defaults, or the
# finished value.
PriorsLike = str | PriorScheme | Mapping[str, Any] | Priors
DEFAULT = "default"
USER = "user"
# A scheme's rule may name these whether or not the model has such a parameter.
_GENERAL_KEYS = frozenset({names.BETA, names.INTERCEPT, "sd", "corr", names.SIGMA})


@dataclass(frozen=True)
class _Layer:
    """Priors by key, from one source."""

    origin: str
    chosen: Mapping[str, Prior]


@names_keywords
def resolve_priors(design: ModelData, priors: PriorsLike | None = None) -> Priors:
    """Return every prior of a model: the user's, completed by the defaults for this design.

    Keys, from the least to the most specific (the most specific wins):

    ==============================  =====================================================
    ``"beta"``                      every fixed effect except the intercept
    ``"Intercept"``                 the intercept, at the predictors' means; of several responses
                                    all of them, of which ``"y_Intercept"`` is one
    ``"Days"``, ``"beta[Days]"``    one fixed effect
    ``"sd"``                        every random-effect standard deviation
    ``"sd_Subject"``                those of one factor
    ``"sd_Subject[Days]"``          one of them
    ``"corr"``                      every correlation matrix
    ``"corr_Subject"``              those of one factor
    ``"sd_sigma"``,                 standard deviations and correlations of random effects in
    ``"corr_sigma"``                log(sigma), of which ``"sd_sigma_Subject"`` are those of one
                                    factor; ``"corr"`` is of these, too, and ``"sd"`` is not; so of
                                    other parameters with formulas, as ``"sd_zi"``
    ``"beta_zi"``,                  coefficients of a formula of ``zi`` but the intercept, which is
    ``"beta_zi[Intercept]"``        at the columns' means; one is ``"beta_zi[x]"``
    ``"sigma"``                     the residual standard deviation; so ``"shape"``, ``"nu"`` and
                                    ``"phi"``, the parameters of families that have them
    ``"threshold"``                 a Dirichlet distribution of the probabilities of ordered
                                    categories at the predictors' means, ``"Dirichlet(2)"`` or with
                                    a number for each; ``"stick[1|2]"`` is a share of its own
    ``"rho_residual"``,             parameters of a residual structure, all of that name; one is
    ``"corr_residual"``, ...        ``"sd_residual[week 4]"``, and all standard deviations are
                                    ``"sigma"``
    ``"scheme"``                    a scheme's name or a `PriorScheme`: what the other keys do not
                                    name follows its rule, and what that does not, the defaults
    ==============================  =====================================================

    Parameters
    ----------
    design : Design
        The model.
    priors : mapping, str, PriorScheme, Priors or None
        Key -> text such as ``"Normal(0, 10)"``, a `Prior`, or a ``pymc_extras.prior.Prior``; only
        what is named changes. Text or a `PriorScheme` by itself is a scheme:
        ``"weakly_informative"`` (the defaults), ``"brms"``, ``"rstanarm"``, ``"bambi"``,
        ``"half_cauchy"``, ``"flat"``, and ``"probability"`` for responses between 0 and 1. A
        `Priors` is checked against the design and returned.

    Returns
    -------
    Priors
        Every prior of the model.

    Raises
    ------
    ArgumentError
        If `design` is none.
    PriorError
        For unknown keys, unreadable priors and priors whose support does not suit the parameter.
    NumericalError
        If a column is too large or too small to be squared.

    Examples
    --------
    >>> from bayeslmm import build_design, load_dataset
    >>> design = build_design("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    >>> resolve_priors(design, {"sigma": "HalfCauchy(10)"}).sigma
    Prior('HalfCauchy(beta=10)')
    >>> resolve_priors(design, {"scheme": "brms", "sigma": "HalfNormal(3)"}).factors[0].sd[1]
    Prior('HalfStudentT(nu=3, sigma=59.3)')
    """
    require_design(design)
    check_magnitudes(design)
    if isinstance(priors, Priors):
        return _check_same_model(design, priors)
    if design.stack is not None:
        return _of_responses(design, design.stack, priors)
    defaults = default_priors(design)
    base = {name: (prior, DEFAULT) for name, prior in _listed(design, defaults).items()}
    return _resolve(design, _layers(design, priors), base, defaults.centers)[0]


def _of_responses(design: ModelData, stack: Stack[Design], priors: Any) -> Priors:
    """Resolve priors of several responses over those of each by itself."""
    scheme, single = split_scheme(priors)
    parts = [resolve_priors(part, scheme) for part in stack.parts]
    layers, origin = _layers(design, single), DEFAULT
    if scheme is not None:
        said = scheme_of_correlations(scheme.rule(stack.parts[0]))
        layers.append(
            _Layer(scheme.name, {key: read_prior(key, value) for key, value in said.items()})
        )
    centers, intercepts = intercepts_of_parts(parts)
    resolved, _ = _resolve(design, layers, base_of_parts(design, parts, origin), centers)
    return replace(resolved, intercepts=intercepts)


def vary_priors(
    design: ModelData, priors: Mapping[str, PriorLike], base: Priors
) -> tuple[Priors, dict[str, str]]:
    """Return a resolved set with the named priors changed, whatever named them before.

    Parameters
    ----------
    design : Design
        The model.
    priors : mapping
        Key -> prior as in `resolve_priors`, without a scheme.
    base : Priors
        What the other parameters keep.

    Returns
    -------
    Priors
        Every prior of the model.
    dict of str to str
        Parameter -> the key that changed it.

    Raises
    ------
    PriorError
        As `resolve_priors` does.

    Examples
    --------
    >>> from bayeslmm import build_design, load_dataset
    >>> design = build_design("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    >>> base = resolve_priors(design, {"sd_Subject": "HalfNormal(3)"})
    >>> vary_priors(design, {"sd": "HalfNormal(9)"}, base)[1]
    {'sd_Subject[Intercept]': 'sd', 'sd_Subject[Days]': 'sd'}
    """
    known = {name: (prior, base.origins[name]) for name, prior in base.entries()}
    varied, deciding = _resolve(design, _layers(design, priors), known, base.centers)
    return replace(varied, intercepts=base.intercepts), deciding


def _listed(design: ModelData, defaults: DefaultPriors) -> dict[str, Prior]:
    listed = dict(zip(design.coef, defaults.beta, strict=True))
    for factor, sds in zip(design.factors, defaults.sd, strict=True):
        covariance = covariance_of(factor)
        leads = [sds[k] for k in covariance.sd_leads]
        listed |= dict(zip(covariance.sd_names, leads, strict=True))
        listed[covariance.corr_name] = default_corr(covariance)
    for factor, sds in zip(parameter_factors(design), defaults.parameter_sd, strict=True):
        covariance = covariance_of(factor)
        listed |= dict(zip(covariance.sd_names, sds, strict=True))
        listed[covariance.corr_name] = default_corr(covariance)
    return listed | dict(defaults.parameters)


def _resolve(
    design: ModelData,
    layers: list[_Layer],
    base: Mapping[str, tuple[Prior, str]],
    centers: tuple[float, ...],
) -> tuple[Priors, dict[str, str]]:
    origins: dict[str, str] = {}
    deciding: dict[str, str] = {}

    def pick(parameter: str, keys: tuple[str, ...], allowed: Allowed) -> Prior:
        for layer in layers:
            key = next((k for k in keys if k in layer.chosen), None)
            if key is not None:
                origins[parameter] = layer.origin
                deciding[parameter] = key
                return check_support(key, layer.chosen[key], allowed)
        prior, origins[parameter] = base[parameter]
        return prior

    beta = tuple(pick(coef, _beta_keys(design, coef), ANY) for coef in design.coef)

    def of_factor(
        factor: FactorData, columns: Sequence[ColumnScale], of_sds: str, of_matrix: tuple[str, ...]
    ) -> FactorPriors:
        covariance = covariance_of(factor)
        sd = tuple(
            pick(sd_name, (sd_name, covariance.sd_name, of_sds), POSITIVE)
            for sd_name in covariance.sd_names
        )
        corr = None
        if covariance.has_correlations:
            corr = pick(covariance.corr_name, (covariance.corr_name, *of_matrix), MATRIX)
        at_default = {name for name in covariance.sd_names if origins[name] == DEFAULT}
        bases = factor.terms if factor.arms is None else factor.arms.bases
        return FactorPriors(covariance, sd, corr, shift_of(covariance, bases, columns, at_default))

    pairs = zip(design.factors, design.scales.random, strict=True)
    factors = tuple(of_factor(*pair, "sd", ("corr",)) for pair in pairs)
    others = tuple(
        of_factor(factor, columns, sd, (corr, "corr"))
        for factor, columns in zip(parameter_factors(design), effect_scales(design), strict=True)
        for sd, corr in (_keys_of_parameter(factor.name),)
    )
    entries = parameter_entries(design)
    parameters = {
        entry.name: pick(entry.name, entry.all_keys, allowed_of(entry)) for entry in entries
    }
    matrices = {entry.name: entry.n_columns for entry in entries if entry.is_matrix}
    predictors = {p.variable: p.centers for p in predictors_of(design) if any(p.centers)}
    resolved = Priors(
        design.coef, beta, centers, factors, parameters, origins, matrices, others, predictors
    )
    return resolved, deciding


def _layers(design: ModelData, priors: Any) -> list[_Layer]:
    """Return what the user gave, the most important layer first, all keys checked."""
    scheme, single = split_scheme(priors)
    single = with_sticks(design.family, single)
    single = _respelt(design, single)
    _check_keys(design, single, ())
    chosen = {key: read_prior(key, value) for key, value in single.items()}
    layers = [_Layer(USER, chosen)]
    if scheme is not None:
        try:
            rule = scheme.rule(design)
            _check_keys(design, rule, _GENERAL_KEYS)
            ruled = {key: read_prior(key, value) for key, value in rule.items()}
        except PriorError as error:
            raise PriorError(f"The prior scheme {scheme.name!r}: {error}") from None
        layers.append(_Layer(scheme.name, ruled))
    return layers


def _beta_keys(design: ModelData, coef: str) -> tuple[str, ...]:
    """Return the keys of one fixed effect; a name with a meaning of its own is none of them."""
    inside = f"{names.BETA}[{coef}]"
    exact = (inside,) if coef in _reserved_keys(design) else (inside, coef)
    if coef == names.INTERCEPT:
        return exact
    return (*exact, names.INTERCEPT if coef in _intercepts(design) else names.BETA)


def _intercepts(design: ModelData) -> list[str]:
    """Return what the intercepts of several responses are called; none of one response."""
    called = () if design.stack is None else design.stack.names
    return [names.of_response(response, names.INTERCEPT) for response in called]


def _keys_of_parameter(factor: str) -> tuple[str, str]:
    """Return the keys of all sds, and all correlations, of effects in a factor's parameter."""
    parameter = names.apart(factor)[0]
    return names.sd(parameter), names.corr(parameter)


def _reserved_keys(design: ModelData) -> set[str]:
    others = parameter_factors(design)
    factors = (*design.factors, *others)
    of_factors = {key(f.name) for f in factors for key in (names.sd, names.corr)}
    of_factors |= {key for factor in others for key in _keys_of_parameter(factor.name)}
    return {names.BETA, "sd", "corr", SCHEME, *_family_keys(design)} | of_factors


def _family_keys(design: ModelData) -> list[str]:
    keys = [key for entry in parameter_entries(design) for key in reversed(entry.all_keys)]
    return list(dict.fromkeys(keys))


def _valid_keys(design: ModelData) -> list[str]:
    reserved = _reserved_keys(design)
    keys = [
        *(c for c in design.coef if c not in reserved),
        *(f"{names.BETA}[{coef}]" for coef in design.coef),
        names.BETA,
        *([names.INTERCEPT] if set(_intercepts(design)) & set(design.coef) else []),
        "sd",
    ]
    for factor in design.factors:
        covariance = covariance_of(factor)
        keys += [covariance.sd_name, *covariance.sd_names]
        if covariance.has_correlations:
            keys += [covariance.corr_name, "corr"]
    for factor in parameter_factors(design):
        covariance = covariance_of(factor)
        all_sds, all_matrices = _keys_of_parameter(factor.name)
        keys += [all_sds, covariance.sd_name, *covariance.sd_names]
        if covariance.has_correlations:
            keys += [covariance.corr_name, all_matrices, "corr"]
    return list(dict.fromkeys([*keys, *_family_keys(design)]))


def _respelt(design: ModelData, chosen: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return keys as the model spells them: blanks, ``^`` and the order of products are free."""
    valid = _valid_keys(design)
    by_spelling = {names.spelling(key): key for key in reversed(valid)}
    respelt: dict[Any, Any] = {}
    for key, value in chosen.items():
        known = key
        if isinstance(key, str) and key not in valid:
            known = by_spelling.get(names.spelling(key), key)
        if known in respelt:
            raise PriorError(f"Two priors are given for {known!r}; one of them is {key!r}.")
        respelt[known] = value
    return respelt


# brms's classes.
_OF_BRMS = {"b": names.BETA, "cor": "corr", "sds": "sd"}


def _check_keys(design: ModelData, chosen: Mapping[Any, Any], also: Collection[str]) -> None:
    valid = _valid_keys(design)
    for key in chosen:
        if not isinstance(key, str):
            raise PriorError(f"Keys of priors are parameter names (text), not {key!r}.")
        if key not in valid and key not in also:
            hint = nearest(key, [*valid, SCHEME])
            own = _OF_BRMS.get(key, next((k for k in valid if k.startswith(f"{key}[")), ""))
            if own and not hint:
                hint = f" Did you mean {own!r}?"
            shown = ", ".join(repr(k) for k in valid if not k.startswith(f"{names.BETA}["))
            raise PriorError(
                f"There is no parameter {key!r} to set a prior on.{hint} "
                f"This model's keys are {shown}."
            )


def _check_same_model(design: ModelData, priors: Priors) -> Priors:
    ours = [covariance_of(factor) for factor in (*design.factors, *parameter_factors(design))]
    theirs = [factor.covariance for factor in priors.all_factors]
    same_family = list(priors.parameters) == [e.name for e in parameter_entries(design)]
    if priors.coef != design.coef or ours != theirs or not same_family:
        raise PriorError("These priors were resolved for another model; resolve them again.")
    return priors
