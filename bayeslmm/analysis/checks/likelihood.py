"""Log-densities of rows given all effects, and marginal ones of groups."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.analysis.checks.closed_forms import closed_forms, effects_root
from bayeslmm.analysis.checks.gram_groups import group_densities
from bayeslmm.analysis.checks.group_quadrature import MOST_COLUMNS, group_integrals
from bayeslmm.analysis.checks.level_integrals import level_integrals
from bayeslmm.analysis.prediction.linear_predictor import (
    LinearPredictor,
    design_state,
    linear_predictor,
    training_design,
)
from bayeslmm.analysis.prediction.row_numbers import row_trials, row_weights, with_statements_about
from bayeslmm.analysis.several.densities import observation_log_likelihood
from bayeslmm.analysis.variance.moments import tree_gram
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.residual_rows import sigma_factors
from bayeslmm.errors import TreeError, names_keywords
from bayeslmm.gram.blocks import is_nested
from bayeslmm.model.compiled_rows import whole_constants
from bayeslmm.results import read
from bayeslmm.results.record import has_several, require_one_response
from bayeslmm.results.residual import residual_group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.model.residual.drawn import DrawnResiduals


def row_log_likelihood(idata: xr.DataTree) -> NDArray[np.float64]:
    """Compute log p(y_i | eta_i) given all effects, shape (s, n); see `add_log_likelihood`."""
    read.require_tree(idata)
    if has_several(idata):
        return observation_log_likelihood(idata)
    return _row_densities(linear_predictor(idata, residual=True), read.response(idata))


def _row_densities(predictor: LinearPredictor, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the log-density of each row given all effects and its group's other rows (s, n)."""
    density = np.empty((predictor.size, len(y)))
    member, drawn = predictor.family, predictor.residual
    for rows, eta in predictor.joint_chunks():
        phi = predictor.parameters(rows)
        if drawn is not None and drawn.correlated and member.gaussian_scale is not None:
            rest = member.gaussian_scale.link(y[rows, None]) - eta
            mean, phi[names.SIGMA] = drawn.given_others(np.arange(len(y))[rows], rest)
            eta = eta + mean  # noqa: PLW2901 - of the row, given the others
        density[:, rows] = predictor.log_density(rows, y, eta, phi).T
    return density


@names_keywords
def add_log_likelihood(idata: xr.DataTree) -> xr.DataTree:
    r"""Add the group ``log_likelihood``, which ArviZ's functions read; nothing is compiled.

    .. math:: \log p(y_i \mid x_i'\beta + z_i'b, \; \phi)

    which is :math:`\log N(y_i \mid x_i'\beta + z_i'b, \; \sigma^2 / w_i)` for the Gaussian. Where
    residuals correlate within groups it is the density of the row given its group's other rows,
    too, which is what leaving it out takes [1]_; these do not add up to the joint log-likelihood.
    Of several responses it is the density of all that a row has of them, together.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.

    Returns
    -------
    DataTree
        A new tree with the group added; its variable is the response's, with dimensions
        (chain, draw, obs).

    Raises
    ------
    TreeError
        If the tree is not of this package or lacks a group.

    References
    ----------
    .. [1] Buerkner, Gabry & Vehtari (2021). Efficient leave-one-out cross-validation for Bayesian
       non-factorized normal and Student-t models. Computational Statistics 36:1243-1261.
       doi:10.1007/s00180-020-01045-4

    Examples
    --------
    >>> add_log_likelihood(idata)["log_likelihood"]["y"].dims
    ('chain', 'draw', 'obs')
    """
    values = row_log_likelihood(idata)
    lead = read.sample_shape(idata)
    coords = {"chain": np.arange(lead[0]), "draw": np.arange(lead[1])}
    coords[names.OBS] = read.row_labels(idata)
    name = str(idata.attrs["response"])
    array = (("chain", "draw", names.OBS), values.reshape(*lead, -1))
    result = idata.copy()
    result["log_likelihood"] = xr.DataTree(xr.Dataset({name: array}, coords=coords))
    return result


@dataclass(frozen=True, slots=True)
class GroupDensity:
    """Marginal log-densities of groups, and what they are conditional on.

    Attributes
    ----------
    values : ndarray, shape (s, m)
        One column per level.
    name : str
        What the groups are the levels of: a grouping factor, or the residuals' groups.
    levels : tuple of str
        The levels.
    integrated : tuple of str
        Factors whose effects are integrated out: the one asked for, then those nested in it.
    conditional : tuple of str
        Factors whose effects are given: other groups' rows inform them too.
    about : mapping of str to int or float
        Of quadrature ``nodes`` in each column and ``node_error``, by how much twice as many change
        a density; empty where the integrals are exact.
    """

    values: NDArray[np.float64]
    name: str
    levels: tuple[str, ...]
    integrated: tuple[str, ...]
    conditional: tuple[str, ...]
    about: Mapping[str, float] = field(default_factory=dict)


def group_log_likelihood(idata: xr.DataTree, factor: str | None = None) -> GroupDensity:
    r"""Compute the log-density of each level's rows, its effects integrated out.

    .. math:: \log \int \prod_{r \in i} p(y_r \mid \eta_r, \phi) \, N(b_i; 0, G) \, db_i

    which is :math:`\log N(y_i \mid X_i \beta + \ldots, Z_i G Z_i' + \sigma^2 W_i^{-1})` of
    Gaussian responses, and otherwise computed by adaptive quadrature.

    Parameters
    ----------
    idata : DataTree
    factor : str, optional
        The grouping factor, or what residuals correlate within; may be left out where there is
        one of either kind, and asks for the grouping factor where there is one of both.

    Returns
    -------
    GroupDensity
        Z_i gathers the columns of the factor and of every factor nested in it. Effects of the
        other factors stay in the mean.

    Raises
    ------
    TreeError
        If the factor is unknown, or not named where there are several; or if the response is not
        Gaussian and the factor has more than two columns, or others nested in it.
    """
    read.require_tree(idata)
    require_one_response(idata)
    gram = tree_gram(idata)
    if gram is not None:
        found, integrated = group_densities(idata, gram, factor)
        levels = read.require_levels(read.factor(idata, integrated[0]))
        return GroupDensity(found, integrated[0], levels, integrated, ())
    if (group := residual_group(idata, factor)) is not None:
        return _of_residual_groups(idata, group)
    info = read.factor(idata, factor)
    design = training_design(idata)
    target = next(item for item in design.factors if item.name == info.name)
    target.require_one_level("Leaving out levels")
    inside = [item for item in design.factors if is_nested(item.index, target.index)]
    outside = tuple(item.name for item in design.factors if item not in inside)
    require_independent(inside)
    given = [*outside, *read.in_parameters(idata)]
    predictor = linear_predictor(idata, random_effects=given, residual=True)
    require_whole_groups(predictor.residual, target.index, info.name)
    _require_own(design, target.index, info.name)
    y = read.response(idata)
    outside = tuple(given)
    nested = tuple(item.name for item in inside if item is not target)
    levels = read.require_levels(info)
    if design.family.gaussian_scale is None:
        _require_few_columns(design.family.name, target, nested)
        if predictor.residual is not None:
            raise TreeError(
                f"Leaving out levels of {info.name!r} takes an integral over its effects, which is "
                f"computed for one sigma, and this {design.family.name} fit has a formula of it: "
                "leave out single rows, unit='observation'."
            )
        root = effects_root(idata, target)
        compiled = level_integrals(design, predictor, root) if whole_constants(design) else None
        integrals = compiled or group_integrals(predictor, y, target.index, target.columns, root)
        about = {"nodes": integrals.nodes, "node_error": integrals.error}
        return GroupDensity(integrals.values, info.name, levels, (info.name,), outside, about)
    if design.likweights is not None:
        raise TreeError(
            "Rows of this fit have likelihood weights, and a group whose rows count several times "
            "has no density of its own: leave out single rows, unit='observation'."
        )
    found = closed_forms(idata, design, predictor, target.index, inside)
    return GroupDensity(found, info.name, levels, (info.name, *nested), outside)


def _of_residual_groups(idata: xr.DataTree, group: str) -> GroupDensity:
    """Compute densities of the residuals' groups, effects nested in them integrated out."""
    design = training_design(idata)
    assert design.residual is not None  # noqa: S101 - the tree has such groups
    rows = design.residual
    inside = [item for item in design.factors if is_nested(item.index, rows.group)]
    outside = tuple(item.name for item in design.factors if item not in inside)
    require_independent(inside)
    outside = (*outside, *read.in_parameters(idata))
    predictor = linear_predictor(idata, random_effects=list(outside), residual=True)
    _require_own(design, rows.group, group)
    found = closed_forms(idata, design, predictor, rows.group, inside)
    nested = tuple(item.name for item in inside)
    return GroupDensity(found, group, tuple(rows.labels.tolist()), nested, outside)


def _require_own(design: Design, index: NDArray[np.int64], name: str) -> None:
    """Raise unless a level's effects are in its mean alone: those in parameters have no integral.

    Of sigma there is none in closed form, and of others none is computed.
    """
    in_sigma = sigma_factors(design.residual)
    others = [
        (rows.parameter, factor)
        for rows in design.predictors
        for factor in (*rows.factors, *rows.shared)
    ]
    for parameter, factor in [(names.SIGMA, factor) for factor in in_sigma] + others:
        if is_nested(factor.index, index):
            raise TreeError(
                f"Leaving out levels of {name!r} takes an integral over their effects, and "
                f"over those in {parameter}, by {':'.join(factor.variables)!r}, there is none in "
                "closed form: leave out single rows, unit='observation'."
            )


def _require_few_columns(member: str, target: GroupingFactor, nested: Sequence[str]) -> None:
    """Raise unless quadrature over a level's effects takes few enough nodes."""
    name, q = target.name, len(target.terms)
    if nested:
        raise TreeError(
            f"Leaving out levels of {name!r} takes the integral over its effects and those of "
            f"{nested[0]!r}, which is nested in it; for family {member!r} only one factor can be "
            f"integrated: name factor={nested[-1]!r}, or leave out single rows, "
            "unit='observation'."
        )
    if q > MOST_COLUMNS:
        raise TreeError(
            f"Leaving out levels of {name!r} takes an integral over its {q} random-effect columns; "
            f"for family {member!r} there is quadrature over {MOST_COLUMNS} at most. Leave out "
            "single rows, unit='observation'."
        )


def require_whole_groups(
    drawn: DrawnResiduals | None, index: NDArray[np.int64], factor: str
) -> None:
    """Raise unless no residual group has rows of two levels of a factor.

    Raises
    ------
    TreeError
        If one does: levels are not independent of each other then.
    """
    if drawn is None or not drawn.correlated or is_nested(drawn.rows.group, index):
        return
    correlation = drawn.rows.correlation
    raise TreeError(
        f"Residuals by {correlation} correlate across levels of {factor!r}: a level's rows are "
        "not independent of the other levels'. Ask for a factor in whose levels the residual "
        "groups lie, or about single rows."
    )


def require_independent(factors: Sequence[GroupingFactor]) -> None:
    """Raise unless levels of factors are independent of each other.

    Raises
    ------
    TreeError
        If they have a known covariance.
    """
    for factor in factors:
        if factor.latent is not None:
            raise TreeError(
                f"The levels of {factor.name!r} are not independent of each other, and each would "
                "be judged by itself: ask about single rows (unit='observation')."
            )


@names_keywords
def log_likelihood(
    idata: xr.DataTree,
    data: Any,
    *,
    weights: str | ArrayLike | None = None,
    trials: str | ArrayLike | None = None,
    se: str | ArrayLike | None = None,
    likweights: str | ArrayLike | None = None,
    cens: str | ArrayLike | None = None,
    y2: str | ArrayLike | None = None,
) -> xr.DataArray:
    r"""Compute the log-likelihood of given rows under every draw.

    .. math:: \log p(y_i \mid x_i'\beta + z_i'b + o_i, \; \phi)

    which is :math:`\log N(y_i \mid x_i'\beta + z_i'b + o_i, \; \sigma^2 / w_i)` for the
    Gaussian; where residuals correlate within groups, given the other rows of its group in `data`,
    as in `add_log_likelihood`.

    A tree that was fitted to cross-products holds no rows: go through their batches, and keep of
    each what you need (its mean over draws, say), since all of it is draws x rows numbers.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`, with the draws of the random effects of these rows' levels.
    data : table or mapping of str to array
        Rows with the response; no value may be missing.
    weights : str or array-like, optional
        Their weights; of the column that the fit took its weights from without it.
    trials : str, array-like or int, optional
        Their numbers of trials, of a binomial response; as weights.
    se : str or array-like, optional
        Their known standard errors, where the fit had such; as weights.
    likweights, cens, y2 : str or array-like, optional
        How often each counts, and how its response was censored, as in `fit_bayes`; of the columns
        that the fit took them from without.

    Returns
    -------
    DataArray, dims (chain, draw, obs)
        Log-densities; ``obs`` holds the labels of the rows' index, or their numbers.

    Raises
    ------
    ArgumentError
        If the fit dropped columns and does not determine what is expected of a row, or the rows
        lack standard errors that the fit's had.
    DataError
        If a column is missing or of another type, or a level is new.
    TreeError
        If `idata` is no tree of this package, or lacks draws of random effects.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes(formula, gram, parametrization="marginal")  # doctest: +SKIP
    >>> for batch in batches:  # doctest: +SKIP
    ...     total += float(bl.log_likelihood(idata, batch).mean(("chain", "draw")).sum())
    """
    read.require_tree(idata)
    weights = row_weights(idata, data, weights)
    trials = row_trials(idata, data, trials, "log_likelihood is of counts of successes", "")
    rows = rebuild_design(
        design_state(idata), data, response="required", factors=(), weights=weights, trials=trials
    )
    # Cross-products do not say what they determine; the rows are those that they sum.
    summed = read.from_cross_products(idata)
    predictor = linear_predictor(
        idata, data, weights=weights, trials=trials, any_rows=summed, residual=True, se=se
    )
    said = {"likweights": likweights, "cens": cens, "y2": y2}
    design = with_statements_about(replace(predictor.design, y=rows.y), idata, data, said)
    predictor = replace(predictor, design=design)
    density = _row_densities(predictor, rows.y)
    shape = read.sample_shape(idata)
    coords = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
    return xr.DataArray(
        density.reshape(*shape, -1),
        dims=("chain", "draw", names.OBS),
        coords={**coords, names.OBS: rows.obs},
        name=str(idata.attrs["response"]),
    )
