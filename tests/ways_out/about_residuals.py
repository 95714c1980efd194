"""Advice on models with a residual structure, each taken."""

from functools import cache

import numpy as np
import pandas as pd
from registry import HOW, follows, table, told, works

import bayeslmm as bl

FORMULA = "y ~ 1 + x + (1 | g)"


@cache
def rows():
    rng = np.random.default_rng(4)
    made = pd.DataFrame({"g": np.repeat(np.arange(8), 6), "step": np.tile(np.arange(6), 8)})
    made["x"] = rng.normal(size=len(made))
    made["e"] = rng.uniform(0.5, 1.0, len(made))
    made["f"] = np.where(made.g % 2 == 0, "a", "b")
    made["n"] = 1 + made.step
    chance = 1.0 / (1.0 + np.exp(-np.repeat(rng.normal(size=8), 6)))
    made["count"] = rng.binomial(4 * made.n, chance)
    made["n"] *= 4
    made["y"] = rng.normal(size=len(made)) + np.repeat(rng.normal(size=8), 6)
    return made


@cache
def known():
    return bl.fit_bayes(FORMULA, rows(), se="e", **HOW)


@cache
def series():
    return bl.fit_bayes(FORMULA, rows(), residual="ar1(step | g)", **HOW)


@follows("se=")
def _():
    told("known standard errors are se=", bl.fit_bayes, FORMULA, rows(), weights="e", sigma="~ f")
    works(bl.fit_bayes, FORMULA, rows(), se="e", sigma="~ f", **HOW)
    told("give one of them", bl.fit_bayes, FORMULA, rows(), se="e", residual="ar1(step | g)")
    new = rows().head(3).drop(columns="e")
    told("se=", bl.predict, known(), new, kind="response")
    works(bl.predict, known(), new, kind="response", se=np.ones(3))
    told("leave it out", bl.predict, series(), rows().head(3), kind="response", se=np.ones(3))
    works(bl.predict, series(), rows().head(3), kind="response")


@follows("residual=")
def _():
    told("residual= correlates rows", bl.build_design, FORMULA, rows(), se="e",
         residual="ar1(step | g)")  # fmt: skip
    works(bl.build_design, FORMULA, rows(), residual="ar1(step | g)")
    works(bl.build_design, FORMULA, rows(), se="e")


@follows("residual='conditional'")
def _():
    told("leave residual out", bl.predict, series(), kind="response", residual="conditional")
    later = rows().head(3).assign(step=[6, 7, 8])
    works(bl.predict, series(), later, kind="response", residual="conditional")
    works(bl.predict, series(), kind="response")


@follows("kind='normalized'")
def _():
    fit = bl.fit_bayes(
        "count ~ 1 + (1 | g)", rows(), family="binomial", trials="n", draws=100, random_seed=1,
        progressbar=False,
    )  # fmt: skip
    told("kind='normalized' is for responses that are Gaussian", bl.residuals, fit,
         kind="normalized")  # fmt: skip
    works(bl.residuals, series(), kind="normalized")


@follows("method='wald'")
def _():
    fit = bl.fit_reml(FORMULA, rows(), residual="ar1(step | g)")
    told("give method='wald'", bl.confidence_intervals, fit)
    works(bl.confidence_intervals, fit, method="wald")
    fit = bl.fit_reml("Reaction ~ Days + homdiag(Days | Subject)", bl.load_dataset("sleepstudy"))
    told("give method='wald'", bl.confidence_intervals, fit)
    works(bl.confidence_intervals, fit, method="wald")


@follows("compare_reml()", "fit_reml()", "fit=fit_reml")
def _():
    told("take compare_reml(idata, fit=fit_reml(", bl.compare_ml, series())
    by_ml = bl.fit_reml(FORMULA, rows(), residual="ar1(step | g)", method="ML")
    works(bl.compare_reml, series(), fit=by_ml)
    other = bl.fit_ml("y ~ 1 + (1 | g)", rows())
    plain = bl.fit_reml(FORMULA, rows(), method="ML")
    told("fit both by bl.fit_ml", bl.likelihood_ratio_test, plain, other)
    works(bl.likelihood_ratio_test, bl.fit_ml(FORMULA, rows()), other)


@follows("approximation='laplace'")
def _():
    how = {"family": "binomial", "trials": "n"}
    formulas = ("count ~ 1 + (1 | g)", "count ~ 1 + x + (1 | g)")
    small, large = (bl.fit_ml(formula, rows(), **how) for formula in formulas)
    by_laplace = [bl.fit_ml(f, rows(), approximation="laplace", **how) for f in formulas]
    by_nodes = [bl.fit_ml(f, rows(), approximation="quadrature", **how) for f in formulas]
    told("fit both with approximation='laplace'", bl.likelihood_ratio_test, by_nodes[0],
         by_laplace[1])  # fmt: skip
    works(bl.likelihood_ratio_test, *by_laplace)
    works(bl.likelihood_ratio_test, small, large)


@follows("family=")
def _():
    rng = np.random.default_rng(6)
    table = pd.DataFrame({"g": np.repeat(np.arange(8), 5), "won": rng.integers(0, 2, 40)})
    told("fit_bayes(..., family=...)", bl.fit_bayes, "won ~ 1 + (1 | g)", table, **HOW)
    works(bl.fit_bayes, "won ~ 1 + (1 | g)", table, family="bernoulli", draws=100, chains=4,
          random_seed=1, progressbar=False)  # fmt: skip


@follows("max_lag={}")
def _():
    told("give a larger one", bl.plot_residual_correlation, series(), max_lag=0.5)
    works(bl.plot_residual_correlation, series(), max_lag=2)


@follows("residual='{}({} | {})'")
def _():
    told("residual='ar1(step | g)'", bl.build_design, "y ~ x + ar1(step | g)", rows())
    works(bl.build_design, "y ~ x", rows(), residual="ar1(step | g)")


@follows("priors={'rho_residual': 'Uniform({}")
def _():
    pairs = pd.DataFrame({"g": np.repeat(np.arange(8), 2), "step": np.tile([0, 1], 8)})
    rng = np.random.default_rng(8)
    pairs["y"] = np.ravel(rng.normal(size=(8, 1)) * [1.0, -1.0]) + 0.3 * rng.normal(size=16)
    new = pd.DataFrame({"g": 0, "step": [2, 3, 4]})
    fit = bl.fit_bayes("y ~ 1", pairs, residual="cs(step | g)", **HOW)
    told("Fit with a prior that keeps them above", bl.predict, fit, new, kind="response")
    above = {"rho_residual": "Uniform(-0.333, 1)"}
    fit = bl.fit_bayes("y ~ 1", pairs, residual="cs(step | g)", priors=above, **HOW)
    works(bl.predict, fit, new, kind="response")


@follows("sigma='~ 1'")
def _():
    told("se=, their column; with sigma='~ 1'", bl.fit_reml, "y | se(e) ~ x", rows())
    works(bl.fit_reml, "y ~ x", rows(), se="e")
    works(bl.fit_reml, "y ~ x", rows(), se="e", sigma="~ 1")


@follows("family='student'")
def _():
    alone = table(row=range(60))
    told("family='student'", bl.build_design, "y ~ x", alone, sigma="~ 1 + (1 | row)")
    works(bl.build_design, "y ~ x", alone, family="student")
