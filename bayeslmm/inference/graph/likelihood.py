"""The response given its linear predictor, in PyMC: one function per family, held to NumPy's.

What a family is stands in `bayeslmm.families`; a test holds the densities here to
`Family.log_density` at random points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm

from bayeslmm import names
from bayeslmm.families.gaussian import GAUSSIAN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.design.design import Design
    from bayeslmm.families.family import Family


def add_response(family: Family, design: Design, mu: Any, parameters: Mapping[str, Any]) -> None:
    """Add the observed response to the open PyMC model: y_i ~ p(. | mu_i, phi, w_i).

    Parameters
    ----------
    family : Family
        How responses are distributed.
    design : Design
        Their rows.
    mu : tensor, shape (n,)
        The linear predictor eta, which is the mean under an identity link.
    parameters : mapping of str to tensor, shape ()
        The family's parameters phi by name.
    """
    LIKELIHOODS[family.name](family, design, mu, parameters)


def _gaussian(_family: Family, design: Design, mu: Any, parameters: Mapping[str, Any]) -> None:
    scale = sigma = parameters[names.SIGMA]
    if design.weights is not None:
        scale = sigma * pm.Data("row_scale_data", 1 / np.sqrt(design.weights), dims=names.OBS)
    observed = pm.Data("response_data", design.y, dims=names.OBS)
    pm.Normal(names.stored(design.response), mu, scale, observed=observed, dims=names.OBS)


LIKELIHOODS: Mapping[str, Callable[[Family, Design, Any, Mapping[str, Any]], None]] = {
    GAUSSIAN.name: _gaussian
}
