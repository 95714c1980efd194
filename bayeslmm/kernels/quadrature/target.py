"""The log posterior of all parameters but the effects as one C function, compiled once for all.

Coordinates and priors are numbers that it reads, as for the collapsed Gaussian posterior
(`kernels.target`); it has the calling convention of nutpie's log-densities.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayeslmm.kernels.compiler.jit import as_pointer, c_function, carray, inner
from bayeslmm.kernels.families.by_row import PhiRows
from bayeslmm.kernels.marginal_density import fill_factors, pull_back_factors
from bayeslmm.kernels.prior_forms import form_at
from bayeslmm.kernels.quadrature.level import link_level
from bayeslmm.kernels.quadrature.marginal import marginal_with_slopes
from bayeslmm.kernels.quadrature.rows import LevelRows, Rule
from bayeslmm.kernels.target import BEND, COORDINATE, FORM, PRIOR, SCALE, WIDTH
from bayeslmm.kernels.target import coordinate_at as _coordinate_at

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints

_TOLERANCE = 1e-8
_form_at = inner(form_at)


class TargetArrays(NamedTuple):
    """What the C function reads; its last argument is a table of their addresses, in this order."""

    X: Floats  # (n, p): columns as their coefficients' coordinates have them
    Z: Floats  # (n, q)
    y: Floats  # (n,)
    known: Floats  # (n,)
    offset: Floats  # (n,)
    starts: Ints  # (J + 1,)
    fresh: Floats  # (n,)
    predictors: Floats  # (m, n) or (0, 0): `PhiRows.columns`, and so on
    predictor_offset: Floats  # (k, n)
    first: Ints  # (k + 1,)
    links: Ints  # (k,)
    z: Floats  # (K,)
    log_weight: Floats  # (K,)
    modes: Floats  # (J, q): where the searches begin
    table: Ints  # from `block_table`
    sizes: Ints  # (SIZES,)
    kinds: Ints  # (size, 2): kind of each coordinate, kind of its prior
    numbers: Floats  # (size, WIDTH): the numbers of both


(
    COLUMNS, EFFECTS, RESPONSE, KNOWN, OFFSET, STARTS, FRESH, PREDICTORS, PREDICTOR_OFFSET, FIRST,
    LINKS, NODES, WEIGHTS, MODES, BLOCKS, SIZES_AT, KINDS, NUMBERS, WORDS,
) = range(19)  # fmt: skip
# N_PHI counts what the parameters follow from, and N_LINKS the parameters that vary by row, if any.
(
    CODE, ROWS, N_BETA, N_COLUMNS, N_LEVELS, N_NODES, N_TABLE, N_PARTIALS, N_PHI, N_LINKS, SIZES,
) = range(11)  # fmt: skip


@c_function("bayeslmm_quadrature_target_1", "q Q d* d* d* v*")
def target_c(size: Any, point_: Any, gradient_: Any, value_: Any, words_: Any) -> int:
    """Evaluate the log posterior and its gradient, by nutpie's convention."""
    words = carray(words_, (WORDS,), np.uint64)
    sizes = carray(as_pointer(words[SIZES_AT]), (SIZES,), np.int64)
    n, p, q, J = sizes[ROWS], sizes[N_BETA], sizes[N_COLUMNS], sizes[N_LEVELS]
    K, n_partials, n_phi = sizes[N_NODES], sizes[N_PARTIALS], sizes[N_PHI]
    k, m = sizes[N_LINKS], n_phi if sizes[N_LINKS] > 0 else 0
    by_row = PhiRows(
        carray(as_pointer(words[PREDICTORS]), (m, n if m > 0 else 0), np.float64),
        carray(as_pointer(words[PREDICTOR_OFFSET]), (k, n if m > 0 else 0), np.float64),
        carray(as_pointer(words[FIRST]), (k + 1,), np.int64),
        carray(as_pointer(words[LINKS]), (k,), np.int64),
    )
    rows = LevelRows(
        sizes[CODE],
        carray(as_pointer(words[COLUMNS]), (n, p), np.float64),
        carray(as_pointer(words[EFFECTS]), (n, q), np.float64),
        carray(as_pointer(words[RESPONSE]), (n,), np.float64),
        carray(as_pointer(words[KNOWN]), (n,), np.float64),
        carray(as_pointer(words[OFFSET]), (n,), np.float64),
        carray(as_pointer(words[STARTS]), (J + 1,), np.int64),
        carray(as_pointer(words[FRESH]), (n,), np.float64),
        by_row,
    )
    rule = Rule(
        carray(as_pointer(words[NODES]), (K,), np.float64),
        carray(as_pointer(words[WEIGHTS]), (K,), np.float64),
    )
    table = carray(as_pointer(words[BLOCKS]), (sizes[N_TABLE],), np.int64)
    kinds = carray(as_pointer(words[KINDS]), (size, 2), np.int64)
    numbers = carray(as_pointer(words[NUMBERS]), (size, WIDTH), np.float64)
    # Several chains read the starting points; each call climbs from its own copy.
    modes = carray(as_pointer(words[MODES]), (J, q), np.float64).copy()
    point, gradient = carray(point_, (size,)), carray(gradient_, (size,))
    values, slopes, out = np.empty(size), np.empty(size), np.zeros(size)
    total = 0.0
    for k in range(size):
        row = numbers[k]
        value, slope, volume, d_volume = _coordinate_at(
            kinds[k, COORDINATE], row[SCALE], row[BEND], point[k]
        )
        prior, d_prior = _form_at(
            kinds[k, PRIOR], row[FORM], row[FORM + 1], row[FORM + 2], row[FORM + 3], value
        )
        total += volume + prior
        values[k], slopes[k], gradient[k] = value, slope, d_prior * slope + d_volume
    at = q + n_partials
    sds, partials = values[:q], values[q:at]
    correlation, L, d_L = np.zeros(q * q), np.zeros(q * q), np.zeros((q, q))
    fill_factors(table, sds, partials, 1.0, correlation, L)
    total += marginal_with_slopes(
        rows,
        rule,
        L.reshape((q, q)),
        values[at + n_phi :],
        values[at : at + n_phi],
        modes,
        _TOLERANCE,
        d_L,
        out[at + n_phi :],
        out[at : at + n_phi],
    )
    pull_back_factors(
        table, sds, partials, 1.0, correlation, d_L.reshape(q * q), out[:q], out[q:at]
    )
    finite = math.isfinite(total)
    for k in range(size):
        gradient[k] += slopes[k] * out[k]
        finite = finite and math.isfinite(gradient[k])
    value_[0] = total
    # nutpie's meaning: 0 is success, 3 a point to be treated as divergent.
    return 0 if finite else 3


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
        link_level()
    return target_c.compiled
