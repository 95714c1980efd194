"""Advice on smooths, each taken."""

from functools import cache

import numpy as np
from registry import HOW, follows, table, told, works

import bayeslmm as bl


def design(formula, data=None, **given):
    return bl.build_design(formula, table() if data is None else data, **given)


@cache
def fit(formula):
    return bl.fit_bayes(formula, table(), **HOW)


@follows("s()", "df=5")
def _():
    told("write s(x)", design, "y ~ gp(x)")
    told("s(x) + s(z)", design, "y ~ te(x, h)")
    assert works(design, "y ~ s(x, k=5) + s(h, k=4)").factors[1].name == "s(h)"
    told("leave bs= out", design, "y ~ s(x, bs='tp')")
    works(design, "y ~ s(x)")
    told("cr(x, df=5, constraints='center')", design, "y ~ s(x, fx=TRUE)")
    works(design, "y ~ cr(x, df=5, constraints='center')")


@follows("by=f")
def _():
    told("s(x, by=f)", design, "y ~ s(x):f")
    told("one curve: fit s(x, by=f)", bl.smooth_curves, fit("y ~ s(x, k=4)"), contrasts="pairwise")
    found = works(bl.smooth_curves, fit("y ~ f + s(x, k=4, by=f)"), contrasts="pairwise", at=[0.0])
    assert set(found["smooth"]) == {"s(x, by=f)"}


@follows("by=g")
def _():
    told("s(x, by=g)", design, "y ~ s(x, g, bs='fs')")
    works(design, "y ~ g + s(x, k=3, by=g)")


@follows("bs='cr'", "bs='cc'", "bs='ps'", "bs=", "bs={}")
def _():
    told("write bs='cr'", design, "y ~ s(x, bs='ts')")
    works(design, "y ~ s(x, bs='cr')")
    told("write bs='cc'", design, "y ~ s(x, bs='cp')")
    works(design, "y ~ s(x, bs='cc')")
    told("write bs='ps'", design, "y ~ s(x, bs='bs')")
    works(design, "y ~ s(x, bs='ps')")
    told("3 or more with bs='cr'", design, "y ~ s(x, k=2)")


@follows("k={}", "k=")
def _():
    data = table(few=np.arange(60) % 5)
    told("write k=5", design, "y ~ s(few)", data)
    assert works(design, "y ~ s(few, k=5)", data).factors[0].columns.shape[1] == 3
    told("s() has k=", design, "y ~ s(x, m=2)")


@follows("knots=[0, 24]", "knots=")
def _():
    data = table(hour=np.linspace(1.0, 23.0, 60))
    told("knots=[0, 24]", design, "y ~ s(hour, bs='cc', knots=[24, 0])", data)
    works(design, "y ~ s(hour, bs='cc', knots=[0, 24])", data)


@follows("smooth={}")
def _():
    both = fit("y ~ s(x, k=4) + s(h, k=4)")
    told("smooth='s(x)'", bl.smooth_curves, both)
    works(bl.smooth_curves, both, smooth="s(x)")


@follows("contrasts='reference'")
def _():
    levels = fit("y ~ f + s(x, k=4, by=f)")
    told("contrasts='reference'", bl.smooth_curves, levels, reference="a")
    works(bl.smooth_curves, levels, contrasts="reference", reference="a")
