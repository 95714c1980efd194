"""Thirty priors on sleepstudy: one study against separate non-centered fits.

Run twice: the first run also compiles. Prints seconds and, in brackets, this process's CPU seconds;
the separate fits are timed on `SEPARATE` of the scenarios, each in the same process with its
compiled model reused, and scaled up to all thirty. The first fit of each kind loads or compiles its
model; with a warm cache that is what a process of its own would pay for every scenario.
"""

import os
import time
import warnings
from contextlib import contextmanager

import bayeslmm as bl

FORMULA = "Reaction ~ Days + (Days | Subject)"
GRID = {
    "sd_Subject[Intercept]": [f"HalfStudentT(3, {s})" for s in (14, 28, 56, 112, 224)],
    "sd_Subject[Days]": [f"HalfStudentT(3, {s})" for s in (5, 20)],
    "corr": ["LKJ(1)", "LKJ(2)", "LKJ(4)"],
}
SCENARIOS = 30
SEPARATE = 5
QUIET = {"random_seed": 1, "progressbar": False}


class Clock:
    wall = cpu = 0.0

    def __str__(self):
        return f"{self.wall:.1f} s [{self.cpu:.1f}]"


@contextmanager
def timed():
    clock = Clock()
    wall, cpu = time.perf_counter(), time.process_time()
    yield clock
    clock.wall, clock.cpu = time.perf_counter() - wall, time.process_time() - cpu


def study(**how):
    return bl.prior_study(
        FORMULA, bl.load_dataset("sleepstudy"), GRID, parametrization="marginal", **QUIET, **how
    )


def separate(k):
    priors = {
        "sd_Subject[Intercept]": GRID["sd_Subject[Intercept]"][k % 5],
        "sd_Subject[Days]": GRID["sd_Subject[Days]"][k % 2],
        "corr": GRID["corr"][k % 3],
    }
    bl.fit_bayes(
        FORMULA, bl.load_dataset("sleepstudy"), priors=priors, parametrization="noncentered",
        **QUIET,
    )  # fmt: skip


def main():
    warnings.simplefilter("ignore")
    print("load", *(f"{load:.1f}" for load in os.getloadavg()))
    with timed() as whole:
        methods = [str(method) for method in study()["scenarios"]["method"].to_numpy()]
    assert len(methods) == SCENARIOS + 1
    print(f"study of {SCENARIOS} scenarios: {whole}, of it {methods.count('refit')} fit(s)")
    with timed() as direct:
        study(sampler="importance")
    print(f"the same sampled directly: {direct}")
    with timed() as refits:
        study(reweight=False)
    print(f"the same with a marginal refit for each, compiled already: {refits}")
    with timed() as first:
        separate(0)
    with timed() as next_ones:
        for k in range(1, 1 + SEPARATE):
            separate(k)
    each = next_ones.wall / SEPARATE, next_ones.cpu / SEPARATE
    print(f"non-centered: first fit {first}, then {each[0]:.1f} s [{each[1]:.1f}] each")
    wall, cpu = (
        f + (SCENARIOS - 1) * e for f, e in zip((first.wall, first.cpu), each, strict=True)
    )
    print(
        f"30 non-centered fits in one process: {wall:.0f} s [{cpu:.0f}], "
        f"{wall / whole.wall:.1f} [{cpu / whole.cpu:.1f}] times the study"
    )
    print(
        f"30 in processes of their own: {SCENARIOS * first.wall:.0f} s "
        f"[{SCENARIOS * first.cpu:.0f}], {SCENARIOS * first.wall / whole.wall:.0f} "
        f"[{SCENARIOS * first.cpu / whole.cpu:.0f}] times the study"
    )
    print("load", *(f"{load:.1f}" for load in os.getloadavg()))


if __name__ == "__main__":
    main()
