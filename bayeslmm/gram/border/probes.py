r"""log|V| and its gradient by probes, whose chance is small and known.

With :math:`f(A) = \log(I - A) + A` and random signs z,

.. math:: \log|I - A| = -\mathrm{tr} A + \sum_j u_j' f(A) u_j + E[(P z)' f(A) (P z)],

where tr A is a sum over pairs of levels, the u are a few orthonormal directions along which A is
largest (the constant that both factors' intercepts fight for among them), and P projects on what
is orthogonal to them. All of it is unbiased whatever the u are; they and the z are the same at
all relative factors, so that the chance in differences of log|V| is far smaller still.

References
----------
Hutchinson (1990). A stochastic estimator of the trace of the influence matrix for Laplacian
smoothing splines. Communications in Statistics: Simulation and Computation 19:433-450.
doi:10.1080/03610919008812866

Meyer, Musco, Musco & Woodruff (2021). Hutch++: optimal stochastic trace estimation. SIAM Symposium
on Simplicity in Algorithms, 142-155. doi:10.1137/1.9781611976496.16
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.border.conjugate_gradients import inner, solve
from bayeslmm.gram.border.coupling import block_diagonal
from bayeslmm.gram.border.lanczos import log_forms
from bayeslmm.gram.border.operator import times

if TYPE_CHECKING:
    from bayeslmm.arrays import Columns, Floats
    from bayeslmm.gram.border.operator import Operator

# Steps that turn first guesses of the directions along which A is largest into good ones.
_POWER_STEPS = 4
# Of residuals beside probes; scores have the same four decimals at a hundredth of it.
TOLERANCE = 1e-4
# Change of z' log(I - A) z over three Lanczos steps at which they stop.
LOG_TOLERANCE = 1e-4
# Eigenvalues of A below this leave 1 - A five digits in single precision.
_FAR = 0.99
# Multiplications up to which A'A is formed.
_CHEAP = 5e7


class Probes:
    """Random signs and fixed directions, which serve all relative factors.

    Parameters
    ----------
    operator : Operator
        At relative factors near those that matter: the directions are found there.
    count : int
        Number of random columns.
    rng : numpy.random.Generator
        Draws the signs.

    Attributes
    ----------
    columns : ndarray, shape (n_border, count + number of directions)
        P z, then u; in single precision where no eigenvalue of A is close to one.
    count : int
        How many columns are random.
    """

    def __init__(self, operator: Operator, count: int, rng: np.random.Generator) -> None:
        directions, largest = _directions(operator)
        self.count = count
        kind: type[np.floating] = np.float32 if largest < _FAR else np.float64
        self._kind: np.dtype[np.floating] = np.dtype(kind)
        self.columns = np.hstack(
            [self._random(directions, count, rng), directions], dtype=self._kind
        )

    def _random(self, directions: Columns, count: int, rng: np.random.Generator) -> Columns:
        signs = np.where(rng.random((len(directions), count)) < 0.5, -1.0, 1.0)
        return np.asarray(signs - directions @ (directions.T @ signs), dtype=self._kind)

    def _with(self, random: Columns) -> Probes:
        other = object.__new__(Probes)
        other.count, other._kind = random.shape[1], self._kind
        other.columns = np.hstack([random, self.columns[:, self.count :]])
        return other

    @property
    def precision(self) -> np.dtype[np.floating]:
        """Of the columns, and of all that is iterated at relative factors nearby."""
        return self._kind

    def more(self, rng: np.random.Generator) -> Probes:
        """Return as many random columns again, with the same directions."""
        known = self.columns[:, : self.count]
        directions = self.columns[:, self.count :].astype(np.float64)
        return self._with(np.hstack([known, self._random(directions, self.count, rng)]))

    def fresh(self, count: int, rng: np.random.Generator) -> Probes:
        """Return random columns of their own, with the same directions."""
        directions = self.columns[:, self.count :].astype(np.float64)
        return self._with(self._random(directions, count, rng))

    def few(self, count: int) -> Probes:
        """Return the first random columns, with the same directions."""
        return self._with(self.columns[:, : min(count, self.count)])


def _directions(operator: Operator) -> tuple[Floats, float]:
    """Find a direction for each column of each border factor, by a few orthogonal iterations.

    Returns
    -------
    directions : ndarray, shape (n_border, number of columns)
        Orthonormal.
    largest : float
        About the largest eigenvalue of A.
    """
    products = operator.products
    first = np.zeros((products.n_border, sum(products.widths[k] for k in products.border)))
    at = 0
    for k in products.border:
        m, q = products.levels[k], products.widths[k]
        own = first[products.columns(k)].reshape(m, q, -1)
        # What an intercept common to all levels is in the operator's coordinates.
        own[:, :, at : at + q] = np.swapaxes(operator.blocks[k].lower, 1, 2)
        at += q
    # A column in which all is zero, of an effect that has no variance, leaves signs of its own.
    basis, _ = np.linalg.qr(first)
    largest = 0.0
    for _ in range(_POWER_STEPS):
        turned = operator(basis)
        if not np.abs(turned).max() > 1e-8:
            break
        basis, sizes = np.linalg.qr(turned)
        largest = float(np.abs(np.diag(sizes)).max())
    return np.asarray(basis[:, : products.n_border]), largest


@dataclass(frozen=True, eq=False)
class LogDeterminant:
    """log|V| by probes.

    Attributes
    ----------
    values : ndarray, shape (B,)
        By each probe; their mean is the estimate, their spread its chance.
    steps : int
        Of the Lanczos method.
    """

    values: Floats
    steps: int

    @property
    def mean(self) -> float:
        """The estimate."""
        return float(self.values.mean())

    @property
    def error(self) -> float:
        """Its standard error."""
        return float(self.values.std(ddof=1) / np.sqrt(len(self.values)))


def first_moment(operator: Operator) -> float:
    """Compute tr A exactly: sum over pairs of levels of tr(Gamma_i K_ij Gamma_j K_ij')."""
    own = operator.eliminated.gamma
    flat = own.reshape(len(own), -1)
    total = 0.0
    for k, squares in operator.products.squares.items():
        other = operator.blocks[k].gamma.reshape(-1)
        total += float(np.sum(flat.ravel() * (squares @ other)))
    return total


def log_determinant(operator: Operator, probes: Probes, *, second: bool = False) -> LogDeterminant:
    """Compute log|V| by each probe.

    Parameters
    ----------
    operator : Operator
        At some relative factors.
    probes : Probes
        Random columns and directions.
    second : bool
        Whether the chance of z'A^2 z is taken out, too, by an exact tr A^2 (`second_moment`).

    Returns
    -------
    LogDeterminant
    """
    logs, ones, twos, steps = log_forms(operator, probes.columns, LOG_TOLERANCE)
    forms = logs + ones
    exact = operator.logdet_blocks - first_moment(operator)
    if second:
        forms = forms + 0.5 * twos
        exact -= 0.5 * second_moment(operator)
    values = exact + forms[: probes.count] + forms[probes.count :].sum()
    return LogDeterminant(values, steps)


def second_moment(operator: Operator) -> float:
    """Compute tr A^2 exactly, by a sparse product; see `second_moment_is_cheap`."""
    products = operator.products
    left = block_diagonal([operator.eliminated.S])
    right = block_diagonal([operator.blocks[k].S for k in products.border])
    C = left @ products.K @ right.T
    A = C.T @ C
    if products.E is not None:
        A = A - right @ products.E @ right.T
    return float(A.multiply(A).sum())


def second_moment_is_cheap(operator: Operator) -> bool:
    """Return whether the sparse product takes less than some tenths of a second."""
    lengths = np.diff(operator.products.K.indptr).astype(float)
    return float(lengths @ lengths) < _CHEAP


def log_determinant_slopes(
    operator: Operator, probes: Probes, start: Columns | None = None
) -> tuple[list[Floats], Columns, int]:
    r"""Compute the gradient of log|V| with respect to each F, by each probe.

    With :math:`d\Gamma_i = N_i \, d(FF') \, N_i'`, a factor of the border has

    .. math:: d\,\mathrm{tr} f(A)
              = 2 \, \mathrm{tr}\big(f'(A) L^{-1} dF' N' (K' \Gamma K - E) S'\big)

    and the one that is eliminated :math:`\mathrm{tr}(f'(A) S K' d\Gamma K S')`.

    Parameters
    ----------
    operator : Operator
        At some relative factors.
    probes : Probes
        Random columns and directions.
    start : ndarray, optional
        Solutions at relative factors nearby.

    Returns
    -------
    slopes : list of ndarray, shapes (B, q, q)
        With respect to the entries of each F.
    solved : ndarray
        Solutions, for the next start.
    steps : int
        Of conjugate gradients.
    """
    z = probes.columns
    solved, _, steps = solve(operator, z, TOLERANCE, start)
    turned = z - solved  # f'(A) z
    pushed = operator.on_border("S", z, transposed=True)
    across = operator.across(pushed)
    own = operator.eliminated
    met = operator.met(across, pushed)
    turned_across = operator.across(operator.on_border("S", turned, transposed=True))
    one = _outer(own.N, turned_across, own.N, across)
    slopes = [np.zeros(0)] * len(operator.blocks)
    slopes[operator.products.first] = (one + np.swapaxes(one, 1, 2)) @ own.F
    for k in operator.products.border:
        rows, blocks = operator.products.columns(k), operator.blocks[k]
        slopes[k] = 2.0 * _outer(blocks.N, met[rows], blocks.lower_inverse, turned[rows])
    exact = _exact_slopes(operator)
    return [_by_probe(each, probes.count) + known for each, known in zip(slopes, exact,
            strict=True)], solved, steps  # fmt: skip


def _outer(left: Floats, X: Columns, right: Floats, Y: Columns) -> Floats:
    """Compute for each column the sum over levels of (left_i' x_i) (right_i' y_i)', (B, q, q)."""
    m, q, _ = left.shape
    a = times(left, X, transposed=True).reshape(m, q, -1)
    b = times(right, Y, transposed=True).reshape(m, q, -1)
    entries = [[inner(a[:, r], b[:, s]) for s in range(q)] for r in range(q)]
    return np.moveaxis(np.array(entries), 2, 0)


def _by_probe(values: Floats, count: int) -> Floats:
    return np.asarray(values[:count] + values[count:].sum(axis=0))


def _exact_slopes(operator: Operator) -> list[Floats]:
    """Compute the gradients of sum log|D_i| - tr A, with respect to each F."""
    products, own = operator.products, operator.eliminated
    slopes = [2.0 * np.einsum("mij,jk,mkl->il", of.within, of.F, of.inverse)
              for of in operator.blocks]  # fmt: skip
    m, q = own.gamma.shape[:2]
    met = np.zeros((m, q, q))
    for k, squares in products.squares.items():
        blocks = operator.blocks[k]
        met += (squares @ blocks.gamma.ravel()).reshape(m, q, q)
        there = (squares.T @ own.gamma.ravel()).reshape(blocks.gamma.shape)
        slopes[k] -= 2.0 * _pulled(blocks.N, there) @ blocks.F
    slopes[products.first] -= 2.0 * _pulled(own.N, met) @ own.F
    return slopes


def _pulled(N: Floats, met: Floats) -> Floats:
    return np.asarray(np.einsum("mji,mjk,mkl->il", N, met, N, optimize=True))
