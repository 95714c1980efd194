"""What the first call of a process loads: nothing that it does not need."""

import os
import subprocess
import sys

import pytest

from bayeslmm.kernels.compiler.library import BUILT, COMPILE, stem

GRAPHS = {"pymc", "pytensor"}
PICTURES = {"matplotlib", "arviz", "arviz_plots"}
COMPILERS = {"numba", "llvmlite"}  # where machine code was built
TREES = {"xarray", "arviz_base", "arviz_stats", "dask", "netCDF4", "zarr", "nutpie"}
# `scipy.stats` is half a second, with what it imports itself.
PARTS = {"scipy.stats", "scipy.optimize", "scipy.interpolate", "scipy.signal", "scipy.spatial"}
REML = {*GRAPHS, *PICTURES, *COMPILERS, *TREES, *PARTS, "rich.progress", "typer"}

FIT = "import bayeslmm as bl; bl.{}('{}', bl.load_dataset('{}'){})".format
DYESTUFF = ("Yield ~ 1 + (1 | Batch)", "dyestuff")
QUIET = ", parametrization='marginal', draws=100, random_seed=1, progressbar=False"
# What is called, and what that must not load.
CALLS = {
    "import": ("import bayeslmm", {*REML, "numpy", "scipy", "pandas", "narwhals", "formulaic"}),
    "REML": (FIT("fit_reml", *DYESTUFF, ""), REML),
    "REML of correlated residuals": (
        FIT("fit_reml", "follicles ~ 1", "ovary", ", residual='ar1(step | Mare)'"), REML,
    ),
    # Its diagnostics are `arviz_stats`, which imports those parts of SciPy.
    "importance": (
        FIT("fit_bayes", *DYESTUFF, f", sampler='importance'{QUIET}"),
        {*GRAPHS, *PICTURES, *COMPILERS, "nutpie"},
    ),
    # nutpie imports ArviZ with its plots, and Numba.
    "NUTS": (FIT("fit_bayes", *DYESTUFF, f", sampler='nutpie', tune=200, chains=2{QUIET}"), GRAPHS),
}  # fmt: skip


@pytest.mark.parametrize(("code", "unneeded"), CALLS.values(), ids=CALLS)
def test_a_call_loads_nothing_that_it_does_not_need(code, unneeded):
    if os.environ.get(COMPILE) or not (BUILT / f"{stem()}.json").exists():
        unneeded = unneeded - COMPILERS
    done = subprocess.run(  # noqa: S603 -- this very interpreter
        [sys.executable, "-W", "ignore", "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert sorted(unneeded & set(done.stdout.split())) == []
