import ast
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import bayeslmm

HEAVY = {"pymc", "pytensor", "arviz", "nutpie", "numba", "matplotlib"}


def run(code):
    done = subprocess.run(  # noqa: S603 -- our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_the_names_stand_once_where_they_are_defined():
    # A stub that imports from a file which imports the name itself would hide where it lives.
    folder = Path(bayeslmm.__file__).parent
    listed = []
    for node in ast.parse((folder / "__init__.pyi").read_text()).body:
        assert isinstance(node, ast.ImportFrom)
        tree = ast.parse((folder / f"{node.module.replace('.', '/')}.py").read_text())
        defined = set()
        for item in tree.body:
            if isinstance(item, ast.FunctionDef | ast.ClassDef):
                defined.add(item.name)
            elif isinstance(item, ast.Assign):
                defined |= {
                    part.id
                    for target in item.targets
                    for part in ast.walk(target)
                    if isinstance(part, ast.Name)
                }
        assert {name.name for name in node.names} <= defined, node.module
        listed += [name.name for name in node.names]
    assert sorted(listed) == sorted(bayeslmm.__all__)


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


def test_no_folder_or_file_at_the_top_has_a_public_name():
    # Importing `bayeslmm.predict` the file would hide `bayeslmm.predict` the function.
    folder = Path(bayeslmm.__file__).parent
    assert not {path.stem for path in folder.iterdir()} & set(bayeslmm.__all__)


@pytest.mark.parametrize("name", sorted(bayeslmm._ELSEWHERE))
def test_what_other_packages_call_it_is_told_by_names_that_exist(name):
    assert name not in bayeslmm.__all__
    with pytest.raises(AttributeError, match=f"has no attribute '{name}': here it is ") as raised:
        getattr(bayeslmm, name)
    for told in str(raised.value).split(": here it is ")[1].split(" or "):
        assert callable(getattr(bayeslmm, told))


def test_a_misspelt_name_brings_the_nearest_one():
    with pytest.raises(AttributeError) as raised:
        bayeslmm.fit_bayse  # noqa: B018
    text = "".join(traceback.format_exception(raised.value))
    assert "Did you mean: 'fit_bayes'?" in text
    assert not hasattr(bayeslmm, "__wrapped__")
