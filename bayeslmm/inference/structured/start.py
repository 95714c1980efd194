"""Where searches of the posterior's modes begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.likelihood import conditional
from bayeslmm.inference.laplace import Start, shared_sds, without_structures
from bayeslmm.model.covariance.factors import sd_corr_from_factor
from bayeslmm.reml.search import lambda_factors, search_criterion

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.structured.target import StructuredTarget

# A typical step of the logarithm of a positive parameter, and of a correlation's coordinate.
_UNIT = 0.3
# Standard deviations begin at no less than this share of the priors' medians.
_SMALLEST = 0.05


def starting_points(target: StructuredTarget) -> Start:
    """Return points to climb from: REML with independent residuals, and the priors' medians.

    Correlations of residuals and random effects explain the same thing in part, so that a posterior
    may have a mode with either: searches begin with both, and with each alone.

    Parameters
    ----------
    target : StructuredTarget
        The posterior.

    Returns
    -------
    Start
    """
    medians = target.prior_quantiles(0.5)
    a, b = target.n_sds, target.n_sds + target.n_partials
    c = b + target.n_phi
    first = medians.copy()
    gram, structure = (
        without_structures(target.products.reference),
        target.model.structured_residual,
    )
    found = search_criterion(gram, restricted=True)
    units = steps(target)
    if np.isfinite(found.sigma) and found.sigma > 0.0:
        factors = lambda_factors(gram, found.packed)
        sds = [found.sigma * sd_corr_from_factor(lam)[0] for lam in factors]
        shared = shared_sds(target.priors, np.concatenate([np.zeros(0), *sds]))
        first[:a] = np.maximum(shared, _SMALLEST * medians[:a])
        first[b:c] = structure.near(found.sigma, medians[b:c])
        if not target.integrated:
            known = conditional(gram, factors, found.sigma)
            first[c:] = target.priors.centered_beta(known.beta)
            units[c:] = np.sqrt(np.diag(known.beta_cov))
    low, high = target.prior_quantiles(0.001), target.prior_quantiles(0.999)
    points = []
    for share in (1.0, _SMALLEST):
        for correlation in structure.starts(first[b:c]):
            there = first.copy()
            there[:a] *= share
            there[b:c] = correlation
            points.append(target.point(np.clip(there, low, high)))
        if a == 0:
            break
    points.append(target.point(np.concatenate([medians[:c], first[c:]])))
    return Start(points, units)


def steps(target: StructuredTarget) -> Floats:
    """Return a typical step of each coordinate, by its kind and its prior, shape (size,)."""
    widths = target.prior_quantiles(0.75) - target.prior_quantiles(0.25)
    return np.array(
        [_UNIT if x.bounded else w for x, w in zip(target.coordinates, widths, strict=True)]
    )
