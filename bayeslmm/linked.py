"""`evaluate` behind a symbol: compiled callers link to it instead of compiling it again.

Numba optimises everything that a function calls together with it, so a caller of
`densities.evaluate` (such as a sampler's compiled log-density) would spend seconds on code that
exists already. Here that code is one C function, cached on disk, which callers know by name only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
import numpy as np
from numba import carray, cfunc, types

from bayeslmm.compiled import entry
from bayeslmm.densities import evaluate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

_LONG, _REAL = types.int64, types.float64
_LONGS, _REALS = types.CPointer(_LONG), types.CPointer(_REAL)
_SIGNATURE = _REAL(
    _LONGS, _REALS, _REALS, _REALS, _REALS, _LONGS, _REAL, _REALS
)  # ints, floats, lam, mean, precision, sizes and switches, sigma, gradient and extra (out)


def _evaluate_c(  # noqa: PLR0917 -- a C function has no keywords
    ints: Any, floats: Any, lam: Any, mean: Any, precision: Any, sizes: Any, sigma: float, out: Any
) -> float:
    size = carray(sizes, 6)
    n_lambda, p = size[2], size[3]
    value, gradient, extra = evaluate(
        carray(ints, (size[0],)),
        carray(floats, (size[1],)),
        carray(lam, (n_lambda,)),
        sigma,
        carray(mean, (p,)),
        carray(precision, (p, p)),
        size[4],
        size[5] != 0,
    )
    result = carray(out, (n_lambda + 1,))
    for i in range(n_lambda):
        result[i] = gradient[i]
    result[n_lambda] = extra
    return value


_compiled = cfunc(_SIGNATURE, cache=True, error_model="numpy")(_evaluate_c)
llvm.add_symbol("bayeslmm_evaluate", _compiled.address)
_external = types.ExternalFunction(
    "bayeslmm_evaluate", _REAL(*[types.voidptr] * 6, _REAL, types.voidptr)
)


@entry
def linked_evaluate(  # noqa: PLR0917 -- compiled code takes no keywords
    ints: Ints,
    floats: Floats,
    lam: Floats,
    sigma: float,
    prior_mean: Floats,
    prior_precision: Floats,
    kind: int,
    want_gradient: bool,
) -> tuple[float, Floats, float]:
    """Call `densities.evaluate`, with its arguments and results; all arrays C-contiguous."""
    n_lambda, p = len(lam), len(prior_mean)
    sizes = np.array([len(ints), len(floats), n_lambda, p, kind, int(want_gradient)], np.int64)
    out = np.empty(n_lambda + 1)
    value = _external(
        ints.ctypes,
        floats.ctypes,
        lam.ctypes,
        prior_mean.ctypes,
        prior_precision.ctypes,
        sizes.ctypes,
        sigma,
        out.ctypes,
    )
    return value, out[:n_lambda].copy(), out[n_lambda]
