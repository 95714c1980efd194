"""LAPACK for compiled code: the few routines of a dense border, callable without the interpreter.

Numba does not cache functions that hold a C pointer. Registering SciPy's addresses under fixed
symbol names lets the compiled code refer to a name instead, so the on-disk cache keeps working.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import llvmlite.binding as llvm
import numpy as np
from numba import types
from numba.extending import get_cython_function_address
from threadpoolctl import ThreadpoolController

from bayeslmm.compiled import inner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def _extern(routine: str, n_arguments: int) -> types.ExternalFunction:
    symbol = f"bayeslmm_{routine}"
    llvm.add_symbol(symbol, get_cython_function_address("scipy.linalg.cython_lapack", routine))
    return types.ExternalFunction(symbol, types.void(*[types.voidptr] * n_arguments))


_dpotrf = _extern("dpotrf", 5)
_dpotri = _extern("dpotri", 5)
_dtrtrs = _extern("dtrtrs", 10)

_BLAS = ThreadpoolController()


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside the block.

    Two threads on a machine with other work were some thirty times slower than one, and chains
    run in parallel anyway.

    Examples
    --------
    >>> with single_blas_thread():
    ...     float(np.linalg.det(np.eye(2)))
    1.0
    """
    with _BLAS.limit(limits=1, user_api="blas"):
        yield


@inner
def dense_cholesky(matrix: NDArray[np.float64]) -> bool:
    """Replace a C-ordered matrix's lower triangle by its Cholesky factor; tell whether it exists.

    LAPACK reads the array column by column, so its "upper" triangle is the lower one here.
    """
    uplo = np.array([ord("U")], np.uint8)
    order = np.array([matrix.shape[0]], np.int32)
    info = np.zeros(1, np.int32)
    _dpotrf(uplo.ctypes, order.ctypes, matrix.ctypes, order.ctypes, info.ctypes)
    return bool(info[0] == 0)


@inner
def dense_inverse(factor: NDArray[np.float64]) -> None:
    """Replace the lower Cholesky factor by the lower triangle of the inverse matrix."""
    uplo = np.array([ord("U")], np.uint8)
    order = np.array([factor.shape[0]], np.int32)
    info = np.zeros(1, np.int32)
    _dpotri(uplo.ctypes, order.ctypes, factor.ctypes, order.ctypes, info.ctypes)


@inner
def dense_half_solve(
    factor: NDArray[np.float64], right: NDArray[np.float64], transposed: bool
) -> None:
    """Overwrite each row of `right` (r, n) by L^-1 row, or by L'^-1 row where `transposed`."""
    uplo = np.array([ord("U")], np.uint8)
    trans = np.array([ord("N") if transposed else ord("T")], np.uint8)
    diag = np.array([ord("N")], np.uint8)
    order = np.array([factor.shape[0]], np.int32)
    n_right = np.array([right.shape[0]], np.int32)
    info = np.zeros(1, np.int32)
    _dtrtrs(
        uplo.ctypes,
        trans.ctypes,
        diag.ctypes,
        order.ctypes,
        n_right.ctypes,
        factor.ctypes,
        order.ctypes,
        right.ctypes,
        order.ctypes,
        info.ctypes,
    )
