"""`describe_priors` of a fit, of a design, and of priors by themselves."""

import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, TreeError

FORMULA = "y ~ x + (x | g)"
PRIORS = {"sigma": "HalfNormal(3)", "corr": "LKJ(3)"}


@pytest.fixture(scope="module")
def expected():
    return bl.describe_priors(FORMULA, trees.TINY, PRIORS)


@pytest.fixture(scope="module")
def design():
    return bl.build_design(FORMULA, trees.TINY)


def test_a_tree_describes_the_priors_that_it_was_fitted_with(expected, tmp_path):
    fit = bl.fit_bayes(
        FORMULA, trees.TINY, priors=PRIORS, parametrization="marginal", sampler="importance",
        random_seed=1, progressbar=False,
    )  # fmt: skip
    pd.testing.assert_frame_equal(bl.describe_priors(fit), expected)
    other = bl.describe_priors(fit, priors="brms")
    pd.testing.assert_frame_equal(other, bl.describe_priors(FORMULA, trees.TINY, "brms"))


def test_so_does_one_of_prior_draws(expected):
    drawn = bl.sample_prior(FORMULA, trees.TINY, priors=PRIORS, draws=10, random_seed=1)
    pd.testing.assert_frame_equal(bl.describe_priors(drawn), expected)


def test_so_does_one_of_cross_products(expected, design):
    gram = bl.Gram.from_design(design)
    drawn = bl.sample_prior(FORMULA, gram, priors=PRIORS, draws=10, random_seed=1)
    # Scales from cross-products and from rows agree up to rounding.
    pd.testing.assert_frame_equal(bl.describe_priors(drawn), expected, rtol=1e-12)


def test_priors_by_themselves_know_no_columns(expected, design):
    found = bl.describe_priors(bl.resolve_priors(design, PRIORS))
    assert list(found.columns) == list(expected.columns)
    same = ["distribution", "q5", "q50", "q95", "origin"]
    pd.testing.assert_frame_equal(found[same], expected[same])
    assert found.loc["sigma", "response_q95"] == found.loc["sigma", "q95"]
    assert found.loc[["x", "sd_g[x]"], "response_q95"].isna().all()


def test_a_design_and_a_parsed_formula_do(expected, design):
    pd.testing.assert_frame_equal(bl.describe_priors(design, priors=PRIORS), expected)
    parsed = bl.parse_formula(FORMULA)
    pd.testing.assert_frame_equal(bl.describe_priors(parsed, trees.TINY, PRIORS), expected)


def test_what_is_given_twice_is_refused(design):
    tree = trees.documented_tree()
    with pytest.raises(ArgumentError, match="data is given, and the DataTree has its own"):
        bl.describe_priors(tree, trees.TINY)
    with pytest.raises(ArgumentError, match="weights is given, and the Design"):
        bl.describe_priors(design, weights="x")
    with pytest.raises(ArgumentError, match="priors is given, and the Priors"):
        bl.describe_priors(bl.resolve_priors(design), priors="brms")


def test_a_tree_without_its_priors_is_refused():
    tree = trees.random_tree(FORMULA, trees.TINY)
    with pytest.raises(TreeError, match="root attribute 'priors'"):
        bl.describe_priors(tree)
