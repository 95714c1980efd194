"""The JSON of a model's priors, checked before it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm import names
from bayeslmm.errors import PriorError
from bayeslmm.model.priors.prior import LKJ

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.model.priors.factor_priors import FactorPriors


def check_parts(content: Mapping[str, Any], factors: tuple[FactorPriors, ...]) -> None:
    """Raise unless every name is text and every list has the length that its names ask for."""
    origins = dict(content["origins"])
    called = [*content["coef"], *parameters_in(content), *origins, *origins.values()]
    called += [name for factor in factors for name in (factor.name, *factor.terms)]
    if not all(isinstance(name, str) for name in called):
        raise PriorError("This is not the JSON of a model's priors: a name in it is no text.")
    lengths = [(content["coef"], content["beta"]), (content["coef"], content["centers"])]
    lengths += [(factor.covariance.sd_names, factor.sd) for factor in factors]
    places = content.get("intercepts", ())
    if not all(0 <= k < len(places) == len(content["coef"]) for k in places):
        raise PriorError("This is not the JSON of a model's priors: its lists do not match.")
    has_corr = [(factor.covariance.has_correlations, factor.corr is not None) for factor in factors]
    beyond = any(k >= len(factor.terms) for factor in factors for k in factor.shift.columns)
    if beyond or any(len(a) != len(b) for a, b in lengths) or any(a != b for a, b in has_corr):
        raise PriorError("This is not the JSON of a model's priors: its lists do not match.")
    matrices = content.get("matrices", {})
    parameters = parameters_in(content)
    is_matrix = {name for name, prior in parameters.items() if prior["family"] == LKJ}
    if set(matrices) != is_matrix or not all(q >= 2 for q in matrices.values()):
        raise PriorError(
            "This is not the JSON of a model's priors: a correlation matrix has no number of "
            "columns."
        )


def parameters_in(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the priors of a family's parameters, as JSON has them."""
    # Before there were families of responses, files had the residual sd only.
    return content["parameters"] if "parameters" in content else {names.SIGMA: content["sigma"]}
