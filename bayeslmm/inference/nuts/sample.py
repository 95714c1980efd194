"""`NUTS`: the method, by the shortest way that a model and its priors allow.

A PyMC model of the marginal posterior (`graph.marginal`) remains for those who sample or extend it
themselves, for PyMC's own sampler, and for priors that the compiled posterior does not know.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayeslmm.errors import SamplingWarning, warn
from bayeslmm.inference.marginal.target import MarginalTarget
from bayeslmm.inference.nuts.marginal import compiles, sample_marginal
from bayeslmm.inference.parametrization import (
    AUTO,
    MARGINAL,
    PARAMETRIZATION_NAMES,
    choose_parametrization,
)
from bayeslmm.inference.settings import NUTPIE

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model


@dataclass(frozen=True)
class NUTS:
    """The No-U-Turn sampler; see `Method`.

    Attributes
    ----------
    sampler : str
        Whose implementation: ``"nutpie"`` or ``"pymc"``.

    References
    ----------
    .. [1] Hoffman & Gelman (2014). The No-U-Turn sampler. JMLR 15:1593-1623.
    """

    sampler: str = NUTPIE
    parametrizations: tuple[str, ...] = PARAMETRIZATION_NAMES

    def suits(self, model: Model, settings: SamplerSettings) -> tuple[bool, str]:  # noqa: ARG002
        """Return that it suits every model, in any parametrization."""
        return True, ""

    def fit(self, model: Model, settings: SamplerSettings) -> xr.DataTree:
        """Sample a model's posterior; see `Method.fit`."""
        settings = dataclasses.replace(settings, sampler=self.sampler)
        if settings.parametrization == MARGINAL and model.design.residual is not None:
            from bayeslmm.inference.structured.nuts import sample_by_nuts  # noqa: PLC0415

            return sample_by_nuts(model, settings)
        structured = not all(factor.covariance.compiles for factor in model.priors.factors)
        if settings.parametrization == MARGINAL and structured:
            from bayeslmm.inference.structured.nuts import (  # noqa: PLC0415
                sample_structured_effects,
            )

            return sample_structured_effects(model, settings)
        if settings.parametrization == MARGINAL and self.sampler == NUTPIE:
            target = MarginalTarget(model.dense_gram, model.priors)
            if compiles(target):
                return sample_marginal(model, target, settings)
        # PyMC takes seconds to import: only those who sample with it wait for it.
        from bayeslmm.inference.nuts.pymc_model import sample_graph  # noqa: PLC0415

        return sample_graph(model, settings)


def take_over(model: Model, settings: SamplerSettings, why: str) -> xr.DataTree:
    """Sample by NUTS what another method could not, and say so.

    Parameters
    ----------
    model : Model
        What is assumed, of which data.
    settings : SamplerSettings
        As asked for; the parametrization is chosen anew.
    why : str
        What went wrong, for the warning and the result's record.

    Returns
    -------
    xarray.DataTree
        See `fit_bayes`.

    Warns
    -----
    SamplingWarning
        Always.
    """
    warn(
        f"The posterior was sampled by NUTS: {why}. Its diagnostics are those of any NUTS fit; "
        "sampler='nutpie' asks for it at once.",
        SamplingWarning,
    )
    # Gradients of a large border are dearer than the steps that they would save.
    parametrization, _ = choose_parametrization(AUTO, model)
    chosen = dataclasses.replace(settings, parametrization=parametrization)
    tree = NUTS().fit(model, chosen)
    tree.attrs["sampler_reason"] = why
    return tree
