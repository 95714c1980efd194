"""What a residual structure answers: the protocol, with the equation that each verb satisfies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats


class ResidualStructure(Protocol):
    r"""Covariance R of the residuals, as a sum of fixed matrices on the precision's side.

    .. math:: e \sim N(0, R), \quad R^{-1} = \sum_k c_k(\phi) P_k

    with P_k that no parameter enters. For W = [Z X y] it follows that

    .. math:: W' R^{-1} W = \sum_k c_k(\phi) \, W' P_k W :

    a fixed list of cross-products, summed over the rows once, and a vector of coefficients. For
    independent residuals the list has one entry, the model's `Gram`, whose rows are scaled by
    sqrt(w).

    `phi` stands for draws of the structure's parameters. Members are frozen values without state.
    """

    @property
    def name(self) -> str:
        """How the structure is called, e.g. ``"independent"``."""
        ...

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters phi, as in the result tree and in priors."""
        ...

    def combine(self, products: Sequence[Floats], phi: Floats, /) -> Floats:
        """Compute W'R^-1 W = sum_k c_k(phi) W'P_k W of each draw.

        Parameters
        ----------
        products : sequence of ndarray, shape (s, ...) or (1, ...)
            W'P_k W, or any part or product of it that is linear in P_k, for each k; the first
            axis is that of draws.
        phi : ndarray, shape (s,)
            Draws of the parameters.

        Returns
        -------
        ndarray, shape (s, ...)
            The combination.
        """
        ...

    def log_determinant(self, phi: Floats, n: int, sum_log_weights: float, /) -> Floats:
        """Compute log|R| of n rows whose weights' logarithms add up to `sum_log_weights`.

        Parameters
        ----------
        phi : ndarray, shape (s,)
            Draws of the parameters.
        n : int
            Number of rows.
        sum_log_weights : float
            sum(log w), zero without weights.

        Returns
        -------
        ndarray, shape (s,)
            Log-determinants.
        """
        ...

    def whiten(self, rows: Floats, phi: Floats, weights: Floats | None, /) -> Floats:
        """Compute R^(-1/2) rows, so that (R^(-1/2) a)'(R^(-1/2) b) = a'R^-1 b.

        Parameters
        ----------
        rows : ndarray, shape (s, n, ...)
            Columns of n rows for each draw.
        phi : ndarray, shape (s,)
            Draws of the parameters.
        weights : ndarray, shape (n,), or None
            Positive weights of the rows; 1 where None.

        Returns
        -------
        ndarray, shape (s, n, ...)
            The columns in coordinates in which residuals are independent with variance one.
        """
        ...

    def covariance(self, phi: Floats, n: int, weights: Floats | None, /) -> Floats:
        """Return R of n rows, dense, in the response's squared unit.

        Parameters
        ----------
        phi : ndarray, shape (s,)
            Draws of the parameters.
        n : int
            Number of rows.
        weights : ndarray, shape (n,), or None
            Positive weights of the rows; 1 where None.

        Returns
        -------
        ndarray, shape (s, n, n)
            One matrix per draw.
        """
        ...

    def mean_variance(self, phi: Floats, weights: Floats | None, /) -> Floats:
        """Compute the mean over rows of Var(e_i), the diagonal of R.

        Parameters
        ----------
        phi : ndarray, shape (s,)
            Draws of the parameters.
        weights : ndarray, shape (n,), or None
            Positive weights of the rows; 1 where None.

        Returns
        -------
        ndarray, shape (s,)
            In the response's squared unit.
        """
        ...
