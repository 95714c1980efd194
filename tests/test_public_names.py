import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bayeslmm

HEAVY = {"pymc", "pytensor", "arviz", "nutpie", "numba", "matplotlib"}


def run(code):
    done = subprocess.run(  # noqa: S603 -- our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def type_checking_imports():
    tree = ast.parse(Path(bayeslmm.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {
        name.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


def test_the_three_lists_of_names_agree():
    listed = {name: f"bayeslmm.{module}" for name, module in bayeslmm._MODULES.items()}
    assert listed == type_checking_imports()
    assert sorted([*listed, "__version__"]) == sorted(bayeslmm.__all__)


@pytest.mark.parametrize("name", bayeslmm.__all__)
def test_every_public_name_exists_and_is_documented(name):
    value = getattr(bayeslmm, name)
    assert value.__doc__
    assert name in dir(bayeslmm)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'fit_bays'"):
        _ = bayeslmm.fit_bays


def test_importing_the_package_takes_well_under_a_second():
    seconds, *heavy = run(
        "import sys, time; start = time.perf_counter(); import bayeslmm;"
        f"print(time.perf_counter() - start, *({HEAVY!r} & set(sys.modules)))"
    )
    assert heavy == []
    # The package's promise. PyMC alone takes several seconds, so any leak of it would show, while
    # the import itself takes milliseconds even on a busy machine.
    assert float(seconds) < 1


def test_reading_a_table_and_a_model_file_loads_nothing_heavy(tmp_path):
    path = tmp_path / "rail.toml"
    path.write_text('formula = "travel ~ 1 + (1 | Rail)"\ndata = { bundled = "rail" }')
    heavy = run(
        f"import sys, bayeslmm; bayeslmm.read_spec({str(path)!r}).data.load();"
        f"print(*({HEAVY!r} & set(sys.modules)))"
    )
    assert heavy == []


def test_a_submodule_does_not_hide_the_public_name_that_it_shares():
    folder = Path(bayeslmm.__file__).parent
    shared = sorted({path.stem for path in folder.glob("*.py")} & set(bayeslmm.__all__))
    assert "predict" in shared
    # A process of its own: here the functions may have been asked for before.
    kinds = run(
        "import importlib, bayeslmm\n"
        f"for name in {shared!r}:\n"
        "    importlib.import_module(f'bayeslmm.{name}')\n"
        "    print(type(getattr(bayeslmm, name)).__name__)"
    )
    assert kinds == ["function"] * len(shared)
