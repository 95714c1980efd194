"""Advice on rows with several levels of one factor, each taken."""

import memberships
import numpy as np
from registry import follows, told, works

import bayeslmm as bl

FORMULA = "y ~ x + (1 | mm(g1, g2))"


def rows(**changed):
    return memberships.membership_table().assign(**changed)


@follows("mm()")
def _():
    told("as in (1 | mm(g1, g2))", bl.build_design, "y ~ mm(g1, g2)", rows())
    works(bl.build_design, FORMULA, rows())
    one = "y ~ (1 | mm(g1))"
    told("each with one of a row's levels: mm(g1, g2)", bl.build_design, one, rows())
    numbers = np.arange(60) % 8
    told("make all of them text", bl.build_design, FORMULA, rows(g2=numbers))
    works(bl.build_design, FORMULA, rows(g2=numbers.astype(str)))


@follows("weights=[w1, w2]")
def _():
    told("weights=[w1, w2]", bl.build_design, "y ~ x + (1 | mm(g1, g2, weights=u))", rows())
    works(bl.build_design, "y ~ x + (1 | mm(g1, g2, weights=[u, v]))", rows())
