"""What a fit by probes keeps of them: their chance in every estimate, and in the likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.reml.parameters import Target, list_targets, values_of
from bayeslmm.reml.search import lambda_factors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.reml.krylov.root import Root
    from bayeslmm.reml.krylov.score import ScoreFunction


@dataclass(frozen=True, eq=False)
class ProbeRecord:
    """Probes that a fit was made with.

    Attributes
    ----------
    probes : int
        How many.
    seed : int
        Of their signs: fits of the same levels with the same seed and number have the same.
    error : mapping of str to float
        Standard deviation that the probes' chance gives each estimate of a standard deviation, a
        correlation or sigma, in its own standard errors.
    variances : mapping of str to float
        Sampling variance of each of them on the line (`Target.to_line`), by the curvature of the
        criterion; NaN on the boundary.
    logdets : ndarray, shape (probes,)
        log|V| at the estimates by each probe.
    cg_steps, lanczos_steps : int
        Iterations at most: of conjugate gradients, and of the Lanczos method.
    """

    probes: int
    seed: int
    error: Mapping[str, float]
    variances: Mapping[str, float]
    logdets: Floats
    cg_steps: int
    lanczos_steps: int

    @property
    def loglik_se(self) -> float:
        """Standard error that the probes leave of the log-likelihood."""
        return 0.5 * float(self.logdets.std(ddof=1) / np.sqrt(self.probes))

    def difference_se(self, other: ProbeRecord) -> float:
        """Return the standard error of a difference of log-likelihoods; less with common probes."""
        if (self.seed, self.probes) != (other.seed, other.probes):
            return float(np.hypot(self.loglik_se, other.loglik_se))
        apart = self.logdets - other.logdets
        return 0.5 * float(apart.std(ddof=1) / np.sqrt(self.probes))


def errors_of(score: ScoreFunction, root: Root) -> tuple[dict[str, float], ...]:
    r"""Compute chance by probes, in standard errors, and sampling variances on the line.

    With H the criterion's curvature and C the covariance of the score's chance, estimates have the
    chance :math:`H^{-1} C H^{-1}` beside the sampling covariance :math:`2 H^{-1}`; both are carried
    to the parameters, and sigma's own variance is added to the second.

    Parameters
    ----------
    score : ScoreFunction
        The criterion's gradient.
    root : Root
        Where it is zero.

    Returns
    -------
    error, variances : dict of str to float
        By parameter.
    """
    targets = {n: t for n, t in list_targets(score.gram).items() if t.kind != "beta"}
    lines = _lines(score, targets)
    with np.errstate(invalid="ignore"):
        rows = [
            (lines(root.x + h * unit, high.sigma) - lines(root.x - h * unit, low.sigma)) / (2.0 * h)
            for unit, (low, high, h) in zip(np.eye(len(root.x)), root.beside, strict=True)
        ]
    J = np.array(rows).T
    inverse = np.linalg.pinv(root.curvature, hermitian=True)
    chance = np.einsum("pi,ij,pj->p", J, inverse @ root.score.covariance @ inverse, J)
    sampling = np.einsum("pi,ij,pj->p", J, 2.0 * inverse, J)
    # log sd and log sigma move together with sigma at relative factors that are held.
    moved = np.array([target.kind in ("sd", "sigma") for target in targets.values()])
    sampling = sampling + np.where(moved, 0.5 / score.dof, 0.0)
    known = np.isfinite(sampling) & (sampling > 0.0)
    error = np.sqrt(np.divide(chance, sampling, out=np.full(len(J), np.nan), where=known))
    return (
        dict(zip(targets, error.tolist(), strict=True)),
        dict(zip(targets, np.where(known, sampling, np.nan).tolist(), strict=True)),
    )


def _lines(score: ScoreFunction, targets: Mapping[str, Target]) -> Callable[..., Floats]:
    gram: Gram = score.gram

    def lines(x: Floats, sigma: float) -> Floats:
        factors = lambda_factors(gram, score.relative.packed(score.step * x))
        values = values_of(
            gram, targets, np.zeros(0), [sigma * lam for lam in factors], np.array([sigma])
        )
        return np.array([targets[name].to_line(value) for name, value in values.items()])

    return lines
