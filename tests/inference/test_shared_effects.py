"""Effects that predictors share by ``|p|``: one G, in the mean and in a parameter."""

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytest
from pytensor.compile.mode import Mode
from pytensor.graph.replace import clone_replace
from scipy import stats

import bayeslmm as bl
from bayeslmm.analysis.prediction.linear_predictor import training_design
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.state import DesignState
from bayeslmm.errors import FormulaError, TreeError

pytestmark = [
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.NumericalWarning"),
]
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
N = 60
RNG = np.random.default_rng(5)
ROWS = pd.DataFrame(
    {
        "y": RNG.poisson(3, N),
        "x": RNG.normal(2, 1, N),
        "g": np.repeat(list("abcdefghij"), 6),
        "h": np.tile(list("pqr"), N // 3),
    }
)
FORMULA, SHAPE = "y ~ x + (1 |p| g) + (0 + x | g) + (1 | h)", "~ (x |p| g) + (1 | h)"
TERMS = ("Intercept", "shape_Intercept", "shape_x", "x")
TIGHT = {
    "Intercept": "Normal(1, 0.2)", "beta": "Normal(0, 0.2)", "sd": "HalfNormal(0.3)",
    "beta_shape[Intercept]": "Normal(1, 0.3)",
}  # fmt: skip


@pytest.fixture(scope="module")
def design():
    return bl.build_design(FORMULA, ROWS, family="negbinomial", shape=SHAPE)


@pytest.fixture(scope="module")
def tree(design):
    drawn = bl.sample_prior(design, draws=150, random_seed=1, priors=TIGHT)["prior"]
    values = {str(k): np.repeat(v.to_numpy(), 2, axis=0) for k, v in drawn.data_vars.items()}
    return bl.adopt(values, design, priors=TIGHT)


def test_columns_stand_in_one_factor_and_count_in_one_predictor(design):
    factor = design.factors[0]
    assert factor.terms == TERMS
    assert factor.blocks == ((0, 1, 2), (3,))
    np.testing.assert_array_equal(factor.columns[:, [1, 2]], 0.0)
    np.testing.assert_array_equal(factor.columns[:, 3], ROWS["x"])
    (rows,) = design.predictors
    (shared,) = rows.shared
    expected = np.column_stack([np.zeros(N), np.ones(N), ROWS["x"], np.zeros(N)])
    np.testing.assert_array_equal(shared.columns, expected)
    assert [own.name for own in rows.factors] == ["shape_h"]


def test_new_rows_are_coded_alike(design):
    state = DesignState.from_json(design.state.to_json())
    assert state.formula == "y ~ 1 + x + (1 |p| g) + (0 + x | g) + (1 | h)"
    new = rebuild_design(state, {"x": [3.0], "g": ["z"], "h": ["p"]})
    assert new.factors[0].blocks == design.factors[0].blocks
    np.testing.assert_array_equal(new.predictors[0].shared[0].columns, [[0.0, 1.0, 3.0, 0.0]])
    without = rebuild_design(state, {"x": [3.0], "h": ["p"]}, factors=("h",))
    assert without.predictors[0].shared == ()


def test_a_label_that_stands_alone_says_nothing():
    alone = bl.build_design("y ~ (1 | g)", ROWS, family="negbinomial", shape="~ (1 |p| g)")
    assert [own.name for own in alone.predictors[0].factors] == ["shape_g"]
    assert alone.state.formula == "y ~ 1 + (1 | g)"


@pytest.mark.parametrize(
    ("formula", "shape", "words"),
    [
        ("y ~ (1 |p| h)", "~ (1 |p| g)", "on another grouping factor"),
        ("y ~ diag(0 + x |p| g)", "~ (1 |p| g)", "is unstructured"),
        ("y ~ (1 |p| gr(g, by=h))", "~ (1 |p| g)", "unstructured"),
    ],
)
def test_what_cannot_share_is_refused(formula, shape, words):
    with pytest.raises(FormulaError, match=words):
        bl.build_design(formula, ROWS, family="negbinomial", shape=shape)


def test_residuals_sigma_shares_no_effects():
    with pytest.raises(FormulaError, match="independent of them"):
        bl.build_design("x ~ (1 |p| g)", ROWS, sigma="~ (1 |p| g)")


def test_priors_of_each_column_are_those_of_its_predictor(design):
    priors = bl.resolve_priors(design).factors[0]
    spread = ROWS["x"].std()
    assert [str(prior) for prior in priors.sd[:2]] == [
        "HalfStudentT(nu=3, sigma=2.5)", "HalfNormal(sigma=1)",
    ]  # fmt: skip
    assert priors.sd[2].numbers == pytest.approx((1.0 / spread,))
    # An intercept is not moved to the mean of a column that is not beside it.
    assert priors.shift.columns == ()
    assert priors.corr is not None


def test_the_likelihood_of_the_graph_is_that_of_both_predictors(design):
    graph = bl.build_model(design)
    named = [graph[name] for name in ("beta", "beta_shape", "b_g", "b_h", "b_shape_h")]
    given = [variable.type() for variable in named]
    y = ROWS["y"].to_numpy()
    density = pm.logp(graph["y"], y).sum()
    replaced = clone_replace(density, dict(zip(named, given, strict=True)))
    rng = np.random.default_rng(8)
    values = [0.4 * rng.normal(size=shape) for shape in ((2,), (1,), (10, 4), (3, 1), (3, 1))]
    total = float(pytensor.function(given, replaced, mode=SLOW_BUT_INSTANT)(*values))
    beta, gamma, b, b_h, b_shape = values
    g = np.searchsorted(list("abcdefghij"), ROWS["g"])
    h, x = np.searchsorted(list("pqr"), ROWS["h"]), ROWS["x"].to_numpy()
    mu = np.exp(beta[0] + beta[1] * x + b[g, 0] + b[g, 3] * x + b_h[h, 0])
    shape = np.exp(gamma[0] + b[g, 1] + b[g, 2] * x + b_shape[h, 0])
    expected = stats.nbinom.logpmf(y, shape, shape / (mu + shape)).sum()
    np.testing.assert_allclose(total, expected, rtol=1e-9)


def test_effects_are_drawn_together_in_new_groups(tree):
    same = training_design(tree)
    assert same.factors[0].blocks == ((0, 1, 2), (3,))
    new = pd.DataFrame({"x": [2.0, 2.0], "g": ["a", "zz"], "h": ["p", "p"]})
    drawn = bl.predict(tree, new, kind="response", new_levels="sample", random_seed=3)
    assert drawn.shape == (2, 150, 2)
    none = bl.predict(tree, new.drop(columns=["g", "h"]), random_effects="none")
    beta = tree["posterior"]["beta"].to_numpy()
    np.testing.assert_allclose(none[..., 0], np.exp(beta @ [1.0, 2.0]), rtol=1e-12)
    with pytest.raises(TreeError, match="over those in shape"):
        bl.loo(tree, unit="group", factor="g")


def test_simulated_effects_have_the_given_correlation():
    rows = pd.DataFrame({"y": 1, "g": np.arange(4000).astype(str)})
    rows = pd.concat([rows, rows], ignore_index=True)
    built = bl.build_design("y ~ (1 |p| g)", rows, family="negbinomial", shape="~ (1 |p| g)")
    _, effects = bl.simulate_response(
        built, beta=[1.0], sd={"g": [0.5, 1.0]}, corr={"g": 0.6}, random_seed=4,
        parameters={"beta_shape": [0.5]},
    )  # fmt: skip
    # 4,000 levels: an error of 0.01.
    assert np.corrcoef(effects["g"].T)[0, 1] == pytest.approx(0.6, abs=0.04)
