"""The collapsed posterior on real coordinates as one C function, compiled once for all models.

Which coordinates and priors a model has are numbers that the function reads, so no model waits for
a compiler. It has the calling convention of nutpie's log-densities.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import as_pointer, c_function, carray, inner
from bayeslmm.kernels.linked_density import (
    DENSITY_SIZES,
    N_BETA,
    N_COEF,
    N_PARTIALS,
    N_SDS,
    density_c,
    link_density,
)
from bayeslmm.kernels.prior_forms import form_at

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints

IDENTITY, LOG, ATANH, LOG_ARCSINH = range(4)
# Columns of a coordinate's numbers: scale and bend, then the prior's form without its kind.
SCALE, BEND, FORM, WIDTH = 0, 1, 2, 6
_CLOSEST = 1.0 - 1e-15
_LOG_2 = math.log(2.0)
_form_at = inner(form_at)


@inner
def coordinate_at(
    kind: int, scale: float, bend: float, x: float
) -> tuple[float, float, float, float]:
    """Return a parameter, its slope, the log of that and its slope (`coordinates.Coordinate`)."""
    if kind == LOG:
        value = math.exp(x)
        return value, value, x, 1.0
    if kind == LOG_ARCSINH:
        bent = bend * x
        sinh, cosh = math.sinh(bent), math.cosh(bent)
        value = scale * math.exp(sinh / bend)
        volume = math.log(scale) + sinh / bend + math.log(cosh)
        return value, value * cosh, volume, cosh + bend * sinh / cosh
    if kind == ATANH:
        value = math.tanh(x)
        volume = 2.0 * (_LOG_2 - abs(x) - math.log1p(math.exp(-2.0 * abs(x))))
        return min(max(value, -_CLOSEST), _CLOSEST), math.exp(volume), volume, -2.0 * value
    return x, 1.0, 0.0, 0.0


class TargetArrays(NamedTuple):
    """What the C function reads; its last argument is a table of their addresses, in this order."""

    ints: Ints  # the plan's
    floats: Floats
    table: Ints  # from `block_table`
    mean: Floats  # (p,): of the fixed effects' normal prior
    precision: Floats  # (p, p)
    sizes: Ints  # (TARGET_SIZES,): as the density reads them, then whether there is an intercept
    kinds: Ints  # (size, 2): kind of each coordinate, kind of its prior
    numbers: Floats  # (size, WIDTH): the numbers of both
    centers: Floats  # (p,): means of the columns


PLAN, FLOATS, TABLE, MEAN, PRECISION, SIZES, KINDS, NUMBERS, CENTERS, WORDS = range(10)
HAS_INTERCEPT, TARGET_SIZES = DENSITY_SIZES, DENSITY_SIZES + 1
# Columns of the kinds.
COORDINATE, PRIOR = range(2)


@c_function("bayeslmm_target_1", "q Q d* d* d* v*")
def target_c(size: Any, point_: Any, gradient_: Any, value_: Any, words_: Any) -> int:
    """Evaluate the log posterior and its gradient, by nutpie's convention."""
    words = carray(words_, (WORDS,), np.uint64)
    sizes = carray(as_pointer(words[SIZES]), (TARGET_SIZES,), np.int64)
    kinds = carray(as_pointer(words[KINDS]), (size, 2), np.int64)
    numbers = carray(as_pointer(words[NUMBERS]), (size, WIDTH), np.float64)
    point, gradient = carray(point_, (size,)), carray(gradient_, (size,))
    values, slopes, out = np.empty(size), np.empty(size), np.empty(size)
    total = 0.0
    for k in range(size):
        row = numbers[k]
        value, slope, volume, d_volume = coordinate_at(
            kinds[k, COORDINATE], row[SCALE], row[BEND], point[k]
        )
        prior, d_prior = _form_at(
            kinds[k, PRIOR], row[FORM], row[FORM + 1], row[FORM + 2], row[FORM + 3], value
        )
        total += volume + prior
        values[k], slopes[k], gradient[k] = value, slope, d_prior * slope + d_volume
    at = sizes[N_SDS] + sizes[N_PARTIALS]
    beta = values[at + 1 :]
    centers = carray(as_pointer(words[CENTERS]), (sizes[N_COEF],), np.float64)
    for k in range(sizes[HAS_INTERCEPT] * sizes[N_BETA]):
        # From coefficients of centered columns to those of the columns themselves.
        beta[0] -= centers[k] * beta[k]
    total += density_c(
        as_pointer(words[PLAN]),
        as_pointer(words[FLOATS]),
        as_pointer(words[TABLE]),
        values.ctypes,
        values[sizes[N_SDS] :].ctypes,
        beta.ctypes,
        as_pointer(words[MEAN]),
        as_pointer(words[PRECISION]),
        as_pointer(words[SIZES]),
        values[at],
        out.ctypes,
    )
    for k in range(sizes[HAS_INTERCEPT] * sizes[N_BETA]):
        out[at + 1 + k] -= centers[k] * out[at + 1]
    finite = math.isfinite(total)
    for k in range(size):
        gradient[k] += slopes[k] * out[k]
        # The values are looked at once more so that they outlive the call through a pointer.
        finite = finite and math.isfinite(gradient[k]) and math.isfinite(values[k])
    value_[0] = total
    # nutpie's meaning: 0 is success, 3 a point to be treated as divergent.
    return 0 if finite else 3


@c_function("bayeslmm_copy_point_1", "q Q Q d* d* v*")
def copy_point_c(size: Any, _expanded: Any, point: Any, out: Any, _shared: Any) -> int:
    """Store a point as it is."""
    for i in range(size):
        out[i] = point[i]
    return 0


@cache
def target_function() -> Any:
    """Load the C function that came with the package, or compile it.

    Returns
    -------
    object
        With an ``address``, and as ``ctypes`` for Python; (size, point, gradient, value, addresses
        of `TargetArrays`) -> status.
    """
    if target_c.shipped is None:
        link_density()
    return target_c.compiled
