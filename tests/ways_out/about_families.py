"""Advice on response families, each taken."""

import numpy as np
import trees
from registry import follows, told, works

import bayeslmm as bl


def table(family="binomial"):
    return {key: np.asarray(value) for key, value in trees.family_data(family).items()}


def design(formula, data, **how):
    return bl.build_design(formula, data, **how)


def tree(family, formula="y ~ x + (1 | g)", **values):
    trials = "size" if family == "binomial" else None
    how = {"family": family, "trials": trials}
    draws = trees.random_draws(formula, table(family), chains=2, draws=20, **how)
    draws |= {name: np.full(draws[name].shape, value) for name, value in values.items()}
    return trees.make_tree(formula, table(family), draws, **how)


@follows("trials='size'", "trials=20", "family='bernoulli'")
def _():
    told("trials='size' for a column called size, or trials=20", design, "y ~ x", table(),
         family="binomial")  # fmt: skip
    works(design, "y ~ x", table(), family="binomial", trials="size")
    works(design, "y ~ x", table(), family="binomial", trials=20)
    told("family='bernoulli'", design, "y ~ x", table("bernoulli"), family="binomial")
    works(design, "y ~ x", table("bernoulli"), family="bernoulli")


@follows("trials=")
def _():
    told("goes into trials=", design, "y ~ x", table(), family="binomial", weights="size",
         trials="size")  # fmt: skip
    works(design, "y ~ x", table(), family="binomial", trials="size")


@follows("family='binomial'", "trials='n'")
def _():
    rows = table() | {"n": trees.TRIALS}
    told("with family='binomial', trials='n' and the column n", design, "cbind(y, z) ~ x", rows)
    works(design, "y ~ x", rows, family="binomial", trials="n")
    told("family='binomial'", design, "y ~ x", rows, family="bernoulli")


@follows("family='gamma'")
def _():
    told("family='gamma'", design, "y ~ x", table("gaussian"), family="gaussian", link="log")
    works(design, "y ~ x", table("gaussian"), family="gamma")


@follows("family='gaussian'")
def _():
    data = table("gaussian") | {"y": trees.TINY["y"] - 4}
    told("take family='gaussian' or 'student'", design, "y ~ x", data, family="gamma")
    works(design, "y ~ x", data, family="gaussian")
    works(design, "y ~ x", data, family="student")


@follows("bl.Bernoulli()", "link='probit'")
def _():
    told("bl.Bernoulli(link='probit')", design, "y ~ x", table("bernoulli"), family=3)
    works(design, "y ~ x", table("bernoulli"), family=bl.Bernoulli(link="probit"))


@follows("scale='latent'")
def _():
    wide = tree("poisson", sd_g=60.0)
    told("scale='latent'", bl.icc, wide, scale="observation")
    works(bl.icc, wide, scale="latent")


@follows("scale='observation'")
def _():
    counts = tree("poisson")
    told("leave scale='observation' out", bl.r_squared, counts, by_level="g", scale="observation")
    works(bl.r_squared, counts, by_level="g")


@follows("kind='correlation'", "priors={'nu': 'LogNormal(2.5, 0.5)'}")
def _():
    heavy = tree("student", nu=1.5)
    told("kind='correlation'", bl.marginal_covariance, heavy, level="b")
    told("priors={'nu': 'LogNormal(2.5, 0.5)'}", bl.marginal_covariance, heavy, level="b")
    works(bl.marginal_covariance, heavy, level="b", kind="correlation")
    works(bl.describe_priors, "y ~ x", table("student"), {"nu": "LogNormal(2.5, 0.5)"},
          family="student")  # fmt: skip


@follows("fit_bayes()")
def _():
    told("fit_bayes(..., family='bernoulli')", bl.icc, tree("poisson"), family="poisson")
    told("fit_bayes has their posterior", bl.fit_reml, "y ~ x", table(), family="bernoulli")
