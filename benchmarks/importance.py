"""Importance sampling's time from call to tree, beside NUTS on the marginal and non-centered forms.

    python benchmarks/importance.py                     # the table, and a study of 100 priors
    python benchmarks/importance.py --quick             # importance sampling alone

Each study is fitted once on other data first, so that compiled code is loaded (warm); imports and
that first fit are not counted. Effective draws are the smallest bulk ESS over beta, sds,
correlations and sigma. Seconds are of the wall and of the processor (all cores together): on a busy
machine the latter say more. Bambi stands beside them in `benchmarks/suite.py`.
"""

import argparse
import os
import sys
import time
import warnings

import numpy as np

import bayeslmm as bl

STUDIES = {
    "sleepstudy": "Reaction ~ Days + (Days | Subject)",
    "mathachieve": "MathAch ~ MEANSES + Sector + cses + (cses | School)",
    "exam": "normexam ~ standLRT + (standLRT | school)",
    "pastes": "strength ~ 1 + (1 | batch / cask)",
    "penicillin": "diameter ~ 1 + (1 | plate) + (1 | sample)",
    "machines": "score ~ Machine + (Machine | Worker)",
}
WAYS = {
    "importance": {"parametrization": "marginal", "sampler": "importance"},
    "marginal, NUTS": {"parametrization": "marginal"},
    "non-centered, NUTS": {"parametrization": "noncentered"},
}


def smallest_ess(idata):
    fixed = bl.fixed_effects(idata)["ess_bulk"]
    parts = bl.variance_components(idata)["ess_bulk"]
    return float(np.nanmin([fixed.min(), parts.min()]))


def timed(work):
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    return result, time.perf_counter() - wall, time.process_time() - processor


def fits(ways):
    print("| study | way | s (wall) | s (processor) | min ESS of 4,000 | ESS per processor s |")
    print("|---|---|---|---|---|---|")
    for name, formula in STUDIES.items():
        table = bl.load_dataset(name)
        for way in ways:
            options = WAYS[way] | {"progressbar": False}

            def fit(seed, options=options, formula=formula, table=table, **other):
                return bl.fit_bayes(formula, table, random_seed=seed, **options | other)

            fit(1, draws=50, tune=50)
            tries = [timed(lambda seed=seed: fit(seed)) for seed in (1, 2, 3)]
            idata, wall, processor = sorted(tries, key=lambda one: one[2])[1]
            ess = smallest_ess(idata)
            print(
                f"| {name} | {way} | {wall:.2f} | {processor:.2f} | {ess:.0f} | "
                f"{ess / processor:.0f} |",
                flush=True,
            )
            if way == "importance":
                assert not {"pymc", "pytensor"} & set(sys.modules), "PyMC was imported"


def study_of_priors(n_jobs):
    """100 scenarios of sleepstudy, every one refitted."""
    grid = {
        "sd": [f"HalfNormal({s})" for s in (5, 10, 20, 40, 80)],
        "corr": [f"LKJ({eta})" for eta in (1, 2, 4, 8)],
        "sigma": [f"HalfStudentT(3, {s})" for s in (10, 20, 40, 80, 160)],
    }
    study, wall, processor = timed(
        lambda: bl.prior_study(
            STUDIES["sleepstudy"], bl.load_dataset("sleepstudy"), grid,
            parametrization="marginal", sampler="importance", reweight=False, n_jobs=n_jobs,
            progressbar=False,
        )
    )  # fmt: skip
    methods = study["scenarios"]["method"].to_numpy()
    print(
        f"\n{(methods == 'refit').sum()} fits of sleepstudy under other priors, {n_jobs} at once: "
        f"{wall:.0f} s (wall), {processor:.0f} s (processor, this process)",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="importance sampling alone")
    parser.add_argument("--jobs", type=int, default=1, help="fits of the study at a time")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    load = os.getloadavg()[0]
    print(f"{time.strftime('%Y-%m-%d')}, {len(os.sched_getaffinity(0))} cores, load {load:.1f}\n")
    fits(["importance"])
    study_of_priors(given.jobs)
    if not given.quick:
        print()
        fits(["marginal, NUTS", "non-centered, NUTS"])


if __name__ == "__main__":
    main()
