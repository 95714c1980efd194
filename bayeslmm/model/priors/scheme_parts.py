"""What several prior schemes are put together from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.priors.defaults import default_priors, link_scale
from bayeslmm.model.priors.prior import Prior, PriorLike

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.scales import ColumnScale

# 100 standard deviations: over the likelihood's few, such a prior varies by less than 0.1 %.
WIDE = 100.0


def coef_key(name: str) -> str:
    """Return the key of a fixed effect's prior, whatever it is called.

    Examples
    --------
    >>> coef_key("sd")
    'beta[sd]'
    """
    return f"{names.BETA}[{name}]"


def wide_coefficients(design: ModelData, width: float = WIDE) -> dict[str, PriorLike]:
    """Return the default normal priors with `width` in place of 2.5 standard deviations."""
    chosen: dict[str, PriorLike] = {}
    for name, prior in zip(design.coef, default_priors(design).beta, strict=True):
        mu, sigma = prior.numbers
        chosen[coef_key(name)] = Prior.of("Normal", mu=mu, sigma=sigma * width / 2.5)
    return chosen


def sds_of(design: ModelData, prior: Callable[[ColumnScale, str], Prior]) -> dict[str, PriorLike]:
    """Return the priors of all random-effect sds, of each column's scale and name."""
    return {
        sd_name: prior(columns[lead], factor.terms[lead])
        for factor, columns in zip(design.factors, design.scales.random, strict=True)
        for covariance in [covariance_of(factor)]
        for sd_name, lead in zip(covariance.sd_names, covariance.sd_leads, strict=True)
    }


def unit_of_eta(design: ModelData) -> float:
    """Return the response's sd; under other links than the identity 1, for probit 0.6."""
    if design.family.link.name == "identity":
        return design.scales.response.scale()
    return link_scale(design).width / 2.5
