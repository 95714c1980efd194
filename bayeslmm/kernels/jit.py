"""How functions are compiled: the decorators of the numerical core, and why they are set so."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from numba import njit

from bayeslmm.kernels.guard import guard
from bayeslmm.kernels.inner_compiler import inner_options

if TYPE_CHECKING:
    from collections.abc import Callable


# Sums may be reordered for vector instructions; NaN and infinities keep their meaning.
_FAST = {"reassoc", "contract", "nsz"}

# Not kept on disk one by one: they live on inside the functions that are. Two processes that keep
# several signatures of one function at the same moment could mix them up.
_inner = partial(
    njit, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **inner_options()
)


def fingerprint(folder: Path) -> str:
    """Compute a hash of every source file of a folder: names and contents, in order.

    Parameters
    ----------
    folder : Path
        Where functions stand that are compiled into one another.

    Returns
    -------
    str
        Eight hexadecimal digits.
    """
    digest = blake2b(digest_size=4)
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


FINGERPRINT = fingerprint(Path(__file__).parent)


def stamp[F: Callable[..., Any]](function: F) -> F:
    """Return a function's cached machine code a name that changes with every file it may contain.

    Numba looks only at the file in which a function stands: after a change to what it calls in
    another file, the old machine code would be loaded.
    """
    function.__qualname__ = f"{function.__qualname__}-{FINGERPRINT}"
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
