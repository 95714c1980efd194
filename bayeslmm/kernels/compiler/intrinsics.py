"""Single instructions of compiled code that Python has no word for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

_LONG, _DOUBLE = ir.IntType(64), ir.DoubleType()


@intrinsic  # type: ignore[untyped-decorator]
def as_pointer(_context: Any, address: Any) -> Any:
    """Read a whole number as a C pointer, in compiled code."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


@intrinsic  # type: ignore[untyped-decorator]
def bits_of(_context: Any, number: Any) -> Any:
    """Read a number's 64 bits as a whole number, in compiled code."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _LONG)

    return types.uint64(number), generate


@intrinsic  # type: ignore[untyped-decorator]
def number_of(_context: Any, bits: Any) -> Any:
    """Undo `bits_of`, in compiled code."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _DOUBLE)

    return types.float64(bits), generate


@intrinsic  # type: ignore[untyped-decorator]
def nearest_whole(_context: Any, number: Any) -> Any:
    """Round to the nearest whole number by one instruction, in compiled code."""

    def generate(_target: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        rint = builder.module.declare_intrinsic("llvm.rint", [_DOUBLE])
        return builder.call(rint, arguments)

    return types.float64(number), generate


# Numba looks for new instructions when it makes a dispatcher, not when it compiles a callback.
cpu_target.typing_context.refresh()
cpu_target.target_context.refresh()
