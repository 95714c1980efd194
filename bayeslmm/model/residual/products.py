r"""`ResidualProducts`: from the residuals' parameters to W'R^-1 W, by whatever way is quickest.

The bases of a structure are combined, or summed anew from the rows; where log(sigma) follows one
number per row, the rows' weights are interpolated in it (`InterpolatedProducts`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.structured.structured_gram import RowGram, StructuredGram
from bayeslmm.kernels.layout import SUM_LOG_WEIGHTS
from bayeslmm.kernels.structured.density import structured_values
from bayeslmm.model.residual.series import Series
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.elimination_plan import EliminationPlan
    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.residual.structured import StructuredResiduals

# Coefficients that are held for many points at a time: 32 MB.
_MOST_COEFFICIENTS = 2**22
# The same where they are used one point after the other: 0.5 MB, which stays near the processor.
_MOST_AT_ONCE = 2**16


@dataclass(frozen=True, eq=False)
class ResidualProducts:
    """W'R^-1 W of a design, as a function of phi.

    Attributes
    ----------
    structure : StructuredResiduals
        R.
    gram : StructuredGram or RowGram
        The bases that it combines, or the rows.
    """

    structure: StructuredResiduals
    gram: StructuredGram | RowGram

    @property
    def plan(self) -> EliminationPlan:
        """The order of elimination."""
        return self.gram.plan

    @property
    def reference(self) -> Gram:
        """The Gram of rows without weights, of the same coordinates."""
        return self.gram.reference

    @property
    def error(self) -> float:
        """Largest error of a coefficient c in units of 1 + |c|; zero without interpolation."""
        correlation = self.structure.correlation
        return correlation.error if isinstance(correlation, Series) else 0.0

    @property
    def attributes(self) -> dict[str, float]:
        """Return what a result tree says of interpolation, where there is some."""
        return {"residual_interpolation_error": self.error} if self.error > 0.0 else {}

    def floats(self, phi: Floats) -> Floats:
        """Return the plan's floats at parameters of shape (size,)."""
        c, logdet = self.structure.coefficients(phi[None])
        return self.gram.floats(c[0], float(logdet[0]))

    def each_floats(self, phi: Floats) -> Iterator[Floats]:
        """Give the plan's floats at each of some parameters, shape (s, size), in their order."""
        n_pieces = -(-len(phi) * self.structure.n_bases // _MOST_AT_ONCE)
        for some in np.array_split(phi, max(n_pieces, 1)):
            c, logdet = self.structure.coefficients(some)
            for k in range(len(some)):
                yield self.gram.floats(c[k], float(logdet[k]))

    def pull_back(self, phi: Floats, d_floats: Floats) -> Floats:
        """Carry a gradient in the plan's floats to the parameters, shape (size,)."""
        return self.structure.pull_back(phi, *self.gram.pull_back(d_floats))

    def log_determinant(self, phi: Floats) -> float:
        """Compute log|R| at parameters of shape (size,)."""
        return -float(self.floats(phi)[SUM_LOG_WEIGHTS])

    def at(self, phi: Floats, scale: float = 1.0) -> Gram:
        """Return the Gram of rows multiplied by scale R^(-1/2), as if scale^2 R^-1 were weights.

        Parameters
        ----------
        phi : ndarray, shape (size,)
            Parameters of R.
        scale : float
            The sigma beside those weights.
        """
        return self.gram.gram_of(self.floats(phi), scale)

    def log_densities(
        self,
        phi: Floats,
        lams: Floats,
        betas: Floats,
        beta_prior: tuple[Floats, Floats],
        threads: int = 1,
    ) -> Floats:
        """Compute log p(y | L, R) at many points.

        Parameters
        ----------
        phi : ndarray, shape (s, size)
            The residuals' parameters.
        lams : ndarray, shape (s, n_lambda)
            Packed factors of the random effects' covariances.
        betas : ndarray, shape (s, p) or (s, 0)
            Fixed effects, where they are not integrated out.
        beta_prior : tuple of ndarray, shapes (p,) and (p, p)
            Mean and precision of their normal prior, where they are.
        threads : int
            Values that are computed side by side.

        Returns
        -------
        ndarray, shape (s,)
            -inf where a value cannot be computed.
        """

        def evaluate(some: NDArray[np.intp]) -> Floats:
            return self._values(phi[some], lams[some], betas[some], beta_prior)

        most = max(1, _MOST_COEFFICIENTS // self.structure.n_bases)
        n_pieces = max(threads, -(-len(phi) // most))
        return in_pieces(evaluate, len(phi), n_pieces, threads)

    def _values(
        self, phi: Floats, lams: Floats, betas: Floats, beta_prior: tuple[Floats, Floats]
    ) -> Floats:
        c, logdet = self.structure.coefficients(phi)
        betas = np.ascontiguousarray(betas)
        if isinstance(self.gram, StructuredGram):
            return combined_values(self.gram, c, logdet, lams, betas, beta_prior=beta_prior)
        values, head = np.empty(len(phi)), self.gram.head
        for k in range(len(phi)):
            # One base: the cross-products of this point.
            body = self.gram.floats(c[k], 0.0)[len(head) :]
            values[k] = structured_values(
                self.plan.ints, head, body[None], np.ones((1, 1)), logdet[k : k + 1],
                lams[k : k + 1], betas[k : k + 1], *beta_prior,
            )[0]  # fmt: skip
        return values


def combined_values(
    gram: StructuredGram,
    coefficients: Floats,
    log_determinants: Floats,
    lams: Floats,
    betas: Floats,
    *,
    beta_prior: tuple[Floats, Floats],
) -> Floats:
    """Evaluate log-densities by bases; see `structured_values`."""
    values: Floats = structured_values(
        gram.plan.ints, gram.head, gram.plan_bodies, np.ascontiguousarray(coefficients),
        log_determinants, np.ascontiguousarray(lams), np.ascontiguousarray(betas), *beta_prior,
    )  # fmt: skip
    return values


def in_pieces(
    evaluate: Callable[[NDArray[np.intp]], Floats], n: int, n_pieces: int, threads: int
) -> Floats:
    """Evaluate a function of some of n points piece by piece, in threads; shape (n,)."""
    pieces = np.array_split(np.arange(n), max(min(n_pieces, n), 1))

    def quietly(piece: NDArray[np.intp]) -> Floats:
        # Points far out have no density. Threads do not inherit what their caller ignores.
        with np.errstate(all="ignore"):
            return evaluate(piece)

    with single_blas_thread():
        if threads <= 1 or len(pieces) == 1:
            return np.concatenate([quietly(piece) for piece in pieces])
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(quietly, pieces)))
