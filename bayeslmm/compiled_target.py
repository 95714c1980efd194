"""A collapsed posterior for NUTS without a compiler: numbers for one C function that is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import kernel_target, unconstrained
from bayeslmm.callback import nutpie_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from nutpie.compile_pymc import CompiledPyMCModel

    from bayeslmm.collapsed_target import CollapsedTarget

_KINDS = {
    unconstrained.IDENTITY: kernel_target.IDENTITY,
    unconstrained.LOG: kernel_target.LOG,
    unconstrained.ATANH: kernel_target.ATANH,
    unconstrained.BENT: kernel_target.BENT,
}


def compiles(target: CollapsedTarget) -> bool:
    """Tell whether the compiled posterior knows a target's coordinates and priors.

    Parameters
    ----------
    target : CollapsedTarget
        Any.

    Returns
    -------
    bool
        False with priors that have no closed form here, or a support with other ends than zero
        and infinity.
    """
    return None not in target.forms() and all(
        c.kind in _KINDS and not (c.kind == unconstrained.LOG and c.lower)
        for c in target.coordinates
    )


def compile_target(target: CollapsedTarget) -> CompiledPyMCModel:
    """Give nutpie a target's log-density and gradient.

    Parameters
    ----------
    target : CollapsedTarget
        One that `compiles`.

    Returns
    -------
    CompiledPyMCModel
        Over the target's coordinates; chains start around the medians of the priors.
    """
    arrays = target_arrays(target)
    words = np.array([array.ctypes.data for array in arrays], dtype=np.uint64)
    start = target.point(target.prior_quantiles(0.5))
    kept = {f"array_{k}": array for k, array in enumerate(arrays)}
    return nutpie_model(kernel_target.target_function(), start, words, shared_data=kept)


def target_arrays(target: CollapsedTarget) -> Sequence[NDArray[np.generic]]:
    """Lay a target out as `kernel_target` reads it.

    Parameters
    ----------
    target : CollapsedTarget
        One that `compiles`.

    Returns
    -------
    sequence of ndarray
        Contiguous, in the order of the table of words; they must outlive the calls.
    """
    ints, floats, table, mean, precision = target.data
    coordinates, forms = target.coordinates, [f for f in target.forms() if f is not None]
    p, intercept = len(mean), target.priors.has_intercept
    n_beta = 0 if target.integrated else p
    sizes = [
        *map(len, (ints, floats, table)), target.n_sds, target.n_partials, n_beta, p, intercept
    ]  # fmt: skip
    kinds = [(_KINDS[c.kind], form.kind) for c, form in zip(coordinates, forms, strict=True)]
    numbers = [(c.scale, c.bend, *form[1:]) for c, form in zip(coordinates, forms, strict=True)]
    return [
        *(np.ascontiguousarray(array) for array in (ints, floats, table, mean, precision)),
        np.array(sizes, dtype=np.int64),
        np.array(kinds, dtype=np.int64),
        np.array(numbers, dtype=np.float64),
        np.array(target.priors.centers, dtype=np.float64),
    ]
