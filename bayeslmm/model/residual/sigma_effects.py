r"""Random effects in log(sigma): the location-scale model.

.. math:: \log \sigma_i = x_i' \beta_\sigma + \sum_k z_{ki}' b_{\sigma k}, \quad
          b_{\sigma k} \sim N(0, G_{\sigma k})

Given them residuals are independent, or correlated as their structure says; no integral over them
has a closed form.

References
----------
Hedeker, Mermelstein & Demirtas (2008). An application of a mixed-effects location scale model for
analysis of ecological momentary assessment (EMA) data. Biometrics 64(2):627-634.
doi:10.1111/j.1541-0420.2007.00924.x
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.predictors import EffectsInParameter


def require_closed_form(rows: ResidualRows | None, what: str, instead: str) -> None:
    """Raise unless random effects can be integrated out in closed form: none are in sigma.

    Parameters
    ----------
    rows : ResidualRows or None
        Of a design.
    what : str
        What integrates them out, as it is asked for.
    instead : str
        What can be had, as what follows a colon.

    Raises
    ------
    ArgumentError
        Naming the grouping factors.
    """
    if rows is None or not rows.factors:
        return
    listed = " and ".join(repr(":".join(factor.variables)) for factor in rows.factors)
    raise ArgumentError(
        f"{what} integrates random effects out in closed form, and over effects in sigma, here of "
        f"{listed}, no integral has one: {instead}"
    )


def cut(effects: Sequence[EffectsInParameter], flat: Floats) -> list[Floats]:
    """Return the part of flat effects, shape (..., their number), that is of each factor."""
    ends = np.cumsum([one.size for one in effects])
    return np.split(flat, ends[:-1], axis=-1) if effects else []
