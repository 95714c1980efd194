"""Read a result tree: what was asked, which factors it has, and its draws as plain arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.design.factors.arms import Arms
from bayeslmm.design.state import state_content
from bayeslmm.errors import TreeError, nearest
from bayeslmm.results.factor_info import FactorInfo
from bayeslmm.results.record import require_one_response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HOW_TO_GET = {
    "posterior": "take the tree that `fit_bayes` returned",
    "prior": "draw from the prior with `sample_prior`",
    "observed_data": "take the tree that `fit_bayes` returned, with all its groups",
    "constant_data": "take the tree that `fit_bayes` returned, with all its groups",
    "sample_stats": "take the tree that `fit_bayes` returned, with all its groups",
}

# Groups with a value for every draw.
_DRAWN = {
    "posterior",
    "posterior_predictive",
    "prior",
    "prior_predictive",
    "sample_stats",
    "log_prior",
    "log_likelihood",
}


def require_tree(idata: Any) -> None:
    """Raise unless `idata` is a result tree of this package.

    Raises
    ------
    TreeError
        When it is something else, or a tree that another program made.
    """
    kind = type(idata).__name__
    if not hasattr(idata, "children") or not hasattr(idata, "attrs"):
        reml = " A REML fit has its own: print(fit), fit.fixed_effects, fit.random_effects."
        msg = (
            f"A result tree (xarray.DataTree) is needed, and this is a {kind}. Give what "
            "`fit_bayes` returned, or read a saved one with xarray.open_datatree(path)."
            f"{reml * (kind == 'REMLFit')}"
        )
        raise TreeError(msg)
    for attribute in ("formula", "response", "design"):
        if attribute not in idata.attrs:
            msg = (
                f"This tree was not made by bayeslmm, or lost its root attributes on the way: "
                f"{attribute!r} is missing. Give what `fit_bayes` returned, or a copy of it "
                "written by `to_netcdf` or `to_zarr` on the whole tree."
            )
            raise TreeError(msg)


def group(idata: xr.DataTree, name: str) -> xr.Dataset:
    """Return a group of the tree as a Dataset, or say how to get it.

    Raises
    ------
    TreeError
        When the tree has no such group.
    """
    require_tree(idata)
    rows = ("observed_data", "constant_data", "prior_predictive")
    if name in rows and from_cross_products(idata):
        msg = (
            "This takes the rows of the data, and the model was fitted to their cross-products "
            "(a Gram), which hold none. Predictions for new rows, summaries, comparison with REML, "
            "sensitivity to priors and loo(unit='group') do without; fitted, residuals and "
            "log_likelihood take the rows, batch by batch, as data=."
        )
        raise TreeError(msg)
    if not isinstance(name, str) or name not in idata.children:
        present = ", ".join(idata.children) or "none"
        how = HOW_TO_GET.get(str(name), "fit again and ask for it")
        msg = f"The tree has no group {name!r} (it has: {present}); {how}."
        raise TreeError(msg)
    data = idata[name].to_dataset()
    own = [idata[key] for key in ("observed_data", "constant_data") if key in idata.children]
    if len({held.sizes[names.OBS] for held in own if names.OBS in held.sizes}) > 1:
        raise TreeError("The tree's groups hold different rows. Take the fit's own tree.")
    if name not in _DRAWN:
        return data
    # isel(chain=0) takes the dimension away: one chain is one chain, one draw is one draw.
    if 0 in (data.sizes.get("chain"), data.sizes.get("draw")):
        raise TreeError(f"The tree's group {name!r} holds no draws. Keep one or more.")
    taken = [dim for dim in ("chain", "draw") if data.data_vars and dim not in data.dims]
    return data.expand_dims(taken) if taken else data


def from_cross_products(idata: xr.DataTree) -> bool:
    """Return whether a tree was fitted to cross-products, without rows."""
    return names.CROSS_PRODUCTS in idata.children


def variable(idata: xr.DataTree, name: str, group_name: str = "posterior") -> xr.DataArray:
    """Return one variable with its sample dimensions first.

    Raises
    ------
    TreeError
        When the group or the variable is missing.
    """
    data = group(idata, group_name)
    if name == names.BETA and name not in data.data_vars and _has_no_coefficients(idata):
        # Files hold no variable without elements; readers need not know.
        none = np.empty((*sample_shape(idata, group_name), 0))
        return xr.DataArray(none, {names.COEF: np.empty(0, str)}, ("chain", "draw", names.COEF))
    if name not in data.data_vars:
        present = [str(key) for key in data.data_vars]
        msg = (
            f"The tree's group {group_name!r} has no variable {name!r}."
            f"{nearest(name, present)} It has: {', '.join(present)}."
        )
        raise TreeError(msg)
    array = data[name]
    first = [dim for dim in ("chain", "draw") if dim in array.dims]
    return array.transpose(*first, ...)


def draws(idata: xr.DataTree, name: str, group_name: str = "posterior") -> NDArray[np.float64]:
    """Return a variable's draws, shape (chain, draw, ...)."""
    return np.asarray(variable(idata, name, group_name).values, dtype=np.float64)


def flat_draws(idata: xr.DataTree, name: str, group_name: str = "posterior") -> NDArray[np.float64]:
    """Return a variable's draws with chains laid end to end, shape (chain * draw, ...)."""
    values = draws(idata, name, group_name)
    return values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])


def coefficients(idata: xr.DataTree, group_name: str = "posterior") -> tuple[str, ...]:
    """Return the names of the fixed effects."""
    return _labels(variable(idata, names.BETA, group_name), names.COEF)


def factor_names(idata: xr.DataTree, group_name: str = "posterior") -> tuple[str, ...]:
    """Return the grouping factors in the order in which the formula names them, then smooths."""
    variables = list(map(str, group(idata, group_name).data_vars))
    order = list(state_content(str(idata.attrs["design"]))["terms"])
    present = [v[len(names.SD_PREFIX) :] for v in variables if v.startswith(names.SD_PREFIX)]
    # Standard deviations of visits, and of effects in sigma, are a residual structure's.
    others = {names.SD_RESIDUAL, *map(names.sd, in_sigma(idata))}
    present = [name for name in present if names.sd(name) not in others or name in order]
    for lacking in set(order) - set(present):
        variable(idata, names.sd(lacking), group_name)
    # Files may come back with their variables sorted, so the fit decides and the rest follows.
    return tuple(
        sorted(present, key=lambda name: order.index(name) if name in order else len(order))
    )


def in_sigma(idata: xr.DataTree) -> tuple[str, ...]:
    """Return the grouping factors of random effects in log(sigma), by `names.in_parameter`."""
    require_tree(idata)
    return tuple(n for n in in_parameters(idata) if names.apart(n)[0] == names.SIGMA)


def in_parameters(idata: xr.DataTree) -> tuple[str, ...]:
    """Return the grouping factors of effects in parameters, sigma's first."""
    require_tree(idata)
    return tuple(state_content(str(idata.attrs["design"])).get("parameter_terms", ()))


def factors(idata: xr.DataTree, group_name: str = "posterior") -> tuple[FactorInfo, ...]:
    """Describe every grouping factor of the tree, smooths among them."""
    return tuple(factor(idata, name, group_name) for name in factor_names(idata, group_name))


def factor(
    idata: xr.DataTree, name: str | None = None, group_name: str = "posterior"
) -> FactorInfo:
    """Describe one grouping factor; without a name, the only one.

    Raises
    ------
    TreeError
        When the factor is unknown, or when none is named and there are several.
    """
    known = factor_names(idata, group_name)
    chosen = name if name is not None else _only(known)
    if not isinstance(chosen, str) or chosen not in known:
        msg = (
            f"{chosen!r} is no grouping factor of {idata.attrs['formula']!r}."
            f"{nearest(str(chosen), known)} Its factors: {', '.join(known) or 'none'}."
        )
        if chosen in in_sigma(idata):
            msg += " Of effects in sigma there are variance_components and random_effects."
        raise TreeError(msg)
    return describe_factor(idata, chosen, group_name)


def describe_factor(idata: xr.DataTree, chosen: str, group_name: str = "posterior") -> FactorInfo:
    """Describe a grouping factor that the tree has, of the mean's effects or of sigma's."""
    sds = variable(idata, names.sd(chosen), group_name)
    data = group(idata, group_name)
    effects = names.effects(chosen)
    levels: tuple[str, ...] = ()
    if effects in data:
        levels = _labels(data[effects], names.level_dim(chosen))
    elif has_moments(idata, chosen):
        moments = group(idata, "effects_moments")[f"{effects}_mean"]
        levels = _labels(moments, names.level_dim(chosen))
    return FactorInfo(
        name=chosen,
        terms=_labels(sds, names.term_dim(chosen)),
        levels=levels,
        correlated=names.corr(chosen) in data,
        all_levels=_fitted_levels(idata, chosen) or levels,
        arms=_arms(idata, chosen),
    )


def has_moments(idata: xr.DataTree, name: str) -> bool:
    """Return whether a factor's random effects were kept as mean and sd per level."""
    return f"{names.effects(name)}_mean" in idata.children.get("effects_moments", ())


def effect_draws(idata: xr.DataTree, info: FactorInfo) -> NDArray[np.float64]:
    """Return a factor's random effects, shape (chain, draw, level, term)."""
    name = names.effects(info.name)
    if name not in group(idata, "posterior") and has_moments(idata, info.name):
        msg = (
            f"This tree keeps no draws of {name!r}, only mean and sd per level, in its group "
            "'effects_moments'. Fit again with effects='draws', or name the levels to keep."
        )
        raise TreeError(msg)
    array = variable(idata, name)
    ordered = array.transpose(
        "chain", "draw", names.level_dim(info.name), names.term_dim(info.name)
    )
    return np.asarray(ordered.values, dtype=np.float64)


def all_effect_draws(idata: xr.DataTree, info: FactorInfo) -> NDArray[np.float64]:
    """Return the random effects of all levels of the fit, shape (chain, draw, level, term).

    Raises
    ------
    TreeError
        When the tree keeps the draws of some levels only.
    """
    if info.levels != info.all_levels:
        raise TreeError(missing_effects(info, [x for x in info.all_levels if x not in info.levels]))
    return effect_draws(idata, info)


def require_levels(info: FactorInfo) -> tuple[str, ...]:
    """Return the labels of all levels of the fit.

    Raises
    ------
    TreeError
        When nothing in the tree names them.
    """
    if not info.all_levels:
        msg = (
            f"Nothing in this tree says which levels {info.name!r} has: it lacks the variable "
            f"{names.effects(info.name)!r} of the group 'posterior' and the group "
            f"{names.FITTED_LEVELS!r}. Take the tree that `fit_bayes` returned; to save room, fit "
            "with effects='moments'."
        )
        raise TreeError(msg)
    return info.all_levels


def missing_effects(info: FactorInfo, wanted: Sequence[str]) -> str:
    """Return the error that the tree does not hold the draws of some levels, and what to do."""
    shown = ", ".join(repr(level) for level in wanted[:5])
    more = f" and {len(wanted) - 5} more" if len(wanted) > 5 else ""
    return (
        f"The fit had the levels {shown}{more} of {info.name!r}, but this tree keeps the draws of "
        f"{len(info.levels)} of {len(info.all_levels)} levels only. Fit again with "
        "effects='draws', or name these levels too."
    )


def correlation_draws(
    idata: xr.DataTree, info: FactorInfo, group_name: str = "posterior"
) -> NDArray[np.float64]:
    """Return a factor's correlation matrices, shape (chain, draw, q, q); identity without any."""
    if info.correlated:
        array = variable(idata, names.corr(info.name), group_name).transpose(
            "chain", "draw", names.term_dim(info.name), names.term_dim_bis(info.name)
        )
        return np.asarray(array.values, dtype=np.float64)
    lead = draws(idata, names.sd(info.name), group_name).shape[:2]
    q = len(info.terms)
    return np.broadcast_to(np.eye(q), (*lead, q, q))


def covariance_draws(
    idata: xr.DataTree, info: FactorInfo, group_name: str = "posterior"
) -> NDArray[np.float64]:
    """Return a factor's covariance matrices G, shape (chain * draw, q, q)."""
    sd = draws(idata, names.sd(info.name), group_name)
    corr = correlation_draws(idata, info, group_name)
    cov = sd[..., :, None] * corr * sd[..., None, :]
    return cov.reshape(-1, *cov.shape[2:])


def response(idata: xr.DataTree) -> NDArray[np.float64]:
    """Return the observed response, shape (n,)."""
    require_one_response(idata)
    name = str(idata.attrs["response"])
    return np.asarray(variable(idata, name, "observed_data").values, dtype=np.float64)


def row_labels(idata: xr.DataTree) -> NDArray[Any]:
    """Return the training rows' labels, their numbers in a tree without any, shape (n,)."""
    observed = group(idata, "observed_data")
    # A dimension without a coordinate gives the numbers.
    return np.asarray(observed[names.OBS].values)


def constant(idata: xr.DataTree, role: str) -> NDArray[np.float64] | None:
    """Return what is known of the training rows; None without any.

    It is their ``"weights"``, ``"offset"``, ``"trials"``, ``"likweights"`` or, of censored
    responses, ``"ends"``.
    """
    for array in group(idata, "constant_data").data_vars.values():
        if array.attrs.get("role") == role:
            return np.asarray(array.values, dtype=np.float64)
    return None


def columns(idata: xr.DataTree) -> dict[str, NDArray[Any]]:
    """Return the training rows' columns that the formula uses, by their names in the table."""
    data = group(idata, "constant_data")
    return {
        str(array.attrs.get("column", key)): np.asarray(array.values)
        for key, array in data.data_vars.items()
        if "role" not in array.attrs
    }


def sample_shape(idata: xr.DataTree, group_name: str = "posterior") -> tuple[int, int]:
    """Return the numbers of chains and of draws per chain."""
    sizes = group(idata, group_name).sizes
    return sizes["chain"], sizes["draw"]


def _has_no_coefficients(idata: xr.DataTree) -> bool:
    return not state_content(str(idata.attrs["design"]))["coef"]


def _fitted_levels(idata: xr.DataTree, name: str) -> tuple[str, ...]:
    dim = names.level_dim(name)
    if dim not in idata.children.get(names.FITTED_LEVELS, ()):
        return ()
    return _labels(group(idata, names.FITTED_LEVELS)[dim], dim)


def _arms(idata: xr.DataTree, name: str) -> Arms | None:
    stated = state_content(str(idata.attrs["design"])).get("arms", {}).get(name)
    if stated is None:
        return None
    if names.arm(name) not in idata.children.get(names.FITTED_LEVELS, ()):
        raise TreeError(
            f"This tree does not say which levels of {name!r} are in which arm: it lacks "
            f"{names.arm(name)!r} of the group {names.FITTED_LEVELS!r}. Take the fit's own tree."
        )
    labels = group(idata, names.FITTED_LEVELS)[names.arm(name)].values
    return Arms.of_plain(stated, [str(label) for label in labels])


def _only(known: tuple[str, ...]) -> str:
    known = tuple(name for name in known if not names.is_smooth(name))
    if len(known) == 1:
        return known[0]
    if not known:
        raise TreeError("This is about a grouping factor, and the model has none.")
    raise TreeError(
        f"This is about one grouping factor, and the model has {len(known)}: name it, as in "
        f"factor={known[0]!r}. They are {', '.join(known)}."
    )


def _labels(array: xr.DataArray, dim: str) -> tuple[str, ...]:
    if dim not in array.coords:
        msg = f"The variable {array.name!r} has no coordinate {dim!r}; the tree is incomplete."
        raise TreeError(msg)
    return tuple(str(label) for label in array.coords[dim].values)
