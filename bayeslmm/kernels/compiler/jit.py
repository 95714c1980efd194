"""How functions are compiled: the decorators of the numerical core, and why they are set so."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from numba import njit

from bayeslmm.kernels.compiler.guard import guard
from bayeslmm.kernels.compiler.inner_compiler import inner_options

if TYPE_CHECKING:
    from collections.abc import Callable


# Sums may be reordered for vector instructions; NaN and infinities keep their meaning.
_FAST = {"reassoc", "contract", "nsz"}

# Not kept on disk one by one: they live on inside the functions that are. Two processes that keep
# several signatures of one function at the same moment could mix them up.
_inner = partial(
    njit, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **inner_options()
)


# Where compiled functions stand: the core, and families of kernels in folders of their own.
_KERNELS = Path(__file__).parent.parent
_COMPILER = Path(__file__).parent.name


def fingerprint(kernels: Path, *, whole: bool = False) -> str:
    """Compute a hash of source files that are compiled into one another: names and contents.

    Parameters
    ----------
    kernels : Path
        The folder of all kernels.
    whole : bool
        Whether its sub-folders belong to it. The core (the files of the folder itself) takes in
        only how it is compiled, so that nobody compiles it again for a change elsewhere.

    Returns
    -------
    str
        Eight hexadecimal digits.
    """
    digest = blake2b(digest_size=4)
    core = [*kernels.glob("*.py"), *(kernels / _COMPILER).glob("*.py")]
    for path in sorted(kernels.rglob("*.py") if whole else core):
        digest.update(str(path.relative_to(kernels)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


FINGERPRINT = fingerprint(_KERNELS)
_WHOLE = fingerprint(_KERNELS, whole=True)


def stamp[F: Callable[..., Any]](function: F) -> F:
    """Return a function's cached machine code a name that changes with every file it may contain.

    Numba looks only at the file in which a function stands: after a change to what it calls in
    another file, the old machine code would be loaded.
    """
    folder = Path(function.__code__.co_filename).parent
    above = _KERNELS in folder.parents and folder.name != _COMPILER
    function.__qualname__ = f"{function.__qualname__}-{_WHOLE if above else FINGERPRINT}"
    return function


def entry[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that Python code calls."""
    return cast("F", guard(njit(nogil=True, error_model="numpy")(stamp(function))))


def inner[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that only compiled code calls: without wrappers it compiles sooner."""
    return cast("F", _inner()(stamp(function)))


def inner_fast[F: Callable[..., Any]](function: F) -> F:
    """Compile like `inner`, with sums that may be reordered."""
    return cast("F", _inner(fastmath=_FAST)(stamp(function)))


def inner_ieee[F: Callable[..., Any]](function: F) -> F:
    """Compile like `inner`, but by IEEE's rules: nothing is reordered, divisions never raise.

    What is left open would be taken from whichever caller is compiled first.
    """
    return cast("F", _inner(error_model="numpy", fastmath=False)(stamp(function)))


def inner_contracted[F: Callable[..., Any]](function: F) -> F:
    """Compile like `inner_ieee`, where a product and a sum may be one instruction."""
    return cast("F", _inner(error_model="numpy", fastmath={"contract"})(stamp(function)))


def inner_ieee_fast[F: Callable[..., Any]](function: F) -> F:
    """Compile like `inner_ieee`, with sums that may be reordered."""
    return cast("F", _inner(error_model="numpy", fastmath=_FAST)(stamp(function)))
