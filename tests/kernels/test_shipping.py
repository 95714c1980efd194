"""Machine code that comes with the package: the compiled kernels' numbers, or none at all."""

import copy
import importlib
import json
import logging
import os
import pickle
import pkgutil
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import recorded

import bayeslmm as bl
from bayeslmm import kernels
from bayeslmm.kernels.compiler import levels, words
from bayeslmm.kernels.compiler import library as library_file
from bayeslmm.kernels.compiler.jit import CFunction, Kernel
from bayeslmm.kernels.compiler.levels import LEAST, levels_of, runs
from bayeslmm.kernels.compiler.library import BUILT, COMPILE, UnusableError, load, stem
from bayeslmm.kernels.compiler.routines import ROUTINES, address_of
from bayeslmm.kernels.compiler.shipping.build import build
from bayeslmm.kernels.compiler.shipping.interface import CORE, PARTS
from bayeslmm.kernels.densities import evaluate


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """A folder with the machine code of the sources as they stand."""
    folder = tmp_path_factory.mktemp("built")
    if (BUILT / f"{stem()}.json").exists():
        shutil.copytree(BUILT, folder, dirs_exist_ok=True)
    else:
        build(folder)
    return folder


@pytest.fixture
def copied(built, tmp_path):
    return shutil.copytree(built, tmp_path / "built")


def table_of(folder):
    return folder / f"{stem()}.json"


def core_of(table):
    return table["parts"][0]["files"][LEAST]


def code_of(folder):
    return folder / core_of(json.loads(table_of(folder).read_text()))[0]


ENTRIES = [kernel for part in PARTS for kernel, _ in part.entries]


def test_all_that_python_calls_is_shipped():
    """A kernel that is missing in the interface would be compiled by whoever calls it first."""
    called, linked = set(), set()
    for found in pkgutil.walk_packages(kernels.__path__, "bayeslmm.kernels."):
        if ".compiler" in found.name:
            continue
        members = vars(importlib.import_module(found.name)).values()
        called |= {each for each in members if isinstance(each, Kernel) and each.called}
        linked |= {each for each in members if isinstance(each, CFunction)}
    assert called == set(ENTRIES)
    assert linked == {function for part in PARTS for function in part.functions}


@pytest.fixture(scope="session")
def calls(built):
    """Calls of all kernels, and what the shipped ones returned."""
    shipped = load(built)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library_file, "_find", lambda: shipped)
        for kernel in ENTRIES:
            patch.setitem(kernel.__dict__, "shipped", shipped.entry(kernel.name))
            assert kernel.shipped is not None
        made = recorded.record(recorded.fit_in_every_way)
        made |= recorded.record(recorded.fit_families_in_every_way)
        for run in (recorded.call_kernels_of_families, recorded.factor_a_sparse_matrix):
            for name, more in recorded.record(run, most=200).items():
                made[name] = made.get(name, []) + more
    return made


def test_shipped_and_compiled_code_agree(calls, tmp_path):
    assert {kernel.name for kernel in ENTRIES} <= set(calls)
    file = tmp_path / "calls.pickle"
    file.write_bytes(pickle.dumps(calls))
    run = subprocess.run(  # noqa: S603 -- this very interpreter
        [sys.executable, "-W", "ignore", recorded.__file__, str(file)],
        env={**os.environ, COMPILE: "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    for name, (value, rest) in json.loads(run.stdout).items():
        # The same operations in another order: log-densities to their last digits; gradients and
        # solutions as far as the systems that are solved are well-conditioned.
        assert value < 1e-10 if "draw" in name or "reduce" in name else value < 1e-13, name
        assert rest < 1e-10, name


@pytest.mark.parametrize("name", levels_of(platform.machine().lower()))
def test_each_level_of_a_processors_extensions_gives_the_same_numbers(calls, built, name):
    level = levels_of(platform.machine().lower())[name]
    if not runs(level):
        pytest.skip("this processor does not run it")
    of_level = load(built, usable=lambda other: other.features in ("", level.features))
    assert of_level.parts[1].file.stem.endswith(name or "families")
    for kernel, made in calls.items():
        entry = of_level.parts[1].entry(kernel)
        for before, after, result in made if entry is not None else ():
            arguments = copy.deepcopy(before)
            # As between shipped and compiled code: another order of the same operations.
            assert max(recorded.distance(result, entry(arguments))) < 1e-10, kernel
            assert max(recorded.distance(after, arguments)) < 1e-10, kernel


def test_what_no_processor_is_known_to_have_is_not_loaded(built, monkeypatch):
    monkeypatch.setattr(levels, "_features", dict)
    assert load(built).parts[1].file.stem.endswith("families")


@pytest.mark.parametrize(
    ("fit", "module"),
    [
        ("fit_in_every_way", "bayeslmm.kernels.compiler.dispatchers"),
        ("fit_families_in_every_way", "bayeslmm.kernels.compiler.dispatchers"),
        ("fit_by_quadrature", "numba"),
    ],
)
def test_a_fit_compiles_nothing(tmp_path, fit, module):
    if not table_of(BUILT).exists():
        pytest.skip("no machine code was built for this checkout: python -m bayeslmm.build_core")
    script = f"import sys\nfrom recorded import {fit}\n{fit}()\nprint({module!r} in sys.modules)\n"
    run = subprocess.run(  # noqa: S603 -- this very interpreter
        [sys.executable, "-W", "ignore", "-c", script],
        env={
            **{key: value for key, value in os.environ.items() if key != COMPILE},
            "NUMBA_CACHE_DIR": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "False"


def test_an_object_file_is_loaded_where_there_is_no_linker(built, tmp_path):
    few = tuple((kernel, letters) for kernel, letters in CORE.entries if "sums" in kernel.name)
    alone = build(tmp_path, linker=False, parts=[CORE._replace(functions=(), entries=few)])
    assert [part.file.suffix for part in alone.parts] == [".o"]
    rng = np.random.default_rng(2)
    index, Z, W = rng.integers(0, 50, 300), rng.normal(size=(300, 2)), rng.normal(size=(300, 3))
    name = few[0][0].name
    found, other = alone.entry(name)((index, Z, W, 50)), load(built).entry(name)((index, Z, W, 50))
    for mine, theirs in zip(found, other, strict=True):
        assert np.array_equal(mine, theirs)


def evaluate_arguments():
    data = bl.load_dataset("sleepstudy")
    from bayeslmm.gram.gram import gram_of

    plan = gram_of(bl.build_design(recorded.SLOPES, data)).plan
    lam = np.array([1.0, 0.0, 0.1, 0.3])
    return plan.ints, plan.floats, lam, 25.0, np.zeros(2), np.zeros((2, 2)), 0, True


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


DAMAGE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "empty": lambda path: path.write_bytes(b""),
    "flipped": flip,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_code_is_refused(copied, damage):
    DAMAGE[damage](code_of(copied))
    with pytest.raises(UnusableError, match=r"is not as it was built|cannot be read"):
        load(copied)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 0}', '{"format": 2}'])
def test_damaged_tables_are_refused(copied, content):
    table_of(copied).write_text(content)
    with pytest.raises(UnusableError, match=r"cannot be read|is of format 0"):
        load(copied)


def test_code_that_cannot_be_loaded_is_refused(copied):
    code_of(copied).write_bytes(b"no library")
    table = json.loads(table_of(copied).read_text())
    core_of(table)[1] = library_file.digest(b"no library")
    table_of(copied).write_text(json.dumps(table))
    with pytest.raises(UnusableError, match="cannot be loaded"):
        load(copied)


def test_code_of_other_sources_is_never_loaded(copied):
    with pytest.raises(UnusableError, match="sources are not those"):
        load(copied, fingerprint="01234567")
    for path in copied.iterdir():
        path.rename(copied / path.name.replace(stem(), f"{stem()[:8]}-other-machine"))
    with pytest.raises(UnusableError, match="no machine code came with this copy for"):
        load(copied)


SAYING = """
import sys
from bayeslmm.kernels.compiler import library
from pathlib import Path
library.BUILT = Path(sys.argv[1])
from bayeslmm.kernels.sums import sum_by_level, sum_pairs
import numpy as np
for kernel in (sum_by_level, sum_pairs):
    kernel(np.zeros(2, np.int64), np.ones((2, 1)), np.ones((2, 1)), 1)
print(sum_by_level.shipped)
"""


def test_damaged_code_is_replaced_by_compiling_and_that_is_said_once(copied, tmp_path):
    flip(code_of(copied))
    run = subprocess.run(  # noqa: S603 -- this very interpreter
        [sys.executable, "-c", SAYING, str(copied)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), COMPILE: ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stdout.strip() == "None"
    (line,) = run.stderr.splitlines()
    assert line.startswith("Compiling the numerical core")
    assert "is not as it was built" in line


def test_whoever_asks_to_compile_compiles(monkeypatch, caplog):
    monkeypatch.setenv(COMPILE, "1")
    library_file._find.cache_clear()
    library_file.library.cache_clear()
    library_file.tell_why_compiled.cache_clear()
    try:
        assert library_file.library() is None
        with caplog.at_level(logging.WARNING):
            library_file.tell_why_compiled()
            library_file.tell_why_compiled()
        assert [COMPILE in record.message for record in caplog.records] == [True]
    finally:
        monkeypatch.undo()
        for cached in (library_file._find, library_file.library, library_file.tell_why_compiled):
            cached.cache_clear()


def test_arguments_of_other_types_are_left_to_the_compiler(built):
    entry = load(built).entry(evaluate.name)
    good = evaluate_arguments()
    assert entry(good) is not NotImplemented
    other = {
        0: good[0].astype(np.int32),
        1: good[1][::2],
        2: good[2][None],
        5: np.asfortranarray(np.ones((2, 3)))[:, :2],
        6: 0.5,
        7: None,
    }
    for at, value in other.items():
        assert entry((*good[:at], value, *good[at + 1 :])) is NotImplemented, at
    assert entry(good[:-1]) is NotImplemented
    assert entry((*good, 1)) is NotImplemented


def test_arrays_of_any_size_come_back(built):
    entry = load(built).entry("bayeslmm.kernels.sums:sum_by_level")
    for m in (1, 50, 5000):
        index, Z = np.arange(m), np.random.default_rng(m).normal(size=(m, 2))
        within, beside = entry((index, Z, Z[:, :1].copy(), m))
        assert np.array_equal(within, Z[:, :, None] * Z[:, None])
        assert np.array_equal(beside[:, :, 0], Z * Z[:, :1])
        within[:] = 0.0  # it is ours


def test_want_of_memory_is_told(built):
    entry = load(built).entry("bayeslmm.kernels.sums:sum_by_level")
    one = np.ones((1, 1))
    with pytest.raises(MemoryError):
        entry((np.zeros(0, np.int64), one, one, 2**45))


def test_routines_are_where_numba_finds_them():
    from numba.extending import get_cython_function_address

    for routine, (module, _) in ROUTINES.items():
        found = get_cython_function_address(f"scipy.linalg.cython_{module}", routine)
        assert address_of(routine) == found


def test_arrays_are_read_by_numpys_record_or_not_at_all(monkeypatch, built):
    assert words.records_are_as_expected()
    monkeypatch.setattr(words, "HEAD", words.HEAD + 8)
    assert not words.records_are_as_expected()
    with pytest.raises(UnusableError, match="keeps arrays otherwise"):
        load(built)
