"""The only place where the variables, dimensions and groups of a result tree are spelt.

The same names serve every parametrization, so that a summary, a picture or a comparison never asks
how the draws were made.
"""

from __future__ import annotations

BETA = "beta"
SIGMA = "sigma"
COEF = "coef"
OBS = "obs"
INTERCEPT = "Intercept"
FITTED_LEVELS = "fitted_levels"

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
