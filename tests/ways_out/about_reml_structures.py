"""Advice on fits of residual structures by REML, each taken."""

from registry import follows, table, told, works

import bayeslmm as bl


@follows("method='wald'")
def _():
    fit = bl.fit_reml("y ~ x + (1 | g)", table(), sigma="~ x")
    told("method='wald'", bl.confidence_intervals, fit)
    works(bl.confidence_intervals, fit, method="wald")
