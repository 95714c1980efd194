"""Wheel and source distribution: built from a clean clone, installed in bare environments, fitted.

Slow: every Python of the machine gets an environment that holds what the wheel asks for alone.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSIONS = ("3.12", "3.13", "3.14")
LOWEST = PROJECT["requires-python"].removeprefix(">=")

# Prints the package's place and whether Numba's compiler was loaded before the last fit.
FIT = """
import sys, bayeslmm as bl
formula, data = "Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy")
bl.fit_reml(formula, data)
for sampler in ("importance", "nutpie"):
    tree = bl.fit_bayes(formula, data, parametrization="marginal", sampler=sampler, draws=50,
                        tune=100, chains=2, random_seed=1, progressbar=False)
for sampler in ("quadrature", "laplace_chain"):
    bl.fit_bayes("incidence ~ 1 + (1 | herd)", bl.load_dataset("cbpp"), family="binomial",
                 trials="size", sampler=sampler, draws=50, random_seed=1, progressbar=False)
print(bl.__file__)
print("numba" in sys.modules)
"""
# What needs more: a PyMC model, tables, pictures, files.
MORE = """
bl.fit_bayes("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), draws=50, tune=100, chains=2,
             parametrization="noncentered", sampler="nutpie", random_seed=1, progressbar=False)
bl.summary(tree), bl.loo(tree), bl.plot_caterpillar(tree)
tree.to_netcdf("tree.nc"), tree.to_zarr("tree.zarr")
"""


def run(*command, **settings):
    own = {"BAYESLMM_COMPILE", "PYTHONPATH"}
    environment = {key: value for key, value in os.environ.items() if key not in own}
    environment |= settings.pop("env", {})
    done = subprocess.run(  # noqa: S603 -- our own commands
        [str(word) for word in command],
        capture_output=True, text=True, check=False, env=environment, **settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def interpreter(version):
    """The path of a Python of this version that runs, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [sys.executable, f"python{version}", *pyenv.glob(f"{version}.*/bin/python")]
    say = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in map(str, found):
        if not shutil.which(path):
            continue
        said = subprocess.run([path, "-c", say], capture_output=True, text=True, check=False)  # noqa: S603
        if said.stdout.strip() == version:
            return path
    return None


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Paths of wheel and source distribution, from a clone of what is committed."""
    folder = tmp_path_factory.mktemp("distributions")
    run("git", "clone", "--quiet", ROOT, folder / "clone")
    run(sys.executable, "-m", "venv", folder / "builder")
    builder = folder / "builder" / "bin" / "python"
    run(builder, "-m", "pip", "install", "--quiet", "build")
    # The wheel is built from the source distribution.
    run(builder, "-m", "build", "--outdir", folder, folder / "clone")
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def installed(folder, version, wheel, constraints):
    """A bare environment of a Python of this version with the wheel in it."""
    path = interpreter(version)
    if path is None:
        pytest.skip(f"there is no Python {version} on this machine")
    run(path, "-m", "venv", folder / "environment")
    python = folder / "environment" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, wheel)
    return python


def test_the_lowest_versions_are_those_that_are_promised():
    bounds = {}
    for text in PROJECT["dependencies"]:
        name, bound = re.fullmatch(r"([\w-]+)>=([\d.]+)(?:,<.*)?", text).groups()
        bounds[name] = bound
    lines = (ROOT / "lowest.txt").read_text("utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert list(pinned) == list(bounds)
    for name, bound in bounds.items():
        # No version lies between: 2.0 and 2.0.0 are one, and a post-release is its release.
        release = re.sub(r"(\.0|\.post\d+)+$", "", pinned[name])
        assert release == re.sub(r"(\.0)+$", "", bound), name


@pytest.mark.slow
def test_both_distributions_hold_what_they_should(built):
    wheel, source = built
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    # A table, the core, and response families at least once.
    assert sum("compiler/built/" in name for name in names) >= 3
    assert {name.split("/")[0] for name in names} == {
        "bayeslmm", f"bayeslmm-{wheel.name.split('-')[1]}.dist-info",
    }  # fmt: skip
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "hatch_build.py", "README.md", "CITATION.cff"} <= inside
    assert not any("compiler/built/" in name for name in inside)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_wheel_fits_without_compiling(version, built, tmp_path):
    python = installed(tmp_path, version, built[0], ROOT / "constraints.txt")
    cache = tmp_path / "cache"
    said = run(python, "-W", "ignore", "-c", FIT, cwd=tmp_path, env={"NUMBA_CACHE_DIR": str(cache)})
    where, compiled = said.split()
    assert Path(where).is_relative_to(tmp_path / "environment")
    assert compiled == "False"
    assert not list(cache.rglob("*.nbi"))
    shown = run(python.with_name("bayeslmm"), "--version", cwd=tmp_path)
    assert PROJECT["name"] in shown


@pytest.mark.slow
def test_a_wheel_fits_with_the_lowest_versions(built, tmp_path):
    python = installed(tmp_path, LOWEST, built[0], ROOT / "lowest.txt")
    cache = str(tmp_path / "cache")
    run(python, "-W", "ignore", "-c", FIT + MORE, cwd=tmp_path, env={"NUMBA_CACHE_DIR": cache})
