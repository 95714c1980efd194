"""Link functions g with eta = g(mu): from the mean of a response to its linear predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats


@dataclass(frozen=True)
class Link:
    """A strictly increasing g with eta = g(mu), differentiable; all three work elementwise.

    Attributes
    ----------
    name : str
        As users spell it.
    link : callable
        mu -> eta = g(mu).
    inverse : callable
        eta -> mu, so that inverse(link(mu)) = mu.
    derivative : callable
        eta -> d mu / d eta, positive.

    Examples
    --------
    >>> IDENTITY.inverse(np.array([-1.0, 2.0])), IDENTITY.derivative(np.array([-1.0, 2.0]))
    (array([-1.,  2.]), array([1., 1.]))
    """

    name: str
    link: Callable[[Floats], Floats]
    inverse: Callable[[Floats], Floats]
    derivative: Callable[[Floats], Floats]


def _same(values: Floats) -> Floats:
    return values


IDENTITY = Link("identity", _same, _same, np.ones_like)
