"""Legitimate models at the edge: no fixed effects, effects kept in part, awkward column names."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm.errors import IdentificationWarning
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model
from bayeslmm.reml.parameters import Target
from bayeslmm.results.kept_effects import EffectsStore, KeptEffects
from bayeslmm.results.write import UnconstrainedDraws, build_tree

pytestmark = pytest.mark.filterwarnings("ignore:Pareto k:bayeslmm.errors.NumericalWarning")


def drawn(formula, data, *, effects="draws", seed=0, weights=None):
    """Lay random draws out as a fit does: no compiler, the real tree."""
    design = bl.build_design(formula, data, weights=weights)
    values = trees.random_draws(formula, data, seed=seed, chains=2, draws=100)
    posterior = {name: value for name, value in values.items() if not name.startswith("b_")}
    if not design.coef:
        del posterior["beta"]
    store = EffectsStore(
        design, KeptEffects.of(design, effects), (2, 100), rng=np.random.default_rng(0)
    )
    store.add([values[f"b_{factor.name}"].reshape(200, -1, len(factor.terms))
               for factor in design.factors])  # fmt: skip
    stats = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((2, 100), dtype=bool))})
    free = UnconstrainedDraws({}, stats, 0.0, 0.0)
    return build_tree(Model.of(design), posterior, free, store)


WITHOUT_FIXED_EFFECTS = {
    "summary": lambda idata: str(bl.summary(idata)),
    "fixed_effects": bl.fixed_effects,
    "coefficients": bl.coefficients,
    "icc": bl.icc,
    "r_squared": bl.r_squared,
    "predict": bl.predict,
    "predict_table": bl.predict_table,
    "loo": bl.loo,
    "loo by group": lambda idata: bl.loo(idata, unit="group"),
    "diagnose": bl.diagnose,
    "compare_reml": bl.compare_reml,
    "hypothesis": lambda idata: bl.hypothesis(idata, "sigma > 1"),
    "prior_sensitivity": bl.prior_sensitivity,
}


@pytest.fixture(scope="module")
def without_fixed_effects():
    return drawn("y ~ 0 + (1 | g)", trees.TINY)


@pytest.mark.parametrize("ask", WITHOUT_FIXED_EFFECTS.values(), ids=WITHOUT_FIXED_EFFECTS)
def test_a_model_without_fixed_effects_answers_every_question(without_fixed_effects, ask):
    ask(without_fixed_effects)


def test_predictions_without_fixed_effects_are_the_random_effects(without_fixed_effects):
    idata = without_fixed_effects
    expected = idata["posterior"]["b_g"].to_numpy()[:, :, [2, 0], 0]
    np.testing.assert_array_equal(bl.predict(idata, {"g": ["c", "a"]}), expected)
    assert len(bl.fixed_effects(idata)) == 0


def test_a_tree_that_lost_its_fixed_effects_is_refused():
    idata = drawn("y ~ x + (1 | g)", trees.TINY)
    idata["posterior"] = xr.DataTree(idata["posterior"].to_dataset().drop_vars("beta"))
    with pytest.raises(bl.TreeError, match="no variable 'beta'"):
        bl.fixed_effects(idata)


FORMULA_IN_PART = "y ~ x + (1 | g)"
KEEP = {"g": ["c", "a"]}


@pytest.fixture(scope="module")
def whole():
    return drawn(FORMULA_IN_PART, trees.TINY)


@pytest.fixture(scope="module", params=["in memory", "from a file"])
def in_part(request, tmp_path_factory):
    idata = drawn(FORMULA_IN_PART, trees.TINY, effects=KEEP)
    if request.param == "in memory":
        return idata
    path = tmp_path_factory.mktemp("tree") / "in_part.nc"
    idata.to_netcdf(path)
    with xr.open_datatree(path) as opened:
        return opened.load()


WITHOUT_EFFECTS = {
    "shrinkage": bl.shrinkage,
    "icc": bl.icc,
    "compare_reml": bl.compare_reml,
    "prior_sensitivity": bl.prior_sensitivity,
    "marginal_covariance": lambda idata: bl.marginal_covariance(idata, level="b"),
    "predict the population": lambda idata: bl.predict(idata, random_effects="none"),
    "predict kept levels": lambda idata: bl.predict(idata, {"x": [1, 2], "g": ["a", "c"]}),
    "sample a new level": lambda idata: bl.predict(
        idata, {"x": [1.0], "g": ["new"]}, new_levels="sample", random_seed=1
    ),
}


@pytest.mark.parametrize("ask", WITHOUT_EFFECTS.values(), ids=WITHOUT_EFFECTS)
def test_effects_kept_in_part_change_no_answer_that_does_not_need_them(whole, in_part, ask):
    expected, answer = ask(whole), ask(in_part)
    if hasattr(expected, "equals") and not isinstance(expected, xr.DataArray):
        assert answer.equals(expected)
    else:
        np.testing.assert_array_equal(answer, expected)


def test_loo_by_group_has_all_levels_where_effects_are_kept_in_part(whole, in_part):
    expected, answer = (bl.loo(idata, unit="group").elpd_i for idata in (whole, in_part))
    np.testing.assert_array_equal(answer, expected)
    assert answer["g"].to_numpy().tolist() == ["a", "b", "c"]


def test_effects_kept_in_part_are_compared_with_those_of_their_own_levels(whole, in_part):
    expected = bl.compare_random_effects(whole).set_index("level").loc[KEEP["g"]]
    answer = bl.compare_random_effects(in_part).set_index("level")
    assert answer[["reml", "reml_se", "mean"]].equals(expected[["reml", "reml_se", "mean"]])


NEEDING_ALL = {
    "training rows": bl.predict,
    "population": lambda idata: bl.predict(
        idata, {"x": [1.0], "g": ["b"]}, new_levels="population"
    ),
    "sample": lambda idata: bl.predict(idata, {"x": [1.0], "g": ["b"]}, new_levels="sample"),
    "loo": bl.loo,
    "plot_shrinkage": bl.plot_shrinkage,
}


@pytest.mark.parametrize("ask", NEEDING_ALL.values(), ids=NEEDING_ALL)
def test_a_level_whose_effects_were_not_kept_is_never_taken_for_a_new_one(in_part, ask):
    with pytest.raises(bl.TreeError, match=r"had the levels 'b' of 'g'.*2 of 3 levels only"):
        ask(in_part)


def with_column(name, values=None):
    return trees.TINY | {name: trees.TINY["x"] + 1.0 if values is None else values}


@pytest.mark.parametrize("name", ["obs", "weights", "chain", "a/b"])
def test_a_predictor_may_have_any_name(name, tmp_path):
    data = with_column(name)
    idata = bl.sample_prior(f"y ~ `{name}` + (1 | g)", data, draws=10, random_seed=1)
    idata.to_netcdf(tmp_path / "tree.nc")
    with xr.open_datatree(tmp_path / "tree.nc") as opened:
        kept = {
            array.attrs["column"]: array.to_numpy()
            for array in opened["constant_data"].data_vars.values()
        }
    np.testing.assert_array_equal(kept[name], data[name])


@pytest.mark.parametrize("make", [bl.sample_prior, bl.build_model])
@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ x + (1 | `a/b`)", r"'a/b' has a '/' in its name"),
        ("y ~ x + (1 | g) + (1 | g_term)", "two meanings to 'g_term'"),
        ("y ~ sigma + (1 | g)", "fixed effect is called 'sigma'"),
    ],
)
def test_names_that_a_tree_cannot_hold_are_refused_before_anything_is_drawn(make, formula, message):
    crossed = {"g_term": np.array(list("pqpqrrqpp")), "sigma": trees.TINY["x"]}
    with pytest.raises(bl.DataError, match=message):
        make(formula, trees.TINY | {"a/b": trees.TINY["g"]} | crossed)


@pytest.mark.parametrize(
    "formula", ["y ~ 0 + Intercept + x + (1 | g)", "y ~ x + (0 + Intercept | g)"]
)
def test_a_column_that_only_claims_to_be_the_intercept_is_refused(formula):
    with pytest.raises(bl.DataError, match="'Intercept', which is the name of the column of ones"):
        bl.build_design(formula, with_column("Intercept"))


def test_a_prior_s_key_means_the_parameter_not_a_predictor_of_that_name():
    design = bl.build_design("y ~ sd + (1 | g)", with_column("sd"))
    default = bl.resolve_priors(design).beta[1]
    chosen = bl.resolve_priors(design, {"sd": "Exponential(1)"})
    assert chosen.beta[1] == default
    assert str(chosen.factors[0].sd[0]) == "Exponential(lam=1)"
    assert str(bl.resolve_priors(design, {"beta[sd]": "Normal(0, 1)"}).beta[1]) == (
        "Normal(mu=0, sigma=1)"
    )


def test_a_standard_deviation_that_the_data_say_nothing_about_has_no_upper_limit():
    # Every level of the factor is a sum of fixed effects, so the criterion is flat in its sd.
    rng = np.random.default_rng(1)
    h = rng.integers(0, 8, 200)
    table = {"h": h, "even": h % 2 == 0, "y": rng.normal(size=200)}
    with pytest.warns(IdentificationWarning, match="nothing about .* 'Intercept' by 'even'"):
        fit = bl.fit_reml("y ~ C(h) + (1 | even)", table)
    limits = bl.confidence_intervals(fit, "wald").loc["sd_even[Intercept]"]
    # Rounding decides whether the curvature comes out a trifle above zero, or below it.
    assert not limits["upper"] < 1e6
    assert np.isnan(Target("sd").from_line(np.nan))
    assert Target("sd").from_line(1e5) == np.inf


def test_all_cores_count_where_a_system_knows_no_affinities(monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert SamplerSettings().resolved().cores == 3


def test_contrasts_average_over_the_rows_of_any_kind_of_table(whole):
    pa = pytest.importorskip("pyarrow")
    rows = {"x": [0.0, 1.0], "g": ["a", "b"]}
    expected = bl.compare_predictions(whole, {"x": [0, 1]}, data=rows)
    for table in (pd.DataFrame(rows), pa.table(rows), pl.DataFrame(rows)):
        assert bl.compare_predictions(whole, {"x": [0, 1]}, data=table).equals(expected)


def test_an_icc_at_several_values_is_refused(whole):
    with pytest.raises(bl.ArgumentError, match="at takes one value of 'x'"):
        bl.icc(whole, at={"x": [0, 1]})


@pytest.mark.parametrize("response", [[0.0], ["unknown"], [np.inf]])
def test_predictions_do_not_look_at_a_response_that_the_rows_may_hold(response):
    idata = drawn("log(y) ~ x + (1 | g)", trees.TINY)
    rows = {"x": [1.0], "g": ["a"]}
    expected = bl.predict(idata, rows)
    np.testing.assert_array_equal(bl.predict(idata, rows | {"y": response}), expected)
