"""Log-densities at many points, in two steps: log|V| and T = [X y]' V^-1 [X y], and the rest.

The first step is all the work, and depends on relative factors only: sigma, and the fixed effects
or their prior, follow at no cost (`densities.density_given_fixed`, `densities.density_of_reduced`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.gram.border.sparse.density import reduce_sparsely
from bayeslmm.gram.likelihood import beta_prior, unpack_factors
from bayeslmm.kernels.reduce import densities_from_reduced, reduce_factors
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram


# Numbers in the T that `log_densities` holds at a time: 8 MB.
_VALUES = 2**20


@dataclass(frozen=True, eq=False)
class Reduced:
    """log|V| and T at several relative factors.

    Attributes
    ----------
    logdet : ndarray, shape (s,)
        log|V|; -inf where Q could not be factored.
    cross : ndarray, shape (s, p + 1, p + 1)
        T = [Xs r]' V^-1 [Xs r], in the coordinates of the Gram (`Gram.scale`, `Gram.origin`).
    """

    logdet: Floats
    cross: Floats

    def __len__(self) -> int:
        """Count the relative factors."""
        return len(self.logdet)

    def take(self, which: NDArray[np.intp]) -> Reduced:
        """Select some of them."""
        return Reduced(self.logdet[which], self.cross[which])


def reduce_exactly(gram: Gram, packed: Floats, *, threads: int = 1) -> Reduced:
    r"""Factor Q at each relative factor and reduce [X y].

    .. math:: V = I + Z \Lambda \Lambda' Z', \qquad T = [X\ y]' V^{-1} [X\ y]

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (s, n_lambda)
        Relative factors, as `likelihood.pack_factors` lays them out.
    threads : int
        Evaluations that run side by side, each with one BLAS thread.

    Returns
    -------
    Reduced
        One value per relative factor.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), section 3. doi:10.18637/jss.v067.i01

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> design = build_design("y ~ 1 + (1 | g)", {"y": [1.0, 2.0, 4.0, 3.0], "g": list("aabb")})
    >>> reduced = reduce_exactly(Gram.from_design(design), np.array([[0.0], [1.0]]))
    >>> reduced.logdet.round(6)  # V = I, and 1 + n lambda^2 = 3 for each of two levels
    array([0.      , 2.197225])
    """
    if gram.by_nodes:
        with single_blas_thread():
            return Reduced(*reduce_sparsely(gram, unpack_factors(gram, packed)))
    packed = for_kernels("packed", packed, np.float64, (None, gram.plan.n_lambda))
    reduce = partial(reduce_factors, gram.plan.ints, gram.plan.floats)
    with single_blas_thread():
        if threads == 1 or len(packed) < 2:
            return Reduced(*reduce(packed))
        with ThreadPoolExecutor(threads) as pool:
            logdets, crosses = zip(*pool.map(reduce, packed[:, None]), strict=True)
    return Reduced(np.concatenate(logdets), np.concatenate(crosses))


def density_from_reduced(
    gram: Gram,
    reduced: Reduced,
    sigma: Floats,
    *,
    beta: Floats | None = None,
    prior: tuple[Floats, Floats] | None = None,
) -> Floats:
    """Compute log p(y | Lambda, sigma), or log p(y | beta, Lambda, sigma), from log|V| and T.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    reduced : Reduced
        From `reduce_exactly`, or what stands in for it.
    sigma : ndarray, shape (s,)
        Residual standard deviations.
    beta : ndarray, shape (s, p), optional
        Fixed effects on the original scale; without them they are integrated out.
    prior : tuple of ndarray, shapes (p,) and (p, p), optional
        Mean and precision of beta's normal prior, as in `likelihood.log_density`; flat without.
        Not used where beta is given.

    Returns
    -------
    ndarray, shape (s,)
        Log-densities; -inf where they cannot be computed.
    """
    n, w = len(sigma), len(gram.coef) + 1
    mean, precision = beta_prior(gram, *((None, None) if prior is None else prior))
    given = np.empty((n, 0)) if beta is None else beta
    values: Floats = densities_from_reduced(
        gram.scales_plan.ints,
        gram.scales_plan.floats,
        for_kernels("logdet", reduced.logdet, np.float64, (n,)),
        for_kernels("cross", reduced.cross, np.float64, (n, w, w)),
        for_kernels("sigma", sigma, np.float64, (n,)),
        for_kernels("beta", given, np.float64, (n, None)),
        mean,
        precision,
    )
    return values


def log_densities(
    gram: Gram,
    packed: Floats,
    sigma: Floats,
    *,
    beta: Floats | None = None,
    prior: tuple[Floats, Floats] | None = None,
) -> Floats:
    """Compute log p(y | Lambda, sigma), or log p(y | beta, Lambda, sigma), point by point.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (s, n_lambda)
        Relative factors, as `likelihood.pack_factors` lays them out.
    sigma, beta, prior
        As in `density_from_reduced`.

    Returns
    -------
    ndarray, shape (s,)
        Log-densities; -inf where they cannot be computed.
    """
    rows = max(_VALUES // (len(gram.coef) + 1) ** 2, 1)
    values = np.empty(len(sigma))
    for first in range(0, len(sigma), rows):
        some = slice(first, first + rows)
        values[some] = density_from_reduced(
            gram,
            reduce_exactly(gram, packed[some]),
            sigma[some],
            beta=None if beta is None else beta[some],
            prior=prior,
        )
    return values
