"""Advice on responses that are not Gaussian, each taken."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from registry import HOW, follows, gram, table, told, works
from trees import random_tree

import bayeslmm as bl

FORMULA = "count ~ x + f + (1 | g)"
QUICK = HOW | {"sampler": "auto", "draws": 100}


def rows(**columns):
    rng = np.random.default_rng(5)
    base = table()
    count = rng.poisson(np.exp(0.5 + base.x))
    made = {"count": count, "yes": (count > 1).astype(int), "size": count + rng.integers(1, 4, 60),
            "positive": count + 0.5, "share": (count + 0.5) / (count.max() + 1)}  # fmt: skip
    return base.assign(**(made | columns))


def fit(family="poisson", response="count", formula=FORMULA, data=None, **how):
    return works(
        bl.fit_bayes,
        formula.replace("count", response, 1),
        rows() if data is None else data,
        family=family,
        **(QUICK | how),
    )


@cache
def counts():
    return fit()


@cache
def of_trials():
    return fit("binomial", trials="size")


def design(formula, data=None, **given):
    return bl.build_design(formula, rows() if data is None else data, **given)


@follows("family='bernoulli'")
def _():
    three = rows(kind=pd.Categorical(rows().f))
    told("family='bernoulli' takes two", design, "kind ~ x", three, family="bernoulli")
    two = three.assign(kind=three.kind == "a")
    told("family='bernoulli' models the probability of True", design, "kind ~ x", two)
    works(design, "kind ~ x", two, family="bernoulli")
    told("family='bernoulli' models the probability of the second", design, "f ~ x")
    told("family='bernoulli'", design, "count ~ x", family="binomial")
    works(design, "yes ~ x", family="bernoulli")


@follows("family='poisson'", "family='beta_binomial'")
def _():
    told("are for family='poisson' or 'negbinomial'", design, "count ~ x",
         family="truncated_poisson")  # fmt: skip
    works(design, "count ~ x", family="poisson")
    works(design, "count ~ x", family="hurdle_poisson")
    told("nearest is family='beta_binomial'", design, "count ~ x", family="quasibinomial")
    works(design, "count ~ x", family="beta_binomial", trials=20)


@follows(
    "family='hurdle_gamma'", "family='zero_inflated_beta'", "family='zero_one_inflated_beta'",
)  # fmt: skip
def _():
    told("take family='hurdle_gamma' or 'hurdle_lognormal'", design, "count ~ x", family="gamma")
    for family in ("hurdle_gamma", "hurdle_lognormal"):
        works(design, "count ~ x", family=family)
    ends = rows(share=rows().share.where(rows().x > 0.1, 0.0))
    told("take family='zero_inflated_beta'", design, "share ~ x", ends, family="beta")
    works(design, "share ~ x", ends, family="zero_inflated_beta")
    both = ends.assign(share=ends.share.where(ends.x < 0.5, 1.0))
    told("some are 0 or 1 'zero_one_inflated_beta'", design, "share ~ x", both, family="beta")
    told("take family='zero_one_inflated_beta'", design, "share ~ x", both,
         family="zero_inflated_beta")  # fmt: skip
    works(design, "share ~ x", both, family="zero_one_inflated_beta")


@follows("family='binomial'", "trials='size'", "trials=20", "trials=")
def _():
    told("add trials='size'", design, "count ~ x", family="binomial")
    assert works(design, "count ~ x", family="binomial", trials="size").trials is not None
    assert (works(design, "count ~ x", family="binomial", trials=20).trials == 20).all()
    told("family='binomial', trials='size'", design, "count ~ x", family="bernoulli")
    told("trials= is for family='binomial'", design, "count ~ x", family="poisson", trials="size")
    told("into trials=", design, "count ~ x", family="binomial", trials="size", weights="w")
    told("as trials=", design, "share ~ x", family="binomial", trials="size")
    shares = rows(share=rows()["count"] / rows()["size"])
    told("as trials=", design, "share ~ x", shares, family="binomial", trials="size")
    works(design, "I(share * size) ~ x", shares, family="binomial", trials="size")
    single = rows(row=range(60))
    told("count trials: family='binomial'", bl.fit_bayes, "yes ~ x + (1 | row)", single,
         family="bernoulli", **QUICK)  # fmt: skip
    fit("binomial", formula="count ~ x + (1 | row)", data=single, trials="size")
    told("give trials=", bl.predict, of_trials(), rows().drop(columns="size"), kind="response")
    new = rows().drop(columns="size")
    works(bl.predict, of_trials(), new, kind="response", trials=20, random_seed=1)
    works(bl.predict, of_trials(), new, kind="mean")


@follows("trials='n'", "trials={}")
def _():
    told("with family='binomial', trials='n'", design, "cbind(count, rest) ~ x")
    told("trials='size'", design, "cbind(count, size - count) ~ x")
    told("trials='size'", design, "count | trials(size) ~ x")
    works(design, "count ~ x", rows(n=rows()["size"]), family="binomial", trials="n")


@follows("family={}")
def _():
    told("write family='bernoulli'", design, "yes ~ x", family="Bernoulli()")
    told("family='bernoulli', link='probit'", design, "yes ~ x", family="bernoulli(probit)")
    works(design, "yes ~ x", family="bernoulli", link="probit")


@follows("link={}", "link='probit'", "bl.Bernoulli()")
def _():
    told("bl.Bernoulli(link='probit')", design, "yes ~ x", family=3)
    works(design, "yes ~ x", family=bl.Bernoulli(link="probit"))
    told("give one of the two", design, "yes ~ x", family=bl.Bernoulli(), link="probit")
    works(design, "yes ~ x", family=bl.Bernoulli())
    works(design, "yes ~ x", family="bernoulli", link="probit")


@follows("family='gamma'", "family='gaussian'", "family='shifted_lognormal'")
def _():
    told("nearest is family='shifted_lognormal'", design, "positive ~ x", family="ddm")
    works(design, "positive ~ x", family="shifted_lognormal")
    told("take family='gamma'", design, "positive ~ x", family="gaussian", link="log")
    told("take family='gamma'", design, "positive ~ x", family="lognormal", link="log")
    works(design, "positive ~ x", family="gamma")
    told("take family='gamma' or 'lognormal'", design, "positive ~ x", family="poisson")
    works(design, "positive ~ x", family="lognormal")
    told("offset(log(exposure))", design, "positive ~ x", family="poisson")
    works(design, "count ~ x + offset(log(size))", family="poisson")
    told("take family='gaussian' or 'student'", design, "y ~ x", family="gamma")
    works(design, "y ~ x", family="gaussian")
    works(design, "y ~ x", family="student")


@follows("fit_bayes()")
def _():
    told("fit_bayes(..., family='bernoulli')", bl.predict, counts(), rows(), family="poisson")
    told("fit_bayes(..., link='probit')", bl.predict, counts(), rows(), link="log")
    works(bl.fit_bayes, "yes ~ x + (1 | g)", rows(), family="bernoulli", **QUICK)
    lazy = pytest.importorskip("polars").from_pandas(rows()).lazy()
    told("give an eager table", bl.fit_bayes, FORMULA, lazy, family="poisson", **QUICK)
    told("give an eager table", bl.fit_bayes, FORMULA, gram(), family="poisson", **QUICK)
    fit(data=lazy.collect())


@follows("fit_ml()")
def _():
    told("fit_ml(formula, data, family='bernoulli')", bl.fit_reml, "yes ~ x + (1 | g)", rows(),
         family="bernoulli")  # fmt: skip
    works(bl.fit_ml, "yes ~ x + (1 | g)", rows(), family="bernoulli")


@follows("sampler='quadrature'", "sampler='auto'")
def _():
    told("sampler='auto'", bl.fit_bayes, "y ~ x + (1 | g)", table(),
         **(HOW | {"sampler": "quadrature"}))  # fmt: skip
    works(bl.fit_bayes, "y ~ x + (1 | g)", table(), **(HOW | {"sampler": "auto"}))
    crossed = "count ~ x + (1 | g) + (1 | h)"
    told("sampler='quadrature' cannot be used", bl.fit_bayes, crossed, rows(), family="poisson",
         **(QUICK | {"sampler": "quadrature"}))  # fmt: skip
    fit(sampler="quadrature")


@follows("parameters={{}")
def _():
    model = design("count ~ x", family="negbinomial")
    told("give parameters={'shape': 2.0}", bl.simulate_response, model, beta=[0, 1])
    works(bl.simulate_response, model, beta=[0, 1], parameters={"shape": 2.0})


@follows("unit='observation'")
def _():
    nested = random_tree("count ~ x + (1 | g) + (1 | g:f)", rows(), draws=20, family="poisson")
    told("factor='g:f', or leave out single rows, unit='observation'", bl.loo, nested,
         unit="group", factor="g")  # fmt: skip
    works(bl.loo, nested, unit="group", factor="g:f")
    works(bl.loo, nested, unit="observation")
    wide = random_tree("count ~ x + (x + h | g)", rows(), draws=20, family="poisson")
    told("Leave out single rows, unit='observation'", bl.loo, wide, unit="group")
    works(bl.loo, wide, unit="observation")


@follows("scale='link'", "scale='response'", "ratio=True")
def _():
    told("take scale='link'", bl.compare_predictions, counts(), {"x": "slope"}, ratio=True)
    works(bl.compare_predictions, counts(), {"x": "slope"}, ratio=True, scale="link")
    works(bl.compare_predictions, counts(), {"x": [0, 1]}, ratio=True)
    probit = fit("bernoulli", "yes", link="probit")
    told("take scale='response'", bl.compare_predictions, probit, {"x": [0, 1]}, ratio=True,
         scale="link")  # fmt: skip
    works(bl.compare_predictions, probit, {"x": [0, 1]}, ratio=True, scale="response")
    told("make them sum to zero", bl.marginal_means, counts(), "f", ratio=True,
         contrasts={"mean": {"a": 0.5, "b": 0.5}})  # fmt: skip
    works(bl.marginal_means, counts(), "f", ratio=True, contrasts={"b": {"a": -1, "b": 1}})
    of_y = works(bl.fit_bayes, "y ~ x + (1 | g)", table(), **HOW)
    told("leave ratio out", bl.compare_predictions, of_y, {"x": [0, 1]}, ratio=True)
    works(bl.compare_predictions, of_y, {"x": [0, 1]})
    far = {"x": [1e4, 2e4]}
    certain = fit("bernoulli", "yes", formula="count ~ x + (1 | g)")
    told("take scale='link', or differences", bl.compare_predictions, certain, far, ratio=True)
    works(bl.compare_predictions, certain, far)
    told("Leave ratio=True out", bl.compare_predictions, certain, far, ratio=True, scale="link")
    works(bl.compare_predictions, certain, far, scale="link")
    near = {"x": [4e2, 4.01e2]}
    told("take scale='link', or differences", bl.compare_predictions, certain, near, ratio=True)
    works(bl.compare_predictions, certain, near, ratio=True, scale="link")


@follows("exponentiate=True")
def _():
    probit = fit("bernoulli", "yes", link="probit")
    told("leave it out", bl.fixed_effects, probit, exponentiate=True)
    works(bl.fixed_effects, probit)
    works(bl.fixed_effects, counts(), exponentiate=True)
    tiny = fit(formula="count ~ x + (1 | g)", data=rows(x=1e-6 * rows().x))
    told("Leave exponentiate=True out", bl.fixed_effects, tiny, exponentiate=True)
    works(bl.fixed_effects, tiny)


@follows("new_levels='average'", "new_levels={}", "kind='mean'")
def _():
    new = rows(g="unseen")
    told("new_levels='average'", bl.predict, counts(), new)
    works(bl.predict, counts(), new, new_levels="average")
    told("take kind='mean', or new_levels='sample'", bl.predict, counts(), new, kind="response",
         new_levels="average")  # fmt: skip
    works(bl.predict, counts(), new, kind="mean", new_levels="average")
    works(bl.predict, counts(), new, kind="response", new_levels="sample", random_seed=1)


@follows("kind='quantile'", "kind='marginal'", "kind='pearson'", "fitted()")
def _():
    told("Take kind='quantile'", bl.residuals, counts(), kind="marginal")
    works(bl.residuals, counts(), kind="quantile")
    works(bl.fitted, counts(), random_effects="none")
    heavy = fit("student", "y", formula="count ~ x + (1 | g)", priors={"nu": "Uniform(0.5, 1.5)"})
    told("take kind='quantile'", bl.residuals, heavy, kind="pearson")
    works(bl.residuals, heavy, kind="quantile")


@follows("kind='correlation'", "priors={'nu': 'LogNormal(2.5, 0.5)'}")
def _():
    formula = "count ~ x + (1 | g)"
    heavy = fit("student", "y", formula=formula, priors={"nu": "Uniform(0.5, 1.5)"})
    told("Take kind='correlation'", bl.marginal_covariance, heavy, level="g1")
    works(bl.marginal_covariance, heavy, level="g1", kind="correlation")
    lighter = fit("student", "y", formula=formula, priors={"nu": "LogNormal(2.5, 0.5)"})
    assert np.isfinite(works(bl.marginal_covariance, lighter, level="g1")).all()


@follows("scale='latent'", "scale='observation'")
def _():
    told("leave scale='observation' out", bl.r_squared, counts(), by_level="g",
         scale="observation")  # fmt: skip
    works(bl.r_squared, counts(), by_level="g")
    told("with scale='latent' or 'observation'", bl.design_effect, counts())
    for scale in ("latent", "observation"):
        works(bl.icc, counts(), scale=scale)
        works(bl.r_squared, counts(), scale=scale)
    wide = random_tree("count ~ x + (1 | g)", rows(), draws=20, family="poisson")
    wide["posterior"]["sd_g"] = 30.0 * wide["posterior"]["sd_g"]
    told("Take scale='latent'", bl.icc, wide, scale="observation")
    works(bl.icc, wide, scale="latent")


@follows("compare_ml()")
def _():
    told("compare_ml(fit)", bl.compare_reml, counts())
    works(bl.compare_ml, counts())


@follows("approximation='quadrature'")
def _():
    crossed = "count ~ x + (1 | g) + (1 | h)"
    told("Leave it out", bl.fit_ml, crossed, rows(), family="poisson", approximation="quadrature")
    works(bl.fit_ml, crossed, rows(), family="poisson")


@follows("priors={{}")
def _():
    merged = rows(positive=np.exp(rows().groupby("g").y.transform("mean")))
    formula = "positive ~ 1 + (1 | g)"
    told("priors={'shape': 'Gamma(2, 0.1)'}", bl.fit_bayes, formula, merged, family="gamma",
         **QUICK)  # fmt: skip
    works(bl.fit_bayes, formula, merged, family="gamma", priors={"shape": "Gamma(2, 0.1)"}, **QUICK)


@follows("family='negbinomial'")
def _():
    told("nearest is family='negbinomial'", design, "count ~ x", family="quasipoisson")
    works(design, "count ~ x", family="negbinomial")


@follows("family='cumulative'")
def _():
    words = rows(f=rows().f)
    told("have no order: make the column an ordered categorical", design, "f ~ x", words,
         family="cumulative")  # fmt: skip
    ordered = words.assign(f=pd.Categorical(words.f, categories=sorted(set(words.f)), ordered=True))
    works(design, "f ~ x", ordered, family="cumulative")
    told("Number the categories from 1", design, "count ~ x", family="sratio")
    works(design, "rating ~ x", rows(rating=rows()["count"] + 1), family="sratio")
    told("counts for family='poisson'", design, "count ~ x", family="acat")
    works(design, "count ~ x", family="poisson")
    told("family='cumulative' and 'sratio' have probit", bl.AdjacentCategory, "probit")
    works(design, "f ~ x", ordered, family="cumulative", link="probit")
    told("leave the 0 + (or - 1) out", design, "f ~ 0 + x", ordered, family="acat")
    told("is 'Dirichlet(1)', on the probabilities", bl.resolve_priors,
         design("f ~ x", ordered, family="acat"), {"threshold": "Normal(0, 1)"})  # fmt: skip
    works(bl.resolve_priors, design("f ~ x", ordered, family="acat"), {"threshold": "Dirichlet(1)"})
    gap = {"y": [1, 2, 4, 1, 2, 4], "g": list("aabbcc")}
    told("number the categories without it", bl.fit_ml, "y ~ 1 + (1 | g)", gap, family="cumulative")


@follows("kind='probability'")
def _():
    told("take kind='mean'", bl.predict, counts(), kind="probability")
    works(bl.predict, counts(), kind="mean")
