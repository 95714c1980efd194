"""The two C callbacks that nutpie calls: value and gradient of a log-density, and a copy."""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

_DOUBLES = types.CPointer(types.double)  # type: ignore[attr-defined]
_LOG_DENSITY = types.int64(types.uint64, _DOUBLES, _DOUBLES, _DOUBLES, types.voidptr)
_EXPAND = types.int64(types.uint64, types.uint64, _DOUBLES, _DOUBLES, types.voidptr)

# nutpie's meaning of a callback's result: 0 is success, 3 a point to be treated as divergent.
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


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_context: Any, address: Any) -> Any:
    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


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
        "pointer": _pointer,
        "uint64": np.uint64,
        "isfinite": np.isfinite,
        "function": function,
    }
    # The text is put together above from numbers only; writing it out spares Numba from
    # unrolling a heterogeneous tuple, which took longer than compiling the model.
    exec(source, scope)  # noqa: S102
    return numba.cfunc(_LOG_DENSITY)(scope["log_density"])


@cache
def copy_point() -> Any:
    """Give the callback that stores a point as it is."""

    def copy(size: Any, _expanded: Any, point: Any, out: Any, _shared: Any) -> int:
        for i in range(size):
            out[i] = point[i]
        return 0

    return numba.cfunc(_EXPAND)(copy)
