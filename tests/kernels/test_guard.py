"""Caches that are damaged, full or nowhere, and Ctrl-C in compiled code."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from numba import njit, types
from numba.core.caching import NullCache

from bayeslmm.kernels.compiler import guard as guard_file
from bayeslmm.kernels.compiler.guard import compile_c, guard

SOURCE = """
from numba import njit, types
from bayeslmm.kernels.compiler.guard import compile_c, guard

def twice(x):
    return 2.0 * x

fast = guard(njit(twice))
fast(3.0)
callback = compile_c(types.float64(types.float64), twice)
print(fast(3.0), callback.ctypes(4.0), sum(fast.stats.cache_hits.values()), callback.cache_hits)
"""


@pytest.fixture
def run(tmp_path):
    """Run `SOURCE` in another process; its caches lie in `tmp_path / cache`."""
    (tmp_path / "doubling.py").write_text(SOURCE)

    def run_once():
        found = subprocess.run(  # noqa: S603
            [sys.executable, str(tmp_path / "doubling.py")],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        first, second, *hits = found.stdout.split()
        assert (float(first), float(second)) == (6.0, 8.0)
        return [int(number) for number in hits]

    return run_once


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


DAMAGE = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no pickle"),
    "flipped": flip,
    "gone": Path.unlink,
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_cache_is_compiled_anew(run, tmp_path, kind, damage):
    run()
    assert run() == [1, 1]
    files = list((tmp_path / "cache").rglob(f"*.{kind}"))
    assert files
    for path in files:
        DAMAGE[damage](path)
    assert run() != [1, 1]
    if damage != "a folder":
        assert run() == [1, 1]


def test_a_full_disk_and_a_missing_folder_leave_nothing_behind_but_work(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def triple(x):
        return 3.0 * x

    monkeypatch.setattr(guard_file._SealedFile, "_open_for_write", full)
    assert guard(njit(triple))(2.0) == 6.0

    def nowhere(*_, **__):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(guard_file._ForgivingCache, "__init__", nowhere)
    compiled = guard(njit(triple))
    assert isinstance(compiled._cache, NullCache)
    assert compiled(2.0) == 6.0
    assert compile_c(types.float64(types.float64), triple).ctypes(2.0) == 6.0


def test_the_core_survives_a_truncated_cache(tmp_path):
    """The whole package, copied with its caches, of which every second file is cut short."""
    import bayeslmm

    copy = tmp_path / "bayeslmm"
    shutil.copytree(Path(bayeslmm.__file__).parent, copy, copy_function=shutil.copy2)
    for path in sorted((copy / "gram" / "__pycache__").glob("*.nb[ci]"))[::2]:
        cut(path)
    code = (
        "import bayeslmm as bl; print(bl.__file__);"
        "print(bl.fit_reml('Yield ~ 1 + (1 | Batch)', bl.load_dataset('dyestuff')).sigma)"
    )
    found = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    path, sigma = found.stdout.split()
    assert Path(path).is_relative_to(tmp_path)
    assert float(sigma) == pytest.approx(49.51, abs=0.01)


INTERRUPTED = """
    import os, signal, threading, time
    import numpy as np
    from numba import njit
    from bayeslmm.kernels.compiler.guard import guard

    @njit(nogil=True)
    def slow(n):
        total = np.zeros(4)
        for k in range(n):
            total[k % 4] += np.sqrt(k * 1.0) - np.sin(k * 1.0)
        return total, {result}

    class Late(Exception):
        pass

    def late(*_):
        raise Late

    # Not what it was: processes in the background may be started with the signal ignored.
    signal.signal(signal.SIGINT, {handler})
    slow = guard(slow)
    slow(10)
    def strike():
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=strike, daemon=True).start()
    try:
        while True:
            slow(40_000_000)
    except BaseException as error:
        print(type(error).__name__)
"""


@pytest.mark.parametrize("result", ["1.0", "(total, total)", "np.zeros((2, 2))"])
@pytest.mark.parametrize(
    ("handler", "name"), [("signal.default_int_handler", "KeyboardInterrupt"), ("late", "Late")]
)
def test_a_signal_in_compiled_code_ends_as_what_its_handler_raises(tmp_path, result, handler, name):
    script = tmp_path / "slow.py"
    script.write_text(textwrap.dedent(INTERRUPTED).format(result=result, handler=handler))
    found = subprocess.run(  # noqa: S603
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120
    )
    assert found.stdout.split() == [name], found.stderr


def test_system_errors_of_their_own_stay_what_they_are():
    class Broken(guard_file.CPUDispatcher):
        def __call__(self, *_):
            raise SystemError("something else")

    def plain(x):
        return x

    compiled = guard(njit(plain))
    compiled.__class__ = type("Both", (type(compiled), Broken), {})
    with pytest.raises(SystemError, match="something else"):
        compiled(1)
