"""The only place where the variables, dimensions and groups of a result tree are spelt.

The same names serve every parametrization, so that a summary, a picture or a comparison never asks
how the draws were made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

BETA = "beta"
SIGMA = "sigma"
COEF = "coef"
OBS = "obs"
INTERCEPT = "Intercept"
LINEAR_PREDICTOR = "mu"  # a node of PyMC models; result trees do not hold it
FITTED_LEVELS = "fitted_levels"
CROSS_PRODUCTS = "cross_products"

SD_PREFIX = "sd_"
CORR_PREFIX = "corr_"
EFFECTS_PREFIX = "b_"


def sd(factor: str) -> str:
    """Name the standard deviations of a grouping factor's random effects."""
    return f"{SD_PREFIX}{factor}"


def corr(factor: str) -> str:
    """Name the correlations of a grouping factor's random effects."""
    return f"{CORR_PREFIX}{factor}"


def effects(factor: str) -> str:
    """Name the random effects of a grouping factor."""
    return f"{EFFECTS_PREFIX}{factor}"


def term_dim(factor: str) -> str:
    """Name the dimension of a factor's random-effect columns."""
    return f"{factor}_term"


def term_dim_bis(factor: str) -> str:
    """Name the second dimension of a factor's correlation matrix."""
    return f"{factor}_term_bis"


def level_dim(factor: str) -> str:
    """Name the dimension of a factor's levels: the factor itself."""
    return factor


def stored(name: str) -> str:
    """Spell a column's or response's name as a variable; '/' separates groups in a stored tree."""
    return name.replace("/", "÷")


def check(response_name: str, coef: Sequence[str], factors: Sequence[str]) -> None:
    """Raise unless all parts of a model can stand beside each other in a result tree.

    Parameters
    ----------
    response_name : str
        The response.
    coef : sequence of str
        The fixed effects.
    factors : sequence of str
        The grouping factors.

    Raises
    ------
    DataError
        Naming the column to rename.

    Examples
    --------
    >>> check("y", ("Intercept", "x"), ["g"])
    """
    taken = {"chain", "draw", OBS, COEF, BETA, SIGMA}
    for factor in factors:
        if "/" in factor:
            raise DataError(
                f"The grouping factor {factor!r} has a '/' in its name, which separates groups in "
                "the result tree; rename that column of the table."
            )
        produced = {
            level_dim(factor),
            term_dim(factor),
            term_dim_bis(factor),
            sd(factor),
            corr(factor),
            effects(factor),
        }
        if clash := sorted(taken & produced):
            raise DataError(
                f"The grouping factor {factor!r} would give two meanings to {clash[0]!r} in "
                "the result tree; rename that column of the table."
            )
        taken |= produced
    if response_name in taken:
        raise DataError(
            f"The response {response_name!r} has the name of a part of the result tree; "
            "rename that column of the table."
        )
    if SIGMA in coef:
        raise DataError(
            f"A fixed effect is called {SIGMA!r}, as the residual standard deviation is in priors, "
            "tables and statements; rename that column of the table."
        )
