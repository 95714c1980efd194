"""How far Laplace's approximation of the effects' integral would have been off, for the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.quadrature.target import QuadratureTarget

# Draws that it is judged by.
_MOST = 1000


@dataclass(frozen=True)
class LaplaceError:
    """What is left out by one node for each level.

    Attributes
    ----------
    log_integral_variance : float
        Variance over the posterior of log p(y | theta, beta) less its Laplace approximation.
    bias : float
        Largest shift of a parameter's posterior mean, in its posterior standard deviations, were
        the approximation taken for the likelihood.
    """

    log_integral_variance: float
    bias: float


def laplace_error(
    target: QuadratureTarget, points: Floats, log_density: Floats | None = None
) -> LaplaceError:
    """Compare draws of the posterior with the same draws weighted for Laplace's approximation.

    Parameters
    ----------
    target : QuadratureTarget
        The posterior.
    points : ndarray, shape (s, size)
        Coordinates of its draws; about a thousand of them are looked at.
    log_density : ndarray, shape (s,), optional
        The posterior's there, where it is known.

    Returns
    -------
    LaplaceError
    """
    every = slice(None, None, max(len(points) // _MOST, 1))
    some = points[every]
    given = target.given(some)
    if log_density is None:
        exact = target.likelihood.values(given, threads=target.threads)
    else:
        exact = log_density[every] - target.log_prior(some)
    approximate = target.likelihood.with_nodes(1).values(given, threads=target.threads)
    ratio = exact - approximate
    if not np.isfinite(ratio).all():
        return LaplaceError(np.inf, np.inf)
    weights = np.exp(-(ratio - ratio.min()))
    weights /= weights.sum()
    values = target.parameters(some)
    spread = values.std(axis=0)
    shift = np.abs(weights @ values - values.mean(axis=0))
    moved = np.divide(shift, spread, out=np.zeros_like(shift), where=spread > 0.0)
    return LaplaceError(float(ratio.var()), float(moved.max(initial=0.0)))
