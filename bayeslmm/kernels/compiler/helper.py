"""A second process that compiles, on a machine that never compiled the numerical core.

What it compiles (`compile_ahead`) reaches this process through Numba's cache on disk; whatever is
missing there, this process compiles itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.resources import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable


# The module must exist: a test imports it.
COMPILES = "bayeslmm.kernels.compiler.compile_ahead"
_CODE = (
    f"import sys; sys.path[:] = {{path!r}}; from {COMPILES} import main; main(density={{density}})"
)
# What a helper says once the factorization is in the cache.
FIRST_DONE = "factorization"
# Set for helpers, which start none themselves.
_MARK = "BAYESLMM_HELPER"
_helper: list[subprocess.Popen[str]] = []


def is_cached(function: Callable[..., Any]) -> bool:
    """Return whether Numba's cache has machine code of a function.

    Parameters
    ----------
    function : callable
        Its qualified name must change with its text (`sources.stamp`).

    Returns
    -------
    bool
        True also where nothing can be kept: a helper could not hand anything over.
    """
    from numba.core.caching import FunctionCache  # noqa: PLC0415 - only where something compiles

    try:
        folder = Path(FunctionCache(function).cache_path)
    except RuntimeError:
        return True
    return any(folder.glob(f"*{function.__qualname__}*.nbi"))


def start_helper(*, density: bool) -> None:
    """Let a second process compile its half; where that cannot be, nothing happens.

    Parameters
    ----------
    density : bool
        Whether it is to go on to the density and the posterior once the factorization is done.
    """
    # In a frozen application this interpreter is the application.
    alone = getattr(sys, "frozen", False) or not sys.executable or _MARK in os.environ
    if alone or usable_cores() < 2:
        return
    from numba import config  # noqa: PLC0415 - only where something compiles

    environment = {**os.environ, _MARK: "1"}
    if config.CACHE_DIR:
        environment["NUMBA_CACHE_DIR"] = str(config.CACHE_DIR)
    try:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, this package
            [sys.executable, "-c", _CODE.format(path=sys.path, density=density)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        return
    _helper.append(process)


def await_factorization() -> None:
    """Wait until a helper, if there is one, has compiled the factorization, or has ended."""
    for process in _helper:
        for line in process.stdout or ():
            if line.strip() == FIRST_DONE:
                return


def await_helper() -> None:
    """Wait until a helper, if there is one, has done its work."""
    while _helper:
        _helper[-1].communicate()
        _helper.pop()


def stop_helper() -> None:
    """End a helper, if there is one: nobody will wait for it."""
    while _helper:
        process = _helper.pop()
        process.kill()
        process.communicate()


def helper_at_work() -> bool:
    """Return whether a helper was started that nobody has waited for yet."""
    return bool(_helper)
