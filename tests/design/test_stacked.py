"""Several responses as rows of one design."""

import numpy as np
import pytest
from stacked import growth

import bayeslmm as bl
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.state import DesignState
from bayeslmm.errors import ArgumentError, DataError, DataWarning, FormulaError


def test_each_response_has_the_columns_of_its_own_design():
    table = growth()
    design = bl.build_design("mvbind(tarsus, back) ~ center(x) + sex + (1 + x |p| family)", table)
    assert design.coef[:2] == ("tarsus_Intercept", "tarsus_center(x)")
    start = 0
    for k, response in enumerate(["tarsus", "back"]):
        alone = bl.build_design(f"{response} ~ center(x) + sex + (1 + x | family)",
                                table.dropna(subset=[response]))  # fmt: skip
        rows = design.stack.rows_of(k)
        own = slice(start, start := start + len(alone.coef))
        assert np.array_equal(design.X[rows, own], alone.X)
        assert not np.delete(design.X[rows], range(own.start, own.stop), axis=1).any()
        assert np.array_equal(design.y[rows], alone.y)
        (factor,), (single,) = design.factors, alone.factors
        places = design.state.layout.places("family", k)
        assert np.array_equal(factor.columns[np.ix_(rows, places)], single.columns)
        assert np.array_equal(factor.levels[factor.index[rows]], single.levels[single.index])
    assert design.n == 118
    assert len(design.stack.labels) == 60
    assert design.stack.labels[:4].tolist() == ["a0", "a1", "a2", "a3"]


def test_labels_say_which_effects_are_correlated():
    table = growth()
    formula = "mvbind(tarsus, back) ~ x + (1 |p| family) + (0 + x | family)"
    (factor,) = bl.build_design(formula, table).factors
    assert factor.terms == ("tarsus_Intercept", "back_Intercept", "tarsus_x", "back_x")
    assert factor.blocks == ((0, 1), (2,), (3,))
    (factor,) = bl.build_design("mvbind(tarsus, back) ~ x + (x | family)", table).factors
    assert factor.blocks == ((0, 1), (2, 3))
    (factor,) = bl.build_design(
        ["tarsus ~ 1 + (1 |a| family)", "back ~ 1 + (1 |b| family)"], table
    ).factors
    assert factor.blocks == ((0,), (1,))


def test_states_come_back_from_json_and_code_new_rows():
    table = growth()
    design = bl.build_design("mvbind(tarsus, back) ~ center(x) + (1 |p| family)", table)
    state = DesignState.from_json(design.state.to_json())
    assert state == design.state
    levels = {"family": design.factors[0].levels.tolist()}
    assert DesignState.from_json(state.to_json(levels=False), levels) == state
    whole = rebuild_design(state, table)
    assert np.array_equal(whole.X[~np.isnan(whole.y)], design.X)
    new = rebuild_design(state, {"x": [table.x.mean()], "family": ["new"]})
    # Of 59 animals each: the means of the two responses' rows differ a little.
    assert np.allclose(new.X, [[1, 0, 0, 0], [0, 0, 1, 0]], atol=0.1)
    assert new.factors[0].levels[-1] == "new"
    assert new.factors[0].n_known == 10


def test_rows_that_lack_a_predictor_are_left_out():
    table = growth()
    table.loc["a0", "x"] = np.nan
    with pytest.warns(DataWarning, match="Dropped 1 of 60 rows for missing values: x 1"):
        design = bl.build_design("tarsus ~ x; back ~ 1", table)
    assert len(design.stack.labels) == 59


def test_priors_are_those_of_each_response_by_itself():
    table = growth()
    design = bl.build_design("mvbind(tarsus, back) ~ x + (1 |p| family)", table)
    priors = bl.resolve_priors(design, {"Intercept": "Normal(0, 9)", "sd": "HalfNormal(2)"})
    assert str(priors.beta[2]) == "Normal(mu=0, sigma=9)"
    assert {str(one) for one in priors.factors[0].sd} == {"HalfNormal(sigma=2)"}
    defaults = bl.resolve_priors(design)
    for k, response in enumerate(["tarsus", "back"]):
        rows = table.dropna(subset=[response])
        alone = bl.resolve_priors(bl.build_design(f"{response} ~ x + (1 | family)", rows))
        assert defaults.beta[2 * k : 2 * k + 2] == alone.beta
        assert defaults.factors[0].sd[k] == alone.factors[0].sd[0]
        assert defaults.parameters[f"sd_residual[{response}]"] == alone.sigma
    beta = np.random.default_rng(1).normal(size=(3, 4))
    assert np.allclose(defaults.raw_beta(defaults.centered_beta(beta)), beta, rtol=1e-12)
    assert type(defaults).from_json(defaults.to_json()) == defaults
    brms = bl.resolve_priors(design, "brms")
    assert str(brms.factors[0].corr) == "LKJ(eta=1)"


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("mvbind(tarsus) ~ x", "two responses or more"),
        ("mvbind(tarsus, back) + x ~ sex", "by themselves left of the tilde"),
        ("tarsus ~ x; tarsus ~ 1", "stands twice"),
        ("tarsus ~ x;", "a formula for each response"),
        ("mvbind(tarsus, back) ~ s(x)", "smooths are of one"),
        ("tarsus ~ (1 |p| family); back ~ (1 |p| sex)", "stands on family and on sex"),
        ("mvbind(tarsus, back) ~ (1 | gr(family, by=sex))", "a G of its own"),
    ],
)
def test_formulas_that_are_not_of_several_responses(formula, said):
    with pytest.raises(FormulaError, match=said):
        bl.build_design(formula, growth())


def test_what_is_of_the_rows_of_one_response_is_refused():
    formula, table = "mvbind(tarsus, back) ~ x", growth()
    with pytest.raises(ArgumentError, match="weights= is about the rows of one response"):
        bl.build_design(formula, table, weights="x")
    with pytest.raises(ArgumentError, match="correlated within an observation, 'us'"):
        bl.build_design(formula, table, residual="ar1(x | family)")
    with pytest.raises(ArgumentError, match="names no family of the response 'back'"):
        bl.build_design(formula, table, family={"tarsus": "gaussian"})
    with pytest.raises(ArgumentError, match=r"'tasus', which is no response\. Did you mean"):
        bl.build_design(formula, table, family={"tasus": "gaussian"})
    table.loc[table.index[:30], "tarsus"] = np.nan
    table.loc[table.index[30:], "back"] = np.nan
    none = "Dropped 1 of 60 rows that have none of tarsus, back"
    with pytest.warns(DataWarning, match=none), pytest.raises(DataError, match="give residual='d"):
        bl.build_design(formula, table)
    with pytest.warns(DataWarning, match=none):
        assert bl.build_design(formula, table, residual="diag").n == 59
