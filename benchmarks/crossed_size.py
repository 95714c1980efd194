"""Users by items at the size of MovieLens: rows from Parquet, REML, and a posterior with moments.

    python benchmarks/crossed_size.py                 # 200,948 x 84,432 levels, 32,000,204 rows
    python benchmarks/crossed_size.py --share 0.2     # a fifth of everything
    python benchmarks/crossed_size.py --kind random --levels 30000 30000 --rows 300000

Rows are simulated in batches (log-normal activity of users, Zipf's popularity of items; or pairs at
random) and written to a Parquet folder, which is deleted afterwards. One process then sums
cross-products, searches by REML and samples the posterior on one thread; its peak memory so far is
printed after each step, with processor and wall seconds. True values must lie within four standard
errors, and in 99.9 % intervals.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FORMULA = "y ~ x + (1 | g) + (1 | h)"
USERS, ITEMS, ROWS = 200_948, 84_432, 32_000_204
BATCH = 1_000_000
TRUTH = {"sd_g": 0.5, "sd_h": 0.7, "sigma": 1.0}


class Levels:
    """How users meet items."""

    def __init__(self, kind, users, items, rng):
        self.kind, self.sizes = kind, (users, items)
        if kind == "popular":
            weights = rng.lognormal(0.0, 1.1, users), 1.0 / (rng.permutation(items) + 20.0)
            self.sums = [np.cumsum(own / own.sum()) for own in weights]

    def draw(self, n, rng):
        if self.kind == "random":
            return [rng.integers(0, size, n) for size in self.sizes]
        return [np.minimum(np.searchsorted(own, rng.random(n)), len(own) - 1) for own in self.sums]


def make(folder, kind, users, items, rows):
    """Write the rows, a million at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(7)
    levels = Levels(kind, users, items, rng)
    of_g = TRUTH["sd_g"] * rng.normal(size=users)
    of_h = TRUTH["sd_h"] * rng.normal(size=items)
    for number, first in enumerate(range(0, rows, BATCH)):
        n = min(BATCH, rows - first)
        (g, h), x = levels.draw(n, rng), rng.normal(size=n)
        y = 1.0 + 0.3 * x + of_g[g] + of_h[h] + TRUTH["sigma"] * rng.normal(size=n)
        table = pa.table({"y": y, "x": x, "g": g.astype(np.int32), "h": h.astype(np.int32)})
        parquet.write_table(table, folder / f"part-{number:05d}.parquet")
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"rows": rows, "users": users, "items": items, "Parquet GB": round(size / 1e9, 2)}


class Clock:
    """Seconds since it was last asked, and the peak of memory so far."""

    def __init__(self):
        self.last = time.perf_counter(), time.process_time()

    def __call__(self):
        now = time.perf_counter(), time.process_time()
        wall, used = (b - a for a, b in zip(self.last, now, strict=True))
        self.last = now
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        return {"s": round(wall, 2), "processor s": round(used, 2), "peak GiB": round(peak, 2)}


def work(folder, effects):
    """Sum the rows, search, and sample; each on the cross-products alone."""
    import bayeslmm as bl

    warm_up(bl)
    clock, found = Clock(), {}
    gram = bl.gram_from_batches(FORMULA, folder, cores=1, progressbar=False)
    found["cross-products"] = clock() | {"pairs": len(gram.pairs[0].rows)}
    tell(found)
    fit = bl.fit_reml(FORMULA, gram)
    about = fit.by_probes
    found["REML"] = clock() | {
        "border": fit.border.method,
        "scores": fit.n_evaluations,
        "probe error": float(fit.probe_error.max()) if len(fit.probe_error) else 0.0,
        "probes": about.probes if about else 0,
    }
    tell(found)
    estimates = bl.confidence_intervals(fit, "wald", ci_prob=0.999)
    for name, row in zip(TRUTH, estimates.iloc[2:].itertuples(), strict=True):
        check(name, row.lower, row.upper)
    clock()
    tree = bl.fit_bayes(
        FORMULA, gram, parametrization="marginal", sampler="importance", effects=effects,
        random_seed=1, progressbar=False,
    )  # fmt: skip
    shown = ("surrogate_n_exact", "surrogate_error_sd", "ess_draws", "probes", "effects_points")
    stats = tree["sample_stats"].attrs
    found["posterior"] = clock() | {name: stats.get(name) for name in shown}
    found["posterior"]["probe error"] = max(stats.get("probe_error", [0.0]))
    for name in TRUTH:
        check(name, *np.quantile(tree.posterior[name].values, [0.0005, 0.9995]))
    return found | {"load": os.getloadavg()[0]}


def warm_up(bl):
    """Load compiled code, by a table of nothing much."""
    rng = np.random.default_rng(1)
    few = {"x": rng.normal(size=400), "y": rng.normal(size=400)}
    few |= {name: rng.integers(0, 30, 400) for name in "gh"}
    few["y"] += 0.7 * rng.normal(size=30)[few["g"]] + 0.7 * rng.normal(size=30)[few["h"]]
    bl.fit_reml(FORMULA, few, border="krylov")
    bl.fit_bayes(
        FORMULA, few, parametrization="marginal", sampler="importance", border="krylov",
        random_seed=1, progressbar=False,
    )  # fmt: skip


def tell(found):
    """Say on the way what is done: the next step may take minutes."""
    name = list(found)[-1]
    print(name, json.dumps(found[name]), file=sys.stderr, flush=True)


def check(name, low, high):
    """Stop where a true value lies outside its limits."""
    if not low < TRUTH[name] < high:
        sys.exit(f"{name} = {TRUTH[name]} lies outside {low:.5f} to {high:.5f}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", nargs="?", choices=["make", "work"])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--levels", type=int, nargs=2, default=(USERS, ITEMS))
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--kind", choices=["popular", "random"], default="popular")
    parser.add_argument("--effects", choices=["moments", "draws"], default="moments")
    parser.add_argument("--folder", type=Path, help="where there is room; a new one is made in it")
    given = parser.parse_args()
    if given.step == "make":
        sizes = [int(given.share * size) for size in (*given.levels, given.rows)]
        print(json.dumps(make(given.folder, given.kind, *sizes)))
        return
    if given.step == "work":
        print(json.dumps(work(given.folder, given.effects)))
        return
    folder = Path(tempfile.mkdtemp(dir=given.folder))
    try:
        for step in ("make", "work"):
            command = [sys.executable, __file__, step, *sys.argv[1:], "--folder", folder]
            done = subprocess.run(
                [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True
            )
            print(json.dumps(json.loads(done.stdout.splitlines()[-1]), indent=1), flush=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
