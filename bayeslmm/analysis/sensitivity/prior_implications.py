"""What priors imply for quantities that nobody sets a prior on: ICC, slope heterogeneity, G."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import linear_predictor
from bayeslmm.analysis.summaries.tables import correlated_pairs
from bayeslmm.analysis.variance.parts import intraclass_correlations
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.results import read
from bayeslmm.results.factor_info import coefficients_of_terms
from bayeslmm.results.family import family, is_additive

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Whose means are enough for quantiles.
_MOST_ROWS = 500
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@names_keywords
def implied_priors(tree_of_draws: xr.DataTree, group: str = "prior") -> pd.DataFrame:
    """Describe the implied priors of the ICC, of slopes' heterogeneity and of correlations.

    ``icc[<factor>]`` is v_k / (sum_l v_l + sigma^2) with v_k the mean over rows of z' G_k z, as in
    `icc` on the latent scale; ``sd_<factor>[x] / |x|`` is a slope's standard deviation between
    levels over the absolute mean slope: above 1, levels may well differ in sign;
    ``corr_<factor>[x,z]`` are G's correlations. Where the link is not the identity,
    ``mean[typical]`` is the expected response (probability, count) of predictors at their means
    without random effects, and ``mean[rows]`` that of the rows (500 of them, evenly spaced, where
    there are more) with theirs: priors that are wide on the scale of a logit leave little between 0
    and 1.

    Parameters
    ----------
    tree_of_draws : DataTree
        Result of `sample_prior` (or of `fit_bayes`, with ``group="posterior"``).
    group : {"prior", "posterior"}
        Whose draws.

    Returns
    -------
    DataFrame
        Indexed by quantity: ``q5``, ``q25``, ``q50``, ``q75``, ``q95``.

    Raises
    ------
    TreeError
        If the group is not in the tree, or the tree is not of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> tree = bl.sample_prior(
    ...     "Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"),
    ...     priors={"corr": "LKJ(1)"}, draws=4000, random_seed=1,
    ... )
    >>> bl.implied_priors(tree).loc["corr_Subject[Intercept,Days]", "q95"].round(1).item()
    0.9
    """
    idata = as_posterior(tree_of_draws, group)
    quantities = {
        **intraclass_correlations(idata),
        **_slope_ratios(idata),
        **_correlations(idata),
        **_means(idata),
    }
    rows = {name: np.quantile(draws, _QUANTILES) for name, draws in quantities.items()}
    columns = [f"q{100 * q:g}" for q in _QUANTILES]
    index = pd.Index(list(rows), name="quantity")
    return pd.DataFrame(list(rows.values()), index=index, columns=columns)


def as_posterior(idata: xr.DataTree, group: str) -> xr.DataTree:
    """Return a tree whose posterior is another group's draws, for functions of a posterior.

    Raises
    ------
    ArgumentError
        If the group is no name.
    TreeError
        If the group is missing.
    """
    read.require_tree(idata)
    if not isinstance(group, str):
        raise ArgumentError(
            f"group is the name of a group of draws, 'posterior' or 'prior'; it was {group!r}."
        )
    if group == "posterior":
        return idata
    groups = {
        name: read.group(idata, name)
        for name in ("observed_data", "constant_data", names.CROSS_PRODUCTS)
        if name in idata.children
    }
    view = xr.DataTree.from_dict({"posterior": read.group(idata, group), **groups})
    view.attrs = dict(idata.attrs)
    return view


def _slope_ratios(idata: xr.DataTree) -> dict[str, NDArray[np.float64]]:
    ratios: dict[str, NDArray[np.float64]] = {}
    if names.BETA not in read.group(idata, "posterior"):
        return ratios
    coef = read.coefficients(idata)
    beta = np.abs(read.flat_draws(idata, names.BETA))
    for info in read.factors(idata):
        sd = read.flat_draws(idata, names.sd(info.name))
        of_terms = coefficients_of_terms(info, coef)
        for k, term in enumerate(info.terms):
            own = of_terms[term]
            if own in coef and own != names.INTERCEPT:
                shown = term if info.arms is None else own
                label = f"{names.sd(info.name)}[{term}] / |{shown}|"
                ratios[label] = sd[:, k] / beta[:, coef.index(own)]
    return ratios


def _means(idata: xr.DataTree) -> dict[str, NDArray[np.float64]]:
    """Return expected responses, where they are other numbers than linear predictors."""
    if is_additive(family(idata)):
        return {}
    rows = linear_predictor(idata, residual=True)
    if rows.residual is not None:  # each row has a variance of its own, and no row is typical
        return {"mean[rows]": rows.expected(slice(None), rows.rows(slice(None))).ravel()}
    eta = rows.design.X.mean(axis=0) @ rows.beta
    if rows.design.offset is not None:
        eta = eta + rows.design.offset.mean()
    some = np.linspace(0, rows.n - 1, min(rows.n, _MOST_ROWS)).round().astype(np.intp)
    return {
        "mean[typical]": rows.family.mean(eta, rows.phi),
        "mean[rows]": rows.family.mean(rows.rows(some), rows.phi).ravel(),
    }


def _correlations(idata: xr.DataTree) -> dict[str, NDArray[np.float64]]:
    result = {}
    for info in read.factors(idata):
        if info.correlated:
            corr = read.flat_draws(idata, names.corr(info.name))
            for i, j in correlated_pairs(idata, info):
                label = f"{names.corr(info.name)}[{info.terms[j]},{info.terms[i]}]"
                result[label] = corr[:, i, j]
    return result
