"""Residual structures: weighted draws beside NUTS on explicit effects, and REML and values at size.

    python benchmarks/structures.py             # some ten minutes
    python benchmarks/structures.py --only draws

Effective draws are of the worst of fixed effects, standard deviations, correlations and residual
parameters; CPU seconds are of the whole process, of a second fit in it.
"""

import argparse
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
from bayeslmm.results.diagnostics import diagnostics_table

MODELS = {
    "Ovary, AR(1) and (1 | Mare)": (
        "follicles ~ s1 + c1 + (1 | Mare)", "ovary", {"residual": "ar1(step | Mare)"},
    ),
    "Orthodont, sigma by sex": (
        "distance ~ age * Sex + (1 | Subject)", "orthodont", {"sigma": "~ 0 + Sex"},
    ),
    "Orthodont, unstructured": (
        "distance ~ age * Sex", "orthodont", {"residual": "us(age | Subject)"},
    ),
    "Dialyzer, sigma ~ log(pressure)": (
        "rate ~ poly(pressure, 4) * QB + (1 | Subject)", "dialyzer", {"sigma": "~ log(pressure)"},
    ),
    "BCG, known standard errors": ("yi ~ ablat + (1 | trial)", "bcg", {"se": "sei"}),
}  # fmt: skip


def worst(tree):
    """Effective draws of the worst parameter: what weights say, or bulk and tail of a chain."""
    attrs = tree.sample_stats.attrs
    if "ess_draws" in attrs:
        return float(attrs["ess_draws"])
    table = diagnostics_table(tree, max_effects=0)
    return float(table[["ess_bulk", "ess_tail"]].min(axis=None))


def timed(*args, **kwargs):
    """A second fit in this process: the tree, CPU seconds and seconds."""
    for _ in range(2):
        cpu, wall = time.process_time(), time.perf_counter()
        tree = bl.fit_bayes(*args, random_seed=1, progressbar=False, **kwargs)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return tree, cpu, wall


def draws():
    """Effective draws per CPU second, ours and NUTS's on explicit effects."""
    print("| model | ours: draws, CPU s, s | NUTS: draws, CPU s | ratio |\n|---|---|---|---|")
    for name, (formula, table, given) in MODELS.items():
        data = bl.load_dataset(table)
        tree, cpu, wall = timed(formula, data, **given)
        ours = worst(tree) / cpu
        other, cpu_nuts, _ = timed(
            formula, data, parametrization="noncentered", sampler="nutpie", **given
        )
        theirs = worst(other) / (cpu_nuts - other.sample_stats.attrs["compile_time"])
        print(
            f"| {name} | {worst(tree):.0f}, {cpu:.2f}, {wall:.2f} | {worst(other):.0f}, "
            f"{cpu_nuts:.1f} | {ours / theirs:.0f} |",
            flush=True,
        )


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=["draws", "size"])
    given = parser.parse_args()
    for name, part in (("draws", draws), ("size", size)):
        if given.only in (None, name):
            part()


if __name__ == "__main__":
    main()
