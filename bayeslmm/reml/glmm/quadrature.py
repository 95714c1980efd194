"""The likelihood by adaptive Gauss-Hermite quadrature, for one factor of one or two columns."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bayeslmm.model.quadrature.likelihood import Points
from bayeslmm.model.quadrature.split import level_likelihood
from bayeslmm.reml.glmm.coordinates import Point

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.reml.glmm.coordinates import Coordinates


class Quadrature:
    r"""The likelihood with the effects integrated out level by level, in search coordinates.

    Parameters
    ----------
    coordinates : Coordinates
        The model.
    nodes : int
        K nodes per column, odd; one node is Laplace's approximation.

    Attributes
    ----------
    exact_slopes : bool
        Whether the slopes are those of the integral, which with one node they are not.

    References
    ----------
    Pinheiro & Bates (1995). Approximations to the log-likelihood function in the nonlinear
    mixed-effects model. doi:10.1080/10618600.1995.10474663
    """

    def __init__(self, coordinates: Coordinates, nodes: int) -> None:
        design = coordinates.design
        factor = replace(design.factors[0], columns=coordinates.Z[0])
        turned = replace(design, X=coordinates.X, factors=(factor,))
        nowhere = (0.0,) * coordinates.n_beta
        self._likelihood = level_likelihood(turned, nowhere, nodes)
        self.exact_slopes = nodes > 1

    def value(self, point: Point, *, settle: bool = False) -> float:
        """Evaluate the log-likelihood; -inf where it cannot be computed.

        Parameters
        ----------
        point : Point
            Where.
        settle : bool
            Whether the next search for the modes begins at those of this point.
        """
        if settle or self.exact_slopes:
            value, _ = self.value_and_slopes(point)
            return value
        return float(self._likelihood.values(_one(point))[0])

    def value_and_slopes(self, point: Point) -> tuple[float, Point]:
        """Evaluate the log-likelihood with its nodes at the modes, and its slopes."""
        value, slopes = self._likelihood.value_and_slopes(_one(point))
        return value, Point(slopes.beta, (slopes.L,), slopes.phi)

    def modes(self, point: Point) -> tuple[Floats, ...]:
        """Return the modes of the standardised effects, shapes (m, q)."""
        self.value_and_slopes(point)
        return (self._likelihood.modes.copy(),)


def _one(point: Point) -> Points:
    return Points(point.factors[0][None], point.beta[None], point.phi[None])
