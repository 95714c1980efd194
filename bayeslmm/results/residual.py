"""The residual structure of a result tree, and the draws of its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.residual_checks import correlated_within
from bayeslmm.design.state import DesignState, state_content
from bayeslmm.errors import ArgumentError, TreeError
from bayeslmm.gram.file import gram_of_dataset, has_known_errors
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.gram_design import GramDesign
from bayeslmm.model.residual.drawn import DrawnResiduals
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.model.residual.sigma_effects import cut
from bayeslmm.results import read
from bayeslmm.results.known import known_covariances
from bayeslmm.results.rows import training_table

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.residual.structured import StructuredResiduals
    from bayeslmm.results.factor_info import FactorInfo


def has_structure(idata: xr.DataTree) -> bool:
    """Return whether the residuals of a fit have more than one sigma."""
    read.require_tree(idata)
    content = state_content(str(idata.attrs["design"]))
    if content.get("residual") is not None or content.get("sigma") is not None:
        return True
    return has_errors(idata)


def has_errors(idata: xr.DataTree) -> bool:
    """Return whether the rows of a fit had known standard errors."""
    if read.from_cross_products(idata):
        return has_known_errors(read.group(idata, names.CROSS_PRODUCTS))
    return "constant_data" in idata.children and read.constant(idata, "se") is not None


def parameter_factors(idata: xr.DataTree, group_name: str = "posterior") -> tuple[FactorInfo, ...]:
    """Describe every grouping factor of random effects in parameters, sigma's first."""
    return tuple(read.describe_factor(idata, n, group_name) for n in read.in_parameters(idata))


def all_factors(idata: xr.DataTree, factor: str | None = None) -> tuple[FactorInfo, ...]:
    """Describe every grouping factor of effects in the mean and in parameters, or the one named.

    Raises
    ------
    TreeError
        When the factor is unknown.
    """
    others = {info.name: info for info in parameter_factors(idata)}
    if factor is None:
        return (*read.factors(idata), *others.values())
    return (others[factor] if factor in others else read.factor(idata, factor),)


def residual_group(idata: xr.DataTree, factor: str | None) -> str | None:
    """Name the group of a correlated residual structure, where it is what `factor` asks for.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    factor : str or None
        What rows are grouped by; None asks for what there is one of, and grouping factors come
        first.

    Returns
    -------
    str or None
        None where a grouping factor is asked for.

    Raises
    ------
    TreeError
        If there is neither a grouping factor nor such a group.
    """
    known = read.factor_names(idata)
    if factor in known or (factor is None and known):
        return None
    said = state_content(str(idata.attrs["design"])).get("residual")
    group = None if said is None else correlated_within(said)
    if factor is None and group is None:
        raise TreeError(
            "This is about groups of rows, and the model has none: no random effects, and "
            "residuals that are independent of each other."
        )
    return group if factor in (None, group) else None


def residual_rows(idata: xr.DataTree, group_name: str = "posterior") -> ResidualRows | None:
    """Return what the residual structure reads of the training rows; None where there is none.

    Where there are cross-products only, one of the rows stands for a stratum.
    """
    if not has_structure(idata):
        return None
    if read.from_cross_products(idata):
        gram = gram_of_dataset(Gram, read.group(idata, names.CROSS_PRODUCTS))
        return GramDesign.of(str(idata.attrs["formula"]), gram).residual
    text = str(idata.attrs["design"])
    # Levels of the mean's grouping factors are not what residuals read.
    levels: dict[str, tuple[str, ...]] = dict.fromkeys(state_content(text)["terms"], ())
    levels |= {info.name: info.levels for info in parameter_factors(idata, group_name)}
    state = DesignState.from_json(text, levels=levels, known=known_covariances(idata))
    design = rebuild_design(
        state,
        training_table(idata),
        response="ignored",
        factors=(),
        residual=True,
        se=read.constant(idata, "se"),
    )
    return design.residual


def residual_structure(
    idata: xr.DataTree, group_name: str = "posterior"
) -> StructuredResiduals | None:
    """Return the residual covariance of the training rows; None of one sigma, independent.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    group_name : str
        The group that tells the levels of effects in sigma.

    Returns
    -------
    StructuredResiduals or None
        Rebuilt from the tree alone.
    """
    rows = residual_rows(idata, group_name)
    return None if rows is None else structured_residuals(rows)


def residual_draws(
    idata: xr.DataTree,
    structure: StructuredResiduals,
    kept: NDArray[np.intp] | None = None,
    group_name: str = "posterior",
) -> Floats:
    """Return draws of a residual structure's parameters phi, chains laid end to end.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    structure : StructuredResiduals
        Its residual structure.
    kept : ndarray of int, optional
        Which draws of each chain; all if not given.
    group_name : str
        The group to read.

    Returns
    -------
    ndarray, shape (s, structure.size)

    Raises
    ------
    TreeError
        If the draws are of other parameters than the structure has.
    """
    variables = _variables(idata, structure, group_name)
    shape = read.sample_shape(idata, group_name)
    phi = structure.phi(variables) if variables else np.zeros((*shape, 0))
    phi = phi if kept is None else phi[:, kept]
    return np.ascontiguousarray(phi.reshape(phi.shape[0] * phi.shape[1], structure.size))


def drawn_residuals(
    idata: xr.DataTree,
    design: Design,
    kept: NDArray[np.intp] | None = None,
    new: Callable[[GroupingFactor], Floats] | None = None,
) -> DrawnResiduals | None:
    """Return the covariance of the residuals of a design's rows; None of one sigma, independent.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    design : Design
        The rows.
    kept : ndarray of int, optional
        Which draws of each chain; all if not given.
    new : callable, optional
        Draws of a factor's effects in log(sigma), shape (s, levels, q), of the levels that the fit
        did not see; they are at zero if not given.

    Raises
    ------
    ArgumentError
        If the rows lack standard errors that the fit's had.
    """
    fit = residual_structure(idata)
    if fit is None:
        return None
    if fit.rows.se is not None and (design.residual is None or design.residual.se is None):
        raise ArgumentError(
            "The rows of the fit had known standard errors, and these rows have none: give se=, "
            "their column or an array of them."
        )
    if design.residual is None:
        return None
    phi = residual_draws(idata, fit, kept)
    return DrawnResiduals(fit, design.residual, _with_new_levels(phi, fit, design.residual, new))


def _with_new_levels(
    phi: Floats,
    fit: StructuredResiduals,
    rows: ResidualRows,
    new: Callable[[GroupingFactor], Floats] | None,
) -> Floats:
    """Return phi with the effects in log(sigma) of levels that the fit did not see."""
    parts = [phi[:, : fit.n_parameters]]
    known = cut(fit.effects, phi[:, fit.n_parameters :])
    for factor, own in zip(rows.factors, known, strict=True):
        parts.append(own)
        if unseen := len(factor.levels) - factor.n_known:
            effects = np.zeros((len(phi), unseen, len(factor.terms)))
            if new is not None:
                effects = new(factor)
            parts.append(effects.reshape(len(phi), -1))
    return np.concatenate(parts, axis=1)


def refuse_in_sigma(idata: xr.DataTree, what: str, instead: str) -> None:
    """Raise unless what is asked of a fit can be had with its sigma: not one with random effects.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    what : str
        What needs a residual variance that is the same in new groups, as the subject.
    instead : str
        What can be had, as a sentence.

    Raises
    ------
    TreeError
        Naming the grouping factors.
    """
    if found := read.in_sigma(idata):
        listed = " and ".join(repr(names.apart(name)[1]) for name in found)
        raise TreeError(
            f"{what} is of groups with one residual variance, and in this fit sigma has random "
            f"effects by {listed}: each level has its own, and new levels have any. {instead}"
        )


@dataclass(frozen=True, eq=False)
class ResidualBlock:
    """Draws of one variable of the residuals' covariance.

    Attributes
    ----------
    variable : str
        Its name, such as ``"sigma_by"``.
    labels : tuple of tuple of str, length m
        Of each number its coordinates; of correlations the stratum, if any, and the two visits.
    drawn : ndarray, shape (chain, draw, m)
        Their draws; of correlations those below the diagonal.
    by_stratum : bool
        Whether the first coordinate is that of a stratum of groups.
    factor : str
        Of standard deviations and correlations of effects in log(sigma) their factor, by
        `names.in_parameter`; otherwise empty.
    """

    variable: str
    labels: tuple[tuple[str, ...], ...]
    drawn: Floats
    by_stratum: bool
    factor: str = ""

    @property
    def names(self) -> list[str]:
        """The numbers' names, such as ``"sigma_by[Male]"``."""
        return [f"{self.variable}[{','.join(x)}]" if x else self.variable for x in self.labels]


def residual_blocks(idata: xr.DataTree, group_name: str = "posterior") -> list[ResidualBlock]:
    """Return the draws of the residuals' covariance parameters, as far as a tree holds them.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    group_name : str
        The group to read.
    """
    data = read.group(idata, group_name)
    present = [name for name in names.OF_RESIDUALS if name in data]
    blocks = [block_of(read.variable(idata, name, group_name)) for name in present]
    for name in read.in_sigma(idata):
        blocks += effect_blocks(idata, name, group_name)
    return blocks


def effect_blocks(idata: xr.DataTree, name: str, group_name: str) -> list[ResidualBlock]:
    """Return draws of the sds and correlations of effects in a parameter, as far as there are any.

    Parameters
    ----------
    idata : xarray.DataTree
        A result.
    name : str
        Of the effects, by `names.in_parameter`.
    group_name : str
        The group to read.
    """
    data = read.group(idata, group_name)
    keys = [key for key in (names.sd(name), names.corr(name)) if key in data]
    return [block_of(read.variable(idata, key, group_name), name) for key in keys]


def block_of(array: xr.DataArray, factor: str = "") -> ResidualBlock:
    """Return the draws of a variable, number by number; of matrices what is below the diagonal."""
    dims = [str(dim) for dim in array.dims[2:]]
    labels = list(product(*(array[dim].values.astype(str).tolist() for dim in dims)))
    values = np.asarray(array.values, dtype=np.float64).reshape(*array.shape[:2], -1)
    if dims and dims[-1].endswith("_bis"):
        times = array[dims[-2]].values.astype(str).tolist()
        place = {time: k for k, time in enumerate(times)}
        kept = [k for k, one in enumerate(labels) if place[one[-2]] < place[one[-1]]]
        labels, values = [labels[k] for k in kept], values[..., kept]
    by_stratum = dims[:1] == [names.RESIDUAL_BY]
    return ResidualBlock(str(array.name), tuple(labels), values, by_stratum, factor)


def _variables(
    idata: xr.DataTree, structure: StructuredResiduals, group_name: str
) -> dict[str, Floats]:
    found = {}
    for name, dims in structure.dims.items():
        array = read.variable(idata, name, group_name).transpose("chain", "draw", *dims)
        for dim in dims:
            drawn, known = array[dim].values.astype(str).tolist(), list(structure.coords[dim])
            if drawn != known:
                raise TreeError(
                    f"The draws of {name!r} are of {', '.join(drawn)}, and the rows of the fit "
                    f"have {', '.join(known)}: they belong to different fits."
                )
        found[name] = np.asarray(array.values, dtype=np.float64)
    return found
