r"""Which conclusions hang on the priors: power-scaling, without another fit.

Power-scaling raises the prior, or the likelihood, to a power near 1 and sees how far the posterior
moves. In a mixed model two things could be called prior and two likelihood. Here the prior is
what a user states, :math:`p(\beta, \sigma, G)`; the distribution of the random effects given G is
part of the model. The likelihood is then :math:`p(y \mid \beta, \sigma, G)` with the random effects
integrated out, which with that prior makes up the posterior of :math:`(\beta, \sigma, G)`. It
does not depend on how a model was written for the sampler, so every parametrization gives the
same table; and it varies by a few units between draws, where the likelihood given all effects
varies by as many as there are effects, too much to reweight by where those are thousands.

Given other responses than Gaussian ones it is computed by quadrature, level by level, where there
is one grouping factor of one or two columns. Elsewhere the likelihood is the one given the effects,
:math:`p(y \mid \beta, b, \phi)`; the prior is the same.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslmm import names
from bayeslmm.analysis.checks.group_quadrature import MOST_COLUMNS
from bayeslmm.analysis.checks.likelihood import group_log_likelihood
from bayeslmm.analysis.prediction.linear_predictor import linear_predictor
from bayeslmm.analysis.prediction.new_levels import covariance_roots
from bayeslmm.analysis.reml_comparison.refit import tree_design
from bayeslmm.analysis.summaries.quantities import quantity_draws
from bayeslmm.arguments import as_names
from bayeslmm.errors import ArgumentError, TreeError, names_keywords, nearest
from bayeslmm.families.gaussian import LOG_2PI
from bayeslmm.gram.border.limits import require_dense
from bayeslmm.gram.border.sparse.suited import suited_gram
from bayeslmm.gram.likelihood_of_draws import marginal_log_likelihood
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.results import read
from bayeslmm.results.family import family
from bayeslmm.results.record import require_rows_of_its_own
from bayeslmm.results.residual import has_structure, residual_draws
from bayeslmm.results.write import sample_coordinates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.analysis.summaries.quantities import Quantity

THRESHOLD = 0.05
ALPHAS = (0.99, 1.01)
SHIFT = "shift"


@names_keywords
def prior_sensitivity(
    idata: xr.DataTree,
    quantities: Mapping[str, Quantity] | None = None,
    *,
    groups: Sequence[str] | None = None,
    threshold: float = THRESHOLD,
    alphas: tuple[float, float] = ALPHAS,
) -> pd.DataFrame:
    r"""Return which conclusions hang on which priors, by power-scaling.

    The prior's sensitivity of a quantity is how fast its posterior distribution moves (ArviZ's
    cumulative Jensen-Shannon distance) as p(prior)^alpha leaves alpha = 1, and the likelihood's the
    same with p(y | beta, sigma, G)^alpha. Of responses that are not Gaussian, not even after their
    logarithm, p(y | beta, phi, G) is computed by quadrature where there is one grouping factor of
    one or two columns, which takes some seconds; elsewhere p(y | beta, b, phi)^alpha stands in its
    place. Draws are reweighted (PSIS); nothing is sampled.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    quantities : mapping of str to str or callable, optional
        Further quantities: name -> an expression of parameters and quantities, as in `hypothesis`
        (``"sd_Subject[Days] / Days"``), or a function of the posterior Dataset that returns one
        number per draw (a DataArray or array of shape (chain, draw)).
    groups : sequence of str, optional
        The priors to scale one at a time, of ``"beta"``, ``"sd_<factor>"``, ``"corr_<factor>"``,
        ``"sigma"`` or other parameters of the family; all of the model's without it.
    threshold : float
        Sensitivity from which ArviZ's diagnosis speaks.
    alphas : tuple of float
        Powers below and above 1 between which the slope is taken.

    Returns
    -------
    DataFrame
        Indexed by quantity: fixed effects, standard deviations, correlations, the family's
        parameters, ICCs, then `quantities`. ``prior``: sensitivity to all priors together;
        ``likelihood``; ``diagnosis``: ArviZ's ("potential prior-data conflict", "potential strong
        prior / weak likelihood", or "✓"); ``shift``: how far the posterior mean moves, in posterior
        standard deviations, per doubling of all priors' power, to first order: ln 2 Cov(quantity,
        log prior) / sd, whose sign is the direction in which the priors pull; then the sensitivity
        to each group, zero where its density is the same everywhere, as LKJ(1)'s on one
        correlation.

    Raises
    ------
    TreeError
        When `idata` is no tree of a fit, or lacks ``log_prior``.
    ArgumentError
        When a group is unknown, `alphas` do not enclose 1, or a quantity's function fails to give
        one number per draw.

    References
    ----------
    .. [1] Kallioinen, Paananen, Bürkner & Vehtari (2024). Detecting and diagnosing prior and
       likelihood sensitivity with power-scaling. Statistics and Computing 34:57.
       doi:10.1007/s11222-023-10366-5

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes(
    ...     "Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), random_seed=1
    ... )  # doctest: +SKIP
    >>> bl.prior_sensitivity(idata)[["prior", "diagnosis"]]  # doctest: +SKIP
    """
    import arviz as az  # noqa: PLC0415 - slow to import

    check_alphas(alphas)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not threshold >= 0:
        raise ArgumentError(f"threshold is a number from 0 on, such as 0.05; it was {threshold!r}.")
    scaled = sensitivity_tree(idata, quantities)
    chosen = prior_groups(scaled, groups)
    log_prior = _total(read.group(scaled, "log_prior"))
    with _quiet():
        if _is_constant(log_prior):
            table = _without_priors(scaled, alphas)
        else:
            table = az.psense_summary(scaled, threshold=threshold, alphas=alphas, round_to=10)
    table[SHIFT] = [
        _shift(scaled["posterior"][quantity].to_numpy(), log_prior) for quantity in table.index
    ]
    for group in chosen:
        if _is_constant(scaled["log_prior"][group].to_numpy()):
            table[group] = 0.0
            continue
        values = az.psense(scaled, group="prior", group_var_names=[group], alphas=alphas)
        table[group] = [float(values[quantity]) for quantity in table.index]
    return table.rename_axis("quantity")


@names_keywords
def sensitivity_tree(
    idata: xr.DataTree, quantities: Mapping[str, Quantity] | None = None
) -> xr.DataTree:
    """Return what power-scaling needs, for ArviZ's own functions and pictures.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    quantities : mapping of str to str or callable, optional
        As in `prior_sensitivity`.

    Returns
    -------
    DataTree
        ``posterior``: one scalar variable per quantity; ``log_prior``: the priors that a user can
        set; ``log_likelihood``: log p(y | beta, sigma, G), all rows together, or what stands in its
        place.

    Raises
    ------
    TreeError, ArgumentError
        As `prior_sensitivity` does.

    Examples
    --------
    >>> import arviz as az, bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> az.plot_psense_dist(bl.sensitivity_tree(idata), var_names=["x"])  # doctest: +SKIP
    """
    read.require_tree(idata)
    require_rows_of_its_own(idata)
    draws = quantity_draws(idata, quantities)
    shape = read.sample_shape(idata)
    coords = sample_coordinates(shape)
    likelihood = {str(idata.attrs["response"]): (("chain", "draw"), log_likelihood(idata))}
    variables = {name: (("chain", "draw"), values) for name, values in draws.items()}
    log_prior = read.group(idata, "log_prior")
    for name, values in log_prior.data_vars.items():
        numbers = values.shape == shape and values.dtype.kind == "f"
        if not numbers or not np.isfinite(values).all():
            raise TreeError(
                f"The log prior of {name!r} is no number for each of the posterior's "
                f"{shape[0]} x {shape[1]} draws. Take the tree that `fit_bayes` returned."
            )
    result = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(variables, coords=coords),
            "log_prior": log_prior.assign_coords(coords),
            "log_likelihood": xr.Dataset(likelihood, coords=coords),
        }
    )
    result.attrs = dict(idata.attrs)
    return result


def log_likelihood(idata: xr.DataTree) -> NDArray[np.float64]:
    """Evaluate the log-likelihood that is scaled of every draw, shape (chain, draw).

    Raises
    ------
    TreeError
        When the tree lacks its data, or they are not those of the fit; or it lacks draws of random
        effects, and the response is not Gaussian.
    """
    if family(idata).gaussian_scale is None or read.in_sigma(idata):
        return _without_closed_form(idata)
    design, shape = tree_design(idata), read.sample_shape(idata)
    beta = (
        read.flat_draws(idata, names.BETA)
        if names.BETA in read.group(idata, "posterior")
        else np.zeros((shape[0] * shape[1], 0))
    )
    roots = [
        covariance_roots(read.covariance_draws(idata, read.factor(idata, factor.name)))
        for factor in design.factors
    ]
    if design.residual is None:
        sigma = read.flat_draws(idata, names.SIGMA)
        gram = suited_gram(design)
        if not gram.by_nodes:
            require_dense(gram, "The likelihood of every draw")
        values = marginal_log_likelihood(gram, beta, roots, sigma)
    else:
        structure = structured_residuals(design.residual)
        phi, p = residual_draws(idata, structure), beta.shape[1]
        packed = [root.reshape(len(phi), -1) for root in roots] or [np.zeros((len(phi), 0))]
        products = products_of(design, structure)
        flat = np.zeros(p), np.zeros((p, p))
        values = products.log_densities(phi, np.concatenate(packed, axis=1), beta, flat)
    return values.reshape(shape)


def _without_closed_form(idata: xr.DataTree) -> NDArray[np.float64]:
    """Evaluate log p(y | beta, G, phi) of one grouping factor, log p(y | beta, b, phi) of more.

    The latter, too, where sigma has random effects.
    """
    response = tree_design(idata).response_rows
    infos = read.factors(idata)
    if len(infos) == 1 and len(infos[0].terms) <= MOST_COLUMNS and not has_structure(idata):
        total = np.sum(group_log_likelihood(idata).values, axis=1)
        return total.reshape(read.sample_shape(idata))
    rows = linear_predictor(idata, residual=True)
    total = np.zeros(rows.size)
    for place, eta in rows.joint_chunks():
        scale, drawn = rows.family.gaussian_scale, rows.residual
        if scale is None or drawn is None or not drawn.correlated:
            total += rows.log_density(place, response, eta, rows.parameters(place)).sum(axis=0)
            continue
        y = response[place, None]
        rest = scale.link(y) - eta
        white, log_det = drawn.whiten(np.arange(rows.n)[place], rest.T)
        total -= 0.5 * (np.sum(white**2 + LOG_2PI, axis=1) + log_det)
        total -= np.log(scale.derivative(scale.link(y))).sum()
    return total.reshape(read.sample_shape(idata))


def check_alphas(alphas: object) -> None:
    """Raise unless the powers of a density are two numbers with 1 between them.

    Raises
    ------
    ArgumentError
        If they are anything else.
    """
    two = isinstance(alphas, tuple | list | np.ndarray) and np.shape(alphas) == (2,)
    if two and np.asarray(alphas).dtype.kind in "iuf":
        low, high = np.asarray(alphas, dtype=np.float64)
        if 0.0 < low < 1.0 < high < np.inf:
            return
    raise ArgumentError(f"alphas must enclose 1, as (0.99, 1.01) do; they were {alphas!r}.")


def prior_groups(scaled: xr.DataTree, groups: Sequence[str] | None) -> list[str]:
    """Return the priors to scale, all of them where none is named.

    Raises
    ------
    ArgumentError
        If one is unknown.
    """
    known = [str(name) for name in scaled["log_prior"].data_vars]
    if groups is None:
        return known
    asked = as_names("groups", groups)
    for group in asked:
        if group not in known:
            raise ArgumentError(
                f"There is no prior group {group!r}.{nearest(group, known)} This model has "
                f"{', '.join(known)}."
            )
    return asked


def _is_constant(log_prior: NDArray[np.float64]) -> bool:
    """Return whether a log-density is the same in all draws, so that its powers change nothing."""
    spread = float(np.ptp(log_prior)) if log_prior.size else 0.0
    return spread <= 1e-12 * max(1.0, float(np.abs(log_prior).max(initial=0.0)))


def _without_priors(scaled: xr.DataTree, alphas: tuple[float, float]) -> pd.DataFrame:
    """Lay out ArviZ's summary where all priors are flat: the likelihood alone has a say."""
    import arviz as az  # noqa: PLC0415 - slow to import

    values = az.psense(scaled, group="likelihood", alphas=alphas)
    likelihood = {str(name): float(values[name]) for name in scaled["posterior"].data_vars}
    table = pd.DataFrame({"prior": 0.0, "likelihood": pd.Series(likelihood)})
    return table.assign(diagnosis="✓")


def _total(log_prior: xr.Dataset) -> NDArray[np.float64]:
    values = [np.asarray(array.to_numpy(), dtype=np.float64) for array in log_prior.values()]
    if not values:
        raise TreeError("The tree's log_prior is empty; take the tree that `fit_bayes` returned.")
    return np.asarray(np.sum(values, axis=0))


def _shift(draws: NDArray[np.float64], log_prior: NDArray[np.float64]) -> float:
    covariance = np.cov(draws.ravel(), log_prior.ravel())
    if covariance[0, 0] == 0:
        return 0.0
    return float(np.log(2) * covariance[0, 1] / np.sqrt(covariance[0, 0]))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ArviZ from logging what the table says."""
    logger = logging.getLogger("arviz_stats")
    children = [logging.getLogger(name) for name in _loggers(logger)]
    levels = [child.level for child in children]
    for child in children:
        child.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for child, level in zip(children, levels, strict=True):
            child.setLevel(level)


def _loggers(parent: Any) -> list[str]:
    known = logging.root.manager.loggerDict
    return [parent.name, *(name for name in known if name.startswith(f"{parent.name}."))]
