"""Half of the numerical core compiled by a second process, on a machine that never compiled it.

The core takes some twenty-five seconds to compile, once per machine; Numba compiles one function at
a time, and a second processor would stand idle. So the first process compiles the gradient and the
draws of effects, a helper the factorization, the density and the posterior that NUTS calls. What it
compiles reaches the first process through Numba's cache on disk; whatever is missing there, that
process compiles itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
from numba import config, types
from numba.core.caching import FunctionCache

from bayeslmm.resources import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable

_CODE = (
    "import sys; sys.path[:] = {path!r}; from bayeslmm.ahead import main; main(density={density})"
)
# What a helper says once the factorization is in the cache.
_FIRST_DONE = "factorization"
# Set for helpers, which start none themselves.
_MARK = "BAYESLMM_HELPER"
_helper: list[subprocess.Popen[str]] = []


def is_cached(function: Callable[..., Any]) -> bool:
    """Tell whether Numba's cache has machine code of a function.

    Parameters
    ----------
    function : callable
        Its qualified name must change with its text (`compiled.stamp`).

    Returns
    -------
    bool
        True also where nothing can be kept: a helper could not hand anything over.
    """
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
            if line.strip() == _FIRST_DONE:
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
    """Tell whether a helper was started that nobody has waited for yet."""
    return bool(_helper)


def compile_draws() -> None:
    """Compile the draws of effects, which need the factorization only."""
    from bayeslmm.kernel_draws import draw_joint  # noqa: PLC0415 - it needs what needs this module

    longs, reals, rows = types.int64[::1], types.float64[::1], types.float64[:, ::1]
    arguments = (longs, reals, rows, reals, reals, rows, rows, rows, types.boolean)
    draw_joint.compiled.compile(arguments)  # type: ignore[attr-defined]


def main(*, density: bool) -> None:
    """Compile the helper's half: the factorization; the density and the posterior for NUTS."""
    from bayeslmm import kernel_target, linked, linked_kernels  # noqa: PLC0415

    linked_kernels.link_factorization()
    sys.stdout.write(f"{_FIRST_DONE}\n")
    sys.stdout.flush()
    if not density:
        return
    # Compiled code is linked when it is made. Nothing is called here, so any address serves for
    # what the first process compiles meanwhile.
    llvm.add_symbol(linked_kernels.PULL_BACK, 1)
    linked.compile_density()
    kernel_target.compile_function()
