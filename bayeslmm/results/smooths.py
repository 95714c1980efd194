"""Smooths among the factors of a result tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr


def grouping_factors(
    idata: xr.DataTree, group_name: str = "posterior"
) -> tuple[read.FactorInfo, ...]:
    """Describe every factor whose levels differ: all but smooths, whose curve holds for all."""
    found = read.factors(idata, group_name)
    return tuple(info for info in found if not names.is_smooth(info.name))


def smooth_factors(
    idata: xr.DataTree, group_name: str = "posterior"
) -> tuple[read.FactorInfo, ...]:
    """Describe the smooths."""
    found = read.factors(idata, group_name)
    return tuple(info for info in found if names.is_smooth(info.name))


def own_sds(info: read.FactorInfo) -> tuple[tuple[str, ...], list[int]]:
    """Return names and places of a factor's standard deviations.

    The columns of a smooth's curve share one, which trees hold for each of them: it is told once.

    Examples
    --------
    >>> columns = ("u[1]", "u[2]", "v[1]", "v[2]")
    >>> own_sds(read.FactorInfo("s(x, by=f)", columns, ("s(x, by=f)",), False, ("s(x, by=f)",)))
    (('u', 'v'), [0, 2])
    """
    if not names.is_smooth(info.name):
        return info.terms, list(range(len(info.terms)))
    curves = [term.rpartition("[")[0] or term for term in info.terms]
    kept = tuple(dict.fromkeys(curves))
    return kept, [curves.index(curve) for curve in kept]
