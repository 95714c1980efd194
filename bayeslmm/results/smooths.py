"""Smooths among the factors of a result tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.results.factor_info import FactorInfo


def grouping_factors(idata: xr.DataTree, group_name: str = "posterior") -> tuple[FactorInfo, ...]:
    """Describe every factor whose levels differ: all but smooths, whose curve holds for all."""
    found = read.factors(idata, group_name)
    return tuple(info for info in found if not names.is_smooth(info.name))
