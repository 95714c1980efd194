"""How functions are compiled: the decorators of the numerical core, and why they are set so."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable


# Sums may be reordered for vector instructions; NaN and infinities keep their meaning.
_FAST = {"reassoc", "contract", "nsz"}

_inner = partial(njit, cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def entry[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that Python code calls."""
    return cast("F", njit(cache=True, nogil=True, error_model="numpy")(function))


def inner[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that only compiled code calls: without wrappers it compiles sooner."""
    return cast("F", _inner()(function))


def inner_fast[F: Callable[..., Any]](function: F) -> F:
    """Compile like `inner`, with sums that may be reordered."""
    return cast("F", _inner(fastmath=_FAST)(function))
