r"""`CovarianceStructure`: what a structure of G says of itself, with the equation behind each part.

For q columns of one grouping factor, the random effects of a level are :math:`N(0, G)` with

.. math:: G = L L', \qquad L = diag(s) \, C(z),

where :math:`s > 0` are standard deviations, one per column, and :math:`C` is lower triangular with
rows of unit length, so that :math:`C C'` is the correlation matrix. A structure is the map from its
parameters :math:`z \in (-1, 1)^k`, the *partials*, to :math:`C`: canonical partial correlations
for an unstructured matrix, none at all for a diagonal one, a number in (0, 1) for a single
correlation. A structure is a frozen value without data, names or priors; `BlockCovariance` puts one
or more of them together to a factor's G.

NumPy writes each map once, here. Two further hands write it for speed and are held to this one by
tests: `inference/graph` for PyTensor, and, where there is one, a compiled form in `kernels`.

References
----------
Bates, Maechler, Bolker & Walker (2015), Journal of Statistical Software 67(1), section 2.2.
doi:10.18637/jss.v067.i01
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from bayeslmm.arrays import Floats


class CovarianceStructure(Protocol):
    r"""The covariance of q columns' random effects, :math:`G = L L'` with :math:`L = diag(s) C(z)`.

    Members are frozen dataclasses: equal and hashable by what they are.
    """

    @property
    def n_columns(self) -> int:
        """q, the number of columns, and of standard deviations."""

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Columns (i, j), i < j, whose correlation is not zero by the structure: j by j, then i."""

    @property
    def n_partials(self) -> int:
        """k, the number of partials."""

    @property
    def in_unit_interval(self) -> bool:
        """Whether partials lie in (0, 1) rather than (-1, 1)."""

    def partial_shapes(self, eta: float) -> Floats:
        r"""Return the shapes of the partials' Beta priors, (k, 2).

        Under a prior with concentration :math:`\eta` the partials are independent, each with a
        distribution Beta(a, b) on the scale of its interval, (1 + z) / 2 where that is (-1, 1).
        They make the density of the correlation matrix proportional to
        :math:`|C C'|^{\eta - 1}` over the matrices of the structure (LKJ).
        """

    @property
    def independent(self) -> tuple[tuple[int, ...], ...]:
        """The finest partition of the columns into sets that are independent of each other."""

    def correlation_factor(self, partials: Floats) -> Floats:
        """Compute C, the Cholesky factor of the correlation matrix.

        Parameters
        ----------
        partials : ndarray, shape (..., k)

        Returns
        -------
        ndarray, shape (..., q, q)
            Lower triangular, with rows of unit length: diag(C C') = 1.
        """

    def factor(self, sd: Floats, partials: Floats) -> Floats:
        """Compute L = diag(sd) C(partials), the square root of G.

        Parameters
        ----------
        sd : ndarray, shape (..., q)
            Standard deviations, in the response's unit per unit of the column.
        partials : ndarray, shape (..., k)

        Returns
        -------
        ndarray, shape (..., q, q)
            L, in the unit of `sd`, with G = L L'.
        """

    def pull_back(self, sd: Floats, partials: Floats, d_factor: Floats) -> tuple[Floats, Floats]:
        r"""Compute the gradient in the parameters from that in L.

        .. math:: \dot s_i = \sum_j \dot L_{ij} C_{ij}, \qquad
                  \dot z_m = \sum_{ij} \dot L_{ij} \, s_i \, \partial C_{ij} / \partial z_m

        with dots for the derivatives of one scalar. Nothing is divided by a standard deviation:
        both are finite at s = 0.

        Parameters
        ----------
        sd, partials : ndarray, shapes (..., q) and (..., k)
            Where.
        d_factor : ndarray, shape (..., q, q)
            Gradient in L; what stands above the diagonal is not read.

        Returns
        -------
        d_sd, d_partials : ndarray, shapes (..., q) and (..., k)
        """

    def partials_near(self, corr: Floats) -> Floats:
        """Compute partials, off the ends of (-1, 1), whose matrix is close to a given one.

        Parameters
        ----------
        corr : ndarray, shape (q, q)
            A correlation matrix; it may be singular, with NaN for what is not defined.

        Returns
        -------
        ndarray, shape (k,)
        """

    def log_prior(self, corr: Floats, eta: float) -> Floats:
        r"""Evaluate the log-density of correlation matrices, normalized over the free correlations.

        .. math:: \log p(R) = (\eta - 1) \log |R| + const

        Parameters
        ----------
        corr : ndarray, shape (..., q, q)
            Correlation matrices of this structure.
        eta : float
            Concentration, > 0.

        Returns
        -------
        ndarray, shape (...)
        """

    def correlation_shapes(self, eta: float) -> tuple[float, float]:
        """Return a and b of a correlation's marginal prior, Beta(a, b) on its interval's scale.

        Parameters
        ----------
        eta : float
            Concentration, > 0.

        Returns
        -------
        a, b : float
        """

    def draw_correlations(self, eta: float, size: int, rng: np.random.Generator) -> Floats:
        """Draw correlation matrices from the prior whose log-density `log_prior` is.

        Parameters
        ----------
        eta : float
            Concentration, > 0.
        size : int
            Number of matrices.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        ndarray, shape (size, q, q)
            With exact ones on the diagonal.
        """
