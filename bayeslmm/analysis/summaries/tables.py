"""Tables of a fit: fixed effects and variance components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.response_scale import exponential_words, exponentials
from bayeslmm.errors import names_keywords
from bayeslmm.families.derived.censored import uncensored
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe, said_covariance
from bayeslmm.results.family import family, family_blocks
from bayeslmm.results.parameters import parameter_blocks, scale_of, scale_of_effects
from bayeslmm.results.record import has_several
from bayeslmm.results.residual import (
    has_structure,
    residual_blocks,
)
from bayeslmm.results.weights import draw_weights

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.results.factor_info import FactorInfo
    from bayeslmm.results.residual import ResidualBlock

RESIDUAL = "Residual"


@names_keywords
def fixed_effects(
    idata: xr.DataTree,
    *,
    exponentiate: bool = False,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    """Describe the posterior of the fixed effects beta in eta = X beta + Z b + offset.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    exponentiate : bool
        Whether to describe exp(beta), transformed draw by draw: odds ratios under a logit link,
        rate ratios, or ratios of means, under a log link, hazard ratios under cloglog. They
        compare rows of one group (or of typical groups); `marginal_means` with ``ratio=True``
        compares averages.
    ci_prob : float
        Probability of the credible interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per coefficient, indexed by its name: ``mean``, ``sd`` (of the posterior),
        ``median``, the interval (such as ``eti95_lb`` and ``eti95_ub``), ``mcse_mean``,
        ``ess_bulk``, ``ess_tail`` and ``r_hat``. Unit: the response's per unit of the column; on
        the scale of the link where there is one. Exponentials have a first column ``quantity``:
        ``"odds ratio"``, say, and ``"odds"`` of the intercept.

    Raises
    ------
    ArgumentError
        When exponentials mean nothing for the fit's link, or the interval makes no sense.
    NumericalError
        When exponentials leave the range of numbers.
    TreeError
        When `idata` is no tree of this package.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Analysis 16(2):667-718,
    doi 10.1214/20-BA1221, for the diagnostics.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.fixed_effects(idata)[["mean", "eti95_lb", "eti95_ub"]]
               mean  eti95_lb  eti95_ub
    coef
    Intercept   1.0       1.0       1.0
    x           2.0       2.0       2.0
    """
    read.require_tree(idata)
    words = exponential_words(family(idata)) if exponentiate else None
    draws, chains = read.draws(idata, names.BETA), draw_weights(idata) is None
    if words is not None:
        draws = exponentials(draws, "Leave exponentiate=True out, or change the columns' units.")
    table = describe(draws, ci_prob, ci_kind, mixing=chains)
    index = pd.Index(read.coefficients(idata), name=names.COEF)
    numbers = pd.DataFrame(table, index=index)
    if words is not None:
        last = f"_{names.INTERCEPT}" if has_several(idata) else names.INTERCEPT
        called = [words[1] if name.endswith(last) else words[0] for name in index]
        numbers.insert(0, "quantity", called)
    return numbers


@names_keywords
def variance_components(
    idata: xr.DataTree, *, ci_prob: float = CI_PROB, ci_kind: str = CI_KIND
) -> pd.DataFrame:
    """Describe the posterior of G's standard deviations and correlations, and of the residuals.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    ci_prob : float
        Probability of the credible interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per quantity. ``factor`` is the grouping factor or ``"Residual"``; ``term`` (and
        ``term_bis`` for a correlation) the random-effect columns; ``quantity`` is ``"sd"``,
        ``"variance"`` (the posterior of sd^2, whose mean is not the square of the sd's mean),
        ``"corr"``, or ``"rho"`` where one number stands for all correlations of a structure, whose
        columns' common name is the ``term``. The other columns are those of `fixed_effects`. Random
        effects are on the scale of the link. ``"Residual"`` is of Gaussian responses, and of the
        logarithm of lognormal
        ones. Of a residual structure there are the ``"sd"`` and ``"variance"`` of each stratum or
        visit (``term``) apart from known standard errors, ``"slope of log sd"`` of each column of
        a formula of sigma (then the sd is that at the columns' means), ``"corr"`` of two visits
        and ``"rho"``, ``"range"`` or ``"pacf"``; a stratum of groups with parameters of its own
        stands behind ``"Residual"``. Random effects in log(sigma) stand under ``sigma_<factor>``,
        with ``"sd of log sigma"`` and ``"corr"``. Parameters of other families stand under the
        family's name in ``factor``, with their own in ``quantity``: ``shape``, ``phi``, and
        Student's ``sigma``, a scale and no sd, and ``nu``; of ordered categories each
        ``threshold``, by the categories that it parts (``term``). Of a parameter with a formula its
        coefficients stand under its name, e.g. ``"coefficient of logit(zi)"`` of a ``term``, and
        its random effects under ``zi_<factor>``.

    Raises
    ------
    TreeError
        When `idata` is no tree of this package, or the interval makes no sense.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), Journal of Statistical Software 67(1),
    doi 10.18637/jss.v067.i01, for the quantities.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.variance_components(idata)[["factor", "term", "term_bis", "quantity", "mean"]]
         factor       term term_bis  quantity  mean
    0         g  Intercept                 sd   2.0
    1         g          x                 sd   1.0
    2         g  Intercept           variance   4.0
    3         g          x           variance   1.0
    4         g  Intercept        x      corr   0.5
    5  Residual                            sd   3.0
    6  Residual                      variance   9.0
    """
    labels: list[tuple[str, str, str, str]] = []
    values: list[NDArray[np.float64]] = []
    for info in read.factors(idata):
        own_labels, own_values = _of_factor(idata, info)
        labels += own_labels
        values += own_values
    member = family(idata)
    if has_structure(idata):
        for block in residual_blocks(idata):
            for quantity, drawn in _told(block, scale=member.gaussian_scale is None):
                labels += [_place(block, label, quantity) for label in block.labels]
                values.append(drawn)
    for block in parameter_blocks(idata):
        labels += [_of_parameter(idata, block, label) for label in block.labels]
        values.append(block.drawn)
    for name, of_name, drawn in family_blocks(idata):
        if member.gaussian_scale is not None:
            labels += [(RESIDUAL, "", "", "sd"), (RESIDUAL, "", "", "variance")]
            values += [drawn, drawn**2]
        else:
            labels += [(uncensored(member).name, label, "", name) for label in of_name]
            values.append(drawn)
    columns = pd.DataFrame(labels, columns=["factor", "term", "term_bis", "quantity"])
    none = np.empty((*read.sample_shape(idata), 0))
    draws, chains = np.concatenate([none, *values], axis=-1), draw_weights(idata) is None
    numbers = pd.DataFrame(describe(draws, ci_prob, ci_kind, mixing=chains))
    return pd.concat([columns, numbers], axis=1)


def _of_parameter(
    idata: xr.DataTree, block: ResidualBlock, label: tuple[str, ...]
) -> tuple[str, str, str, str]:
    """Return factor, term, term_bis and quantity of a number in a parameter's predictor."""
    if block.variable == names.beta_of(block.factor):
        return block.factor, label[0], "", f"coefficient of {scale_of(idata, block.factor)}"
    if block.variable == names.corr(block.factor):
        return block.factor, label[0], label[1], "corr"
    return block.factor, label[0], "", f"sd of {scale_of_effects(idata, block.factor)}"


def _of_factor(
    idata: xr.DataTree, info: FactorInfo
) -> tuple[list[tuple[str, str, str, str]], list[NDArray[np.float64]]]:
    """Return the numbers that G of a factor is made of: labels, and draws (chain, draw, m)."""
    covariance = said_covariance(idata, info.name)
    sd, terms = read.draws(idata, names.sd(info.name)), info.terms
    alone, own = list(range(len(terms))), {}
    if covariance is not None:
        sd, terms = sd[..., covariance.sd_leads], covariance.sd_labels
        alone = [j for j in alone if j not in covariance.of_one_number]
        own = dict(covariance.parameter_labels)
    labels = [(info.name, term, "", kind) for kind in ("sd", "variance") for term in terms]
    values = [sd, sd**2]
    pairs = [(i, j) for i, j in correlated_pairs(idata, info) if i in alone]
    if pairs:
        corr = read.correlation_draws(idata, info)
        labels += [(info.name, info.terms[j], info.terms[i], "corr") for i, j in pairs]
        values.append(np.stack([corr[..., i, j] for i, j in pairs], axis=-1))
    for name, label in own.items():
        labels.append((info.name, label, "", names.RHO))
        values.append(read.draws(idata, name)[..., None])
    return labels, values


_STANDARD_DEVIATIONS = (names.SIGMA, names.SIGMA_BY, names.SD_RESIDUAL)
LOG_SD = "slope of log sd"
SD_OF_LOG = "sd of log sigma"


def _told(block: ResidualBlock, *, scale: bool) -> list[tuple[str, NDArray[np.float64]]]:
    """Return what is told of a variable of the residuals' covariance: quantities and draws.

    Of Student's t sigma is a `scale`, and no standard deviation.
    """
    if block.factor:
        return [("corr" if block.variable == names.corr(block.factor) else SD_OF_LOG, block.drawn)]
    if block.variable in _STANDARD_DEVIATIONS and scale:
        return [(names.SIGMA, block.drawn)]
    if block.variable in _STANDARD_DEVIATIONS:
        return [("sd", block.drawn), ("variance", block.drawn**2)]
    if block.variable == names.BETA_SIGMA:
        return [(LOG_SD, block.drawn)]
    return [(block.variable.removesuffix("_residual"), block.drawn)]


def _place(
    block: ResidualBlock, label: tuple[str, ...], quantity: str
) -> tuple[str, str, str, str]:
    """Return factor, term, term_bis and quantity of one number."""
    factor, rest = block.factor or RESIDUAL, label
    if block.by_stratum:
        factor, rest = f"{RESIDUAL} {label[0]}", label[1:]
    term, term_bis = (*rest, "", "")[:2]
    return factor, term, term_bis, quantity


def correlated_pairs(idata: xr.DataTree, info: FactorInfo) -> list[tuple[int, int]]:
    """Return the pairs (row, column) below the diagonal whose correlation was drawn.

    Columns of different blocks, as in ``(1 | g) + (0 + x | g)``, have none.
    """
    if not info.correlated:
        return []
    corr = read.correlation_draws(idata, info)
    flat = corr.reshape(-1, *corr.shape[2:])
    rows, columns = np.tril_indices(len(info.terms), k=-1)
    drawn = np.any(flat[:, rows, columns] != 0, axis=0)
    return [(int(i), int(j)) for i, j, keep in zip(rows, columns, drawn, strict=True) if keep]
