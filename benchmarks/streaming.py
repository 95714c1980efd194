"""Rows that no memory holds: cross-products from a Parquet folder, then the posterior from them.

    python benchmarks/streaming.py                        # 100,000,000 rows, 10,000 levels
    python benchmarks/streaming.py --rows 1e6             # a look
    python benchmarks/streaming.py --rows 1e7 --levels 1e6 --effects moments

Rows are drawn in batches from known parameters (a correlated slope) and written to a folder of some
20 bytes a row, which is deleted afterwards. Each step runs in a process of its own, so that its
peak memory is its own. The posterior is 4 x (1000 + 1000) draws, and the truth must lie in its
99 % intervals.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FORMULA = "y ~ x + (x | g)"
BATCH = 1_000_000
TRUTH = {
    "Intercept": 10.0,
    "x": 0.5,
    "sd_g[Intercept]": 2.0,
    "sd_g[x]": 1.0,
    "corr_g": 0.3,
    "sigma": 3.0,
}


def make(folder, rows, levels):
    """Write the rows, a million at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    sd = np.array([TRUTH["sd_g[Intercept]"], TRUTH["sd_g[x]"]])
    unit = np.array([[1.0, TRUTH["corr_g"]], [TRUTH["corr_g"], 1.0]])
    effects = rng.normal(size=(levels, 2)) @ np.linalg.cholesky(unit).T * sd
    for number, first in enumerate(range(0, rows, BATCH)):
        n = min(BATCH, rows - first)
        g, x = rng.integers(0, levels, n), rng.normal(1.0, 2.0, n)
        y = TRUTH["Intercept"] + TRUTH["x"] * x + effects[g, 0] + effects[g, 1] * x
        y += rng.normal(0.0, TRUTH["sigma"], n)
        table = pa.table({"y": y, "x": x, "g": g.astype(np.int32)})
        parquet.write_table(table, folder / f"part-{number:05d}.parquet")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"rows": rows, "levels": levels, "gigabytes": round(size / 1e9, 2)}


def sum_up(folder, cores):
    """Read the folder twice and keep the cross-products."""
    import bayeslmm as bl

    rows = folder / "rows"
    # Kernels compile once per machine: a look at a few rows leaves that out of the time.
    few = {"y": [1.0, 2.0, 4.0, 3.0], "x": [0.0, 1.0, 0.0, 2.0], "g": [0, 0, 1, 1]}
    bl.gram_from_batches("y ~ 1 + (1 | g)", [few, few], progressbar=False)
    start = time.perf_counter(), time.process_time()
    gram = bl.gram_from_batches(FORMULA, rows, cores=cores, progressbar=sys.stderr.isatty())
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    gram.save(folder / "gram.npz")
    return {"gram_seconds": spent[0], "gram_cpu_seconds": spent[1], "gram_gigabytes": peak()}


def fit(folder, sampler, effects):
    """Sample the posterior from the cross-products alone."""
    import bayeslmm as bl

    gram = bl.Gram.load(folder / "gram.npz")
    start = time.perf_counter(), time.process_time()
    idata = bl.fit_bayes(
        FORMULA,
        gram,
        parametrization="marginal",
        sampler=sampler,
        effects=effects,
        random_seed=1,
        progressbar=False,
    )
    spent = time.perf_counter() - start[0], time.process_time() - start[1]
    numbers = {"fit_seconds": spent[0], "fit_cpu_seconds": spent[1], "fit_gigabytes": peak()}
    fixed = bl.fixed_effects(idata, ci_prob=0.99, ci_kind="eti")
    posterior = idata["posterior"]
    draws = {name: posterior["beta"].sel(coef=name) for name in ("Intercept", "x")}
    draws["sigma"] = posterior["sigma"]
    draws |= {f"sd_g[{t}]": posterior["sd_g"].sel(g_term=t) for t in ("Intercept", "x")}
    draws["corr_g"] = posterior["corr_g"].sel(g_term="Intercept", g_term_bis="x")
    numbers["intervals"] = {
        name: [*np.quantile(values, [0.005, 0.995]).tolist(), TRUTH[name]]
        for name, values in draws.items()
    }
    numbers["ess_bulk"] = float(fixed["ess_bulk"].min())
    return numbers


def peak():
    """Peak memory of this process in gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_own_process(*arguments):
    """Run one step of this script and read what it prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def show(results):
    print(json.dumps(results, indent=1))
    for name, (low, high, truth) in results["intervals"].items():
        inside = "inside" if low <= truth <= high else "OUTSIDE"
        print(f"{name:16s} {low:10.5f} {high:10.5f}  truth {truth:g} {inside}")
    if any(not low <= truth <= high for low, high, truth in results["intervals"].values()):
        sys.exit("A true value lies outside its 99 % interval.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", nargs="?", choices=["make", "gram", "fit"])
    parser.add_argument("--rows", type=float, default=1e8)
    parser.add_argument("--levels", type=float, default=1e4)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--sampler", default="nutpie")
    parser.add_argument("--effects", default="moments")
    parser.add_argument("--folder", type=Path, help="where there is room; a new one is made in it")
    given = parser.parse_args()
    if given.step == "make":
        print(json.dumps(make(given.folder / "rows", int(given.rows), int(given.levels))))
    elif given.step == "gram":
        print(json.dumps(sum_up(given.folder, given.cores)))
    elif given.step == "fit":
        print(json.dumps(fit(given.folder, given.sampler, given.effects)))
    else:
        folder = Path(tempfile.mkdtemp(dir=given.folder))
        (folder / "rows").mkdir()
        try:
            size = ("--rows", given.rows, "--levels", given.levels, "--folder", folder)
            results = in_own_process("make", *size)
            results |= in_own_process("gram", "--folder", folder, "--cores", given.cores)
            how = ("--sampler", given.sampler, "--effects", given.effects)
            results |= in_own_process("fit", "--folder", folder, *how)
        finally:
            shutil.rmtree(folder)
        show(results)


if __name__ == "__main__":
    main()
