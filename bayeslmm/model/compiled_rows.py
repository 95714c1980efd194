"""What compiled code knows of a family, and of which designs it knows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.kernels.families.codes import CODES
from bayeslmm.names import SIGMA

if TYPE_CHECKING:
    from bayeslmm.design.design import Design
    from bayeslmm.families.family import Family


def why_not_compiled(design: Design) -> str:
    """Return why a design's likelihood has no compiled form; empty where it has one.

    Parameters
    ----------
    design : Design
        Rows and family.

    Returns
    -------
    str
        In words that follow "because".
    """
    family = design.family
    if (family.name, family.link.name) not in CODES:
        return f"family {family.name!r} with link {family.link.name!r} has no compiled form"
    scattered = [rows.parameter for rows in design.predictors if rows.factors or rows.shared]
    if design.residual is not None and design.residual.factors:
        scattered = [SIGMA, *scattered]
    if scattered:
        return (
            f"{scattered[0]} has random effects, and compiled likelihoods take formulas of fixed "
            "effects"
        )
    return ""


def family_code(family: Family) -> int:
    """Return the number by which kernels know a family with its link."""
    return CODES[family.name, family.link.name]
