"""Where a posterior is and how wide, from the root of the score and the priors' slopes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.solution import solve_fixed
from bayeslmm.inference.laplace import LocalMode
from bayeslmm.model.covariance.factors import sd_corr_from_factor
from bayeslmm.reml.search import lambda_factors

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.marginal.target import MarginalTarget
    from bayeslmm.reml.krylov.search import Found

# The least sd that a logarithm is taken of, beside sigma, of columns of mean square one.
_LEAST = 1e-3
# How far priors may move the peak, in standard deviations of the likelihood.
_FARTHEST = 3.0


def peak_of_score(target: MarginalTarget, found: Found) -> LocalMode:
    r"""Return the mode and the covariance of a posterior's coordinates, roughly.

    At the REML estimate the integrated likelihood has no slope. Variables x of relative factors
    have the covariance :math:`2 H^{-1}`, and log sigma given them the variance 1 / (2 (n - p));
    both are carried to the coordinates, whose mode the priors' slopes then move.

    Parameters
    ----------
    target : MarginalTarget
        The posterior.
    found : Found
        The root.

    Returns
    -------
    LocalMode
    """
    root, score = found.root, found.score
    point = _point(target, found, root.x, root.score.sigma)
    columns = [
        (_point(target, found, root.x + h * unit, high.sigma)
         - _point(target, found, root.x - h * unit, low.sigma)) / (2.0 * h)
        for unit, (low, high, h) in zip(np.eye(len(root.x)), root.beside, strict=True)
    ]  # fmt: skip
    sigma = root.score.sigma
    step = np.exp(0.5 / np.sqrt(2.0 * score.dof))
    ahead, behind = (_point(target, found, root.x, sigma * s) for s in (step, 1.0 / step))
    J = np.array([*columns, ahead - behind]).T
    size, axes = np.linalg.eigh(root.curvature)
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
        score.n_evaluations,
    )


def _point(target: MarginalTarget, found: Found, x: Floats, sigma: float) -> Floats:
    """Return the coordinates of scaled variables of relative factors, and sigma."""
    score, priors = found.score, target.priors
    sds, partials = [np.zeros(0)], [np.zeros(0)]
    packed = score.relative.packed(score.step * x)
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


def _beta(target: MarginalTarget, found: Found) -> tuple[Floats, Floats]:
    """Return the fixed effects' estimates, and their covariance, at the root."""
    gram, p = target.gram, len(target.gram.coef)
    solution = solve_fixed(found.score.operator(found.root.x))
    inverse = np.linalg.inv(gram.scale)
    information = solution.T[:p, :p]
    estimate = np.linalg.solve(information, solution.T[:p, p])
    covariance = found.root.score.sigma**2 * inverse @ np.linalg.inv(information) @ inverse.T
    return gram.origin + inverse @ estimate, covariance


def _of_beta(target: MarginalTarget, found: Found) -> Floats:
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
