"""Numbers as the groups, variables and attributes of the result tree."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.families.parameters import variables_of
from bayeslmm.families.several.softmax import Categorical
from bayeslmm.gram.file import gram_dataset
from bayeslmm.gram.gram import gram_of
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.predictors import predictors_of
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.stacked.stack import Stack
    from bayeslmm.model.model import Model
    from bayeslmm.results.kept_effects import EffectsStore

_PACKAGES = ("arviz", "formulaic", "numba", "numpy", "nutpie", "pymc", "pytensor", "xarray")


def draws_dataset(
    design: ModelData,
    draws: Mapping[str, NDArray[np.float64]],
    levels: Mapping[str, NDArray[np.str_]] | None = None,
) -> xr.Dataset:
    """Return draws as a dataset with the contract's dimensions and coordinates.

    Parameters
    ----------
    design : ModelData
        The model.
    draws : mapping of str to ndarray
        ``beta``, the family's parameters, ``sd_<factor>``, ``corr_<factor>``, ``b_<factor>``, each
        with chain and draw as its first two dimensions.
    levels : mapping of str to ndarray of str, optional
        Factor -> labels of the levels whose effects `draws` holds; all of them if not given.

    Returns
    -------
    Dataset
    """
    dims: dict[str, tuple[str, ...]] = {names.BETA: (names.COEF,)}
    coords: dict[str, Any] = {
        **sample_coordinates(next(iter(draws.values())).shape[:2]),
        names.COEF: list(design.coef),
    }
    for name, (dim, labels_of_dim) in variables_of(design.family).items():
        dims[name] = (dim,) if labels_of_dim else ()
        coords |= {dim: list(labels_of_dim)} if labels_of_dim else {}
    if design.residual is not None:
        structure = structured_residuals(design.residual)
        dims |= structure.dims
        coords |= {dim: list(labels) for dim, labels in structure.coords.items()}
    for predictor in predictors_of(design):
        dims |= predictor.dims
        coords |= {dim: list(labels) for dim, labels in predictor.coords.items()}
    for factor in design.factors:
        level, term = names.level_dim(factor.name), names.term_dim(factor.name)
        bis = names.term_dim_bis(factor.name)
        dims[names.sd(factor.name)] = (term,)
        dims[names.corr(factor.name)] = (term, bis)
        dims |= {name: () for name, _ in covariance_of(factor).parameter_names}
        dims[names.effects(factor.name)] = (level, term)
        coords[term] = list(factor.terms)
        if names.effects(factor.name) in draws:
            coords[level] = factor.levels if levels is None else levels[factor.name]
        if names.corr(factor.name) in draws:
            coords[bis] = list(factor.terms)
    order = [name for name in dims if name in draws]
    variables = {name: (("chain", "draw", *dims[name]), draws[name]) for name in order}
    return xr.Dataset(variables, coords=coords)


def levels_group(design: ModelData, kept_in_part: Sequence[str] = ()) -> dict[str, xr.Dataset]:
    """Return the group of all levels, of factors that a tree's draws do not tell enough about.

    Parameters
    ----------
    design : ModelData
        The model.
    kept_in_part : sequence of str
        Factors of which the draws of some levels only are kept.

    Returns
    -------
    dict of str to Dataset
        With the arm of each level, where levels have any; empty where there is nothing to tell.
    """
    coords: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    for factor in design.factors:
        dim = names.level_dim(factor.name)
        if factor.name in kept_in_part or factor.arms is not None:
            coords[dim] = factor.levels
        if factor.arms is not None:
            labels = np.array(factor.arms.level_labels, dtype=str)
            variables[names.arm(factor.name)] = (dim, labels, {"column": factor.arms.by})
    return {names.FITTED_LEVELS: xr.Dataset(variables, coords=coords)} if coords else {}


def moments_dataset(
    design: ModelData, moments: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> xr.Dataset:
    """Return posterior means and sds of random effects whose draws were not kept."""
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for factor in design.factors:
        if factor.name not in moments:
            continue
        dims = (names.level_dim(factor.name), names.term_dim(factor.name))
        coords |= {dims[0]: factor.levels, dims[1]: list(factor.terms)}
        for label, values in zip(("mean", "sd"), moments[factor.name], strict=True):
            variables[f"{names.effects(factor.name)}_{label}"] = (dims, values)
    return xr.Dataset(variables, coords=coords)


def sample_coordinates(shape: tuple[int, ...]) -> dict[str, NDArray[np.int64]]:
    """Return the coordinates of chains and draws, numbered from zero."""
    return {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}


# nutpie's names of what ArviZ's functions look for under the schema's names.
_SCHEMA_NAMES = {"logp": "lp", "mean_tree_accept": "acceptance_rate", "depth": "tree_depth"}


def statistics_by_draw(stats: xr.Dataset) -> xr.Dataset:
    """Keep a sampler's statistics that are one number a draw, under the names of ArviZ's schema.

    Every file format can hold those; draws and chains are numbered from zero.
    """
    known = {old: new for old, new in _SCHEMA_NAMES.items() if old in stats and new not in stats}
    stats = stats.rename(known)
    kept = [
        name
        for name, array in stats.data_vars.items()
        if array.dims == ("chain", "draw") and array.dtype != object
    ]
    sizes = stats.sizes
    coords = sample_coordinates((sizes["chain"], sizes["draw"]))
    return stats[kept].drop_attrs().assign_coords(coords)


def data_groups(design: ModelData) -> dict[str, xr.Dataset]:
    """Return ``observed_data`` and ``constant_data``, or cross-products where those are given."""
    if not design.has_rows:
        return {names.CROSS_PRODUCTS: gram_dataset(gram_of(design))}
    coded = design.coded_rows
    if coded.stack is not None:
        return _of_observations(coded, coded.stack)
    rows = {names.OBS: coded.obs}
    observed = {names.stored(coded.response): (names.OBS, coded.y, _unit(coded, coded.response))}
    return {
        "observed_data": xr.Dataset(observed, coords=rows),
        "constant_data": xr.Dataset(_constant_data(coded), coords=rows),
    }


def by_response(design: Design, rows: Floats) -> dict[str, Floats]:
    """Return responses of stacked rows by observation, as a tree names them.

    Parameters
    ----------
    design : Design
        Of several responses, or categories.
    rows : ndarray, shape (s, n)
        Draws of its rows.

    Returns
    -------
    dict of str to ndarray, shape (s, m)
        NaN where an observation lacks a response.
    """
    stack = design.stack
    assert stack is not None  # noqa: S101 - of several
    if stack.totals is not None:
        drawn = [_of_categories(design, y, stack.totals) for y in rows]
        return {name: np.stack([one[name][1] for one in drawn]) for name in drawn[0]}
    return {
        names.stored(name): np.stack([stack.spread(k, y[stack.rows_of(k)]) for y in rows])
        for k, name in enumerate(stack.names)
    }


def _of_observations(design: Design, stack: Stack[Design]) -> dict[str, xr.Dataset]:
    """Return the groups of several responses: a variable for each, NaN where it is lacking."""
    rows = {names.OBS: stack.labels}
    observed, constant = {}, _columns(design, stack.data)
    if stack.totals is not None:
        observed = _of_categories(design, design.y, stack.totals)
        return {
            "observed_data": xr.Dataset(observed, coords=rows),
            "constant_data": xr.Dataset(constant, coords=rows),
        }
    for k, (name, part) in enumerate(zip(stack.names, stack.parts, strict=True)):
        y = stack.spread(k, part.y)
        observed[names.stored(name)] = (names.OBS, y, _unit(part, part.response))
        if part.trials is not None:
            attrs = {"role": "trials", "response": name}
            label = names.of_response("trials", names.stored(name))
            constant[label] = (names.OBS, stack.spread(k, part.trials), attrs)
    return {
        "observed_data": xr.Dataset(observed, coords=rows),
        "constant_data": xr.Dataset(constant, coords=rows),
    }


def _of_categories(design: Design, y: Floats, totals: Floats) -> dict[str, Any]:
    """Return which category each observation is of, or how many it has of each."""
    layout = design.state.layout
    assert layout is not None  # noqa: S101 - of categories
    counts = y.reshape(-1, len(layout.names))
    if design.family.name == Categorical.name:
        code = counts @ np.arange(1, len(layout.names) + 1)
        attrs = {"categories": list(layout.categories)}
        return {names.stored(design.response): (names.OBS, code.astype(np.int64), attrs)}
    whole = np.column_stack([totals - counts.sum(axis=1), counts])
    named = zip(layout.categories, whole.T, strict=True)
    return {names.stored(name): (names.OBS, column) for name, column in named}


def root_attributes(model: Model) -> dict[str, Any]:
    """Write what makes a tree readable by itself: formula, design, priors, versions, data."""
    design = model.design
    dropped = design.state.dropped
    # Only where there are any: trees of other models stay as they were.
    extra = {"dropped_columns": json.dumps(dropped)} if dropped else {}
    return {
        "bayeslmm_version": __version__,
        "formula": str(design.formula),
        "response": names.stored(design.response),
        "family": design.family.name,
        "link": design.family.link.name,
        "priors": model.priors.to_json(),
        "design": design.state.to_json(levels=False),
        "versions": _versions(),
        "n_levels": json.dumps({factor.name: len(factor.levels) for factor in design.factors}),
        "n_obs": design.n if design.stack is None else len(design.stack.labels),
        "data_fingerprint": fingerprint(design),
        **extra,
    }


@cache
def _versions() -> str:
    # Each is read from a file of its package's.
    packages = {name: version(name) for name in _PACKAGES}
    return json.dumps({"python": platform.python_version(), **packages})


def _columns(design: Design, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table's columns as variables of a tree."""
    constant: dict[str, Any] = {}
    for name, column in columns.items():
        categories = getattr(column, "categories", None)
        values = np.asarray(column)
        if values.dtype == object:
            values = values.astype(str)
        attrs = {} if categories is None else {"categories": [str(c) for c in categories]}
        # The rows' own numbers stand under this name; what counts is the attribute.
        label = f"{name} of the table" if name == names.OBS else names.stored(name)
        constant[label] = (names.OBS, values, {**attrs, "column": name, **_unit(design, name)})
    return constant


def _constant_data(design: Design) -> dict[str, Any]:
    constant = _columns(design, design.data)
    known = {
        "weights": design.weights, "offset": design.offset, "trials": design.trials,
        "likweights": design.likweights, "ends": design.ends,
    }  # fmt: skip
    if design.residual is not None:
        known["se"] = design.residual.se
    for role, given in known.items():
        if given is not None:
            # A predictor may have that name too; what counts is the role.
            name = f"{role} of the fit" if role in constant else role
            constant[name] = (names.OBS, given, {"role": role})
    return constant


def known_groups(design: ModelData) -> dict[str, xr.Dataset]:
    """Return the known covariances of levels, one group for each, by its path."""
    return {
        f"{names.KNOWN}/{name}": xr.Dataset(
            {
                key: (tuple(f"{key}_{axis}" for axis in range(array.ndim)), array)
                for key, array in known.arrays().items()
            }
            | {"labels": ("level", list(known.labels))},
            attrs={
                "kind": known.kind,
                "fingerprint": known.fingerprint,
                "mean_diagonal": known.mean_diagonal,
            },
        )
        for name, known in design.state.known.items()
    }


def _unit(design: Design, name: str) -> dict[str, str]:
    # Not "units": reading a file, xarray would make time spans of numbers in "days".
    unit = design.units.get(name.strip("`"))
    return {} if unit is None else {"unit": unit}


@dataclass(frozen=True)
class UnconstrainedDraws:
    """Draws of a model's free variables, on their own scale.

    Attributes
    ----------
    values : mapping of str to ndarray, shape (chain, draw, ...)
        By variable.
    stats : Dataset
        The sampler's statistics by draw.
    compile_time, sampling_time : float
        Seconds.
    """

    values: Mapping[str, NDArray[np.float64]]
    stats: xr.Dataset
    compile_time: float
    sampling_time: float


def build_tree(
    model: Model,
    posterior: Mapping[str, NDArray[np.float64]],
    free: UnconstrainedDraws,
    store: EffectsStore,
) -> xr.DataTree:
    """Return draws and data in the groups, variables and coordinates of the contract.

    Parameters
    ----------
    model : Model
        What was fitted.
    posterior : mapping of str to ndarray, shapes (chain, draw, ...)
        The posterior's variables other than random effects.
    free : UnconstrainedDraws
        The sampler's statistics and times.
    store : EffectsStore
        The random effects, as far as they are kept.

    Returns
    -------
    xarray.DataTree
        Posterior, sample_stats, log_prior, observed_data and constant_data; see `fit_bayes`.
    """
    design = model.design
    sample_coords = sample_coordinates(next(iter(posterior.values())).shape[:2])
    log_prior = {
        name: (("chain", "draw"), value)
        for name, value in model.priors.log_densities(posterior).items()
    }
    stats = free.stats.copy()
    stats.attrs |= {"compile_time": free.compile_time, "sampling_time": free.sampling_time}
    groups = {
        "posterior": draws_dataset(design, {**posterior, **store.posterior()}, store.levels()),
        "sample_stats": stats,
        "log_prior": xr.Dataset(log_prior, coords=sample_coords),
        **data_groups(design),
    }
    if moments := store.moments():
        groups["effects_moments"] = moments_dataset(design, moments)
    groups |= levels_group(design, store.kept_in_part())
    groups |= known_groups(design)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = root_attributes(model)
    return tree
