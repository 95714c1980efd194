r"""Functions of a symmetric matrix by the Lanczos method, many columns in lockstep.

From a column z the method finds an orthonormal basis Q and a tridiagonal T with

.. math:: z' f(A) z \approx |z|^2 e_1' f(T) e_1, \qquad f(A) z \approx |z| Q f(T) e_1,

exact for polynomials of less than twice, or once, as high a degree as there are steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import NumericalError
from bayeslmm.gram.border.conjugate_gradients import MOST_STEPS, inner

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Columns, Floats

# Steps between two looks at whether the answer still changes.
_LOOK = 3
# Eigenvalues of A are below one; those of T may exceed it by rounding.
_NEAREST = 1e-12
_TINY = 1e-300
# What is left of a column of length one by rounding alone, by precision.
_ENDED = {"float64": 1e-13, "float32": 1e-6}


class Run:
    """Lanczos steps from some columns, and the tridiagonal matrices so far.

    Parameters
    ----------
    multiply : callable
        From columns, shape (n, B), to A times them.
    start : ndarray, shape (n, B)
        Columns, none of them zero.
    keep : bool
        Whether the basis is wanted.
    """

    def __init__(
        self, multiply: Callable[[Columns], Columns], start: Columns, *, keep: bool = False
    ) -> None:
        self._multiply, self._kind = multiply, start.dtype
        self.length = np.sqrt(inner(start, start))
        scaled = (1.0 / np.maximum(self.length, _TINY)).astype(self._kind)
        self._now: Columns = start * scaled
        self._before: Columns = np.zeros_like(start)
        self.moving = np.empty_like(start)
        self._beta = np.zeros(start.shape[1])
        self.alphas: list[Floats] = []
        self.betas: list[Floats] = []
        self.basis: list[Columns] | None = [] if keep else None

    def step(self) -> None:
        """Go one step."""
        if self.basis is not None:
            self.basis.append(self._now)
        ahead, kind = self._multiply(self._now), self._kind
        ahead -= np.multiply(self._before, self._beta.astype(kind), out=self.moving)
        alpha = inner(ahead, self._now)
        ahead -= np.multiply(self._now, alpha.astype(kind), out=self.moving)
        beta = np.sqrt(inner(ahead, ahead))
        self.alphas.append(alpha)
        self.betas.append(beta)
        # An invariant subspace ends a run: what follows is rounding, and must not count.
        going = beta > _ENDED[kind.name]
        ahead *= np.where(going, 1.0 / np.maximum(beta, _TINY), 0.0).astype(kind)
        self._before, self._now, self._beta = self._now, ahead, np.where(going, beta, 0.0)

    def spectrum(self) -> tuple[Floats, Floats]:
        """Compute the eigenvalues of each T, (B, steps), and its eigenvectors, as columns."""
        alphas = np.array(self.alphas).T
        off = np.array(self.betas[:-1]).T.reshape(len(alphas), -1)
        T = np.zeros((*alphas.shape, alphas.shape[1]))
        k = np.arange(alphas.shape[1])
        T[:, k, k] = alphas
        T[:, k[1:], k[:-1]] = T[:, k[:-1], k[1:]] = np.where(
            off > _ENDED[self._kind.name], off, 0.0
        )
        values, vectors = np.linalg.eigh(T)
        return np.minimum(values, 1.0 - _NEAREST), vectors


def log_forms(
    multiply: Callable[[Columns], Columns], columns: Columns, tolerance: float
) -> tuple[Floats, Floats, Floats, int]:
    """Compute z' log(I - A) z, z' A z and z' A^2 z of columns z.

    Parameters
    ----------
    multiply : callable
        From columns, shape (n, B), to A times them.
    columns : ndarray, shape (n, B)
        Columns z.
    tolerance : float
        Change of the first over three steps, in absolute value, at which to stop.

    Returns
    -------
    log_forms, first, second : ndarray, shape (B,)
    steps : int

    References
    ----------
    Ubaru, Chen & Saad (2017). Fast estimation of tr(f(A)) via stochastic Lanczos quadrature. SIAM
    Journal on Matrix Analysis and Applications 38:1075-1099. doi:10.1137/16M1104974
    """
    run, last = Run(multiply, columns), np.full(columns.shape[1], np.inf)
    for steps in range(1, MOST_STEPS + 1):
        run.step()
        if steps % _LOOK:
            continue
        values, vectors = run.spectrum()
        shares = vectors[:, 0] ** 2 * run.length[:, None] ** 2
        logs = np.sum(shares * np.log1p(-values), axis=1)
        if np.all(np.abs(logs - last) < tolerance):
            return logs, np.sum(shares * values, axis=1), np.sum(shares * values**2, axis=1), steps
        last = logs
    raise NumericalError(_not_enough("log|V|"))


def inverse_root(
    multiply: Callable[[Columns], Columns], columns: Columns, tolerance: float
) -> tuple[Columns, int]:
    """Compute (I - A)^(-1/2) z of columns z.

    Parameters
    ----------
    multiply : callable
        From columns, shape (n, B), to A times them.
    columns : ndarray, shape (n, B)
        Columns z.
    tolerance : float
        Of the last coefficient beside the largest.

    Returns
    -------
    ndarray, shape (n, B)
    steps : int

    Examples
    --------
    >>> A = np.diag([0.75, 0.0])
    >>> inverse_root(lambda X: A @ X, np.ones((2, 1)), 1e-9)[0].round(6).tolist()
    [[2.0], [1.0]]
    """
    run = Run(multiply, columns, keep=True)
    assert run.basis is not None  # noqa: S101 - it is kept
    for steps in range(1, MOST_STEPS + 1):
        run.step()
        values, vectors = run.spectrum()
        weights = np.einsum("bik,bk->ib", vectors, vectors[:, 0] / np.sqrt(1.0 - values))
        if np.abs(weights[-1]).max() < tolerance * np.abs(weights).max() or steps == len(columns):
            out = np.zeros_like(columns)
            for weight, part in zip(weights, run.basis, strict=True):
                out += np.multiply(part, (weight * run.length).astype(part.dtype), out=run.moving)
            return out, steps
    raise NumericalError(_not_enough("draws of effects"))


def _not_enough(what: str) -> str:
    return (
        f"{MOST_STEPS} Lanczos steps were too few for {what}: standard deviations of the effects "
        "are too large beside sigma, or the levels hang together in a long chain. border='dense' "
        "takes no steps."
    )
