"""The posterior beside a maximum likelihood fit of the same rows, of any response family."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.reml_comparison.refit import tree_design
from bayeslmm.errors import (
    ArgumentError,
    NumericalWarning,
    SingularFitWarning,
    TreeError,
    names_keywords,
)
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.reml.glmm.fit import fit_ml
from bayeslmm.reml.glmm.result import MLFit
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe
from bayeslmm.results.family import family_blocks
from bayeslmm.results.residual import has_structure, refuse_in_sigma

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeslmm.arrays import Floats

# Of what `describe` finds, these speak of the chains and not of the parameters.
_OF_CHAINS = ("ess_bulk", "ess_tail", "r_hat")


@names_keywords
def compare_ml(
    idata: xr.DataTree,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    fit: MLFit | None = None,
    check_data: bool = True,
) -> pd.DataFrame:
    r"""Compare a posterior with the maximum likelihood fit of the same rows.

    The model is refitted by `fit_ml` from the tree alone. The posterior mean need not equal the
    maximum, which is a mode: standard deviations of few levels, and coefficients of rare events,
    lie further out in the mean. Where the maximum is infinite, the priors make the difference.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`, also read back from a file.
    ci_prob : float
        Probability of the credible interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.
    fit : MLFit, optional
        The maximum likelihood fit of these rows, where it is at hand.
    check_data : bool
        As in `refit_reml`.

    Returns
    -------
    DataFrame
        Indexed by coefficient, ``sd_<factor>[term]``, ``corr_<factor>[term, term]`` and the
        family's parameters.

        - ``ml``, ``ml_se``: estimate and standard error
        - ``mean``, ``sd``, ``median``, the interval, ``mcse_mean``: of the posterior
        - ``diff_sd``, ``diff_mcse``: posterior mean less estimate, in posterior standard
          deviations and in Monte Carlo standard errors

        ``attrs["singular"]`` says whether a variance component is estimated on its boundary,
        ``attrs["approximation"]`` how the effects were integrated out.

    Raises
    ------
    TreeError
        When `idata` is no tree of this package, lacks a group, or its rows were changed.
    DataError
        When some estimate does not exist.

    See Also
    --------
    compare_reml : for Gaussian responses, with what to expect of each difference.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes(
    ...     "incidence ~ period + (1 | herd)", bl.load_dataset("cbpp"),
    ...     family="binomial", trials="size",
    ... )  # doctest: +SKIP
    >>> compare_ml(idata)[["ml", "ml_se", "mean", "sd"]].round(2)  # doctest: +SKIP
                          ml  ml_se  mean    sd
    parameter
    Intercept          -1.40   0.23 -1.40  0.25
    period[T.2]        -0.99   0.31 -1.00  0.31
    period[T.3]        -1.13   0.33 -1.14  0.33
    period[T.4]        -1.58   0.43 -1.62  0.43
    sd_herd[Intercept]  0.65   0.18  0.70  0.21
    """
    read.require_tree(idata)
    refuse_in_sigma(idata, "compare_ml", "fit_reml takes formulas of sigma without terms in bars.")
    if has_structure(idata):
        raise TreeError(
            "compare_ml is of fit_ml, and a fit with a residual structure is maximised by "
            "fit_reml: take compare_reml(idata, fit=fit_reml(..., method='ML'))."
        )
    if fit is None:
        design = tree_design(idata, check_data=check_data)
        with warnings.catch_warnings():
            # The table says it, parameter by parameter.
            warnings.simplefilter("ignore", SingularFitWarning)
            warnings.simplefilter("ignore", NumericalWarning)
            fit = fit_ml(design)
    elif not isinstance(fit, MLFit):
        raise ArgumentError(f"fit is a result of fit_ml, and not a {type(fit).__name__}.")
    draws = _draws(idata, fit)
    numbers = describe(draws, ci_prob, ci_kind)
    table = fit.estimates.rename(columns={"estimate": "ml", "std_error": "ml_se"})
    for name, values in numbers.items():
        if name not in _OF_CHAINS:
            table[name] = values
    difference = table["mean"] - table["ml"]
    table["diff_sd"] = difference / table["sd"].where(table["sd"] > 0.0)
    table["diff_mcse"] = difference / table["mcse_mean"].where(table["mcse_mean"] > 0.0)
    table.attrs = {"singular": fit.is_singular, "approximation": fit.approximation}
    return table


def _draws(idata: xr.DataTree, fit: MLFit) -> Floats:
    """Collect every parameter's draws in the order of the fit's, shape (chain, draw, m)."""
    columns = [read.draws(idata, names.BETA)] if fit.data.coef else []
    for factor in fit.data.factors:
        info = read.factor(idata, factor.name)
        columns.append(read.draws(idata, names.sd(info.name)))
        pairs = covariance_of(factor).pairs
        if pairs:
            corr = read.correlation_draws(idata, info)
            columns += [corr[..., i, j][..., None] for i, j in pairs]
    columns += [drawn for _, _, drawn in family_blocks(idata)]
    draws = np.concatenate(columns, axis=-1)
    if draws.shape[-1] != len(fit.estimates):
        raise TreeError(
            f"The draws are of {draws.shape[-1]} parameters, and the fit of "
            f"{len(fit.estimates)}: they belong to different models."
        )
    return np.asarray(draws)
