"""Parameters that have predictors of their own, as a result tree holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.design.state import state_content
from bayeslmm.errors import TreeError
from bayeslmm.families.parameters import parameter_link
from bayeslmm.model.predictors import Predictor, predictors_of
from bayeslmm.results import read
from bayeslmm.results.family import family
from bayeslmm.results.residual import ResidualBlock, block_of, effect_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor


def modelled(idata: xr.DataTree) -> tuple[str, ...]:
    """Return the names of the family's parameters that have predictors of their own."""
    read.require_tree(idata)
    return tuple(state_content(str(idata.attrs["design"])).get("formulas", ()))


def scale_of(idata: xr.DataTree, parameter: str) -> str:
    """Return in words what a parameter's predictor is: ``"logit(zi)"``, ``"log(sigma)"``."""
    links = {one.name: parameter_link(one).name for one in family(idata).parameters}
    link = links[parameter]
    return parameter if link == "identity" else f"{link}({parameter})"


def scale_of_effects(idata: xr.DataTree, factor: str) -> str:
    """Return the same of a grouping factor of effects in a parameter."""
    return scale_of(idata, names.apart(factor)[0])


@dataclass(frozen=True, eq=False, slots=True)
class DrawnParameters:
    """Draws from which parameters of some rows are computed.

    Attributes
    ----------
    predictors : tuple of Predictor
        Of the rows.
    variables : mapping of str to ndarray
        Draws of coefficients (s, r) and effects (s, m, q), also of levels that the fit did not see.
    """

    predictors: tuple[Predictor, ...]
    variables: Mapping[str, Floats]

    def values(self, rows: slice | NDArray[np.intp]) -> dict[str, Floats]:
        """Compute draws of each parameter of some rows, shape (rows, s)."""
        return {
            one.parameter.name: one.take(rows).values(self.variables).T for one in self.predictors
        }


def drawn_parameters(
    idata: xr.DataTree,
    design: Design,
    kept: NDArray[np.intp],
    new: Callable[[GroupingFactor], Floats] | None = None,
) -> DrawnParameters:
    """Return draws of the parameters that have predictors, of a design's rows.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    design : Design
        The rows.
    kept : ndarray of int
        Which draws of each chain.
    new : callable, optional
        Draws of a factor's effects in a parameter, shape (s, levels, q), of the levels that the fit
        did not see; they are at zero if not given.
    """

    def flat(name: str) -> Floats:
        values = read.draws(idata, name)[:, kept]
        return values.reshape(-1, *values.shape[2:])

    variables: dict[str, Floats] = {}
    predictors = predictors_of(design)
    for one in predictors:
        if one.rows.coef:
            variables[one.variable] = flat(one.variable)
        for factor in (*one.rows.factors, *one.rows.shared):
            effects = flat(names.effects(factor.name))
            if unseen := len(factor.levels) - factor.n_known:
                more = np.zeros((len(effects), unseen, len(factor.terms)))
                effects = np.concatenate([effects, more if new is None else new(factor)], axis=1)
            variables[names.effects(factor.name)] = effects
    return DrawnParameters(predictors, variables)


def parameter_blocks(idata: xr.DataTree, group_name: str = "posterior") -> list[ResidualBlock]:
    """Return draws of coefficients, sds and correlations in predictors of parameters.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    group_name : str
        The group to read.
    """
    blocks: list[ResidualBlock] = []
    for parameter in modelled(idata):
        if names.beta_of(parameter) in idata[group_name]:
            variable = read.variable(idata, names.beta_of(parameter), group_name)
            blocks.append(block_of(variable, parameter))
        for name in read.in_parameters(idata):
            if names.apart(name)[0] == parameter:
                blocks += effect_blocks(idata, name, group_name)
    return blocks


def refuse_modelled(idata: xr.DataTree, what: str, instead: str = "") -> None:
    """Raise unless every parameter of the family is one number for all rows.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    what : str
        What needs that, as the subject.
    instead : str
        What can be had, as a sentence.

    Raises
    ------
    TreeError
        Naming the parameter.
    """
    for name in modelled(idata):
        raise TreeError(
            f"{what} takes one {name} for all rows, and in this fit it follows a formula. "
            f"{instead}".rstrip()
        )
