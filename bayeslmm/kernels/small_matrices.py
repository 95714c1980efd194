"""Algebra of small dense matrices, as many rows as fixed effects, in compiled code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner, inner_fast

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


@inner_fast
def multiply(a: Floats, b: Floats) -> Floats:
    """Multiply two small matrices without BLAS, whose wrappers take long to compile."""
    out = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[i, k] * b[k, j]
    return out


@inner_fast
def transposed_multiply(a: Floats, b: Floats) -> Floats:
    """Multiply a' by b."""
    out = np.zeros((a.shape[1], b.shape[1]))
    for k in range(a.shape[0]):
        for i in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] += a[k, i] * b[k, j]
    return out


@inner
def small_cholesky(matrix: Floats) -> tuple[Floats, float, int]:
    """Factor a positive semi-definite matrix; return (L, log of non-zero pivots, their number).

    A row that is zero up to rounding (a coefficient with a flat prior) gives a zero column. The
    number is -1 where the matrix has a negative pivot or is not finite.
    """
    p = matrix.shape[0]
    L, logdet, rank = np.zeros((p, p)), 0.0, 0
    for j in range(p):
        pivot = matrix[j, j]
        for k in range(j):
            pivot -= L[j, k] * L[j, k]
        if math.isnan(pivot) or math.isinf(pivot) or pivot < -1e-10 * abs(matrix[j, j]):
            return L, logdet, -1
        if pivot <= 1e-14 * matrix[j, j]:
            continue
        logdet += math.log(pivot)
        rank += 1
        L[j, j] = math.sqrt(pivot)
        for i in range(j + 1, p):
            total = matrix[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            L[i, j] = total / L[j, j]
    return L, logdet, rank


@inner
def small_solve(L: Floats, right: Floats) -> Floats:
    """Solve L L' x = right for a matrix of right-hand sides."""
    out, p = right.copy(), L.shape[0]
    for c in range(out.shape[1]):
        for i in range(p):
            for k in range(i):
                out[i, c] -= L[i, k] * out[k, c]
            out[i, c] /= L[i, i]
        for i in range(p - 1, -1, -1):
            for k in range(i + 1, p):
                out[i, c] -= L[k, i] * out[k, c]
            out[i, c] /= L[i, i]
    return out


@inner
def add_outer(out: Floats, v: Floats, weight: float) -> None:
    """Add weight v v'."""
    for i in range(len(v)):
        for j in range(len(v)):
            out[i, j] += weight * v[i] * v[j]


@inner_fast
def quadratic(T: Floats, v: Floats) -> float:
    """Compute v'T v."""
    total = 0.0
    for i in range(len(v)):
        for j in range(len(v)):
            total += v[i] * T[i, j] * v[j]
    return total
