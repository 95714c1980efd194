"""Where a posterior is and how wide, from the REML estimate and the priors' slopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.inference.laplace import LocalMode
from bayeslmm.model.covariance.factors import sd_corr_from_factor
from bayeslmm.reml.search import lambda_factors

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.marginal.target import MarginalTarget
    from bayeslmm.reml.krylov.estimate import Estimate

# The least sd that a logarithm is taken of, beside sigma, of columns of mean square one.
_LEAST = 1e-3
# How far priors may move the peak, in standard deviations of the likelihood.
_FARTHEST = 3.0


def peak_of_estimate(target: MarginalTarget, found: Estimate) -> LocalMode:
    r"""Return the mode and the covariance of a posterior's coordinates, roughly.

    At the REML estimate the integrated likelihood has no slope. Variables x of relative factors
    have the covariance :math:`2 H^{-1}`, and log sigma given them the variance 1 / (2 (n - p));
    both are carried to the coordinates, whose mode the priors' slopes then move.

    Parameters
    ----------
    target : MarginalTarget
        The posterior.
    found : Estimate
        By REML.

    Returns
    -------
    LocalMode
    """
    x, sigma = found.x, found.sigma
    point = _point(target, found, x, sigma)
    columns = [
        (_point(target, found, x + h * unit, high) - _point(target, found, x - h * unit, low))
        / (2.0 * h)
        for unit, (low, high, h) in zip(np.eye(len(x)), found.beside, strict=True)
    ]
    step = np.exp(0.5 / np.sqrt(2.0 * found.dof))
    ahead, behind = (_point(target, found, x, sigma * s) for s in (step, 1.0 / step))
    J = np.array([*columns, ahead - behind]).T
    size, axes = np.linalg.eigh(found.curvature)
    spread = axes * np.sqrt(2.0 / np.maximum(np.abs(size), 1e-3))
    root_of_covariance = np.column_stack([J[:, :-1] @ spread, J[:, -1]])
    covariance = root_of_covariance @ root_of_covariance.T
    if not target.integrated:
        covariance += _of_beta(target, found)
    covariance += 1e-12 * np.eye(target.size)
    _, slope = target.with_priors(point, 0.0, np.zeros(target.size))
    moved = covariance @ slope
    length = float(np.sqrt(max(moved @ slope, 0.0)))
    return LocalMode(
        point + moved * min(1.0, _FARTHEST / max(length, _FARTHEST)),
        0.0,
        covariance,
        found.n_evaluations,
    )


def _point(target: MarginalTarget, found: Estimate, x: Floats, sigma: float) -> Floats:
    """Return the coordinates of scaled variables of relative factors, and sigma."""
    priors = target.priors
    sds, partials = [np.zeros(0)], [np.zeros(0)]
    packed = found.relative.packed(found.step * x)
    lams = lambda_factors(target.gram, packed)
    for lam, factor, of in zip(lams, priors.factors, target.gram.factors, strict=True):
        least = _LEAST / np.sqrt(np.sum(of.scale**2, axis=0))
        sd, corr = sd_corr_from_factor(lam)
        sds.append(factor.covariance.shared_sds(sigma * np.maximum(sd, least)))
        partials.append(factor.covariance.partials_near(corr))
    parts = [*sds, *partials, np.array([sigma])]
    if not target.integrated:
        parts.append(priors.centered_beta(_beta(target, found)[0]))
    return target.point(np.concatenate(parts))


def _beta(target: MarginalTarget, found: Estimate) -> tuple[Floats, Floats]:
    """Return the fixed effects' estimates, and their covariance."""
    gram, p = target.gram, len(target.gram.coef)
    inverse = np.linalg.inv(gram.scale)
    information = found.T[:p, :p]
    estimate = np.linalg.solve(information, found.T[:p, p])
    covariance = found.sigma**2 * inverse @ np.linalg.inv(information) @ inverse.T
    return gram.origin + inverse @ estimate, covariance


def _of_beta(target: MarginalTarget, found: Estimate) -> Floats:
    """Return what fixed effects that are coordinates add to the covariance."""
    beta, covariance = _beta(target, found)
    p = len(beta)
    turn = np.array(
        [
            target.priors.centered_beta(beta + unit) - target.priors.centered_beta(beta)
            for unit in np.eye(p)
        ]
    ).T
    out = np.zeros((target.size, target.size))
    out[-p:, -p:] = turn @ covariance @ turn.T
    return out
