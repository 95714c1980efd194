"""What a fit by probes keeps of them: their chance in every estimate, and in the likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bayeslmm.reml.parameters import Target, list_targets, values_of
from bayeslmm.reml.search import lambda_factors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.reml.krylov.root import Root
    from bayeslmm.reml.krylov.score import ScoreFunction
    from bayeslmm.reml.relative import RelativeFactors


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
    names, J, sampling = sampling_variances(
        score, root.x, root.curvature, [(low.sigma, high.sigma, h) for low, high, h in root.beside]
    )
    inverse = np.linalg.pinv(root.curvature, hermitian=True)
    chance = np.einsum("pi,ij,pj->p", J, inverse @ root.score.covariance @ inverse, J)
    error = np.sqrt(chance / sampling)
    return (
        dict(zip(names, error.tolist(), strict=True)),
        dict(zip(names, sampling.tolist(), strict=True)),
    )


class Scaled(Protocol):
    """A criterion in scaled variables."""

    gram: Gram
    relative: RelativeFactors
    step: Floats

    @property
    def dof(self) -> int:
        """Degrees of freedom of sigma."""
        ...


def sampling_variances(
    criterion: Scaled, x: Floats, curvature: Floats, beside: Sequence[tuple[float, float, float]]
) -> tuple[list[str], Floats, Floats]:
    """Compute each parameter's sampling variance on its line, and how it moves with the variables.

    Parameters
    ----------
    criterion : Scaled
        Whose variables.
    x : ndarray, shape (k,)
        Where it is least.
    curvature : ndarray, shape (k, k)
        There.
    beside : sequence of tuple of float
        For each variable the best sigma at x less and x plus a difference, and that difference.

    Returns
    -------
    names : list of str
    J : ndarray, shape (number of parameters, k)
        Slopes of the parameters on their lines.
    variances : ndarray, shape (number of parameters,)
        NaN on the boundary.
    """
    targets = {n: t for n, t in list_targets(criterion.gram).items() if t.kind != "beta"}
    lines = _lines(criterion, targets)
    with np.errstate(invalid="ignore"):
        rows = [
            (lines(x + h * unit, high) - lines(x - h * unit, low)) / (2.0 * h)
            for unit, (low, high, h) in zip(np.eye(len(x)), beside, strict=True)
        ]
    J = np.array(rows).T
    inverse = np.linalg.pinv(curvature, hermitian=True)
    sampling = np.einsum("pi,ij,pj->p", J, 2.0 * inverse, J)
    # log sd and log sigma move together with sigma at relative factors that are held.
    moved = np.array([target.kind in ("sd", "sigma") for target in targets.values()])
    sampling = sampling + np.where(moved, 0.5 / criterion.dof, 0.0)
    known = np.isfinite(sampling) & (sampling > 0.0)
    return list(targets), J, np.where(known, sampling, np.nan)


def _lines(score: Scaled, targets: Mapping[str, Target]) -> Callable[..., Floats]:
    gram = score.gram

    def lines(x: Floats, sigma: float) -> Floats:
        factors = lambda_factors(gram, score.relative.packed(score.step * x))
        values = values_of(
            gram, targets, np.zeros(0), [sigma * lam for lam in factors], np.array([sigma])
        )
        return np.array([targets[name].to_line(value) for name, value in values.items()])

    return lines
