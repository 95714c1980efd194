"""Compiled functions whose cache may be damaged or full, and whose callers may press Ctrl-C."""

from __future__ import annotations

import contextlib
import pickle
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numba.core.caching import FunctionCache, IndexDataCacheFile, NullCache
from numba.core.ccallback import CFunc
from numba.core.registry import CPUDispatcher

if TYPE_CHECKING:
    from collections.abc import Callable

_DIGEST = 16


class _SealedFile(IndexDataCacheFile):  # type: ignore[misc]
    """Files that end with a hash of themselves; whatever is read without it is not there."""

    def _dump(self, obj: Any) -> bytes:
        # Unpickling stops before the hash.
        content: bytes = super()._dump(obj)
        return content + blake2b(content, digest_size=_DIGEST).digest()

    def _load_data(self, name: str) -> Any:
        sealed = Path(self._data_path(name)).read_bytes()
        content, seal = sealed[:-_DIGEST], sealed[-_DIGEST:]
        if blake2b(content, digest_size=_DIGEST).digest() != seal:
            raise OSError(f"{name} is not as it was written")
        return pickle.loads(content)  # noqa: S301 - Numba's own files, beside this package


class _ForgivingCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, without which functions are compiled once more, and no worse.

    Files are cut short by kills, full disks and bad copies; folders turn read-only. Nothing of this
    is an error of the user's call.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file: IndexDataCacheFile = _SealedFile(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the machine code that was kept, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001 - unpickling damaged bytes may raise anything
            # An index that cannot be read would also keep new code from being written.
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code, where that can be done."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


def _cache_of(function: Callable[..., Any]) -> Any:
    try:
        return _ForgivingCache(function)
    except RuntimeError:  # Numba finds no folder that it may write to
        return NullCache()


class _InterruptibleDispatcher(CPUDispatcher):  # type: ignore[misc]
    """A compiled function that ends with the exception of a signal's handler, and no other one."""

    def __call__(self, *arguments: Any) -> Any:
        try:
            return super().__call__(*arguments)
        except SystemError as error:
            # Ctrl-C while machine code runs: "a result with an exception set", of several calls.
            cause: BaseException = error
            while isinstance(cause, SystemError) and cause.__cause__ is not None:
                cause = cause.__cause__
            raise cause from None


def guard(compiled: Any) -> Any:
    """Give a compiled function a cache that forgives, and calls that can be interrupted.

    Parameters
    ----------
    compiled : Dispatcher
        From ``numba.njit``, without ``cache=True``.

    Returns
    -------
    Dispatcher
        The same one.
    """
    compiled.__class__ = _InterruptibleDispatcher
    compiled._cache = _cache_of(compiled.py_func)  # as `enable_caching` does
    return compiled


def compile_c(signature: Any, function: Callable[..., Any]) -> Any:
    """Compile a C callback, or load it from the cache, as ``numba.cfunc`` does.

    Parameters
    ----------
    signature : Numba signature
        Types of its arguments and of its result.
    function : callable
        Stamped (`jit.stamp`).

    Returns
    -------
    CFunc
        With an ``address``.
    """
    options = {"error_model": "numpy"}
    compiled: Any = CFunc(function, (signature.args, signature.return_type), {}, options)
    compiled._cache = _cache_of(function)
    compiled.compile()
    return compiled
