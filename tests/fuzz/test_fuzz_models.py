"""From a table and a formula to numbers, or to a word on why there are none."""

import numpy as np
from hostile import FORMULAS, GENTLE, PRIORS, WHOLE, tables
from hypothesis import strategies as st
from outcome import assert_numbers, fuzzed, outcome

import bayeslmm as bl

QUICK = {"chains": 2, "random_seed": 1, "progressbar": False, "parametrization": "marginal"}
MOSTLY_GENTLE = st.one_of(GENTLE, GENTLE, WHOLE)
POLICIES = {
    "rank_deficient": st.sampled_from(["raise", "drop"]),
    "missing": st.sampled_from(["raise", "drop"]),
    "weights": st.sampled_from([None, None, None, "x", "h", "f", "g", [1], "nowhere"]),
}


@fuzzed(20, text=FORMULAS)
def test_a_formula_is_read_or_refused(text):
    parsed = outcome(bl.parse_formula, text)
    assert parsed is None or bl.parse_formula(str(parsed)) == parsed


@fuzzed(40, formula=FORMULAS, table=tables(), policies=st.fixed_dictionaries(POLICIES))
def test_a_design_is_finite_and_can_be_rebuilt(formula, table, policies):
    design = outcome(bl.build_design, formula, table, **policies)
    if design is not None:
        assert np.isfinite(design.X).all()
        assert np.isfinite(design.y).all()
        state = bl.DesignState.from_json(design.state.to_json())
        assert outcome(bl.rebuild_design, state, design.data) is not None


@fuzzed(25, formula=GENTLE, priors=PRIORS, table=tables(1))
def test_priors_are_resolved_or_refused(formula, priors, table):
    outcome(bl.describe_priors, formula, table, priors)


@fuzzed(15, formula=MOSTLY_GENTLE, table=tables(1), method=st.sampled_from(["REML", "ML"]))
def test_a_reml_fit_has_numbers(formula, table, method):
    fit = outcome(bl.fit_reml, formula, table, method=method)
    if fit is not None:
        assert_numbers(fit.fixed_effects)
        assert str(fit)
        assert fit._repr_html_()


@fuzzed(10, formula=GENTLE, priors=PRIORS, table=tables(1))
def test_prior_draws_are_numbers(formula, priors, table):
    how = {"draws": 20, "random_seed": 1}
    assert_numbers(outcome(bl.sample_prior, formula, table, priors=priors, **how))


@fuzzed(15, formula=MOSTLY_GENTLE, priors=st.one_of(st.none(), PRIORS), table=tables(1))
def test_weighted_draws_are_numbers(formula, priors, table):
    how = QUICK | {"sampler": "importance", "draws": 30, "priors": priors}
    tree = outcome(bl.fit_bayes, formula, table, **how)
    if tree is not None:
        assert_numbers(tree["posterior"])
        assert str(bl.summary(tree))


@fuzzed(2, formula=GENTLE, priors=PRIORS, table=tables(1))
def test_draws_of_nuts_are_numbers(formula, priors, table):
    how = QUICK | {"sampler": "nutpie", "draws": 10, "tune": 10, "priors": priors}
    tree = outcome(bl.fit_bayes, formula, table, **how)
    if tree is not None:
        assert_numbers(tree["posterior"])
