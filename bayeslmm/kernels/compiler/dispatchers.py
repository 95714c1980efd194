"""Numba's side of kernels: what the decorators stand for once something is compiled."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
from numba import njit, types
from numba.core.registry import cpu_target

from bayeslmm.kernels.compiler import guard, intrinsics
from bayeslmm.kernels.compiler.helper import is_cached
from bayeslmm.kernels.compiler.inner_compiler import inner_options
from bayeslmm.kernels.compiler.jit import CFunction, External, Kernel
from bayeslmm.kernels.compiler.library import tell_why_compiled
from bayeslmm.kernels.compiler.routines import ROUTINES, address_of, symbol_of

if TYPE_CHECKING:
    from collections.abc import Callable

# Numba must know of them before it types anything.
_ = intrinsics
# Compiled code refers to names, not addresses: what holds a pointer is not kept on disk.
for _routine in ROUTINES:
    llvm.add_symbol(symbol_of(_routine), address_of(_routine))

# What only compiled code calls is not kept on disk one by one: it lives on inside what is. Two
# processes that keep several signatures of one function at the same moment could mix them up.
_INNER: dict[str, Any] = {
    "nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **inner_options(),
}  # fmt: skip
TYPES = {
    "i": types.int32,
    "q": types.int64,
    "Q": types.uint64,
    "d": types.float64,
    "?": types.boolean,
    "v*": types.voidptr,
    "q*": types.CPointer(types.int64),
    "d*": types.CPointer(types.float64),
}


def types_of(letters: str) -> tuple[Any, ...]:
    """Return the types of arguments (`words`)."""
    return tuple(
        TYPES[letter] if len(letter) == 1 else types.Array(TYPES[letter[0]], int(letter[1]), "C")
        for letter in letters.split()
    )


def dispatcher_of(kernel: Kernel) -> Any:
    """Make what compiles a kernel."""
    if kernel.called:
        _tell(kernel.py_func)
        return guard.guard(njit(nogil=True, **kernel.options)(kernel.py_func))
    return compiled_inside(kernel.py_func, kernel.options)


def _tell(function: Callable[..., Any]) -> None:
    if not is_cached(function):
        tell_why_compiled()


def compiled_inside(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """Make what compiles a function into its callers only."""
    return njit(**_INNER, **options)(function)


def type_of(named: Kernel | CFunction | External) -> Any:
    """Return the type by which compiled code knows what it calls."""
    if isinstance(named, Kernel):
        return types.Dispatcher(named.dispatcher)
    if isinstance(named, CFunction):
        result, *arguments = named.signature
        return _external(named.symbol, result, ["v*" if "*" in a else a for a in arguments])
    if not named.module:
        _, count = ROUTINES[named.name]
        return _external(symbol_of(named.name), None, ["v*"] * count)
    found = getattr(importlib.import_module(named.module), named.name)
    return cpu_target.typing_context.resolve_value_type(found)


def _external(symbol: str, result: str | None, arguments: list[str]) -> Any:
    returned = types.void if result is None else TYPES[result]
    return types.ExternalFunction(symbol, returned(*(TYPES[letter] for letter in arguments)))


def signature_of(function: CFunction) -> Any:
    """Return Numba's signature of a C function."""
    result, *arguments = function.signature
    return TYPES[result](*(TYPES[letter] for letter in arguments))


def compile_c(function: CFunction) -> Any:
    """Compile a C function, or load it from Numba's cache."""
    _tell(function.py_func)
    return guard.compile_c(signature_of(function), function.py_func)


def link(function: CFunction) -> None:
    """Give a function's machine code its name."""
    llvm.add_symbol(function.symbol, function.compiled.address)
