"""Exponentials of fixed effects: named, and transformed draw by draw."""

import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, NumericalError

WORDS = {
    ("bernoulli", None): ["odds", "odds ratio"],
    ("binomial", "cloglog"): ["hazard", "hazard ratio"],
    ("poisson", None): ["rate", "rate ratio"],
    ("negbinomial", None): ["rate", "rate ratio"],
    ("gamma", None): ["mean", "ratio of means"],
    ("lognormal", None): ["median", "ratio of medians"],
    ("beta", None): ["odds", "odds ratio"],
}


@pytest.mark.parametrize("case", WORDS, ids=str)
def test_exponentials_are_transformed_draw_by_draw(case):
    idata = trees.family_tree(*case)
    table = bl.fixed_effects(idata, exponentiate=True, ci_prob=0.9, ci_kind="hdi")
    assert table["quantity"].tolist() == WORDS[case]
    beta = np.exp(idata["posterior"]["beta"].to_numpy().reshape(-1, 2))
    np.testing.assert_allclose(table["mean"], beta.mean(axis=0))
    np.testing.assert_allclose(table["sd"], beta.std(axis=0, ddof=1))
    # The shortest interval of exponentials is not that of the coefficients, transformed.
    plain = bl.fixed_effects(idata, ci_prob=0.9, ci_kind="hdi")
    assert "quantity" not in plain
    assert np.all(table["hdi90_ub"] <= np.exp(plain["hdi90_ub"]))


@pytest.mark.parametrize(
    "case", [("gaussian", None), ("student", None), ("bernoulli", "probit")], ids=str
)
def test_coefficients_without_such_a_meaning_are_refused(case):
    with pytest.raises(ArgumentError, match=rf"family '{case[0]}' with link .* leave it out"):
        bl.fixed_effects(trees.family_tree(*case), exponentiate=True)


def test_exponentials_beyond_numbers_are_refused():
    idata = trees.family_tree("poisson").copy(deep=True)
    idata["posterior"]["beta"] = 400.0 + idata["posterior"]["beta"]  # squares are infinite
    with pytest.raises(NumericalError, match=r"as large as exp\(40.*Leave exponentiate=True out"):
        bl.fixed_effects(idata, exponentiate=True)
    with pytest.raises(NumericalError, match="Leave exponentiate=True out"):
        bl.plot_fixed_effects(idata, exponentiate=True)
    with pytest.raises(NumericalError, match="Leave ratio=True out"):
        bl.compare_predictions(idata, {"x": "slope"}, ratio=True, scale="link")
    idata["posterior"]["beta"] = -800.0 + 0.0 * idata["posterior"]["beta"]
    assert (bl.fixed_effects(idata, exponentiate=True)["mean"] == 0.0).all()
