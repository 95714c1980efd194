"""`LevelMap`: effects of levels as combinations of independent latent ones."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from scipy import sparse

    from bayeslmm.arrays import Floats

    Matrix = Floats | sparse.csr_array


class LevelMap:
    r"""A linear map T from independent latent levels to the effects that rows have.

    .. math:: u = T v, \qquad v_j \sim N(0, G) \text{ independently}

    A row has the effect u of its own `index`, so that all latent levels which T mixes into that
    effect meet in the row.

    Parameters
    ----------
    compute : callable
        () -> T, an ndarray or a scipy.sparse.csr_array of shape (m, M); called when T is first
        needed.
    n_latent : int
        M.
    tells_latent : bool
        Whether results tell v, by the factor's levels; else u.
    n_alone : int
        How many of the first latent levels are each in one u alone, no two of them in the same.

    Examples
    --------
    >>> twice = LevelMap(lambda: np.array([[1.0, 0.0], [2.0, 0.0]]), 2)
    >>> twice.told(np.array([[3.0], [5.0]])).tolist()
    [[3.0], [6.0]]
    """

    def __init__(
        self,
        compute: Callable[[], Matrix],
        n_latent: int,
        *,
        tells_latent: bool = False,
        n_alone: int = 0,
    ) -> None:
        self._compute = compute
        self.n_latent = n_latent
        self.tells_latent = tells_latent
        self.n_alone = n_alone

    @cached_property
    def matrix(self) -> Matrix:
        """T, shape (m, M)."""
        return self._compute()

    def numbers(self) -> Iterator[NDArray[Any]]:
        """Iterate over the arrays that tell T from others, in one order."""
        found = self.matrix
        yield from (found,) if isinstance(found, np.ndarray) else (found.data, found.indices)

    def agrees(self, other: LevelMap | None) -> bool:
        """Return whether another map says the same of levels in the same order."""
        if other is None or other.n_latent != self.n_latent:
            return False
        one, two = self.covariance, other.covariance
        return one.shape == two.shape and bool(np.allclose(one, two, rtol=1e-10, atol=0.0))

    @cached_property
    def covariance(self) -> Floats:
        """T T', shape (m, m): the covariance of u in units of G."""
        found = self.matrix @ self.matrix.T
        return found if isinstance(found, np.ndarray) else found.toarray()

    @cached_property
    def variances(self) -> Floats:
        """The diagonal of T T', shape (m,)."""
        return np.asarray((self.matrix * self.matrix).sum(axis=1))

    def of_rows(self, latent: Floats) -> Floats:
        """Return u = T v of draws of v: shapes (..., M, q) and (..., m, q)."""
        lead, (M, q) = latent.shape[:-2], latent.shape[-2:]
        flat = np.moveaxis(latent, -2, 0).reshape(M, -1)
        mixed = np.asarray(self.matrix @ flat).reshape(-1, *lead, q)
        return np.ascontiguousarray(np.moveaxis(mixed, 0, -2))

    def told(self, latent: Floats) -> Floats:
        """Return what results tell of draws of v: v itself, or u."""
        return latent if self.tells_latent else self.of_rows(latent)
