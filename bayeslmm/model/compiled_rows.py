"""What compiled code knows of a family, and of which designs it knows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.families.derived.censored import uncensored
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.kernels.families.codes import CODES
from bayeslmm.names import SIGMA

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.families.family import Family

# Of these a row that counts w times is a row of w times as many trials, or of an exposure of w.
_OF_TRIALS, _OF_EXPOSURE = ("bernoulli", "binomial"), ("poisson",)


class CompiledRows(NamedTuple):
    """Rows as compiled code reads them, each array of shape (n,)."""

    y: Floats
    known: Floats
    offset: Floats


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
    if isinstance(family, Ordered) and family.discriminates:
        return f"{family.name} likelihoods are compiled with one discrimination for all rows"
    if design.likweights is not None and family.name not in (*_OF_TRIALS, *_OF_EXPOSURE):
        return f"rows count several times (likweights), and {family.name} ones are compiled as one"
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


def compiled_rows(design: Design) -> CompiledRows:
    r"""Return response, what is known, and offset as compiled code reads them.

    Weights of the likelihood go into trials and exposures, up to terms that no parameter is in:

    .. math:: w \left(y \log \mu + (m - y) \log(1 - \mu)\right), \quad
              w (y \eta - e^\eta) = w y \, \eta' - e^{\eta'} + \text{const}, \quad
              \eta' = \eta + \log w

    Parameters
    ----------
    design : Design
        For which `why_not_compiled` knows no reason.

    Returns
    -------
    CompiledRows
    """
    n, scale = design.n, uncensored(design.family).gaussian_scale
    y = design.gaussian_response
    known = np.ones(n) if design.known is None else design.known
    if design.family.response.known == "ends":
        known = y if design.known is None else known
        if scale is not None and design.known is not None:
            finite = np.isfinite(known)
            known = np.where(finite, scale.link(np.where(finite, known, 1.0)), known)
    offset = np.zeros(n) if design.offset is None else design.offset
    counted = design.likweights
    if counted is None:
        return CompiledRows(y, known, offset)
    if design.family.name in _OF_EXPOSURE:
        return CompiledRows(counted * y, known, offset + np.log(counted))
    return CompiledRows(counted * y, counted * known, offset)


def whole_constants(design: Design) -> bool:
    """Return whether compiled densities hold every constant, and not only what phi and eta move."""
    scale = uncensored(design.family).gaussian_scale
    return design.likweights is None and (scale is None or scale.name == "identity")


def refuse_counted(design: ModelData, what: str) -> None:
    """Raise where rows have likelihood weights or are censored.

    Parameters
    ----------
    design : ModelData
        The rows.
    what : str
        The function that was called.

    Raises
    ------
    ArgumentError
        With what takes them.
    """
    if not design.has_rows:
        return
    rows = design.coded_rows
    for name, there in (("likweights", rows.likweights), ("cens", rows.ends)):
        if there is not None:
            raise ArgumentError(
                f"{what} does not take rows with {name}: fit_bayes does, and its posterior mode "
                "under wide priors is their estimate."
            )
