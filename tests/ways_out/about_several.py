"""Advice on several responses and on categories, each taken."""

from functools import cache

import numpy as np
import pandas as pd
from registry import HOW, follows, table, told, works

import bayeslmm as bl

BOTH = "mvbind(y, x) ~ 1 + (1 |p| g)"


@cache
def both():
    return bl.fit_bayes(BOTH, table(), **HOW)


@cache
def three():
    """Categories a, b, c, and counts of them."""
    rng = np.random.default_rng(3)
    counts = rng.multinomial(5, [0.2, 0.3, 0.5], 30)
    kind = pd.Categorical(np.array(list("abc"))[counts.argmax(axis=1)], categories=list("abc"))
    of = dict(zip("abc", counts.T, strict=True))
    return pd.DataFrame({"kind": kind, "x": rng.normal(size=30), **of})


@cache
def categories():
    return works(
        bl.fit_bayes, "kind ~ x", three(), family="categorical", chains=2, tune=50, draws=20,
        random_seed=1, progressbar=False,
    )  # fmt: skip


@follows("response_of()")
def _():
    told("response_of(fit, 'y')", bl.residuals, both())
    works(bl.residuals, works(bl.response_of, both(), "y"))


@follows("update()")
def _():
    one = works(bl.response_of, both(), "y")
    told("update(fit) of this result", bl.refit_reml, one)
    works(bl.refit_reml, works(bl.update, one, **HOW))


@follows("residual='diag'")
def _():
    apart = table().copy()
    apart.loc[::2, "y"], apart.loc[1::2, "x"] = np.nan, np.nan
    told("give residual='diag'", bl.build_design, BOTH, apart)
    works(bl.build_design, BOTH, apart, residual="diag")


@follows("family='categorical'")
def _():
    told("family='categorical'", bl.build_design, "mvbind(a, b, c) ~ x", three(),
         family="categorical")  # fmt: skip
    works(bl.build_design, "kind ~ x", three(), family="categorical")


@follows("family='multinomial'")
def _():
    told("are family='multinomial'", bl.build_design, "mvbind(a, b, c) ~ x", three(),
         family="categorical")  # fmt: skip
    works(bl.build_design, "mvbind(a, b, c) ~ x", three(), family="multinomial")


@follows("category_probabilities()")
def _():
    told("category_probabilities(fit)", bl.residuals, categories())
    works(bl.category_probabilities, categories())
