"""Heavy-tailed proposals for importance sampling: split Student-t distributions and mixtures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln, logsumexp

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


@dataclass(frozen=True, eq=False)
class SplitT:
    r"""A multivariate t distribution with scales of its own on the two sides of each axis.

    With :math:`\epsilon \sim t_\nu(0, I_k)`, a draw is :math:`x = c + A z`,
    :math:`z_i = s_i |\epsilon_i| u_i` on the upper side (:math:`s_i = 1`) with probability
    :math:`u_i / (u_i + d_i)`, and :math:`z_i = s_i |\epsilon_i| d_i` on the lower side otherwise:

    .. math:: \log q(x) = \log t_\nu(\epsilon(x)) + \sum_i \log \frac{2}{u_i + d_i} - \log |A|

    continuous everywhere, and the t distribution itself where both sides are 1.

    Attributes
    ----------
    center : ndarray, shape (k,)
        c.
    axes : ndarray, shape (k, k)
        A, one axis per column.
    up, down : ndarray, shape (k,)
        u and d, positive.
    freedom : float
        nu, degrees of freedom.

    References
    ----------
    Geweke (1989). Bayesian inference in econometric models using Monte Carlo integration.
    Econometrica 57:1317-1339. doi:10.2307/1913710 (his split-t jumps at the axes; this one, with
    sides chosen in proportion to their scales, does not.)

    Examples
    --------
    >>> t = SplitT(np.zeros(1), np.eye(1), np.ones(1), np.ones(1), 1.0)
    >>> float(np.exp(t.log_density(np.zeros((1, 1))))[0] * np.pi)  # Cauchy
    1.0
    """

    center: Floats
    axes: Floats
    up: Floats
    down: Floats
    freedom: float

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Draw `count` independent points, shape (count, k)."""
        k = len(self.center)
        size = np.abs(rng.standard_normal((count, k)))
        size /= np.sqrt(rng.chisquare(self.freedom, (count, 1)) / self.freedom)
        upper = rng.random((count, k)) < self.up / (self.up + self.down)
        return np.asarray(self.center + np.where(upper, self.up, -self.down) * size @ self.axes.T)

    def log_density(self, points: Floats) -> Floats:
        """Evaluate the normalised log-density at points, shape (s, k)."""
        k, nu = len(self.center), self.freedom
        z = np.linalg.solve(self.axes, (points - self.center).T).T
        square = np.square(z / np.where(z > 0, self.up, self.down)).sum(axis=1)
        constant = gammaln(0.5 * (nu + k)) - gammaln(0.5 * nu) - 0.5 * k * math.log(nu * math.pi)
        constant += np.log(2.0 / (self.up + self.down)).sum()
        constant -= np.linalg.slogdet(self.axes)[1]
        return np.asarray(constant - 0.5 * (nu + k) * np.log1p(square / nu))

    def widened(self, factor: float, freedom: float) -> SplitT:
        """Return the same with wider scales and other tails."""
        return SplitT(self.center, self.axes, factor * self.up, factor * self.down, freedom)


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of split t distributions.

    Attributes
    ----------
    parts : tuple of SplitT
        Its components.
    shares : ndarray, shape (number of components,)
        Their probabilities.

    Examples
    --------
    >>> one = SplitT(np.zeros(2), np.eye(2), np.ones(2), np.ones(2), 5.0)
    >>> both = Mixture((one, one), np.array([0.5, 0.5]))
    >>> at = np.ones((1, 2))
    >>> bool(np.isclose(both.log_density(at), one.log_density(at))[0])
    True
    """

    parts: tuple[SplitT, ...]
    shares: Floats

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """Draw `count` independent points, shape (count, k), in random order of components."""
        chosen = rng.choice(len(self.parts), size=count, p=self.shares)
        points = np.empty((count, len(self.parts[0].center)))
        for which, part in enumerate(self.parts):
            rows = chosen == which
            points[rows] = part.draw(int(rows.sum()), rng)
        return points

    def log_density(self, points: Floats) -> Floats:
        """Evaluate the normalised log-density at points, shape (s, k)."""
        parts = [part.log_density(points) for part in self.parts]
        return np.asarray(logsumexp(np.stack(parts), axis=0, b=self.shares[:, None]))
