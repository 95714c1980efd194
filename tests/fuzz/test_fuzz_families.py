"""Responses of every family, links and trials: numbers, or a word on why there are none."""

from functools import cache

import numpy as np
import pandas as pd
from fits import HOW, table, verbs
from hostile import GENTLE, PRIORS, tables
from hypothesis import strategies as st
from outcome import assert_numbers, fuzzed, outcome
from test_fuzz_questions import given_to

import bayeslmm as bl

SEEDS = st.integers(0, 2**64 - 1)
FAMILIES = ("bernoulli", "binomial", "poisson", "negbinomial", "gamma", "lognormal", "beta",
            "student", "zero_inflated_poisson", "hurdle_gamma", "beta_binomial",
            "truncated_negbinomial")  # fmt: skip
LINKS = (*(None,) * 8, "logit", "probit", "cloglog", "log", "identity", "sqrt", 3)
TRIALS = (7, 7, 7, 1, "z", "x", "nowhere", 0, -1, 2.5, "a", np.inf, 10**12, [7], True, None)
# How n responses of a family, or of none, are made.
RESPONSES = {
    "binary": lambda rng, n: rng.integers(0, 2, n),
    "booleans": lambda rng, n: rng.random(n) < 0.5,
    "answers": lambda rng, n: rng.choice(["no", "yes"], n),
    "zeros": lambda rng, n: np.zeros(n),
    "ones": lambda rng, n: np.ones(n, dtype=int),
    "counts": lambda rng, n: rng.poisson(3.0, n),
    "few_counts": lambda rng, n: rng.binomial(7, 0.3, n),
    "large_counts": lambda rng, n: rng.poisson(10.0 ** rng.integers(3, 9), n),
    "whole_floats": lambda rng, n: rng.poisson(3.0, n).astype(np.float32),
    "positive": lambda rng, n: rng.gamma(2.0, 10.0 ** rng.integers(-9, 9), n),
    "wide": lambda rng, n: np.exp(rng.normal(size=n) * rng.choice([1, 30, 200])),
    "shares": lambda rng, n: rng.beta(0.5, 0.5, n),
    "heavy": lambda rng, n: rng.standard_t(0.7, n),
    "gaps": lambda rng, n: np.where(rng.random(n) < 0.2, np.nan, rng.poisson(3.0, n)),
}
SUITED = {
    "bernoulli": ("binary", "booleans", "answers", "zeros", "ones"),
    "binomial": ("few_counts", "binary", "zeros"),
    "poisson": ("counts", "large_counts", "whole_floats", "gaps", "zeros", "ones"),
    "negbinomial": ("counts", "large_counts", "whole_floats", "gaps", "zeros"),
    "gamma": ("positive", "wide", "ones"), "lognormal": ("positive", "wide"),
    "beta": ("shares",), "student": ("heavy", "positive"),
    "zero_inflated_poisson": ("counts", "zeros", "large_counts"),
    "hurdle_gamma": ("positive", "wide", "counts"), "beta_binomial": ("few_counts", "binary"),
    "truncated_negbinomial": ("ones",),
}  # fmt: skip


def chosen(rng, values):
    return values[rng.integers(len(values))]


def case(rng, given):
    """Choose a family with its settings, and put a response into a table, mostly one that suits."""
    family = chosen(rng, FAMILIES)
    how = {"family": family, "link": chosen(rng, LINKS)}
    if family == "binomial" or rng.random() < 0.1:
        how["trials"] = chosen(rng, TRIALS)
    if not (isinstance(given, pd.DataFrame) and "y" in given.columns) or rng.random() < 0.1:
        return given, how
    kind = chosen(rng, SUITED[family]) if rng.random() < 0.85 else chosen(rng, sorted(RESPONSES))
    if given.columns.is_unique:
        given = given.assign(y=RESPONSES[kind](rng, len(given)))
    return given, how


@fuzzed(60, formula=GENTLE, given=tables(1), seed=SEEDS)
def test_a_design_has_a_possible_response(formula, given, seed):
    data, how = case(np.random.default_rng(seed), given)
    design = outcome(bl.build_design, formula, data, **how)
    if design is not None:
        assert np.isfinite(design.y).all()
        assert design.family.response.allowed(design.y, design.known).all()
        assert np.isfinite(design.family.link.inverse(np.zeros(1))).all()


@fuzzed(40, formula=GENTLE, priors=st.one_of(st.none(), PRIORS), given=tables(1), seed=SEEDS)
def test_priors_and_their_draws_are_numbers(formula, priors, given, seed):
    data, how = case(np.random.default_rng(seed), given)
    outcome(bl.describe_priors, formula, data, priors, **how)
    tree = outcome(bl.sample_prior, formula, data, priors=priors, draws=20, random_seed=1, **how)
    assert_numbers(None if tree is None else tree["prior"])


SMALL = st.sampled_from(["y ~ x + (1 | g)", "y ~ 1 + (1 | g)", "y ~ 0 + x + (0 + x | g)",
                         "y ~ x + (x | g)", "y ~ x + offset(z) + (1 | g)",
                         "y ~ x + (1 | g) + (1 | h)", "y ~ f * x + (1 | g)"])  # fmt: skip


@fuzzed(40, formula=SMALL, given=tables(0), seed=SEEDS)
def test_draws_are_numbers(formula, given, seed):
    rng = np.random.default_rng(seed)
    data, how = case(rng, given)
    crossed = "| h" in formula or rng.random() < 0.3
    how |= {"sampler": "laplace_chain" if crossed else "quadrature", "draws": 30, "tune": 50}
    tree = outcome(bl.fit_bayes, formula, data, chains=2, random_seed=1, progressbar=False, **how)
    if tree is not None:
        assert_numbers(tree["posterior"])
        assert str(bl.summary(tree))


@cache
def posterior(family):
    rng = np.random.default_rng(4)
    kind = SUITED[family][0]
    data = table().assign(y=RESPONSES[kind](rng, 24))
    trials = {"trials": 7} if "binomial" in family else {}
    how = HOW | {"parametrization": "auto", "sampler": "auto"} | trials
    return outcome(bl.fit_bayes, "y ~ x + f + (1 | g)", data, family=family, **how)


# Arguments that have more to choose from where the response is not Gaussian.
OF_FAMILIES = {
    "ratio": (True, False), "exponentiate": (True, False), "trials": TRIALS,
    "scale": ("response", "link", "latent", "observation"), "new_levels": ("average", "sample"),
    "kind": ("mean", "response", "quantile", "pearson", "marginal"),
}  # fmt: skip


@fuzzed(60, seed=SEEDS)
def test_a_question_to_any_family_is_answered_or_refused(seed):
    rng = np.random.default_rng(seed)
    names = [n for n in verbs() if not n.startswith("plot_") and n != "add_log_likelihood"]
    name = str(rng.choice(names))
    given = given_to(name, rng)
    for argument, values in OF_FAMILIES.items():
        if argument in {p.name for p in verbs()[name]} and rng.random() < 0.4:
            given[argument] = chosen(rng, values)
    outcome(getattr(bl, name), posterior(chosen(rng, FAMILIES)), **given)
