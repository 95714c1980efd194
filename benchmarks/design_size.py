"""Time and peak memory of a design of a million rows.

    python benchmarks/design_size.py [rows] [levels]

One grouping factor with a correlated slope, five coefficients (one of them categorical), text
labels as they come from a file. Memory is the process's high-water mark above what it held with the
table loaded; no dense Z would fit.
"""

import resource
import sys
import time

import numpy as np
import pandas as pd

from bayeslmm.design.build import build_design, rebuild_design

FORMULA = "y ~ x + z + arm + (x | g)"


def table(n_rows, n_levels):
    rng = np.random.default_rng(20240501)
    return pd.DataFrame(
        {
            "y": rng.normal(size=n_rows),
            "x": rng.normal(size=n_rows),
            "z": rng.normal(size=n_rows),
            "arm": rng.choice(["control", "drug", "placebo"], n_rows),
            "g": rng.integers(0, n_levels, n_rows).astype(str),
        }
    )


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    n_rows, n_levels = (int(a) for a in (*sys.argv[1:], *("1000000", "10000")[len(sys.argv) - 1 :]))
    data = table(n_rows, n_levels)
    build_design(FORMULA, data.iloc[: 20 * n_levels])  # imports formulaic
    before = peak_megabytes()
    start = time.perf_counter()
    design = build_design(FORMULA, data)
    built = time.perf_counter() - start
    state = design.state.to_json()
    start = time.perf_counter()
    rebuild_design(design.state, data)
    rebuilt = time.perf_counter() - start
    arrays = [design.X, design.y, design.factors[0].columns, design.factors[0].index]
    size = sum(a.nbytes for a in arrays) / 2**20
    print(f"{n_rows} rows, {n_levels} levels, {len(design.coef)} coefficients, {FORMULA}")
    print(f"build   {built:6.2f} s")
    print(f"rebuild {rebuilt:6.2f} s")
    print(
        f"peak above the table {peak_megabytes() - before:6.0f} MB; the design itself {size:.0f} MB"
    )
    print(f"state as JSON {len(state) / 1024:.0f} kB")


if __name__ == "__main__":
    main()
