"""Draws by parameter, first-order shifts of their means due to priors, and deviances."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.new_levels import covariance_roots
from bayeslmm.errors import NumericalError
from bayeslmm.gram.border.choice import DENSE, PROBES
from bayeslmm.gram.border.operator import Operator
from bayeslmm.gram.border.probes import Probes
from bayeslmm.gram.border.reduce import ProbedReduction
from bayeslmm.gram.border.sparse_factor import sparse_work
from bayeslmm.gram.border.sparse_products import sparse_products
from bayeslmm.gram.likelihood import log_density, pack_factors
from bayeslmm.gram.reduction import density_from_reduced
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import factor_from_covariance
from bayeslmm.model.priors.priors import Priors
from bayeslmm.reml.structured.curvature import criterion_at
from bayeslmm.resources import single_blas_thread
from bayeslmm.results import read
from bayeslmm.results.residual import residual_draws

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.reml.parameters import Target
    from bayeslmm.reml.result import REMLFit


# Multiplications that the deviances of all draws may take together; then a subset is used.
_WORK, _FEWEST = 2e10, 20


def parameter_draws(idata: xr.DataTree, targets: dict[str, Target], fit: REMLFit) -> Floats:
    """Collect every target's draws, shape (chain, draw, target)."""
    factors = [read.factor(idata, factor.name) for factor in fit.gram.factors]
    beta = read.draws(idata, names.BETA)
    sd = [read.draws(idata, names.sd(info.name)) for info in factors]
    corr = [read.correlation_draws(idata, info) for info in factors]
    columns = []
    for target in targets.values():
        if target.kind == names.BETA:
            columns.append(beta[..., target.row])
        elif target.factor < 0:
            columns.append(_of_residuals(idata, target, fit))
        elif target.variable:
            covariance = covariance_of(fit.gram.factors[target.factor])
            columns.append(covariance.parameters_of(corr[target.factor])[target.variable])
        elif target.kind == "sd":
            columns.append(sd[target.factor][..., target.row])
        else:
            columns.append(corr[target.factor][..., target.row, target.col])
    return np.stack(columns, axis=-1)


def _of_residuals(idata: xr.DataTree, target: Target, fit: REMLFit) -> Floats:
    """Return the draws of sigma, or of one number of a residual structure."""
    if fit.residual is None:
        return read.draws(idata, names.SIGMA)
    number = fit.residual.numbers[target.number]
    dims = fit.residual.structure.dims[number.variable]
    drawn = read.variable(idata, number.variable).transpose("chain", "draw", *dims)
    at: tuple[Any, ...] = (slice(None), slice(None), *number.index)
    return np.asarray(drawn.to_numpy()[at])


def tree_priors(idata: xr.DataTree) -> Priors | None:
    """Read the priors of a tree; None where it has none."""
    text = str(idata.attrs.get("priors", ""))
    try:
        return Priors.from_json(text)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def own_priors(priors: Priors | None, targets: dict[str, Target]) -> list[str]:
    """Describe each target's own prior, or give an empty text."""
    if priors is None:
        return [""] * len(targets)
    known = dict(priors.entries())
    return [str(known.get(name, known.get(name.partition("[")[0], ""))) for name in targets]


def prior_conflicts(
    priors: Priors | None, fit: REMLFit, targets: dict[str, Target], estimate: Floats
) -> list[str]:
    """Return for each target where its prior finds REML's estimate implausible; else an empty text.

    Implausible: outside the prior's central 98 %, at a log-density two or more below that at its
    median (so zero is no surprise to a half-normal prior). The intercept is judged where its prior
    is stated, at the predictors' means.
    """
    known = {} if priors is None else dict(priors.entries())
    at = dict(zip(targets, estimate.tolist(), strict=True))
    if priors is not None and priors.coef == fit.gram.coef:
        at |= dict(
            zip(priors.coef, priors.centered_beta(fit.conditional.beta).tolist(), strict=True)
        )
    found = []
    for name in targets:
        prior = known.get(name)
        found.append("" if prior is None else _conflict(prior, at[name]))
    return found


def _conflict(prior: Prior, at: float) -> str:
    low, middle, high = prior.quantile(np.array([0.01, 0.5, 0.99]))
    density = prior.log_density(np.array([at, middle]))
    if low <= at <= high or not density[0] < density[1] - 2.0:
        return ""
    side, bound = ("below", high) if at > high else ("above", low)
    return f"Its prior {prior} puts 99 % {side} {bound:.3g}, and REML's estimate is {at:.3g}"


def fixed_shift(priors: Priors | None, fit: REMLFit) -> Floats:
    r"""Compute the shift of the fixed effects from REML's due to the priors, to first order.

    One Newton step of the log posterior from REML's estimate, at REML's variances,

    .. math:: (V^{-1} + C'HC)^{-1} C' \nabla \log p(C \hat\beta),

    with V REML's covariance matrix, C the move of the intercept to the predictors' means and H
    the prior's curvature where it is positive. For normal priors this is exact. Shape (p,), in
    the coefficients' units; NaN without priors.
    """
    p = len(fit.gram.coef)
    if priors is None or priors.coef != fit.gram.coef:
        return np.full(p, np.nan)
    if not p:
        return np.zeros(0)
    beta, V = fit.conditional.beta, fit.conditional.beta_cov
    C = priors.centered_beta(np.eye(p)).T
    at = C @ beta
    spread = np.sqrt(np.diag(C @ V @ C.T))
    slopes = [_slope(prior, x, s) for prior, x, s in zip(priors.beta, at, spread, strict=True)]
    score, bend = np.array(slopes).T
    precision = np.linalg.inv(V) + C.T @ (np.maximum(bend, 0.0)[:, None] * C)
    return np.asarray(np.linalg.solve(precision, C.T @ score))


def _slope(prior: Prior, at: float, spread: float) -> tuple[float, float]:
    """Log prior density's first derivative, and minus its second, by central differences."""
    # The curvature is a second difference: a tenth of a standard error keeps 1e-10 of it.
    step = 0.1 * spread
    low, middle, high = prior.log_density(np.array([at - step, at, at + step]))
    return (high - low) / (2.0 * step), (2.0 * middle - low - high) / step**2


def variance_shift(idata: xr.DataTree, priors: Priors | None, draws: Floats) -> Floats:
    r"""Compute the first-order shift of each posterior mean due to the prior, in its own unit.

    Cov(parameter, log prior) over the draws is the derivative of the posterior mean in a power of
    the prior at one (power-scaling; Kallioinen, Paananen, Buerkner & Vehtari 2023,
    doi:10.1007/s11222-023-10366-5). Shape (target,); NaN without priors.
    """
    flat = draws.reshape(-1, draws.shape[-1])
    if "log_prior" in idata.children:
        data = read.group(idata, "log_prior")
        parts = [data[name].transpose("chain", "draw").values for name in data.data_vars]
    elif priors is not None:
        posterior = read.group(idata, "posterior")
        wanted = {
            str(name): np.asarray(posterior[name].transpose("chain", "draw", ...).values)
            for name in posterior.data_vars
            if not str(name).startswith(names.EFFECTS_PREFIX)
        }
        parts = list(priors.log_densities(wanted).values())
    else:
        return np.full(flat.shape[1], np.nan)
    log_prior = np.sum(parts, axis=0).reshape(-1)
    if len(log_prior) != len(flat) or not np.all(np.isfinite(log_prior)):
        return np.full(flat.shape[1], np.nan)
    centered = flat - flat.mean(axis=0)
    return np.asarray(centered.T @ (log_prior - log_prior.mean()) / max(len(flat) - 1, 1))


def draw_deviances(idata: xr.DataTree, fit: REMLFit, at_most: int = 500) -> Floats:
    r"""Compute 2 {l(REML) - l(draw)} of draws, l the restricted log-likelihood.

    Under flat priors and with many levels these are chi-square on as many degrees of freedom as
    there are variance parameters, in whatever parametrization; under any prior, none is negative.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    fit : REMLFit
        Of the same rows.
    at_most : int
        Number of draws, evenly spaced; fewer where an evaluation is expensive.

    Returns
    -------
    ndarray, shape (number of draws,)
        Infinite where a draw's covariance cannot be factored.
    """
    chains, draws = read.sample_shape(idata)
    count = _affordable(fit, at_most)
    total = chains * draws
    kept = np.unique(np.linspace(0, total - 1, count).round().astype(int))
    infos = [read.factor(idata, factor.name) for factor in fit.gram.factors]
    covariances = [read.covariance_draws(idata, info)[kept] for info in infos]
    if fit.border.method != DENSE and not fit.gram.by_nodes:
        return _deviances_by_probes(idata, fit, kept, covariances)
    criterion = _criterion(idata, fit, kept)
    out = np.full(len(kept), np.inf)
    with single_blas_thread():
        for i in range(len(kept)):
            try:
                roots = [factor_from_covariance(G[i]) for G in covariances]
            except NumericalError:
                continue
            out[i] = criterion(i, roots) - fit.criterion
    return out


def _affordable(fit: REMLFit, at_most: int) -> int:
    """Return how many evaluations take some seconds."""
    if fit.gram.by_nodes:
        return int(np.clip(_WORK / sparse_work(fit.gram), _FEWEST, at_most))
    if fit.border.method != DENSE:
        return _FEWEST
    plan = fit.gram.plan
    work = plan.n_border**3 / 3.0 + 10.0 * len(plan.floats)
    return int(np.clip(_WORK / work, _FEWEST, at_most))


def _deviances_by_probes(
    idata: xr.DataTree, fit: REMLFit, kept: NDArray[np.intp], covariances: list[Floats]
) -> Floats:
    """Compute the deviances with the same probes at the fit and at all draws."""
    gram, sigma = fit.gram, read.flat_draws(idata, names.SIGMA)[kept]
    roots = [covariance_roots(own) / sigma[:, None, None] for own in covariances]
    packed = np.concatenate([own.reshape(len(kept), -1) for own in roots], axis=1)
    here = pack_factors(gram, fit.factors)
    products = sparse_products(gram)
    probes = Probes(Operator(products, gram, fit.factors), PROBES, np.random.default_rng([1, 9]))
    reduced = ProbedReduction(gram, products, probes)(np.vstack([here, packed]))
    values = density_from_reduced(gram, reduced, np.append(fit.scale, sigma))
    return np.asarray(2.0 * (values[0] - values[1:]))


def _criterion(
    idata: xr.DataTree, fit: REMLFit, kept: NDArray[np.intp]
) -> Callable[[int, list[Floats]], float]:
    """Return -2 restricted log-likelihood of a draw's place among `kept` and roots of its G."""
    residual = fit.residual
    if residual is not None:
        phi = residual_draws(idata, residual.structure)[kept]
        return lambda i, roots: criterion_at(residual, roots, phi[i], restricted=True)
    sigma = read.flat_draws(idata, names.SIGMA)[kept]

    def independent(i: int, roots: list[Floats]) -> float:
        relative = [L / sigma[i] for L in roots]
        return -2.0 * log_density(fit.gram, relative, float(sigma[i]), gradient=False)[0]

    return independent
