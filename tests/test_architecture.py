"""The package's shape: which wing may import which, sizes, and what must not stand in any file."""

import ast
import graphlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bayeslmm"

# What stands open to all; it imports nothing of the package but itself.
GROUND = {"arguments", "errors", "names", "arrays", "resources", "version"}
# What a wing may import beside itself and the ground: types and imports inside functions count.
MAY_IMPORT = {
    "formula": "",
    "tables": "",
    "kernels": "",
    "families": "",
    "relationships": "",
    "design": "formula tables families relationships",
    "gram": "formula tables kernels families design relationships",
    "model": "formula kernels families design gram",
    "reml": "formula kernels families relationships design gram model",
    "results": "families relationships design gram model",
    "inference": "formula kernels families relationships design gram model reml results",
    "analysis": "formula tables families relationships design gram model reml results",
    "studies": "formula tables families relationships design gram model results inference analysis",
    "plots": "families design model reml results analysis studies",
    "cli": "design results inference analysis studies",
}
# The doors: what users call imports what it needs.
DOORS = {"__init__", "build_core", "warm"}
# Each foreign library has its rooms.
ROOMS_OF = {
    "pymc": "inference",
    "pymc_extras": "inference",
    "pytensor": "inference",
    "nutpie": "inference",
    "numba": "kernels inference",
    "llvmlite": "kernels",
    "threadpoolctl": "resources",
    "wrapt": "inference",
    "formulaic": "formula design",
    "narwhals": "tables",
    "pyarrow": "tables",
    "dask": "tables",
    "pyspark": "tables",
    "arviz": "analysis plots",
    "arviz_base": "inference",
    "arviz_stats": "results inference",
    "arviz_plots": "plots",
    "matplotlib": "plots cli",
    "typer": "cli",
    "rich": "cli inference gram studies",
    "joblib": "studies",
    "lazy_loader": "__init__",
}

SOURCES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted({path.parent for path in SOURCES} - {PACKAGE})
CODE = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted(ROOT.glob("benchmarks/**/*.py"))]


def named(path):
    return str(path.relative_to(ROOT))


def wing_of(path):
    """The folder at the top, or the file's name where it stands at the top itself."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Absolute names of everything that a file imports, also for types only or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)}:{node.lineno} imports relatively"
            # `from package import file` imports the file.
            folder = ROOT.joinpath(*node.module.split("."))
            for name in node.names:
                is_file = (folder / f"{name.name}.py").exists()
                yield f"{node.module}.{name.name}" if is_file else node.module


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_wing_imports_what_it_may(path):
    wing = wing_of(path)
    if wing in DOORS:
        return
    assert wing in GROUND or wing in MAY_IMPORT, f"{wing} has no row in MAY_IMPORT yet"
    allowed = GROUND | {wing} | set(MAY_IMPORT.get(wing, "").split())
    if wing == "cli":
        allowed |= {""}  # the front door, as users do
    for imported in imports(path):
        top, _, rest = imported.partition(".")
        if top == "bayeslmm":
            assert rest.split(".")[0] in allowed, f"{named(path)} may not import {imported}"


def test_no_permission_is_unused():
    # Who needs a wing no longer gives the permission back.
    used = {wing: set() for wing in MAY_IMPORT}
    for path in SOURCES:
        if (wing := wing_of(path)) in MAY_IMPORT:
            used[wing] |= {name.split(".")[1] for name in imports(path) if "bayeslmm." in name}
    for wing, allowed in MAY_IMPORT.items():
        assert set(allowed.split()) <= used[wing], wing


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_foreign_libraries_stay_in_their_rooms(path):
    for imported in imports(path):
        library = imported.partition(".")[0]
        assert library not in {"models", "notebooks", "tests", "benchmarks"}
        if library in ROOMS_OF:
            assert wing_of(path) in ROOMS_OF[library].split(), f"{named(path)} imports {library}"


def test_no_files_import_each_other_in_a_circle():
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
    edges = {
        module: {name for name in imports(path) if name in modules and name != module}
        for module, path in modules.items()
    }
    graphlib.TopologicalSorter(edges).prepare()


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_a_folder_has_a_signpost(folder):
    tree = ast.parse((folder / "__init__.py").read_text())
    assert len(tree.body) == 1, "a folder's __init__ holds its signpost only"
    listed = re.findall(r"^- ``([\w/]+)``: \S", ast.get_docstring(tree), re.MULTILINE)
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    folders = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    assert sorted(listed) == sorted(files | folders)
    assert len(listed) <= 20, "split the folder before the next topic moves in"


@pytest.mark.parametrize("path", CODE, ids=named)
def test_files_and_functions_are_small_rooms(path):
    text = path.read_text()
    assert text.count("\n") <= 400, "split it before the second topic moves in"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1 if ast.get_docstring(node) and len(node.body) > 1 else 0]
            # The docstring is a contract, not code; the signature counts.
            documented = first.lineno - node.body[0].lineno
            length = node.end_lineno - node.lineno + 1 - documented
            assert length <= 80, f"{node.name} has {length} lines"


def tracked_files():
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 -- whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files are the project's")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_holds_an_absolute_path_or_a_registry_address():
    # Assembled from parts, so that this file does not hold what it looks for.
    registries = ["pypi" + ".org", "python" + "hosted", "npm" + "js", "deb." + "debian"]
    homes = r"(?<![\w.])/(?:work|root|home|Users|tmp)/\w|[A-Z]:\\\\?Users"
    found = re.compile("|".join([*map(re.escape, registries), homes]))
    for path in tracked_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # pictures and compressed tables
        for number, line in enumerate(text.splitlines(), 1):
            assert not found.search(line), f"{named(path)}:{number}: {line.strip()[:120]}"
