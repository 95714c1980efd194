"""LLVM code of kernels, each behind a function with C's calling convention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bayeslmm.kernels.compiler.dispatchers import (
    compiled_inside,
    signature_of,
)
from bayeslmm.kernels.compiler.jit import CFunction, Kernel, as_pointer, carray
from bayeslmm.kernels.compiler.words import BEHIND, ROOM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.kernels.compiler.words import Signature


class TupleOf(NamedTuple):
    """An argument that is a named tuple."""

    kind: type
    parts: Arguments


type Arguments = Sequence[str | TupleOf]
_WORD = ir.IntType(64)
# As entries are compiled (`jit.entry`).
_ENTRY = {"error_model": "numpy"}
# What stands for a result where a C function failed, as for want of memory.
_FAILED = -1


def module_of_c(function: CFunction) -> list[Any]:
    """Return a C function's code.

    Parameters
    ----------
    function : CFunction
        One whose own name is its symbol.

    Returns
    -------
    list of LLVM modules
        Its outer part first: linking drops what nobody has asked for yet.
    """
    signature = signature_of(function)
    inside = compiled_inside(function.py_func, _ENTRY)
    return _behind(inside, signature, function.symbol, signature.return_type)


def module_of_entry(kernel: Kernel, arguments: Arguments, symbol: str) -> tuple[list[Any], Any]:
    """Return the code of a function of a table of words that calls a kernel.

    Parameters
    ----------
    kernel : Kernel
        The kernel.
    arguments : sequence
        Letters of its arguments, and `TupleOf`.
    symbol : str
        What to call the function.

    Returns
    -------
    modules : list of LLVM modules
        Its outer part first.
    result : Result
        Of what it returns.
    """
    reader = _Reader(arguments)
    inside = compiled_inside(kernel.py_func, kernel.options)
    source = "\n".join(
        [
            "def call(words_, results_):",
            f"    words = carray(words_, ({reader.count},), int64)",
            f"    reals = carray(words_, ({reader.count},), float64)",
            *reader.lines,
            f"    store(function({', '.join(reader.expressions)}), results_)",
        ]
    )
    scope = {
        "carray": carray, "pointer": as_pointer, "int64": np.int64, "float64": np.float64,
        "store": _store_results, "function": inside, **reader.tuples,
    }  # fmt: skip
    # The text is put together from the table above.
    exec(source, scope)  # noqa: S102
    outer = compiled_inside(scope["call"], _ENTRY)
    modules = _behind(outer, types.none(types.voidptr, types.voidptr), symbol, None)
    returned = inside.overloads[_only(inside.overloads)].signature.return_type
    return modules, result_of(returned)


def signature_of_entry(arguments: Arguments) -> Signature:
    """Return arguments as tables of functions have them: letters, and lists of letters."""
    return [
        argument if isinstance(argument, str) else signature_of_entry(argument.parts)
        for argument in arguments
    ]


def _only(overloads: Any) -> Any:
    (signature,) = overloads
    return signature


class _Reader:
    """Lines that read arguments from words, and expressions that stand for them."""

    def __init__(self, arguments: Arguments) -> None:
        self.count = 0
        self.lines: list[str] = []
        self.tuples: dict[str, type] = {}
        self.expressions = [self._read(argument) for argument in arguments]

    def _read(self, argument: str | TupleOf) -> str:
        if not isinstance(argument, str):
            self.tuples[argument.kind.__name__] = argument.kind
            parts = ", ".join(self._read(part) for part in argument.parts)
            return f"{argument.kind.__name__}({parts})"
        at, self.count = self.count, self.count + 1
        if len(argument) == 1:
            return {"d": f"reals[{at}]", "q": f"words[{at}]", "?": f"words[{at}] != 0"}[argument]
        ndim, dtype = int(argument[1]), {"d": "float64", "q": "int64"}[argument[0]]
        shape = "".join(f"shape_{at}[{axis}], " for axis in range(ndim))
        self.lines += [
            f"    record_{at} = carray(pointer(words[{at}]), (3,), int64)",
            f"    shape_{at} = carray(pointer(record_{at}[2]), ({ndim},), int64)",
            f"    array_{at} = carray(pointer(record_{at}[0]), ({shape}), {dtype})",
        ]
        return f"array_{at}"


def result_of(kind: Any) -> Any:
    """Return how `words` describes what compiled code returns.

    Parameters
    ----------
    kind : Numba type
        Numbers, C-contiguous arrays of them, tuples of these.

    Returns
    -------
    Result
    """
    if isinstance(kind, types.NoneType):
        return None
    if isinstance(kind, types.BaseTuple):
        of = getattr(kind, "instance_class", None)
        name = [] if of is None else [f"{of.__module__}:{of.__name__}"]
        return [*name, *(result_of(part) for part in kind)]
    if isinstance(kind, types.Array):
        if kind.layout != "C":
            raise TypeError(f"{kind} is not contiguous.")
        return f"{result_of(kind.dtype)}{kind.ndim}"
    if isinstance(kind, types.Boolean):
        return "?"
    if isinstance(kind, types.Float):
        return "d"
    if isinstance(kind, types.Integer) and kind.bitwidth == _WORD.width:
        return "q"
    raise TypeError(f"Nothing reads {kind} from words.")


@intrinsic  # type: ignore[untyped-decorator]
def _store_results(_context: Any, value: Any, place: Any) -> Any:
    """Write what a kernel returned into words; arrays without room are the reader's to release."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words = builder.bitcast(arguments[1], _WORD.as_pointer())
        parts = list(_parts(builder, signature.args[0], arguments[0]))
        n_words = sum(2 + part.ndim if isinstance(part, types.Array) else 1 for part, _ in parts)
        free, at = cgutils.alloca_once_value(builder, _WORD(n_words)), 0
        for kind, part in parts:
            found = [_as_word(builder, kind, part)]
            if isinstance(kind, types.Array):
                found = _place_array(context, builder, kind, part, words, free, n_words + ROOM)
            for word in found:
                builder.store(word, builder.gep(words, [_WORD(at)]))
                at += 1
        return context.get_dummy_value()

    return types.none(value, place), generate


def _parts(builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.BaseTuple):
        for at, part in enumerate(kind):
            yield from _parts(builder, part, builder.extract_value(value, at))
    elif not isinstance(kind, types.NoneType):
        yield kind, value


def _as_word(builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Float):
        return builder.bitcast(value, _WORD)
    if isinstance(kind, types.Boolean):
        return builder.zext(value, _WORD)
    return value


def _place_array(
    context: Any, builder: Any, kind: Any, value: Any, words: Any, free: Any, end: int
) -> list[Any]:
    """Copy an array behind the words from `free` on, or keep it alive; return its words."""
    array = context.make_array(kind)(context, builder, value)
    owner, place = (cgutils.alloca_once(builder, _WORD) for _ in range(2))
    start = builder.load(free)
    behind = builder.add(start, array.nitems)
    with builder.if_else(builder.icmp_signed("<=", behind, _WORD(end))) as (fits, larger):
        with fits:
            cgutils.raw_memcpy(
                builder, builder.gep(words, [start]), array.data, array.nitems, array.itemsize
            )
            builder.store(behind, free)
            builder.store(_WORD(BEHIND), owner)
            builder.store(start, place)
        with larger:
            context.nrt.incref(builder, kind, value)
            builder.store(builder.ptrtoint(array.meminfo, _WORD), owner)
            builder.store(builder.ptrtoint(array.data, _WORD), place)
    shape = cgutils.unpack_tuple(builder, array.shape, kind.ndim)
    return [builder.load(owner), builder.load(place), *shape]


def _behind(inside: Any, signature: Any, symbol: str, result: Any) -> list[Any]:
    """Return a function by C's convention that calls one by Numba's, and the latter's code.

    Without a result it returns zero, or where the exception is that was raised.
    """
    inside.compile(signature)
    made = inside.overloads[_only(inside.overloads)]
    context, about = made.target_context, made.fndesc
    # A name that Numba's own C functions cannot have.
    module = made.library._codegen._create_empty_module(f"behind.{symbol}")
    kind = context.call_conv.get_function_type(about.restype, about.argtypes)
    called = ir.Function(module, kind, about.llvm_func_name)
    returned = _WORD if result is None else context.get_value_type(result)
    taken = [context.get_value_type(argument) for argument in about.argtypes]
    outer = ir.Function(module, ir.FunctionType(returned, taken), symbol)
    builder = ir.IRBuilder(outer.append_basic_block())
    status, value = context.call_conv.call_function(
        builder, called, about.restype, about.argtypes, outer.args
    )
    if result is None:
        raised = builder.ptrtoint(status.excinfoptr, _WORD)
        raised = builder.select(status.is_user_exc, raised, _WORD(1))
        builder.ret(builder.select(status.is_error, raised, _WORD(0)))
    else:
        failed = float("nan") if isinstance(result, types.Float) else _FAILED
        builder.ret(builder.select(status.is_error, ir.Constant(returned, failed), value))
    return [llvm.parse_assembly(str(module)), made.library._final_module]
