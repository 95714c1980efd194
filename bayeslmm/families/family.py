"""What a response family answers: the protocol, with the equation that each verb satisfies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from bayeslmm.arrays import Floats
    from bayeslmm.families.links import Link


class Family(Protocol):
    r"""Distribution of rows that are independent of each other given their linear predictors.

    .. math:: p(y \mid \eta) = \prod_i p(y_i \mid \eta_i, \phi, w_i), \quad
              \eta = X \beta + \sum_k Z_k b_k + o, \quad E(y_i \mid \eta_i) = g^{-1}(\eta_i)

    Members are frozen values without state. `eta`, `y`, `dispersion` and `weights` are broadcast
    against each other, so rows may lie along any axis and draws along any other: eta of shape
    (n, s) goes with dispersion (s,) and weights (n, 1).

    The PyMC form of a member stands in `bayeslmm.inference.graph.likelihood`, under the member's
    name, because this room does not know PyMC. A test holds it to `log_density`.
    """

    @property
    def name(self) -> str:
        """How the family is called, e.g. ``"gaussian"``."""
        ...

    @property
    def link(self) -> Link:
        """The link g."""
        ...

    def mean(self, eta: Floats, /) -> Floats:
        """Return E(y | eta) = g^-1(eta), in the shape of eta and the response's unit."""
        ...

    def variance(
        self, eta: Floats, dispersion: Floats | float, weights: Floats | None, /
    ) -> Floats:
        """Compute Var(y | eta), in the response's squared unit.

        Parameters
        ----------
        eta : ndarray
            Linear predictors.
        dispersion : ndarray or float
            The family's dispersion parameter phi; for the Gaussian, sigma.
        weights : ndarray or None
            Positive weights of the rows; 1 where None.

        Returns
        -------
        ndarray
            Of the arguments' common shape.
        """
        ...

    def log_density(
        self, y: Floats, eta: Floats, dispersion: Floats | float, weights: Floats | None, /
    ) -> Floats:
        """Compute log p(y_i | eta_i, phi, w_i) of each row, every constant included.

        It integrates to one: over y of exp(log_density) dy = 1.

        Parameters
        ----------
        y : ndarray
            Responses.
        eta, dispersion, weights
            As in `variance`.

        Returns
        -------
        ndarray
            Of the arguments' common shape.
        """
        ...

    def draw(
        self,
        eta: Floats,
        dispersion: Floats | float,
        weights: Floats | None,
        rng: np.random.Generator,
        /,
    ) -> Floats:
        """Draw y ~ p(. | eta, phi, w), independently for each entry of eta.

        Its mean is `mean` and its variance `variance`. Random numbers are taken in the order of
        eta's entries, so that rows drawn in chunks are those drawn at once.

        Parameters
        ----------
        eta : ndarray
            Linear predictors.
        dispersion, weights
            As in `variance`; they must not broaden eta.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray
            Of eta's shape; eta is left as it is.
        """
        ...
