"""Advice on residuals in series, each taken."""

from functools import partial

import numpy as np
import pandas as pd
from registry import HOW, follows, told, works

import bayeslmm as bl


def rows(**columns):
    rng = np.random.default_rng(4)
    made = pd.DataFrame({"g": np.repeat(np.arange(8), 6), "step": np.tile(np.arange(6), 8)})
    made["t"] = made.step + rng.uniform(0.0, 0.5, len(made)).round(2)
    made["y"] = rng.normal(size=len(made)) + np.repeat(rng.normal(size=8), 6)
    return made.assign(**columns)


fit = partial(bl.fit_bayes, "y ~ 1 + (1 | g)", **HOW)


@follows("ou()")
def _():
    told("ou(t | g) takes any times", fit, rows(), residual="ar1(t | g)")
    works(fit, rows(), residual="ou(t | g)")
    named = rows(step=[f"w{k}" for k in rows().step])
    told("give the number of each visit", fit, named, residual="ou(step | g)")
    works(fit, rows(), residual="ou(step | g)")
    twice = rows(step=np.tile([0, 1, 2, 2, 3, 4], 8))
    told("Average such rows, or give them times of their own", fit, twice, residual="ar1(step | g)")
    works(fit, twice.groupby(["g", "step"], as_index=False).mean(), residual="ar1(step | g)")
    works(fit, rows(), residual="ar1(step | g)")
