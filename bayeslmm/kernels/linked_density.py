"""The collapsed density behind a symbol: compiled callers link to it instead of compiling it again.

Numba optimises everything that a function calls together with it, so a sampler's compiled
log-density would spend some twenty seconds on code that exists already. Here that code is one C
function, cached on disk, which callers know by name only.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.kernels.compiler.helper import await_helper, helper_at_work, stop_helper
from bayeslmm.kernels.compiler.jit import c_function, carray, entry_after
from bayeslmm.kernels.elimination.draws import compile_draws
from bayeslmm.kernels.elimination.factorization import LINKING, link_kernels
from bayeslmm.kernels.marginal_density import collapsed_density

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints


# What a density's C function reads from its table of sizes: lengths of the plan's integers and
# floats and of the table of blocks; how many sds, partial correlations and fixed effects are
# parameters; how many fixed effects there are. And how many sizes that makes.
N_INTS, N_FLOATS, N_TABLE, N_SDS, N_PARTIALS, N_BETA, N_COEF, DENSITY_SIZES = range(8)
# Callers that are cached on disk hold this name: change it with the arguments or their meaning.
SYMBOL = "bayeslmm_collapsed_1"


@c_function(SYMBOL, "d q* d* q* d* d* d* d* d* q* d d*")
def density_c(
    ints: Any,
    floats: Any,
    table: Any,
    sds: Any,
    partials: Any,
    beta: Any,
    mean: Any,
    precision: Any,
    sizes: Any,
    sigma: float,
    gradient: Any,
) -> float:
    """Do what `collapsed_density` says, on memory that is there."""
    size = carray(sizes, DENSITY_SIZES)
    n_sds, n_partials, n_beta, p = size[N_SDS], size[N_PARTIALS], size[N_BETA], size[N_COEF]
    value, d_sds, d_partials, d_sigma, d_beta = collapsed_density(
        carray(ints, (size[N_INTS],)),
        carray(floats, (size[N_FLOATS],)),
        carray(table, (size[N_TABLE],)),
        carray(sds, (n_sds,)),
        carray(partials, (n_partials,)),
        sigma,
        carray(beta, (n_beta,)),
        carray(mean, (p,)),
        carray(precision, (p, p)),
    )
    out = carray(gradient, (n_sds + n_partials + 1 + n_beta,))
    for i in range(n_sds):
        out[i] = d_sds[i]
    for i in range(n_partials):
        out[n_sds + i] = d_partials[i]
    out[n_sds + n_partials] = d_sigma
    for i in range(n_beta):
        out[n_sds + n_partials + 1 + i] = d_beta[i]
    return value


@cache
def link_density() -> None:
    """Compile the density, or load it from Numba's cache, and give it its name.

    Must come before any code that calls `linked_density` runs; compiling takes some ten
    seconds on a machine that never did, so it is not done on import.
    """
    with LINKING:
        link_kernels(density=True)
        try:
            if helper_at_work():
                compile_draws()
                await_helper()
        except BaseException:
            stop_helper()
            raise
        compile_density()


def compile_density() -> None:
    """Compile the density and name it; the kernels' symbols must have addresses already."""
    density_c.link()


@entry_after(link_density)
def linked_density(
    ints: Ints,
    floats: Floats,
    table: Ints,
    sds: Floats,
    partials: Floats,
    sigma: float,
    beta: Floats,
    prior_mean: Floats,
    prior_precision: Floats,
) -> tuple[float, Floats, Floats, float, Floats]:
    """Call `collapsed_density`, with its arguments and results; all arrays C-contiguous.

    `link_density` must have been called before compiled code calls this.
    """
    sizes = np.empty(DENSITY_SIZES, np.int64)
    sizes[N_INTS], sizes[N_FLOATS], sizes[N_TABLE] = len(ints), len(floats), len(table)
    sizes[N_SDS], sizes[N_PARTIALS], sizes[N_BETA] = len(sds), len(partials), len(beta)
    sizes[N_COEF] = len(prior_mean)
    out = np.empty(len(sds) + len(partials) + 1 + len(beta))
    value = density_c(
        ints.ctypes,
        floats.ctypes,
        table.ctypes,
        sds.ctypes,
        partials.ctypes,
        beta.ctypes,
        prior_mean.ctypes,
        prior_precision.ctypes,
        sizes.ctypes,
        sigma,
        out.ctypes,
    )
    # Numba frees an array after its last use, and a pointer to it is none: `sizes` is read once
    # more so that it outlives the call.
    first, second = sizes[N_SDS], sizes[N_SDS] + sizes[N_PARTIALS]
    return (
        value,
        out[:first].copy(),
        out[first:second].copy(),
        out[second],
        out[second + 1 :].copy(),
    )
