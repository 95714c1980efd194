"""What the first call of a process loads: nothing that it does not need."""

import os
import subprocess
import sys

import pytest

from bayeslmm.kernels.compiler.library import BUILT, COMPILE, stem

GRAPHS = {"pymc", "pytensor"}
PICTURES = {"matplotlib", "arviz", "arviz_plots"}
COMPILERS = {"numba", "llvmlite"}  # where machine code was built
# dask, where it is installed, is xarray's own wish.
TREES = {"xarray", "arviz_base", "arviz_stats", "dask", "netCDF4", "zarr", "nutpie"}
# `scipy.stats` is half a second, with what it imports itself.
STATISTICS = {"scipy.stats", "scipy.interpolate", "scipy.signal"}
PARTS = {*STATISTICS, "scipy.optimize", "scipy.spatial"}
SHOWN = {"rich", "IPython", "typer"}
REML = {*GRAPHS, *PICTURES, *COMPILERS, *TREES, *PARTS, *SHOWN}
# A posterior's tree is xarray's; nutpie makes one with `arviz_base`, and convergence is judged by
# the numbers of `arviz_stats`, which loads SciPy's statistics.
POSTERIOR = {*GRAPHS, *PICTURES, *COMPILERS, *SHOWN, "netCDF4", "zarr"}

FIT = "import bayeslmm as bl; bl.{}('{}', bl.load_dataset('{}'){})".format
DYESTUFF = ("Yield ~ 1 + (1 | Batch)", "dyestuff")
SLEEPSTUDY = ("Reaction ~ Days + (Days | Subject)", "sleepstudy")
QUIET = ", parametrization='marginal', draws=100, random_seed=1, progressbar=False"
# What is called, and what that must not load.
CALLS = {
    "import": ("import bayeslmm", {*REML, "numpy", "scipy", "pandas", "narwhals", "formulaic"}),
    "import of fits": ("from bayeslmm import fit_bayes, fit_reml", REML),
    "REML": (FIT("fit_reml", *SLEEPSTUDY, ""), REML),
    "REML of correlated residuals": (
        FIT("fit_reml", "follicles ~ 1", "ovary", ", residual='ar1(step | Mare)'"), REML,
    ),
    "importance": (
        FIT("fit_bayes", *DYESTUFF, f", sampler='importance'{QUIET}"),
        {*POSTERIOR, "nutpie"},
    ),
    "NUTS": (
        FIT("fit_bayes", *DYESTUFF, f", sampler='nutpie', tune=200, chains=2{QUIET}"), POSTERIOR,
    ),
    "quadrature": (
        FIT(
            "fit_bayes", "use01 ~ age + (1 | district)", "contraception",
            f", family='bernoulli'{QUIET}",
        ),
        {*POSTERIOR, "nutpie"},
    ),
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
