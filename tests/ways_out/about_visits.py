"""Advice on residuals of repeated measures, each taken."""

import numpy as np
import pandas as pd
from registry import HOW, follows, told, works

import bayeslmm as bl
from bayeslmm.model.residual.of_design import structured_residuals

LABELS = ["w4", "w8", "w12"]


def rows(**columns):
    rng = np.random.default_rng(4)
    made = pd.DataFrame({"g": np.repeat(np.arange(12), 3), "step": np.tile(np.arange(3), 12)})
    made["visit"] = [LABELS[k] for k in made.step]
    made["arm"] = np.where(made.g < 6, "a", "b")
    made["y"] = rng.normal(size=len(made)) + 0.5 * np.repeat(rng.normal(size=12), 3)
    return made.assign(**columns)


def design(residual, data=None, **how):
    return bl.build_design("y ~ 1", rows() if data is None else data, residual=residual, **how)


@follows("pandas.Categorical()", "ordered=True")
def _():
    told("pandas.Categorical(data['visit'], ['w12', ...], ordered=True)", design, "toep(visit | g)")
    data = rows()
    data["visit"] = pd.Categorical(data["visit"], LABELS, ordered=True)
    works(design, "toep(visit | g)", data)
    told("or number the visits", design, "ad(visit | g)")
    works(design, "ad(step | g)")


@follows("cs()", "sigma=")
def _():
    told("leave sigma= out", design, "csh(step | g)", sigma="~ 0 + arm")
    works(design, "csh(step | g)")
    told("such as cs()", design, "csh(step | g)", sigma="~ 0 + arm")
    works(design, "cs(step | g)", sigma="~ 0 + arm")
    told("write csh(step | arm/g)", design, "csh(step | g)", sigma="~ 0 + arm")
    works(design, "csh(step | arm/g)")


@follows("p=", "q=")
def _():
    told("An order p= or q= of at least one", design, "arma(step | g, p=0, q=0)")
    works(design, "arma(step | g, p=1, q=0)")
    told("lower p or q", design, "arma(step | g, p=2, q=1)")
    works(design, "arma(step | g, p=1, q=1)")


@follows("residual={}")
def _():
    once = rows().query("step == 0")
    told("leave residual='us(visit | g)' out", design, "us(visit | g)", once)
    works(bl.build_design, "y ~ 1", once)


@follows("ar1()", "ar1h()", "ad()")
def _():
    rng = np.random.default_rng(1)
    many = pd.DataFrame({"g": np.repeat(np.arange(200), 40), "t": np.tile(np.arange(40), 200)})
    many = many.assign(y=rng.normal(size=8000))[rng.uniform(size=8000) < 0.5]

    def structure(residual):
        return structured_residuals(design(residual, many).residual)

    told("ar1h(), ad() and cs() take any number of times", structure, "arma(t | g)")
    for kind in ("ar1", "ou", "ar1h", "ad", "cs"):
        works(structure, f"{kind}(t | g)")


@follows("TruncatedNormal()")
def _():
    wide = {"priors": {"rho_residual": "Uniform(-1, 1)"}}
    how = HOW | {"residual": "cs(visit | g)"}
    told("'TruncatedNormal(0, 0.5, -0.5, 1)'", bl.fit_bayes, "y ~ 1", rows(), **how, **wide)
    for prior in ("Uniform(-0.5, 1)", "TruncatedNormal(0, 0.5, -0.5, 1)"):
        works(bl.fit_bayes, "y ~ 1", rows(), **how, priors={"rho_residual": prior})
