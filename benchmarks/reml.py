"""REML on every reference model: bayeslmm against statsmodels' MixedLM and R's lmer, as ratios.

    python benchmarks/reml.py            # all models; lmer where Rscript finds lme4
    python benchmarks/reml.py sleepstudy # those whose name contains the word
    python benchmarks/reml.py --json     # one line of JSON, for the suite

All run one after the other in the same few minutes, so that a ratio is worth more than a time. Each
figure is the best of several: for bayeslmm the whole call (formula, design, cross-products, fit)
with a warm cache; statsmodels where its one grouping factor, or variance components within one
group, can express the model at all and the table is small enough for its dense algebra.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from reml_reference import NAMES, read_reference, read_table  # noqa: E402

from bayeslmm import fit_reml  # noqa: E402
from bayeslmm.design.build import build_design  # noqa: E402
from bayeslmm.gram.gram import Gram  # noqa: E402
from bayeslmm.reml.search import search_criterion  # noqa: E402

R_SCRIPT = """
suppressMessages(library(lme4)); a <- commandArgs(TRUE)
d <- read.csv(a[1], colClasses = strsplit(a[3], ",")[[1]])
t <- sapply(seq_len(as.integer(a[4])), function(i)
  system.time(m <<- suppressWarnings(lmer(as.formula(a[2]), d)))[["elapsed"]])
cat(min(t), REMLcrit(m))
"""


def best_of(function, budget=2.0, most=7):
    """Shortest of several runs, and the last result."""
    times = []
    while len(times) < most and (not times or sum(times) < budget):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return min(times), result


def statsmodels_fit(formula, table):
    """Return a function that fits by MixedLM, or None where it cannot express the model."""
    try:
        import statsmodels.formula.api as smf
    except ModuleNotFoundError:
        return None
    terms = formula.split("(")[1:]
    fixed = formula.split("+ (")[0].strip() if "+ (" in formula else formula.split("(")[0] + "1"
    if len(terms) != 1 or "||" in formula or "/" in formula or "I(" in formula:
        return None
    # MixedLM refuses missing values where others leave rows out.
    table = table.iloc[build_design(formula, table).rows]
    columns, group = (side.strip(" )") for side in terms[0].split("|"))
    columns = columns.replace("(", "")
    groups = table[group.split(":")].astype(str).agg(":".join, axis=1)
    if len(table) > 20_000:
        return None
    return lambda: smf.mixedlm(fixed, table, groups=groups, re_formula=f"~ {columns}").fit(
        reml=True
    )


def lmer_seconds(formula, table, runs):
    """Time lmer through Rscript, or None where it is not installed."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        table.to_csv(path, index=False)
        numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table]
        classes = ",".join("numeric" if n else "factor" for n in numeric)
        done = subprocess.run(
            [rscript, "-e", R_SCRIPT, str(path), formula, classes, str(runs)],
            capture_output=True,
            text=True,
            check=False,
        )
    return float(done.stdout.split()[0]) if done.returncode == 0 else None


def one_model(name):
    reference = read_reference(name)
    table, formula = read_table(reference), reference["formula"]
    fit_reml(formula, table)
    whole, fit = best_of(lambda: fit_reml(formula, table))
    gram = Gram.from_design(build_design(formula, table))
    search, _ = best_of(lambda: search_criterion(gram, restricted=True))
    row = {
        "rows": fit.n_obs,
        "off by": fit.criterion - reference["reml"]["criterion"],
        "call ms": 1e3 * whole,
        "search ms": 1e3 * search,
    }
    other = statsmodels_fit(formula, table)
    if other is not None:
        try:
            seconds, result = best_of(other, budget=5.0, most=3)
            row["MixedLM x"] = seconds / whole
            row["MixedLM off by"] = -2.0 * result.llf - reference["reml"]["criterion"]
        except (np.linalg.LinAlgError, ValueError) as problem:
            print(f"  MixedLM on {name}: {problem}")
    seconds = lmer_seconds(formula, table, 1 if fit.n_obs > 50_000 else 3)
    if seconds is not None:
        row["lmer x"] = seconds / whole
    row["lmer x (recorded)"] = reference["timing"]["median"] / whole
    return row


def one_million():
    """A million rows, 10,000 levels, a correlated slope."""
    rng = np.random.default_rng(1)
    n, m = 1_000_000, 10_000
    g, x = rng.integers(m, size=n), rng.normal(5.0, 1.0, size=n)
    b = rng.normal(size=(m, 2)) @ np.array([[1.0, 0.3], [0.0, 0.5]])
    y = 1.0 + 2.0 * x + b[g, 0] + b[g, 1] * x + 2.0 * rng.normal(size=n)
    design = build_design("y ~ x + (x | g)", {"y": y, "x": x, "g": g})
    summing, gram = best_of(lambda: Gram.from_design(design))
    searching, found = best_of(lambda: search_criterion(gram, restricted=True))
    print(
        f"1,000,000 rows, 10,000 levels, correlated slope: cross-products {summing:.2f} s, "
        f"search {searching:.2f} s in {found.n_evaluations} evaluations"
    )


def main(words):
    warnings.simplefilter("ignore")
    as_json = words[:1] == ["--json"]
    words = words[as_json:]
    rscript = shutil.which("Rscript") is not None
    if not rscript and not as_json:
        print(
            "Rscript is not on this machine: lmer's own column is left out. The recorded one "
            "divides lmer's time on the machine that made the reference fits."
        )
    names = [name for name in NAMES if not words or any(word in name for word in words)]
    rows = {name: one_model(name) for name in names}
    if as_json:
        print(json.dumps({"models": rows, "rscript": rscript}))
        return
    with pd.option_context("display.width", 160, "display.float_format", "{:.3g}".format):
        print(pd.DataFrame(rows).T.to_string(na_rep="-"))
    if not words:
        one_million()
    print(
        json.dumps({"load": Path("/proc/loadavg").read_text().split()[0]})
        if Path("/proc/loadavg").exists()
        else ""
    )


if __name__ == "__main__":
    main(sys.argv[1:])
