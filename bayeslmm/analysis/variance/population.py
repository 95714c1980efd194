"""What holds for every level: fixed effects and smooths, side by side as one set of columns.

To the algebra a smooth's penalised part is a grouping factor of one level. To whoever asks what
varies between groups it is no variation: its curve holds for all of them, as fixed effects do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design


def with_smooths_fixed(design: Design) -> Design:
    """Return a design whose smooths are columns of X, after its own, and no factors.

    Parameters
    ----------
    design : Design
        Of any rows.

    Returns
    -------
    Design
        Whose columns go with `population_draws`.
    """
    smooths = [factor for factor in design.factors if names.is_smooth(factor.name)]
    if not smooths:
        return design
    return replace(
        design,
        X=np.hstack([design.X, *(factor.columns for factor in smooths)]),
        coef=(*design.coef, *(f"{f.name}[{term}]" for f in smooths for term in f.terms)),
        factors=tuple(f for f in design.factors if not names.is_smooth(f.name)),
    )


def population_draws(idata: xr.DataTree) -> Floats:
    """Return draws of the fixed effects, then of the smooths' coefficients, shape (s, p + q).

    Parameters
    ----------
    idata : DataTree
        A result.

    Returns
    -------
    ndarray
        In the order of `with_smooths_fixed`.
    """
    beta = read.flat_draws(idata, names.BETA)
    smooths = [info for info in read.factors(idata) if names.is_smooth(info.name)]
    if not smooths:
        return beta
    drawn = (read.all_effect_draws(idata, info) for info in smooths)
    return np.hstack([beta, *(effects.reshape(len(beta), -1) for effects in drawn)])
