"""Priors of several responses: those of each by itself, under the names that they have here."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.families.stacked import OfResponses, of_response
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.priors.defaults import default_corr
from bayeslmm.model.priors.prior import Prior
from bayeslmm.model.residual.of_design import parameter_entries

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.design.model_data import FactorData, ModelData
    from bayeslmm.design.stacked.layout import Layout
    from bayeslmm.design.state import DesignState
    from bayeslmm.model.priors.priors import Priors

    # Prior and origin by parameter.
    type Base = dict[str, tuple[Prior, str]]


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
