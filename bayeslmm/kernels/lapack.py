"""LAPACK for compiled code: the few routines of a dense border, callable without the interpreter.

What is compiled refers to names (`compiler.routines`), to which SciPy's addresses are given when it
is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.kernels.compiler.jit import External, inner

if TYPE_CHECKING:
    from numpy.typing import NDArray


_dpotrf: Any = External("", "dpotrf")
_dpotri: Any = External("", "dpotri")
_dtrtrs: Any = External("", "dtrtrs")
_dsyrk: Any = External("", "dsyrk")
_dsymm: Any = External("", "dsymm")


# LAPACK takes pointers to everything. An array that is filled compiles sooner than one made of a
# list.
@inner
def letter(code: int) -> NDArray[np.uint8]:
    """Hold one character."""
    out = np.empty(1, np.uint8)
    out[0] = code
    return out


@inner
def integer(value: int) -> NDArray[np.int32]:
    """Hold one integer."""
    out = np.empty(1, np.int32)
    out[0] = value
    return out


@inner
def number(value: float) -> NDArray[np.float64]:
    """Hold one number."""
    out = np.empty(1)
    out[0] = value
    return out


LEFT, LOWER_ROWS, AS_IS, TURNED = ord("L"), ord("U"), ord("N"), ord("T")


@inner
def dense_cholesky(matrix: NDArray[np.float64]) -> bool:
    """Replace a C-ordered matrix's lower triangle by its Cholesky factor; tell whether it exists.

    LAPACK reads the array column by column, so its "upper" triangle is the lower one here.
    """
    uplo, order, info = letter(LOWER_ROWS), integer(matrix.shape[0]), integer(0)
    _dpotrf(uplo.ctypes, order.ctypes, matrix.ctypes, order.ctypes, info.ctypes)
    return bool(info[0] == 0)


@inner
def dense_inverse(factor: NDArray[np.float64]) -> None:
    """Replace the lower Cholesky factor by the lower triangle of the inverse matrix."""
    uplo, order, info = letter(LOWER_ROWS), integer(factor.shape[0]), integer(0)
    _dpotri(uplo.ctypes, order.ctypes, factor.ctypes, order.ctypes, info.ctypes)


@inner
def dense_half_solve(
    factor: NDArray[np.float64], right: NDArray[np.float64], transposed: bool
) -> None:
    """Overwrite each row of `right` (r, n) by L^-1 row, or by L'^-1 row where `transposed`."""
    uplo, trans, diag = letter(LOWER_ROWS), letter(AS_IS if transposed else TURNED), letter(AS_IS)
    order, n_right, info = integer(factor.shape[0]), integer(right.shape[0]), integer(0)
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


@inner
def subtract_gram(matrix: NDArray[np.float64], rows: NDArray[np.float64]) -> None:
    """Subtract rows' rows, for rows of shape (m, n), from a matrix's lower triangle."""
    uplo, trans = letter(LOWER_ROWS), letter(AS_IS)
    order, count = integer(matrix.shape[0]), integer(rows.shape[0])
    minus, one = number(-1.0), number(1.0)
    _dsyrk(
        uplo.ctypes,
        trans.ctypes,
        order.ctypes,
        count.ctypes,
        minus.ctypes,
        rows.ctypes,
        order.ctypes,
        one.ctypes,
        matrix.ctypes,
        order.ctypes,
    )


@inner
def symmetric_product(
    matrix: NDArray[np.float64], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Multiply rows (m, n) by a symmetric matrix of which the lower triangle is given."""
    out = np.empty(rows.shape)
    side, uplo = letter(LEFT), letter(LOWER_ROWS)
    order, count = integer(matrix.shape[0]), integer(rows.shape[0])
    one, zero = number(1.0), number(0.0)
    _dsymm(
        side.ctypes,
        uplo.ctypes,
        order.ctypes,
        count.ctypes,
        one.ctypes,
        matrix.ctypes,
        order.ctypes,
        rows.ctypes,
        order.ctypes,
        zero.ctypes,
        out.ctypes,
        order.ctypes,
    )
    return out
