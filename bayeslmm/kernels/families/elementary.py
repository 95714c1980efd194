"""Exponential and logarithm written out, so that loops over them become vector instructions.

Without Intel's library Numba calls C's function number by number: 4 ns where this takes 1.
"""

from __future__ import annotations

import math

import numpy as np

from bayeslmm.kernels.compiler.jit import bits_of, inner_contracted, nearest_whole, number_of

_LOG2_E = 1.0 / math.log(2.0)
# log 2 in two parts: the first has so few digits that its multiples are exact.
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# A whole number plus 1.5 * 2^52 has that number in its last bits.
_AS_INTEGER = 6755399441055744.0
_EXPONENT = np.uint64(52)
# The bits of 1.0 and of 2^52, those of a fraction, and what is added to exponents.
_ONE, _BIG, _FRACTION = np.uint64(0x3FF << 52), np.uint64(0x433 << 52), np.uint64((1 << 52) - 1)
_BIAS = 4503599627370496.0 + 1023.0
_ROOT_2 = math.sqrt(2.0)


@inner_contracted
def quick_exp(x: float) -> float:
    """Compute exp(x) to two units in the last place; x is held to within 700 of zero."""
    x = min(max(x, -700.0), 700.0)
    whole = nearest_whole(x * _LOG2_E)
    r = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    # Taylor's series: the next term is 4e-18 where r is largest.
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = (p * r) * r + r + 1.0
    result: float = number_of(bits_of(p) + (bits_of(whole + _AS_INTEGER) << _EXPONENT))
    return result


@inner_contracted
def quick_log1p(x: float) -> float:
    """Compute log(1 + x) to three units in the last place, of x from zero to 1e300."""
    near = 1.0 + x
    # What rounding took from 1 + x; the logarithm's slope there is 1 / near.
    return quick_log(near) + (x - (near - 1.0)) / near


@inner_contracted
def quick_log(x: float) -> float:
    """Compute log(x) to two units in the last place, of positive normal numbers alone."""
    bits = bits_of(x)
    exponent = number_of((bits >> _EXPONENT) | _BIG) - _BIAS
    m = number_of((bits & _FRACTION) | _ONE)
    large = m > _ROOT_2
    m = 0.5 * m if large else m
    exponent = exponent + 1.0 if large else exponent
    # log m = 2 artanh(s): the series' next term is 1e-18 where s is largest.
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    twice = s + s
    result: float = exponent * _LN2_HIGH + (twice + (twice * (z * p) + exponent * _LN2_LOW))
    return result
