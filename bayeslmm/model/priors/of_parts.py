"""Priors of several responses: those of each by itself, under the names that they have here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.families.registry import family_of
from bayeslmm.families.stacked import OfResponses, of_response
from bayeslmm.model.covariance.block_covariance import BlockCovariance, covariance_of
from bayeslmm.model.priors.defaults import default_corr
from bayeslmm.model.priors.factor_priors import FactorPriors
from bayeslmm.model.priors.prior import LKJ, Prior
from bayeslmm.model.priors.priors import Priors
from bayeslmm.model.residual.of_design import parameter_entries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.design.model_data import FactorData, ModelData
    from bayeslmm.design.stacked.layout import Layout
    from bayeslmm.design.state import DesignState

    # Prior and origin by parameter.
    type Base = dict[str, tuple[Prior, str]]


USER = "user"


def base_of_parts(design: ModelData, parts: Sequence[Priors], origin: str) -> Base:
    """Return the priors of a stacked design that nothing has changed.

    Parameters
    ----------
    design : ModelData
        Of several responses.
    parts : sequence of Priors
        Of each response by itself.
    origin : str
        Of priors that no response has by itself, those of correlations between responses.
    """
    layout = design.state.layout
    assert layout is not None  # noqa: S101 - of several responses
    listed = [
        {name: (prior, part.origins[name]) for name, prior in part.entries()} for part in parts
    ]
    base: Base = {}
    for k, known in enumerate(listed):
        pairs = zip(layout.coef(k), layout.parts[k].coef, strict=True)
        base |= {name: known[own] for name, own in pairs}
    for factor in design.factors:
        base |= _of_factor(factor, layout, parts, listed)
        covariance = covariance_of(factor)
        base[covariance.corr_name] = (default_corr(covariance), origin)
    return base | _of_parameters(design, layout, listed, origin)


def _of_factor(
    factor: FactorData,
    layout: Layout[DesignState],
    parts: Sequence[Priors],
    listed: Sequence[Base],
) -> Base:
    """Return the priors of the standard deviations of one grouping factor."""
    covariance, base = covariance_of(factor), {}
    for k, part in enumerate(parts):
        for own in part.factors:
            if own.name == factor.name:
                for column, at in enumerate(layout.places(factor.name, k)):
                    there = own.covariance.sd_names[own.covariance.sd_columns[column]]
                    name = covariance.sd_names[covariance.sd_columns[at]]
                    base[name] = listed[k][there]
    return base


def _of_parameters(
    design: ModelData, layout: Layout[DesignState], listed: Sequence[Base], origin: str
) -> Base:
    """Return the priors of family parameters, or of the residuals' covariance."""
    base: Base = {}
    if isinstance(family := design.family, OfResponses):
        for k, response in enumerate(family.responses):
            for parameter in family.members[k].parameters:
                there = replace(parameter, name=of_response(parameter.name, response))
                pairs = zip(there.entries, parameter.entries, strict=True)
                base |= {name: listed[k][own] for name, own in pairs}
        return base
    for entry in parameter_entries(design):
        if entry.default is None and entry.label in layout.names:
            base[entry.name] = listed[layout.names.index(entry.label)][names.SIGMA]
        else:
            base[entry.name] = (Prior.parse(str(entry.default)), origin)
    return base


def intercepts_of_parts(
    parts: Sequence[Priors],
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Return the centers of all coefficients, and whose intercept each of them moves."""
    centers: list[float] = []
    places: list[int] = []
    for part in parts:
        start = len(centers)
        centers += part.centers
        own = range(start, start + len(part.coef))
        places += [start] * len(part.coef) if part.has_intercept else own
    return tuple(centers), tuple(places)


def scheme_of_correlations(rule: Mapping[str, object]) -> dict[str, object]:
    """Return what a scheme says of correlations, of which responses by themselves have none."""
    return {key: value for key, value in rule.items() if key == "corr"}


def priors_of_part(priors: Priors, layout: Layout[DesignState], k: int) -> Priors:
    """Return the priors of one response by itself, as those of all of them say.

    Parameters
    ----------
    priors : Priors
        Of all responses.
    layout : Layout
        How they stand beside each other.
    k : int
        Which of them.
    """
    state, called = layout.parts[k], layout.names[k]
    start = sum(len(part.coef) for part in layout.parts[:k])
    own = slice(start, start + len(state.coef))
    parameters = {}
    for there, name in _own_parameters(state, called).items():
        found = [there, f"{names.SD_RESIDUAL}[{called}]", f"{names.SIGMA_BY}[{called}]"]
        parameters[name] = next(priors.parameters[key] for key in found if key in priors.parameters)
    whole = Priors(
        state.coef,
        priors.beta[own],
        priors.centers[own],
        tuple(
            _factor_of_part(factor, layout, k)
            for factor in priors.factors
            if factor.name in state.terms
        ),
        parameters,
        {},
    )
    origins = set(priors.origins.values())
    origin = USER if origins == {USER} else "default"
    return replace(whole, origins={name: origin for name, _ in whole.entries()})


def _own_parameters(state: DesignState, response: str) -> dict[str, str]:
    family = family_of(state.family, state.link)
    return {
        key: own
        for parameter in family.parameters
        for key, own in zip(
            replace(parameter, name=of_response(parameter.name, response)).entries,
            parameter.entries,
            strict=True,
        )
    }


def _factor_of_part(factor: FactorPriors, layout: Layout[DesignState], k: int) -> FactorPriors:
    """Return the priors of the columns that one response has of a factor.

    A correlation matrix of q' of q columns under LKJ(eta) is under LKJ(eta + (q - q') / 2) [1]_.

    References
    ----------
    .. [1] Lewandowski, Kurowicka & Joe (2009), doi:10.1016/j.jmva.2009.04.008
    """
    state, places = layout.parts[k], layout.places(factor.name, k)
    whole = layout.blocks[factor.name]
    mine = [[column for part, column in block if part == k] for block in whole]
    blocks = tuple(tuple(block) for block in mine if block)
    structures = (state.structures or {}).get(factor.name, ())
    terms = state.terms[factor.name]
    covariance = BlockCovariance.of_blocks(factor.name, terms, blocks, structures)
    sds = tuple(
        factor.sd[factor.covariance.sd_columns[places[lead]]] for lead in covariance.sd_leads
    )
    corr = None
    if covariance.has_correlations and factor.corr is not None:
        lost = max(len(all_) - len(own) for all_, own in zip(whole, mine, strict=True) if own)
        corr = Prior.of(LKJ, eta=factor.eta + lost / 2)
    return FactorPriors(covariance, sds, corr)
