"""The elimination and its gradient as two C functions that all other compiled code links to.

Numba optimises everything that a function calls together with it, so each density, draw and
criterion would compile the whole elimination again, a few seconds each. Here it is compiled once,
cached on disk, and called by name.
"""

from __future__ import annotations

import math
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.kernels.compiler.helper import (
    await_factorization,
    await_helper,
    is_cached,
    start_helper,
    stop_helper,
)
from bayeslmm.kernels.compiler.jit import c_function, carray, entry_after, inner
from bayeslmm.kernels.compiler.sources import FINGERPRINT
from bayeslmm.kernels.elimination.eliminate import (
    border_part,
    copy_square,
    factor_node,
    scale_border,
    scale_node,
    subtract_square,
    update_ancestors,
    update_border,
    update_right,
    worth_filling,
)
from bayeslmm.kernels.elimination.gradient import (
    add_logdet_gradient,
    add_reduced_gradient,
    residual_products,
    scale_rows,
)
from bayeslmm.kernels.elimination.solve import joint_modes, selected_inverse
from bayeslmm.kernels.lapack import dense_cholesky, dense_half_solve, subtract_gram
from bayeslmm.kernels.layout import FACTOR, PANEL, START, WIDTH, open_layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.arrays import Floats, Ints


# The bodies stand here, not in functions of their own: those would be optimised twice.
@c_function(f"bayeslmm_factorize_{FINGERPRINT}", "d q* d* q* d* d* d* d* d*")
def factorize_c(
    ints: Any, floats: Any, sizes: Any, lam: Any, panels: Any, borders: Any, rights: Any, Ts: Any
) -> float:
    """Do what `factorize` says, on memory that is there."""
    size = carray(sizes, 3)
    lay = open_layout(carray(ints, (size[0],)), carray(floats, (size[1],)))
    lams = carray(lam, (size[2],))
    n_nodes, nb, w = lay.nodes.shape[0] - 1, len(lay.border_factor), lay.cross.shape[0]
    panel, border = carray(panels, (len(lay.panels),)), carray(borders, (nb, nb))
    right, T = carray(rights, (w, nb)), carray(Ts, (w, w))
    place, scratch = np.empty(nb, np.int64), np.empty(len(lams))
    copy_square(lay.cross, T)
    scale_border(lay, lams, border, right)
    for node in range(n_nodes):
        scale_node(lay, lams, node, panel, scratch)
    logdet, dense = 0.0, worth_filling(lay)
    for node in range(n_nodes):
        q = lay.factors[lay.nodes[node, FACTOR], WIDTH]
        logdet += factor_node(panel, lay.nodes[node, START], lay.nodes[node, PANEL], q)
        if math.isnan(logdet):
            return logdet
        update_ancestors(lay, node, panel, place)
        update_right(lay, node, panel, right, T)
        if not dense:
            update_border(lay, node, panel, border)
    if nb > 0:
        if dense:
            subtract_gram(border, border_part(lay, panel))
        if not dense_cholesky(border):
            return math.nan
        dense_half_solve(border, right, False)
        for i in range(nb):
            logdet += 2.0 * math.log(border[i, i])
        subtract_square(T, right)
    return logdet


@c_function(f"bayeslmm_pull_back_{FINGERPRINT}", "d q* d* q* d* d* d* d* d* d* d")
def pull_back_c(
    ints: Any,
    floats: Any,
    sizes: Any,
    lam: Any,
    panels: Any,
    borders: Any,
    rights: Any,
    Tbar: Any,
    gradient: Any,
    weight: float,
) -> float:
    """Do what `pull_back` says, on memory that is there."""
    size = carray(sizes, 3)
    lay = open_layout(carray(ints, (size[0],)), carray(floats, (size[1],)))
    lams = carray(lam, (size[2],))
    nb, w = len(lay.border_factor), lay.cross.shape[0]
    panel, border = carray(panels, (len(lay.panels),)), carray(borders, (nb, nb))
    out = carray(gradient, (size[2],))
    for i in range(len(out)):
        out[i] = 0.0
    joint = joint_modes(lay, panel, border, carray(rights, (w, nb)))
    products = residual_products(lay, scale_rows(lay, joint, lams))
    add_reduced_gradient(lay, products, joint, carray(Tbar, (w, w)), out)
    inverse = selected_inverse(lay, panel, border)
    add_logdet_gradient(lay, lams, inverse, border, weight, out)
    return weight


def link_factorization() -> None:
    """Compile the factorization, or load it, and give it its name."""
    factorize_c.link()
    _linked.add(factorize_c.symbol)


def link_kernels(*, density: bool = False) -> None:
    """Compile both functions, or load them, and give them their names.

    Must come before code that calls `factorize` or `pull_back` is compiled, or loaded from Numba's
    cache; functions made by `linked_entry` see to it.

    Parameters
    ----------
    density : bool
        Whether the density comes next (`link_density`, which then waits for a helper).
    """
    if pull_back_c.symbol in _linked:
        return
    with LINKING:
        if pull_back_c.symbol in _linked:
            return
        if factorize_c.shipped is None and not is_cached(factorize_c.py_func):
            start_helper(density=density)
        try:
            _ = pull_back_c.compiled
            await_factorization()
            link_factorization()
            if not density:
                await_helper()
        except BaseException:
            stop_helper()
            raise
        pull_back_c.link()
        _linked.add(pull_back_c.symbol)


_linked: set[str] = set()
# One thread at a time links; the density's own linking comes through here again.
LINKING = RLock()


def linked_entry[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that Python code calls and that calls `factorize` or `pull_back`."""
    return entry_after(link_kernels)(function)


@inner
def factorize(
    ints: Ints, floats: Floats, lam: Floats
) -> tuple[bool, float, Floats, Floats, Floats, Floats]:
    """Factor Q and reduce [X y]: T = [X y]' V^-1 [X y] and log|V|, V = I + Z Lambda Lambda' Z'.

    Parameters
    ----------
    ints, floats : ndarray
        The plan's arrays.
    lam : ndarray, shape (n_lambda,)
        Packed relative factors in the working coordinates (`densities.to_working`).

    Returns
    -------
    ok : bool
        False where a pivot overflowed.
    logdet : float
        log|V| = log|Q|.
    T : ndarray, shape (w, w)
    panel : ndarray
        Per node: Cholesky factor (transposed) and half-solved columns, in the layout of the panels.
    border : ndarray, shape (nb, nb)
        Cholesky factor of the border's Schur complement, lower triangle.
    right : ndarray, shape (w, nb)
        The border's half-solved right-hand sides.
    """
    lay = open_layout(ints, floats)
    nb, w = len(lay.border_factor), lay.cross.shape[0]
    panel, T = np.empty(len(lay.panels)), np.empty((w, w))
    border, right = np.empty((nb, nb)), np.empty((w, nb))
    sizes = np.empty(3, np.int64)
    sizes[0], sizes[1], sizes[2] = len(ints), len(floats), len(lam)
    logdet = factorize_c(
        ints.ctypes,
        floats.ctypes,
        sizes.ctypes,
        lam.ctypes,
        panel.ctypes,
        border.ctypes,
        right.ctypes,
        T.ctypes,
    )
    # Numba frees an array after its last use, and a pointer to it is none: `sizes` is read once
    # more so that it outlives the call.
    ok = logdet == logdet and sizes[2] == len(lam)  # noqa: PLR0124 - false for NaN
    return ok, logdet, T, panel, border, right


@inner
def pull_back(
    ints: Ints,
    floats: Floats,
    lam: Floats,
    panel: Floats,
    border: Floats,
    right: Floats,
    Tbar: Floats,
    weight: float,
) -> Floats:
    """Compute the gradient of <Tbar, T> + weight log|V| with respect to packed Lambda.

    Parameters
    ----------
    ints, floats, lam, panel, border, right
        The plan, the point and what `factorize` returned there; `border` is overwritten.
    Tbar : ndarray, shape (w, w)
        Symmetric.
    weight : float
        Of the log-determinant.

    Returns
    -------
    ndarray
        All q * q entries of each factor, packed like `lam`.
    """
    out, sizes = np.empty(len(lam)), np.empty(3, np.int64)
    sizes[0], sizes[1], sizes[2] = len(ints), len(floats), len(lam)
    pull_back_c(
        ints.ctypes,
        floats.ctypes,
        sizes.ctypes,
        lam.ctypes,
        panel.ctypes,
        border.ctypes,
        right.ctypes,
        Tbar.ctypes,
        out.ctypes,
        weight,
    )
    return out[: sizes[2]]
