"""What a function does, as a hash: so that results kept on disk are not taken for another's."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from bayeslmm.errors import ArgumentError

_PLACES = tuple(
    Path(place).resolve()
    for name, place in sysconfig.get_paths().items()
    if name in {"stdlib", "platstdlib", "purelib", "platlib"}
)
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis))


def function_identity(function: Any) -> str:
    """Hash what a function does: its bytecode and every value that it refers to.

    Two functions of one text differ if they enclose, or find in their module, different numbers;
    comments and line numbers make no difference. Functions of installed packages count by their
    name, and bytecode differs between versions of Python: a changed hash may belong to a function
    that does the same, an unchanged hash belongs to no other.

    Parameters
    ----------
    function : callable or str
        A function, method, `functools.partial` or expression.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ArgumentError
        If it refers to something whose content cannot be compared between sessions.

    Examples
    --------
    >>> from functools import partial
    >>> function_identity(partial(pow, 2)) == function_identity(partial(pow, 2))
    True
    >>> function_identity(partial(pow, 2)) == function_identity(partial(pow, 3))
    False
    """
    digest = hashlib.sha256(f"{sys.implementation.cache_tag}".encode())
    for part in _Reader().parts(function):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


class _Reader:
    """Walks a function's code and values, each function once."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def parts(self, value: Any) -> list[bytes]:
        kind = type(value).__qualname__.encode()
        if isinstance(value, _PLAIN):
            return [kind, repr(value).encode()]
        if isinstance(value, np.ndarray | np.generic) and not np.asarray(value).dtype.hasobject:
            array = np.asarray(value)
            return [kind, f"{array.dtype.str}{array.shape}".encode(), array.tobytes()]
        if isinstance(value, list | tuple):
            return [kind, str(len(value)).encode(), *self._joined(value)]
        if isinstance(value, set | frozenset):
            # Sets have no order that lasts from one process to the next.
            return [kind, *sorted(b"\0".join(self.parts(each)) for each in value)]
        if isinstance(value, Mapping):
            return [kind, *self._joined(item for pair in value.items() for item in pair)]
        return [kind, *self._callable(value)]

    def _joined(self, values: Any) -> list[bytes]:
        return [part for value in values for part in self.parts(value)]

    def _callable(self, value: Any) -> list[bytes]:
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, ModuleType):
            return [value.__name__.encode()]
        if pieces := _pieces(value):
            return self._joined(pieces)
        name = getattr(value, "__qualname__", None)
        module = getattr(value, "__module__", None)
        if isinstance(name, str) and _installed(module):
            # A method of a compiled type, such as "abc".upper, also knows its object.
            owner = getattr(value, "__self__", None)
            own = [] if owner is None or isinstance(owner, ModuleType | type) else [owner]
            return [f"{module}.{name}".encode(), *self._joined(own)]
        if isinstance(value, FunctionType):
            return self._function(value)
        raise ArgumentError(
            f"it refers to a {type(value).__name__}, which cannot be compared between "
            "sessions; use numbers, text, arrays and functions, or write the quantity as "
            "text such as 'sd_g[x] / sigma'"
        )

    def _function(self, function: FunctionType) -> list[bytes]:
        if id(function) in self.seen:
            return [str(self.seen[id(function)]).encode()]
        self.seen[id(function)] = len(self.seen)
        closure = [cell.cell_contents for cell in function.__closure__ or ()]
        named = _global_names(function.__code__)
        globals_ = {
            name: function.__globals__[name]
            for name in sorted(named)
            if name in function.__globals__
        }
        return self._joined(
            [function.__code__, function.__defaults__, function.__kwdefaults__, closure, globals_]
        )

    def _code(self, code: CodeType) -> list[bytes]:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return [code.co_code, *self._joined([*names, code.co_flags, code.co_consts])]


def _pieces(value: Any) -> tuple[Any, ...]:
    """Take apart what is nothing but its parts."""
    if isinstance(value, slice):
        return value.start, value.stop, value.step
    if isinstance(value, partial):
        return value.func, value.args, value.keywords
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    return ()


def _global_names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_global_names, inner))


def _installed(module: str | None) -> bool:
    """Tell whether a module is of Python or of an installed package, not of the user's work."""
    top = (module or "builtins").partition(".")[0]
    if top in sys.builtin_module_names or top == __name__.partition(".")[0]:
        return True
    home = getattr(sys.modules.get(top), "__file__", None)
    return (
        home is not None
        and top != "__main__"
        and any(Path(home).is_relative_to(place) for place in _PLACES)
    )
