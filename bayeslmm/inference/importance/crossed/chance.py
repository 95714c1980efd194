r"""What the chance of probes does to posterior means and standard deviations.

With :math:`\delta_b(\theta)` the deviation of log|V| by probe b from the mean over all B, a
posterior with probe b alone would have a log-density that differs by :math:`-\delta_b / 2`, and to
first order

.. math:: E_b[x] - E[x] = -\tfrac12 \mathrm{Cov}(x, \delta_b), \qquad
          \mathrm{Var}_b[x] - \mathrm{Var}[x] = -\tfrac12 \mathrm{Cov}((x - E x)^2, \delta_b),

whose standard deviation over the probes, over the root of B, is the chance in what is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.inference.importance.interpolation import KERNEL, TREND

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.inference.importance.surrogate import Surrogate


@dataclass(frozen=True, eq=False)
class Chance:
    """Chance in a posterior, in its own standard deviations.

    Attributes
    ----------
    means : ndarray, shape (size,)
        Of each coordinate's mean.
    sds : ndarray, shape (size,)
        Of its standard deviation, relative.
    loglik_se : float
        Standard error of the log-density at the posterior's centre, which no draw depends on.
    """

    means: Floats
    sds: Floats
    loglik_se: float

    @property
    def largest(self) -> float:
        """The largest of them all but the height's."""
        return float(max(self.means.max(), self.sds.max()))


def chance_of_probes(
    surrogate: Surrogate,
    known: tuple[Floats, Floats],
    points: Floats,
    packed: Floats,
    weights: Floats,
) -> Chance:
    """Compute the chance in means and sds of weighted points.

    Parameters
    ----------
    surrogate : Surrogate
        Whose coordinates values are interpolated in.
    known : tuple of ndarray, shapes (n, n_lambda) and (n, B)
        Relative factors, and log|V| there by each probe.
    points : ndarray, shape (s, size)
        Coordinates of the target.
    packed : ndarray, shape (s, n_lambda)
        Their relative factors.
    weights : ndarray, shape (s,)
        Adding up to one.

    Returns
    -------
    Chance
    """
    from scipy.interpolate import RBFInterpolator  # noqa: PLC0415 - slow to import

    nodes, by_probe = known
    deviations = by_probe - by_probe.mean(axis=1, keepdims=True)
    # A constant shift of a probe has no effect; and would cost digits.
    level = deviations.mean(axis=0)
    interpolate = RBFInterpolator(
        surrogate.whitened(nodes), deviations - level, kernel=KERNEL, degree=TREND
    )
    heavy = weights > 0.0
    share, x = weights[heavy], points[heavy]
    delta = interpolate(surrogate.whitened(packed[heavy]))
    delta = delta - share @ delta
    away = x - share @ x
    variance = share @ away**2
    count = by_probe.shape[1]
    of_mean = -0.5 * (away * share[:, None]).T @ delta / np.sqrt(variance)[:, None]
    of_variance = -0.5 * (away**2 * share[:, None]).T @ delta / variance[:, None]
    return Chance(
        of_mean.std(axis=1, ddof=1) / np.sqrt(count),
        0.5 * of_variance.std(axis=1, ddof=1) / np.sqrt(count),
        0.5 * float(level.std(ddof=1)) / float(np.sqrt(count)),
    )
