"""Thirty priors on sleepstudy: one study against separate non-centered fits.

Run twice: the first run also compiles. Prints seconds; the separate fits are timed on `SEPARATE` of
the scenarios, each in the same process with its compiled model reused where possible, and scaled
up to all thirty.
"""

import time
import warnings

import bayeslmm as bl

FORMULA = "Reaction ~ Days + (Days | Subject)"
GRID = {
    "sd_Subject[Intercept]": [f"HalfStudentT(3, {s})" for s in (14, 28, 56, 112, 224)],
    "sd_Subject[Days]": [f"HalfStudentT(3, {s})" for s in (5, 20)],
    "corr": ["LKJ(1)", "LKJ(2)", "LKJ(4)"],
}
SEPARATE = 3


def main():
    warnings.simplefilter("ignore")
    data = bl.load_dataset("sleepstudy")
    started = time.perf_counter()
    study = bl.prior_study(FORMULA, data, GRID, progressbar=False, random_seed=1)
    whole = time.perf_counter() - started
    methods = [str(method) for method in study["scenarios"]["method"].to_numpy()]
    print(f"study of {len(methods) - 1} scenarios: {whole:.1f} s, {methods.count('refit')} fits")
    started = time.perf_counter()
    bl.prior_study(FORMULA, data, GRID, progressbar=False, random_seed=1, reweight=False)
    print(f"the same with a refit for each: {time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    bl.fit_bayes(FORMULA, data, random_seed=1, progressbar=False)
    first = time.perf_counter() - started
    started = time.perf_counter()
    for k in range(SEPARATE):
        priors = {"sd_Subject[Intercept]": GRID["sd_Subject[Intercept]"][k]}
        bl.fit_bayes(FORMULA, data, priors=priors, random_seed=k, progressbar=False)
    each = (time.perf_counter() - started) / SEPARATE
    print(f"non-centered: first fit {first:.1f} s, then {each:.1f} s each")
    total = first + 29 * each
    print(
        f"30 non-centered fits in one process: {total:.0f} s, {total / whole:.0f} times the study"
    )
    print(f"30 in processes of their own: {30 * first:.0f} s, {30 * first / whole:.0f} times")


if __name__ == "__main__":
    main()
