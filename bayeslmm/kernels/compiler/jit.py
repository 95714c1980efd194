"""How functions are compiled: the decorators of the numerical core, and why they are set so.

Nothing here imports Numba. A kernel is compiled when it is first called or first part of something
that is compiled, which is never where machine code of it came with the package (`library`).
"""

from __future__ import annotations

import importlib
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, cast

from bayeslmm.kernels.compiler.library import library
from bayeslmm.kernels.compiler.sources import stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.kernels.compiler.words import Entry


# Sums may be reordered for vector instructions; NaN and infinities keep their meaning.
_FAST = {"reassoc", "contract", "nsz"}
# Divisions by zero give infinities where Python code calls.
_CALLED = {"error_model": "numpy"}
# Where Numba's part of all this stands: imported when something is to be compiled.
_NUMBA = "bayeslmm.kernels.compiler.dispatchers"
_INTRINSICS = "bayeslmm.kernels.compiler.intrinsics"


def _numba_side() -> Any:
    return importlib.import_module(_NUMBA)


class Kernel:
    """A function that is compiled when that is needed.

    Parameters
    ----------
    function : callable
        Its text.
    options : dict
        For ``numba.njit``.
    called : bool
        Whether Python code calls it; others live on inside those that are.
    prepare : callable, optional
        What must have happened before it is compiled, or loaded from Numba's cache.

    Attributes
    ----------
    py_func : callable
        The function.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        options: dict[str, Any],
        *,
        called: bool = False,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.name = f"{function.__module__}:{function.__qualname__}"
        update_wrapper(self, function)
        self.py_func, self.options, self.called = stamp(function), options, called
        self._prepare = prepare

    def __reduce__(self) -> str:
        """Pickle as a name: Numba hashes what functions close over."""
        return self.py_func.__name__

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's own object, which compiles for each new set of types."""
        return _numba_side().dispatcher_of(self)

    def compile(self, arguments: str) -> None:
        """Compile for arguments of these letters (`words`), and do not call."""
        self.dispatcher.compile(_numba_side().types_of(arguments))

    @property
    def _numba_type_(self) -> Any:
        """Numba asks for this where other compiled code calls the kernel."""
        return _numba_side().type_of(self)

    @cached_property
    def shipped(self) -> Entry | None:
        """Machine code that came with the package, for the types that the package uses."""
        found = library() if self.called else None
        return None if found is None else found.entry(self.name)

    def __call__(self, *arguments: Any) -> Any:
        """Run the machine code that came with the package, or what Numba compiles."""
        if self.shipped is not None:
            result = self.shipped(arguments)
            if result is not NotImplemented:
                return result
        if self._prepare is not None:
            self._prepare()
        return self.dispatcher(*arguments)


class CFunction:
    """A function with C's calling convention, which other code calls by its symbol or address.

    Parameters
    ----------
    function : callable
        Its text.
    symbol : str
        Its name.
    signature : str
        Letters of its result and its arguments, as `words` has them, and ``d*``, ``q*``, ``v*``:
        pointers to reals, whole numbers, anything.

    Attributes
    ----------
    py_func : callable
        The function.
    symbol : str
    signature : list of str
    """

    def __init__(self, function: Callable[..., Any], symbol: str, signature: str) -> None:
        self.__doc__, self.__module__ = function.__doc__, function.__module__
        self.py_func, self.symbol, self.signature = stamp(function), symbol, signature.split()

    def __reduce__(self) -> str:
        """Pickle as a name: Numba hashes what functions close over."""
        return self.py_func.__name__

    @cached_property
    def shipped(self) -> Any:
        """Machine code that came with the package; None where it must be compiled."""
        found = library()
        return None if found is None else found.function(self.symbol)

    @cached_property
    def compiled(self) -> Any:
        """Machine code with an ``address``: what was shipped, or what Numba compiles or has kept.

        What it calls must have been `link`-ed before.
        """
        return self.shipped or _numba_side().compile_c(self)

    def link(self) -> None:
        """Give the machine code its name, for compiled code that calls it."""
        _numba_side().link(self)

    @property
    def _numba_type_(self) -> Any:
        """Numba asks for this where other compiled code calls the function."""
        return _numba_side().type_of(self)


class External:
    """A name of compiled code that is looked up where, and only where, something is compiled.

    Parameters
    ----------
    module, name : str
        Where it stands; or, of routines of BLAS and LAPACK, "" and which.
    """

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    @property
    def _numba_type_(self) -> Any:
        return _numba_side().type_of(self)


# Numba's function that makes an array of a pointer.
carray: Any = External("numba", "carray")
# Single instructions.
as_pointer: Any = External(_INTRINSICS, "as_pointer")
bits_of: Any = External(_INTRINSICS, "bits_of")
number_of: Any = External(_INTRINSICS, "number_of")
nearest_whole: Any = External(_INTRINSICS, "nearest_whole")


def entry[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that Python code calls."""
    return cast("F", Kernel(function, _CALLED, called=True))


def entry_after[F: Callable[..., Any]](prepare: Callable[[], None]) -> Callable[[F], F]:
    """Compile a function that Python code calls, once something has happened."""

    def decorate(function: F) -> F:
        return cast("F", Kernel(function, _CALLED, called=True, prepare=prepare))

    return decorate


def inner[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that only compiled code calls: without wrappers it compiles sooner."""
    return cast("F", Kernel(function, {}))


def inner_fast[F: Callable[..., Any]](function: F) -> F:
    """Compile like `inner`, with sums that may be reordered."""
    return cast("F", Kernel(function, {"fastmath": _FAST}))


def inner_ieee[F: Callable[..., Any]](function: F) -> F:
    """Compile like `inner`, but by IEEE's rules: nothing is reordered, divisions never raise.

    What is left open would be taken from whichever caller is compiled first.
    """
    return cast("F", Kernel(function, {"error_model": "numpy", "fastmath": False}))


def inner_contracted[F: Callable[..., Any]](function: F) -> F:
    """Compile like `inner_ieee`, where a product and a sum may be one instruction."""
    return cast("F", Kernel(function, {"error_model": "numpy", "fastmath": {"contract"}}))


def inner_ieee_fast[F: Callable[..., Any]](function: F) -> F:
    """Compile like `inner_ieee`, with sums that may be reordered."""
    return cast("F", Kernel(function, {"error_model": "numpy", "fastmath": _FAST}))


def c_function(symbol: str, signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function with C's calling convention; see `CFunction`."""
    return lambda function: CFunction(function, symbol, signature)
