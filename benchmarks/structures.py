"""Residual structures at size: REML, and a value with its gradient, of AR(1) at a million rows.

python benchmarks/structures.py             # a minute
"""

import time
import warnings

import numpy as np
import pandas as pd

import bayeslmm as bl
from bayeslmm.gram.gram import gram_of
from bayeslmm.kernels.densities import DENSITY, evaluate
from bayeslmm.kernels.structured.density import structured_density
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.model.residual.of_design import structured_residuals


def series(subjects, times):
    """AR(1) series with a random intercept and a covariate."""
    rng = np.random.default_rng(0)
    n = subjects * times
    e = np.empty((subjects, times))
    e[:, 0] = rng.normal(size=subjects)
    for k in range(1, times):
        e[:, k] = 0.6 * e[:, k - 1] + 0.8 * rng.normal(size=subjects)
    x = rng.normal(size=n)
    level = np.repeat(rng.normal(size=subjects) * 0.7, times)
    return pd.DataFrame(
        {
            "s": pd.Categorical(np.repeat(np.arange(subjects), times).astype(str)),
            "t": np.tile(np.arange(times), subjects),
            "x": x,
            "y": 1.0 + 0.5 * x + level + e.ravel(),
        }
    )


def size():
    """A value with its gradient at 10^6 rows beside that of independent residuals; and REML."""
    table, formula = series(10_000, 100), "y ~ x + (x | s)"
    plain = gram_of(bl.build_design(formula, table))
    design = bl.build_design(formula, table, residual="ar1(t | s)")
    products = products_of(design, structured_residuals(design.residual))
    lam, flat, phi = np.array([0.7, 0.0, 0.1, 0.3]), (np.zeros(2), np.zeros((2, 2))), [1.0, 0.6]
    phi = np.array(phi)

    def independent():
        evaluate(plain.plan.ints, plain.plan.floats, lam, 1.0, *flat, DENSITY, True)

    def structured():
        found = structured_density(
            products.plan.ints, products.floats(phi), lam, np.zeros(0), *flat, DENSITY
        )
        products.pull_back(phi, found[2])

    times = {}
    for name, function in (("independent", independent), ("AR(1)", structured)):
        function()
        started = time.process_time()
        for _ in range(20):
            function()
        times[name] = (time.process_time() - started) / 20
    ratio = times["AR(1)"] / times["independent"]
    print(f"\n10^6 rows: {times['AR(1)']:.4f} s a value and gradient, {ratio:.2f} x independent")
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bl.fit_reml("y ~ x + (1 | s)", table, residual="ar1(t | s)")
    print(f"REML with reading, coding and summing: {time.process_time() - started:.1f} CPU s")


if __name__ == "__main__":
    size()
