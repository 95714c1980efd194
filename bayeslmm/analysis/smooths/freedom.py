"""One line for each curve: its basis, its standard deviation, its effective degrees of freedom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.checks.standardized_effects import moments_at_the_means
from bayeslmm.analysis.smooths.curves import drawn_smooth, smooth_terms
from bayeslmm.errors import names_keywords
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe
from bayeslmm.results.family import family

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.arrays import Floats


@names_keywords
def smooths(
    idata: xr.DataTree, *, ci_prob: float = CI_PROB, ci_kind: str = CI_KIND
) -> pd.DataFrame:
    r"""Describe each smooth: its size, how much its curve bends, and how many parameters that is.

    The effective degrees of freedom of a curve with u columns that are not penalised and q that
    are, :math:`u_j \sim N(0, s^2)`, are

    .. math:: edf = u + q - tr(Var(u | y, \theta)) / s^2,

    the trace of the matrix that turns least squares into penalised coefficients (Wood, 2017), at
    the posterior means of the variances :math:`\theta`. u + q is a regression spline without
    penalty, u a straight line.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per curve: ``smooth``, ``level`` of ``by=``, ``basis``, ``columns`` (u + q),
        ``edf`` (of Gaussian responses; missing of others), then ``mean``, ``sd``, ``median`` and
        the interval of the standard deviation s of the curve's departures from its line over the
        rows.

    Raises
    ------
    TreeError
        If the model has no smooth, or `idata` is no tree of this package.

    References
    ----------
    Wood, S. N. (2017). Generalized Additive Models: An Introduction with R, 2nd ed., section 6.1.2.
    doi:10.1201/9781315370279

    Examples
    --------
    >>> import bayeslmm as bl
    >>> x = np.linspace(0.0, 6.0, 60)
    >>> noise = np.random.default_rng(1).normal(0.0, 0.3, 60)
    >>> idata = bl.fit_bayes("y ~ s(x)", {"y": np.sin(x) + noise, "x": x}, random_seed=1,
    ...                      parametrization="marginal", sampler="importance")
    >>> table = bl.smooths(idata)
    >>> table[["smooth", "basis", "columns"]]
      smooth basis  columns
    0   s(x)    cr        9
    >>> bool(5.0 < table["edf"][0] < 8.0)
    True
    """
    labels, freedom, sds = [], [], []
    spreads = _spreads(idata)
    for name, term in smooth_terms(idata).items():
        drawn = drawn_smooth(idata, name)
        n_curves, u = drawn.fixed.shape[2:]
        q = drawn.penalized.shape[-1]
        sd = read.draws(idata, names.sd(name)).reshape(*drawn.fixed.shape[:2], n_curves, q)
        sds.append(sd[..., 0])
        labels += [(name, curve, term.basis, u + q) for curve in drawn.curves]
        left = spreads.get(name)
        own = np.full(n_curves, np.nan) if left is None else left.reshape(n_curves, q).sum(axis=1)
        freedom += list(u + q - own)
    numbers = describe(np.concatenate(sds, axis=-1), ci_prob, ci_kind, diagnostics=False)
    table = pd.DataFrame(labels, columns=["smooth", "level", "basis", "columns"])
    return pd.concat([table.assign(edf=freedom), pd.DataFrame(numbers)], axis=1)


def _spreads(idata: xr.DataTree) -> dict[str, Floats]:
    """Return Var(u | y, theta) over the prior's variance, shape (columns,), by smooth."""
    if family(idata).name != GAUSSIAN.name:
        return {}
    gram, moments, covariances = moments_at_the_means(idata)
    return {
        factor.name: np.diag(spread[0]) / np.diag(covariance)
        for factor, spread, covariance in zip(
            gram.factors, moments.marginal_cov, covariances, strict=True
        )
        if names.is_smooth(factor.name)
    }
