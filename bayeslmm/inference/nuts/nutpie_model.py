"""What nutpie calls: C callbacks for value and gradient of a log-density, and for a copy."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.inference.nuts.load import load_nutpie
from bayeslmm.kernels.compiler.jit import as_pointer
from bayeslmm.kernels.target import copy_point_c

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nutpie.compile_pymc import CompiledPyMCModel

    from bayeslmm.arrays import Floats

UNCONSTRAINED = "unconstrained"
# nutpie's meaning of a callback's result: 0 is success, 3 a point to be treated as divergent, any
# other number the end of the chain.
_DIVERGENT, _FAILED = 3, 1
_TEMPLATE = """
def log_density(size, point_, gradient_, value_, shared_):
    table = carray(shared_, ({words},), uint64)
    point = carray(point_, ({size},))
{unpacking}
    value, gradient = function(point{arguments})
    total = value.item()
    value_[0] = total
    finite = isfinite(total)
    for i in range({size}):
        gradient_[i] = gradient[i]
        finite = finite and isfinite(gradient[i])
    return 0 if finite else 3
"""


def log_density_callback(function: Any, shared: list[np.ndarray[Any, Any]], size: int) -> Any:
    """Wrap a compiled (point, *shared) -> (value, gradient) in nutpie's calling convention.

    Parameters
    ----------
    function : Numba dispatcher
        What PyTensor compiled.
    shared : list of ndarray
        Its shared arrays, in the order of its arguments: their types and ranks matter here,
        their values and lengths are read from nutpie's table of pointers at each call.
    size : int
        Length of the point.

    Returns
    -------
    Numba C callback
        With an ``address``.
    """
    import numba  # noqa: PLC0415 - only for models that PyTensor compiles
    from numba.core import types  # noqa: PLC0415

    # nutpie's table: every pointer, then every size, then every shape, as unsigned integers.
    word = 2 * len(shared)
    lines = []
    scope = {f"dtype_{k}": array.dtype for k, array in enumerate(shared)}
    for k, array in enumerate(shared):
        shape = "".join(f"int(table[{word + axis}]), " for axis in range(array.ndim))
        word += array.ndim
        lines.append(f"    shared_{k} = carray(pointer(table[{k}]), ({shape}), dtype_{k})")
    source = _TEMPLATE.format(
        words=word,
        size=size,
        unpacking="\n".join(lines),
        arguments="".join(f", shared_{k}" for k in range(len(shared))),
    )
    scope |= {
        "carray": numba.carray,
        "pointer": as_pointer,
        "uint64": np.uint64,
        "isfinite": np.isfinite,
        "function": function,
    }
    # The text is put together above from numbers only; writing it out spares Numba from
    # unrolling a heterogeneous tuple, which took longer than compiling the model.
    exec(source, scope)  # noqa: S102
    doubles = types.CPointer(types.double)  # type: ignore[attr-defined]
    signature = types.int64(types.uint64, doubles, doubles, doubles, types.voidptr)
    return numba.cfunc(signature)(scope["log_density"])


_DOUBLE = ctypes.POINTER(ctypes.c_double)
_DENSITY = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_uint64, _DOUBLE, _DOUBLE, _DOUBLE, ctypes.c_void_p
)


class PythonDensity:
    """A log-density in Python, in nutpie's calling convention.

    Each call takes Python's lock, so that chains wait for each other: a compiled callback is
    quicker wherever there is one.

    Parameters
    ----------
    function : callable
        (point, shape (size,)) -> (value, gradient, shape (size,)); a value that is not finite marks
        a point to be treated as divergent.

    Attributes
    ----------
    address : int
        Of the C function.
    error : BaseException or None
        The first one that the function raised, in one of nutpie's threads.
    """

    def __init__(self, function: Callable[[Floats], tuple[float, Floats]]) -> None:
        self._function = function
        self._callback = _DENSITY(self._call)
        self.address = ctypes.cast(self._callback, ctypes.c_void_p).value
        self.error: BaseException | None = None

    def _call(self, size: int, point: Any, gradient: Any, value: Any, _shared: Any) -> int:
        try:
            there = np.ctypeslib.as_array(point, (size,)).copy()
            value[0], slopes = self._function(there)
            np.ctypeslib.as_array(gradient, (size,))[:] = slopes
        except BaseException as error:  # noqa: BLE001 - C code has no other way to learn of it
            self.error = self.error or error
            return _FAILED
        return 0 if np.isfinite(value[0]) and np.isfinite(slopes).all() else _DIVERGENT


def addresses(arrays: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the table of arrays' addresses that a compiled posterior reads.

    Parameters
    ----------
    arrays : sequence of ndarray
        Contiguous; they must outlive the table's use.

    Returns
    -------
    ndarray of uint64
    """
    return np.array([array.ctypes.data for array in arrays], dtype=np.uint64)


def computable(
    log_density: Any, points: np.ndarray[Any, Any], user_data: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return at which points a log-density and its gradient can be computed.

    Parameters
    ----------
    log_density : Numba C callback
        In nutpie's calling convention.
    points : ndarray, shape (k, size)
        Where to try.
    user_data : ndarray
        What the callback gets a pointer to.

    Returns
    -------
    ndarray of bool, shape (k,)
    """
    density = _DENSITY(log_density.address)
    points = np.ascontiguousarray(points, dtype=np.float64)
    gradient, value = np.empty(points.shape[1]), np.empty(1)
    result, slopes = (array.ctypes.data_as(_DOUBLE) for array in (value, gradient))
    data = user_data.ctypes.data
    starts = [point.ctypes.data_as(_DOUBLE) for point in points]
    return np.array([density(len(gradient), at, slopes, result, data) == 0 for at in starts])


def has_start(model: CompiledPyMCModel, tries: int, seed: int | None) -> bool:
    """Return whether the density can be computed at some point where chains may start.

    Parameters
    ----------
    model : CompiledPyMCModel
        From `nutpie_model`.
    tries : int
        How many points to try before giving up.
    seed : int, optional
        Where the points' own generators begin.

    Returns
    -------
    bool
        Usually after one point.
    """
    return any(
        computable(
            model.compiled_logp_func, model.initial_point_func(child)[None], model.user_data
        ).item()
        for child in np.random.SeedSequence(seed).spawn(tries)
    )


def nutpie_model(
    log_density: Any,
    starts: np.ndarray[Any, Any],
    user_data: np.ndarray[Any, Any],
    spread: np.ndarray[Any, Any] | float = 1.0,
    **about: Any,
) -> CompiledPyMCModel:
    """Put together what nutpie samples: a log-density whose draws are stored as they are.

    Parameters
    ----------
    log_density : Numba C callback
        In nutpie's calling convention.
    starts : ndarray, shape (k, size)
        Each chain starts within `spread` of one of them, which its seed picks.
    user_data : ndarray
        What the callback gets a pointer to.
    spread : ndarray, shape (size,), or float
        In every coordinate.
    **about
        Other fields of nutpie's class: the data that must stay in place.

    Returns
    -------
    CompiledPyMCModel
        With one variable, `UNCONSTRAINED`.
    """
    load_nutpie()
    from nutpie.compile_pymc import CompiledPyMCModel  # noqa: PLC0415 - as it was loaded

    count, size = starts.shape

    def draw(seed: Any = None) -> np.ndarray[Any, Any]:
        rng = np.random.default_rng(seed)
        moved = spread * rng.uniform(-1.0, 1.0, size=size)
        return np.asarray(starts[rng.integers(count)] + moved)

    nothing: dict[str, Any] = {"shared_data": {}, "shared_var_keys": {}, "logp_func": None}
    return CompiledPyMCModel(
        _n_dim=size,
        dims={},
        _coords={"unconstrained_parameter": np.arange(size)},
        _shapes={UNCONSTRAINED: (size,)},
        compiled_logp_func=log_density,
        compiled_expand_func=copy_point_c.compiled,
        initial_point_func=draw,
        user_data=user_data,
        n_expanded=size,
        shape_info=([UNCONSTRAINED], [slice(0, size)], [(size,)]),
        expand_func=None,
        reparameterized_names=[],
        **{**nothing, **about},
    )
