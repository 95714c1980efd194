"""The only place where the variables, dimensions and groups of a result tree are spelt.

The same names serve every parametrization, so that a summary, a picture or a comparison never asks
how the draws were made.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bayeslmm.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

BETA = "beta"
SIGMA = "sigma"
SIGMA_BY = "sigma_by"
SIGMA_LEVEL = "sigma_level"
BETA_SIGMA = "beta_sigma"
SIGMA_COEF = "sigma_coef"
SD_RESIDUAL = "sd_residual"
CORR_RESIDUAL = "corr_residual"
RHO_RESIDUAL = "rho_residual"
RANGE_RESIDUAL = "range_residual"
PACF_RESIDUAL = "pacf_residual"
PACF_MA_RESIDUAL = "pacf_ma_residual"
RESIDUAL_BY = "residual_by"
RESIDUAL_TIME = "residual_time"
RESIDUAL_TIME_BIS = "residual_time_bis"
RESIDUAL_STEP = "residual_step"
RESIDUAL_LAG = "residual_lag"
RESIDUAL_LAG_MA = "residual_lag_ma"
# What a result tree may hold of the residuals' covariance, in the order in which it is told.
OF_RESIDUALS = (
    SIGMA,
    SIGMA_BY,
    BETA_SIGMA,
    SD_RESIDUAL,
    CORR_RESIDUAL,
    RHO_RESIDUAL,
    RANGE_RESIDUAL,
    PACF_RESIDUAL,
    PACF_MA_RESIDUAL,
)
COEF = "coef"
CATEGORY = "category"  # of an ordered response
OBS = "obs"
INTERCEPT = "Intercept"
LINEAR_PREDICTOR = "mu"  # a node of PyMC models; result trees do not hold it
KNOWN = "known_relationships"
FITTED_LEVELS = "fitted_levels"
CROSS_PRODUCTS = "cross_products"

# One number of a structure of G, such as the correlation of neighbours.
RHO = "rho"
SD_PREFIX = "sd_"
CORR_PREFIX = "corr_"
EFFECTS_PREFIX = "b_"

# What a smooth's penalised columns are called where it has one curve only.
CURVE = "curve"

# Dimensions and variables of every tree.
_TAKEN = frozenset({"chain", "draw", OBS, COEF, BETA, SIGMA})


def sd(factor: str) -> str:
    """Name the standard deviations of a grouping factor's random effects."""
    return f"{SD_PREFIX}{factor}"


def rho(factor: str, columns: str = "") -> str:
    """Return the name of a factor's one correlation, of some columns where there are several."""
    return f"{RHO}_{factor}" + (f"_{columns}" if columns else "")


def corr(factor: str) -> str:
    """Name the correlations of a grouping factor's random effects."""
    return f"{CORR_PREFIX}{factor}"


def effects(factor: str) -> str:
    """Name the random effects of a grouping factor."""
    return f"{EFFECTS_PREFIX}{factor}"


def smooth_column(part: str, curve: str = "") -> str:
    """Name a part of a smooth, of one level's curve where there is one for each.

    Examples
    --------
    >>> smooth_column("linear"), smooth_column("linear", "a")
    ('linear', 'linear, a')
    """
    return f"{part}, {curve}" if curve else part


def is_smooth(factor: str) -> bool:
    """Return whether what stands among the grouping factors is a smooth.

    Grouping factors themselves are not called so (`check_tree`).

    Examples
    --------
    >>> is_smooth("s(x)"), is_smooth("s")
    (True, False)
    """
    return factor.startswith("s(")


def arm(factor: str) -> str:
    """Name the arms of a grouping factor's levels, in the group of all levels."""
    return f"arm_of_{stored(factor)}"


def in_parameter(parameter: str, factor: str) -> str:
    """Name a grouping factor's random effects in a family's parameter, as if they were a factor.

    Examples
    --------
    >>> effects(in_parameter("zi", "Subject")), apart("zi_Subject")
    ('b_zi_Subject', ('zi', 'Subject'))
    """
    return f"{parameter}_{factor}"


def apart(effects_in_parameter: str) -> tuple[str, str]:
    """Return the parameter and the grouping factor that `in_parameter` named together."""
    parameter, _, factor = effects_in_parameter.partition("_")
    return parameter, factor


def beta_of(parameter: str) -> str:
    """Name the coefficients of a parameter's predictor."""
    return f"{BETA}_{parameter}"


def coef_dim(parameter: str) -> str:
    """Name the dimension of the coefficients of a parameter's predictor."""
    return f"{parameter}_coef"


def of_response(response: str, name: str) -> str:
    """Name a column of one of several responses, or of a category, as ``tarsus_sex[Male]``."""
    return f"{response}_{name}"


def is_of_residuals(variable: str) -> bool:
    """Return whether a variable is of the residuals' covariance, where it is more than one sigma.

    Examples
    --------
    >>> is_of_residuals("sigma_by"), is_of_residuals("rho_residual"), is_of_residuals("sigma")
    (True, True, False)
    """
    return variable in (SIGMA_BY, BETA_SIGMA) or variable.endswith("_residual")


def term_dim(factor: str) -> str:
    """Name the dimension of a factor's random-effect columns."""
    return f"{stored(factor)}_term"


def term_dim_bis(factor: str) -> str:
    """Name the second dimension of a factor's correlation matrix."""
    return f"{stored(factor)}_term_bis"


def level_dim(factor: str) -> str:
    """Name the dimension of a factor's levels: the factor itself, unless every tree has that name.

    Examples
    --------
    >>> level_dim("Subject"), level_dim("chain")
    ('Subject', 'chain_level')
    """
    return f"{factor}_level" if factor in _TAKEN else stored(factor)


# What stands in brackets or backticks is one piece, whatever colons it holds.
_PIECE = re.compile(r"`[^`]*`|\[[^\]]*\]|\((?:[^()]|\([^()]*\))*\)|[^:]", re.DOTALL)


def product(name: str) -> tuple[str, ...]:
    """Return the pieces of an interaction in one order: ``a:b`` and ``b:a`` are the same product.

    Parameters
    ----------
    name : str
        A column of a model matrix, or a grouping factor.

    Returns
    -------
    tuple of str
        Equal for two names of the same product, and for no others.

    Examples
    --------
    >>> product("b:a"), product("x:f[T.u:v]") == product("f[T.u:v]:x")
    (('a', 'b'), True)
    """
    pieces = [""]
    end = 0
    for match in _PIECE.finditer(name):
        if match.start() > end:  # what was skipped is a colon
            pieces.append("")
        pieces[-1] += match.group()
        end = match.end()
    return tuple(sorted(pieces))


def matching(name: str, others: Sequence[str]) -> str | None:
    """Return which of some names is of the same product as a name; None if none is.

    Examples
    --------
    >>> matching("b:a", ["a", "a:b"]), matching("c", ["a"])
    ('a:b', None)
    """
    if name in others:
        return name
    pieces = product(name)
    return next((other for other in others if product(other) == pieces), None)


_INDEXED = re.compile(rf"({BETA}|{SD_PREFIX}[^\[]*)\[(.*)\]", re.DOTALL)


def inside(parameter: str) -> tuple[str, str, str]:
    """Split a parameter into what stands before, in and after the brackets of its column.

    Examples
    --------
    >>> inside("sd_g[a:b]"), inside("f[T.b]:x")
    (('sd_g[', 'a:b', ']'), ('', 'f[T.b]:x', ''))
    """
    found = _INDEXED.fullmatch(parameter)
    return ("", parameter, "") if found is None else (f"{found[1]}[", found[2], "]")


def spelling(parameter: str) -> str:
    """Return a parameter's name without its freedom: blanks, ``^`` for ``**``, order of products.

    Examples
    --------
    >>> spelling("poly(x,2)[1]") == spelling("poly(x, 2)[1]")
    True
    >>> spelling("beta[I(x^2):z]") == spelling("beta[z:I(x ** 2)]")
    True
    """
    before, column, after = inside(parameter)
    bare = re.sub(r"(`[^`]*`)|\s+", r"\1", column.strip()).replace("^", "**")
    return before + ":".join(product(bare)) + after


def scalar(coef: str) -> str:
    """Name a fixed effect as a variable of its own beside chains and draws.

    Examples
    --------
    >>> scalar("Days"), scalar("draw")
    ('Days', 'beta[draw]')
    """
    return f"{BETA}[{coef}]" if coef in {"chain", "draw"} else coef


def stored(name: str) -> str:
    """Spell a column's or response's name as a variable that every file format takes.

    A '/' would separate groups of a stored tree; netCDF wants a letter, digit or underscore first,
    and no blank last.

    Examples
    --------
    >>> stored("a/b"), stored("`blood pressure`"), stored("%fat")
    ('a÷b', 'blood pressure', '_%fat')
    """
    plain = re.sub(r"^`([^`]*)`$", r"\1", name).replace("/", "÷")
    first = "" if re.match(r"[A-Za-z0-9_]|[^\x00-\x7f]", plain) else "_"
    return f"{first}{plain}_" if plain.endswith(" ") else f"{first}{plain}"


def check_coefficients(
    coef: Sequence[str], factors: Sequence[str], parameters_of_family: Sequence[str] = (SIGMA,)
) -> None:
    """Raise unless every fixed effect can be told from the variance parameters by its name.

    Parameters
    ----------
    coef : sequence of str
        The fixed effects.
    factors : sequence of str
        The grouping factors.
    parameters_of_family : sequence of str
        The response family's parameters.

    Raises
    ------
    DataError
        Naming the column to rename.

    Examples
    --------
    >>> check_coefficients(("Intercept", "x"), ["g"])
    """
    of_family = {name: f"the family's parameter {name!r}" for name in parameters_of_family}
    parameters = of_family | {SIGMA: "the residual standard deviation"}
    for factor in factors:
        parameters |= {
            sd(factor): f"the standard deviations of {factor!r}",
            corr(factor): f"the correlations of {factor!r}",
        }
    for name in coef:
        if name in parameters:
            raise DataError(
                f"A fixed effect is called {name!r}, which in priors, tables and statements stands "
                f"for {parameters[name]}; rename that column of the table."
            )


def check_tree(
    response_name: str,
    factors: Sequence[str],
    parameters_of_family: Sequence[str] = (),
    smooths: Sequence[str] = (),
    in_parameters: Sequence[str] = (),
) -> None:
    """Raise unless response and factors can stand beside each other in a result tree.

    Parameters
    ----------
    response_name : str
        The response.
    factors : sequence of str
        The grouping factors.
    parameters_of_family : sequence of str
        The response family's parameters.
    smooths, in_parameters : sequence of str
        Names of the smooths, among the factors; of effects in parameters, as if they were factors.

    Raises
    ------
    DataError
        Naming the column to rename.

    Examples
    --------
    >>> check_tree("y", ["g"])
    """
    taken = _TAKEN | set(parameters_of_family)
    # Keys of the priors of all effects in a parameter.
    taken |= {name(apart(f)[0]) for f in in_parameters for name in (sd, corr)}
    for factor in (*factors, *in_parameters):
        if is_smooth(factor) and factor not in smooths:
            raise DataError(
                f"The grouping factor {factor!r} is called as smooths are; rename that column of "
                "the table."
            )
        if "/" in factor or factor.endswith(" "):
            what = "a '/' in its name, which separates groups in the result tree"
            if "/" not in factor:
                what = "a blank at the end of its name, which files do not take"
            raise DataError(
                f"The grouping factor {factor!r} has {what}; rename that column of the table."
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
            what = f"The grouping factor {factor!r}"
            if factor in in_parameters:
                parameter, grouping = apart(factor)
                what = f"The effects in {parameter} of the grouping factor {grouping!r}"
            raise DataError(
                f"{what} would give two meanings to {clash[0]!r} in "
                "the result tree; rename that column of the table."
            )
        taken |= produced
    if stored(response_name) in taken:
        raise DataError(
            f"The response {response_name!r} has the name of a part of the result tree; "
            "rename that column of the table."
        )
