"""Marginal against non-centered, both in one run: effective draws per second, gradients, InstEval.

    python benchmarks/parametrizations.py                      # everything, some 20 minutes
    python benchmarks/parametrizations.py models exam          # one part, models by name
    python benchmarks/parametrizations.py gradient insteval    # other parts

The machine is seldom quiet: ratios, measured within minutes of each other, are worth more than
seconds, and processor seconds more than the clock's. Every model is compiled by a short run first;
compilation is not counted.
"""

import os
import sys
import time
import warnings
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd

import bayeslmm as bl
from bayeslmm.design.build import build_design
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import draw_effects
from bayeslmm.kernels.densities import DENSITY, evaluate
from bayeslmm.kernels.linked_density import linked_density
from bayeslmm.model.covariance.compiled import covariance_table
from bayeslmm.model.priors.fixed_effects import normal_prior
from bayeslmm.model.priors.resolve import resolve_priors
from bayeslmm.resources import single_blas_thread

INSTEVAL = Path(__file__).parent.parent / "tests" / "reference" / "data" / "InstEval.csv.gz"
MODELS = {
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    "mathachieve": ("mathachieve", "MathAch ~ MEANSES + Sector + cses + (cses | School)"),
    "exam": ("exam", "normexam ~ standLRT + (standLRT | school)"),
    "pastes": ("pastes", "strength ~ 1 + (1 | batch / cask)"),
    "penicillin": ("penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "machines": ("machines", "score ~ Machine + (Machine | Worker)"),
}
BOTH = ("noncentered", "marginal")


def parameters(tree):
    """All draws of beta, sd, corr (each once) and sigma by name, each of shape (chain, draw)."""
    posterior, out = tree["posterior"].to_dataset(), {}
    for name, array in posterior.data_vars.items():
        if name.startswith("b_"):
            continue
        values = array.to_numpy()
        if name.startswith("corr_"):
            values = values[(..., *np.tril_indices(values.shape[-1], -1))]
        flat = values.reshape(*values.shape[:2], -1)
        out |= {f"{name}[{k}]": flat[..., k] for k in range(flat.shape[-1])}
    return out


def fit(formula, table, parametrization, **settings):
    """Fit without progress; bad draws are reported by the tables, not by warnings."""
    settings = {
        "random_seed": 1,
        "progressbar": False,
        "parametrization": parametrization,
    } | settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.SamplingWarning)
        return bl.fit_bayes(formula, table, **settings)


def largest_difference(one, other):
    """Largest difference between two fits' means, in combined Monte Carlo standard errors."""
    return max(
        abs(a.mean() - b.mean()) / np.hypot(float(az.mcse(a)), float(az.mcse(b)))
        for a, b in zip(parameters(one).values(), parameters(other).values(), strict=True)
    )


def measure(formula, table, parametrization):
    """Compile by a short run, then time a run at the default settings."""
    short = fit(formula, table, parametrization, draws=20, tune=20, chains=1)
    started, cpu = time.perf_counter(), time.process_time()
    tree = fit(formula, table, parametrization)
    call, cpu = time.perf_counter() - started, time.process_time() - cpu
    stats = tree["sample_stats"]
    ess = min(float(az.ess(draws)) for draws in parameters(tree).values())
    seconds = stats.attrs["sampling_time"]
    return tree, {
        "min ESS": ess,
        "sampling s": seconds,
        "ESS / s": ess / seconds,
        "call s": call,
        "call CPU s": cpu,
        "steps": float(stats["n_steps"].mean()),
        "divergences": int(stats["diverging"].sum()),
        "compile s": short["sample_stats"].attrs["compile_time"],
    }


def compare_models(names):
    """4 x (1000 + 1000) draws of each model both ways."""
    for name, (dataset, formula) in MODELS.items():
        if names and name not in names:
            continue
        table, rows, trees = bl.load_dataset(dataset), {}, {}
        for parametrization in BOTH:
            trees[parametrization], rows[parametrization] = measure(formula, table, parametrization)
        ours, theirs = rows["marginal"], rows["noncentered"]
        ratio = ours["ESS / s"] / theirs["ESS / s"]
        by_cpu = ours["min ESS"] / ours["call CPU s"] / (theirs["min ESS"] / theirs["call CPU s"])
        print(f"\n{name}: {formula}   (load {os.getloadavg()[0]:.1f})")
        show(rows)
        print(
            f"effective draws per second of sampling, marginal / non-centered: {ratio:.1f}; per "
            f"processor second of the whole call: {by_cpu:.1f}; means differ by at most "
            f"{largest_difference(trees['marginal'], trees['noncentered']):.1f} MCSE"
        )


def show(rows):
    with pd.option_context("display.width", 160, "display.float_format", "{:.4g}".format):
        print(pd.DataFrame(rows).T.to_string(), flush=True)


def gram_of(rows, levels, seed):
    """The Gram of simulated rows, summed over batches as for data that do not fit in memory."""
    rng, total, effects = np.random.default_rng(seed), None, None
    batch = min(rows, 1_000_000)
    for _ in range(rows // batch):
        g, x = rng.permutation(np.arange(batch) % levels), rng.normal(5.0, 1.0, batch)
        if effects is None:
            effects = rng.normal(size=(levels, 2)) @ np.array([[1.0, 0.3], [0.0, 0.5]])
        y = 1.0 + 2.0 * x + effects[g, 0] + effects[g, 1] * x + rng.normal(0, 2.0, batch)
        design = build_design("y ~ x + (x | g)", {"y": y, "x": x, "g": g.astype(str)})
        gram = Gram.from_design(design)
        total = gram if total is None else total + gram
    return design, total


def gradient_call(design, gram, sds, partials, sigma):
    """The collapsed density with its gradient as NUTS calls it, arguments bound."""
    priors = resolve_priors(design)
    mean, precision = normal_prior(priors)
    table = covariance_table(factor.covariance for factor in priors.factors)
    plan, none = gram.plan, np.zeros(0)
    return lambda: linked_density(
        plan.ints, plan.floats, table, sds, partials, sigma, none, mean, precision
    )


def best_cpu(calls, repeats, count):
    """Least processor seconds per call of each function, measured by turns."""
    best = [np.inf] * len(calls)
    with single_blas_thread():
        for _ in range(repeats):
            for k, call in enumerate(calls):
                call()
                started = time.process_time()
                for _ in range(count):
                    call()
                best[k] = min(best[k], (time.process_time() - started) / count)
    return best


def compare_rows(levels=1000):
    """Time per gradient of one model with the same levels and a hundred times the rows."""
    calls = []
    for rows in (100_000, 10_000_000):
        design, gram = gram_of(rows, levels, 1)
        point = np.array([1.0, 0.6]), np.array([0.5]), 2.0
        calls.append(gradient_call(design, gram, *point))
    few, many = best_cpu(calls, repeats=15, count=50)
    print(
        f"\nGradient, {levels} levels, correlated slope: 1e5 rows {1e6 * few:.0f} us, "
        f"1e7 rows {1e6 * many:.0f} us, ratio {many / few:.3f}",
        flush=True,
    )


def time_insteval(design, gram):
    """Value, value with gradient, and recovery of all effects, on one core."""
    sds, sigma = np.array([0.32, 0.51]), 1.18
    mean, precision = normal_prior(resolve_priors(design))
    lam, plan = sds / sigma, gram.plan
    value, gradient = best_cpu(
        [
            lambda: evaluate(
                plan.ints, plan.floats, lam, sigma, mean, precision, DENSITY, False
            ),
            gradient_call(design, gram, sds, np.zeros(0), sigma),
        ],
        repeats=7,
        count=5,
    )  # fmt: skip
    rng, draws = np.random.default_rng(1), 20
    # Equal points would share one factorization.
    points = lam * rng.uniform(0.9, 1.1, (draws, 2))
    (recovery,) = best_cpu(
        [lambda: draw_effects(gram, points, np.full(draws, sigma), rng, precision, mean)],
        repeats=3,
        count=1,
    )
    print(
        f"\nInstEval, {plan.n_columns} effects, border {plan.n_border}: value {1e3 * value:.0f} ms,"
        f" with gradient {1e3 * gradient:.0f} ms, effects {1e3 * recovery / draws:.0f} ms a draw",
        flush=True,
    )


def check_insteval(tune=300, draws=200, chains=2):
    """Timings, and a short run against the non-centered model."""
    table = pd.read_csv(INSTEVAL, dtype={"s": str, "d": str})
    formula = "y ~ 1 + (1 | s) + (1 | d)"
    design = build_design(formula, table)
    time_insteval(design, Gram.from_design(design))
    rows, trees = {}, {}
    for parametrization in BOTH:
        trees[parametrization] = tree = fit(
            formula, table, parametrization, tune=tune, draws=draws, chains=chains
        )
        stats, drawn = tree["sample_stats"], parameters(tree)
        ess = min(float(az.ess(values)) for values in drawn.values())
        seconds = stats.attrs["sampling_time"]
        rows[parametrization] = {
            **{name: f"{v.mean():.4f} +- {float(az.mcse(v)):.4f}" for name, v in drawn.items()},
            "min ESS": f"{ess:.0f}",
            "sampling s": f"{seconds:.0f}",
            "ESS / s": f"{ess / seconds:.2f}",
            "steps": f"{float(stats['n_steps'].mean()):.1f}",
            "divergences": int(stats["diverging"].sum()),
        }
    print(f"{formula}, {chains} x ({tune} + {draws}), means with their Monte Carlo errors:")
    show(rows)
    effects = [largest_effect_difference(trees, name) for name in ("b_s", "b_d")]
    print(
        f"largest difference of means {largest_difference(*trees.values()):.1f} MCSE; of the "
        f"{len(np.concatenate(effects))} effects' means: root mean square "
        f"{np.sqrt(np.mean(np.concatenate(effects) ** 2)):.2f} MCSE, largest "
        f"{np.max(np.concatenate(effects)):.1f}"
    )


def largest_effect_difference(trees, name):
    """Differences of all effects' means, in combined Monte Carlo standard errors."""
    one, other = (tree["posterior"][name] for tree in trees.values())
    error = np.hypot(az.mcse(one).to_numpy(), az.mcse(other).to_numpy())
    away = one.mean(("chain", "draw")).to_numpy() - other.mean(("chain", "draw")).to_numpy()
    return np.abs(away / error).ravel()


def main(words):
    parts = [word for word in words if word in {"models", "gradient", "insteval"}]
    names = [word for word in words if word in MODELS]
    parts = parts or (["models"] if names else ["models", "gradient", "insteval"])
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores")
    if "models" in parts:
        compare_models(names)
    if "gradient" in parts:
        compare_rows()
    if "insteval" in parts:
        check_insteval()


if __name__ == "__main__":
    main(sys.argv[1:])
