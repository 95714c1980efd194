"""Exact evaluations apart from a density: log|V| and T = [X y]' V^-1 [X y] at relative factors.

For crossed factors these two are all the work: sigma and the fixed effects' prior follow at no
cost (`densities.density_of_reduced`). Here they are computed for many relative factors at once,
two evaluations side by side, and densities are finished from them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.reduce import finish, finish_given_fixed, reduce_factor
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram


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
    >>> from bayeslmm.design.design import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> design = build_design("y ~ 1 + (1 | g)", {"y": [1.0, 2.0, 4.0, 3.0], "g": list("aabb")})
    >>> reduced = reduce_exactly(Gram.from_design(design), np.array([[0.0], [1.0]]))
    >>> reduced.logdet.round(6)  # V = I, and 1 + n lambda^2 = 3 for each of two levels
    array([0.      , 2.197225])
    """
    plan = gram.plan
    packed = np.ascontiguousarray(packed, dtype=float)

    def one(row: Floats) -> tuple[float, Floats]:
        value: tuple[float, Floats] = reduce_factor(plan.ints, plan.floats, row)
        return value

    with single_blas_thread():
        if threads == 1:
            pairs = [one(row) for row in packed]
        else:
            with ThreadPoolExecutor(threads) as pool:
                pairs = list(pool.map(one, packed))
    w = len(gram.coef) + 1
    cross = np.array([T for _, T in pairs]).reshape(len(packed), w, w)
    return Reduced(np.array([value for value, _ in pairs]), cross)


def finish_density(
    gram: Gram, reduced: Reduced, sigma: Floats, prior_mean: Floats, prior_precision: Floats
) -> Floats:
    """Return log p(y | Lambda, sigma), beta integrated out, from log|V| and T.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    reduced : Reduced
        From `reduce_exactly`, or what stands in for it.
    sigma : ndarray, shape (s,)
        Residual standard deviations.
    prior_mean, prior_precision : ndarray, shapes (p,) and (p, p)
        Normal prior of beta, as in `likelihood.log_density`.

    Returns
    -------
    ndarray, shape (s,)
        Log-densities.
    """
    values: Floats = finish(
        gram.plan.ints,
        gram.plan.floats,
        reduced.logdet,
        reduced.cross,
        np.ascontiguousarray(sigma, dtype=float),
        np.ascontiguousarray(prior_mean, dtype=float),
        np.ascontiguousarray(prior_precision, dtype=float),
    )
    return values


def finish_density_given_fixed(gram: Gram, reduced: Reduced, sigma: Floats, beta: Floats) -> Floats:
    """Return log p(y | beta, Lambda, sigma) from log|V| and T.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    reduced : Reduced
        From `reduce_exactly`, or what stands in for it.
    sigma : ndarray, shape (s,)
        Residual standard deviations.
    beta : ndarray, shape (s, p)
        Fixed effects on the original scale.

    Returns
    -------
    ndarray, shape (s,)
        Log-densities.
    """
    values: Floats = finish_given_fixed(
        gram.plan.ints,
        gram.plan.floats,
        reduced.logdet,
        reduced.cross,
        np.ascontiguousarray(sigma, dtype=float),
        np.ascontiguousarray(beta, dtype=float),
    )
    return values
