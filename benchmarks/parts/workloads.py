"""What this package is timed at, each in a process of its own: `python workloads.py <name> ...`.

The last line printed is JSON. Every workload is run once on small data first, so that compiled
code is loaded; where that time matters (`import`, `first`), it is what is measured.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

BENCHMARKS = Path(__file__).parent.parent
sys.path[:0] = [str(BENCHMARKS), str(BENCHMARKS.parent)]

CHUNK = 1_000_000


def simulated(n, m, seed=1):
    """A table with a correlated random slope: y, x and m levels of g."""
    rng = np.random.default_rng(seed)
    g, x = rng.integers(m, size=n), rng.normal(5.0, 1.0, size=n)
    factor = np.array([[1.0, 0.0], [0.3, 0.5]])
    b = np.random.default_rng(0).normal(size=(m, 2)) @ factor.T
    y = 1.0 + 2.0 * x + b[g, 0] + b[g, 1] * x + 2.0 * rng.normal(size=n)
    return {"y": y, "x": x, "g": g}


def write_rows(folder, n, m):
    """Write the table as Parquet, a million rows at a time, unless it is there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = Path(folder)
    if not folder.exists():
        folder.mkdir(parents=True)
        for k, first in enumerate(range(0, n, CHUNK)):
            table = simulated(min(CHUNK, n - first), m, seed=k + 1)
            pq.write_table(pa.table(table), folder / f"part-{k:04}.parquet")
    return folder


def stream_rows(folder, n, _m):
    """Cross-products of a Parquet folder in one process, then REML from them."""
    import resource  # not on Windows

    import bayeslmm as bl

    formula = "y ~ x + (x | g)"
    small = simulated(500, 10)
    bl.fit_reml(formula, bl.gram_from_table(formula, small))
    start = time.perf_counter()
    gram = bl.gram_from_table(formula, str(folder))
    summed = time.perf_counter()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    bl.fit_reml(formula, gram)
    fitted = time.perf_counter()
    bl.fit_bayes(
        formula, gram, parametrization="marginal", sampler="importance", effects="moments",
        random_seed=1, progressbar=False,
    )  # fmt: skip
    done = time.perf_counter()
    assert gram.n == n
    return {
        "pass s": summed - start,
        "REML s": fitted - summed,
        "posterior s": done - fitted,
        "pass MB": memory / (1024 if sys.platform == "darwin" else 1),
    }


def fit_levels(m):
    """REML at m levels of ten rows each."""
    return times_of("y ~ x + (x | g)", simulated(10 * m, m))


def crossed_table(m):
    """Two crossed factors of m levels each, ten rows per level."""
    rng = np.random.default_rng(1)
    n = 10 * m
    g, h = rng.integers(m, size=n), rng.integers(m, size=n)
    y = rng.normal(size=m)[g] + 0.5 * rng.normal(size=m)[h] + rng.normal(size=n)
    return {"y": y, "g": g, "h": h}


def fit_crossed(m):
    """REML for two crossed factors; once, since the largest take long."""
    return times_of("y ~ 1 + (1 | g) + (1 | h)", crossed_table(m), runs=1)


def fit_by_iterations(m):
    """REML, posterior and moments of all effects of two crossed factors, without a dense matrix."""
    import bayeslmm as bl

    formula = "y ~ 1 + (1 | g) + (1 | h)"
    how = {
        "border": "krylov", "sampler": "importance", "parametrization": "marginal",
        "effects": "moments", "random_seed": 1, "progressbar": False, "cores": 1,
    }  # fmt: skip
    bl.fit_bayes(formula, crossed_table(50), **how)
    table = crossed_table(m)
    start, began = time.perf_counter(), time.process_time()
    fit = bl.fit_reml(formula, table, border="krylov")
    fitted, worked = time.perf_counter(), time.process_time()
    tree = bl.fit_bayes(formula, table, **how)
    drawn, done = time.perf_counter(), time.process_time()
    about = tree["sample_stats"].attrs
    return {
        "rows": fit.n_obs,
        "REML s": fitted - start,
        "REML cpu s": worked - began,
        "scores": fit.n_evaluations,
        "REML chance": float(fit.probe_error.max()),
        "log-likelihood chance": fit.loglik_se,
        "posterior s": drawn - fitted,
        "posterior cpu s": done - worked,
        "posterior chance": max(about["probe_error"]),
        "steps": about["cg_steps"],
    }


def columns_formula(p, q):
    """The formula for p fixed-effect columns, the first q of them with random slopes."""
    names = [f"x{k}" for k in range(p)]
    return f"y ~ {' + '.join(names)} + ({' + '.join(['1', *names[:q]])} | g)"


def columns_table(p, q):
    """20,000 rows, 200 levels, p columns, q random slopes."""
    rng = np.random.default_rng(1)
    m, n = 200, 20_000
    X, g = rng.normal(size=(n, p)), rng.integers(m, size=n)
    b = 0.5 * rng.normal(size=(m, q + 1))
    y = X @ np.ones(p) + b[g, 0] + np.sum(X[:, :q] * b[g, 1:], axis=1) + rng.normal(size=n)
    return {"y": y, "g": g} | {f"x{k}": X[:, k] for k in range(p)}


def fit_columns(p, q):
    """REML with p fixed-effect columns and q random slopes."""
    return times_of(columns_formula(p, q), columns_table(p, q))


def times_of(formula, table, runs=3):
    """Seconds of the whole call, and of its parts."""
    import bayeslmm as bl
    from bayeslmm.design.build import build_design
    from bayeslmm.gram.gram import Gram
    from bayeslmm.reml.search import search_criterion
    from parts.runner import spread

    bl.fit_reml(formula, table)
    whole, fit = spread(lambda: bl.fit_reml(formula, table), runs)
    summing, gram = spread(lambda: Gram.from_design(build_design(formula, table)), runs)
    searching, found = spread(lambda: search_criterion(gram, restricted=True), runs)
    return {
        "rows": fit.n_obs,
        "REML call s": whole,
        "Gram s": summing,
        "search s": searching,
        "evaluations": found.n_evaluations,
    }


def posterior(path, formula, out, runs, options):
    """Fit a table several times; times of each run, and the draws of the last one."""
    import pandas as pd

    from parts.runner import CHAINS, CORES

    started = time.perf_counter()
    import bayeslmm as bl
    import bayeslmm.inference.fit

    imported = time.perf_counter() - started
    arguments = json.loads(options)
    table = pd.read_csv(path, dtype=arguments.pop("dtype", None))
    totals, cpu = [], []
    for seed in range(int(runs)):
        start, used = time.perf_counter(), time.process_time()
        tree = bl.fit_bayes(
            formula, table, tune=arguments["draws"], chains=CHAINS, cores=CORES,
            random_seed=seed + 1, progressbar=False, **arguments,
        )  # fmt: skip
        totals.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    save_draws(tree["posterior"].to_dataset(), out)
    stated = tree["sample_stats"].attrs.get("ess_draws")
    return {
        "import s": imported,
        "totals": totals,
        "cpu totals": cpu,
        "sampler": tree.attrs["sampler"],
        "ess": None if stated is None else float(stated),
    }


def save_draws(posterior_group, out):
    """Write draws of all population parameters, each of shape (chain, draw)."""
    draws = {}
    for name, array in posterior_group.data_vars.items():
        values = array.to_numpy()
        if name.startswith("corr_"):
            values = values[(..., *np.tril_indices(values.shape[-1], -1))]
        if not name.startswith("b_"):
            flat = values.reshape(*values.shape[:2], -1)
            draws |= {f"{name}[{k}]": flat[..., k] for k in range(flat.shape[-1])}
    np.savez(out, **draws)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    workload, *rest = sys.argv[1:]
    given = [int(word) if word.isdigit() else word for word in rest]
    result = globals()[workload](*given)
    print(json.dumps(result if isinstance(result, dict) else {}))
