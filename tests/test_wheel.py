"""A wheel holds the core's machine code, and fits at once where nothing was ever compiled."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FIT = """
import sys, bayeslmm as bl
formula, data = "Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy")
bl.fit_reml(formula, data)
for sampler in ("importance", "nutpie"):
    bl.fit_bayes(formula, data, parametrization="marginal", sampler=sampler, draws=50, tune=100,
                 chains=2, random_seed=1, progressbar=False)
for sampler in ("quadrature", "laplace_chain"):
    bl.fit_bayes("incidence ~ 1 + (1 | herd)", bl.load_dataset("cbpp"), family="binomial",
                 trials="size", sampler=sampler, draws=50, random_seed=1, progressbar=False)
print(bl.__file__)
print("bayeslmm.kernels.compiler.dispatchers" in sys.modules)
"""


@pytest.mark.slow
def test_a_wheel_fits_without_compiling(tmp_path):
    made = subprocess.run(  # noqa: S603 -- this very interpreter
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path),
         str(ROOT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert "-py3-none-" in wheel.name
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(installed)
    # A table, the core, and response families at least once.
    assert sum("compiler/built/" in name for name in names) >= 3
    # Outside the checkout, with the packages that it needs.
    run = subprocess.run(  # noqa: S603 -- this very interpreter
        [sys.executable, "-W", "ignore", "-c", FIT],
        cwd=tmp_path,
        env={
            **{key: value for key, value in os.environ.items() if key != "BAYESLMM_COMPILE"},
            "PYTHONPATH": str(installed), "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    where, compiled = run.stdout.split()
    assert Path(where).is_relative_to(installed)
    assert compiled == "False"
    assert not list((tmp_path / "cache").rglob("*.nbi"))
