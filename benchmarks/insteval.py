"""InstEval with all effects by importance sampling with interpolated densities: seconds, accuracy.

    python benchmarks/insteval.py       # both models; a first fit loads compiled code

Two factors are also compared with the long non-centered run in tests/reference/posterior.
"""

import json
import os
import time
from pathlib import Path

import pandas as pd

import bayeslmm as bl

REFERENCE = Path(__file__).parent.parent / "tests" / "reference"
FORMULAS = ("y ~ 1 + (1 | s) + (1 | d)", "y ~ 1 + (1 | s) + (1 | d) + (1 | dept)")
SHOWN = (
    "surrogate_n_exact",
    "surrogate_error_sd",
    "pareto_k",
    "ess_weights",
    "n_points",
    "effects_points",
)


def time_fit(formula, table, seed):
    """One fit: wall and processor seconds, and the record of its accuracy."""
    wall, processor = time.perf_counter(), time.process_time()
    tree = bl.fit_bayes(
        formula, table, parametrization="marginal", sampler="importance", random_seed=seed,
        progressbar=False,
    )  # fmt: skip
    row = {
        "wall s": time.perf_counter() - wall,
        "processor s": time.process_time() - processor,
        "load": os.getloadavg()[0],
        **{name: tree["sample_stats"].attrs[name] for name in SHOWN},
    }
    return tree, row


def differences(tree, reference):
    """Parameters' means less the reference's, in the reference's Monte Carlo standard errors."""
    found = {}
    for name in ("beta", "sigma", "sd_s", "sd_d"):
        known = reference["values"][name]
        found[name] = (float(tree["posterior"][name].mean()) - known["mean"]) / known["mcse_mean"]
    return found


def main():
    table = pd.read_csv(
        REFERENCE / "data" / "InstEval.csv.gz", dtype=dict.fromkeys(("s", "d", "dept"), str)
    )
    rows = []
    for formula in FORMULAS:
        for seed in (1, 2):
            tree, row = time_fit(formula, table, seed)
            rows.append({"formula": formula, "seed": seed, **row})
            if formula == FORMULAS[0]:
                text = (REFERENCE / "posterior" / "insteval_2.json").read_text("utf-8")
                print({k: round(v, 2) for k, v in differences(tree, json.loads(text)).items()})
    print(f"{time.strftime('%Y-%m-%d %H:%M')}, {len(os.sched_getaffinity(0))} cores")
    print(pd.DataFrame(rows).T.to_string())


if __name__ == "__main__":
    main()
