"""Fits with levels of a known covariance: what the tree holds, and what is drawn from priors."""

import known
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pytensor.compile.mode import Mode

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError, FormulaError, TreeError
from bayeslmm.inference.graph.build import parametrization_named
from bayeslmm.model.model import Model
from bayeslmm.relationships.level_map import padded_rows
from bayeslmm.results.kept_effects import EffectsStore, KeptEffects

# The Python linker compiles nothing: a handful of points is evaluated.
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
TABLE = known.related_table()
A = known.random_covariance([*sorted(set(TABLE["animal"]))[::-1], "b0", "b1"], seed=2)
FORMULA = "y ~ x + (1 | gr(animal, cov=A)) + (1 | pen)"
QUICK = {
    "parametrization": "marginal", "sampler": "importance", "random_seed": 1,
    "progressbar": False, "draws": 250,
}  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    return bl.fit_bayes(FORMULA, TABLE, known={"A": A}, **QUICK)


def test_the_tree_tells_effects_by_label_and_keeps_the_covariance(fit, tmp_path):
    assert fit["posterior"]["animal"].to_numpy().tolist() == sorted(set(TABLE["animal"]))
    held = fit["known_relationships/A"]
    assert held["labels"].to_numpy().tolist() == list(A.index)
    np.testing.assert_array_equal(held["matrix"], A)
    assert held.attrs["mean_diagonal"] == pytest.approx(np.diag(A).mean())
    fit.to_netcdf(tmp_path / "fit.nc")
    back = xr.open_datatree(tmp_path / "fit.nc").load()
    rows = {"x": [3.0, 2.0], "animal": ["b0", "a1"], "pen": ["p0", "p1"]}
    one, other = (bl.predict(tree, rows, random_seed=1) for tree in (fit, back))
    np.testing.assert_allclose(one, other)


def test_a_tree_that_lost_it_says_so(fit):
    less = fit.copy()
    del less["known_relationships"]
    with pytest.raises(TreeError, match="no group 'known_relationships/A'"):
        bl.predict(less)


def test_effects_agree_with_reml_s_modes(fit):
    reml = bl.refit_reml(fit)
    drawn = fit["posterior"]["b_animal"].mean(("chain", "draw")).to_numpy()[:, 0]
    modes = reml.random_effects["animal"]["Intercept"]
    sd = fit["posterior"]["b_animal"].std(("chain", "draw")).to_numpy()[:, 0]
    # One lets the variances vary, the other does not: half a posterior sd apart at most.
    assert np.abs((drawn - modes) / sd).max() < 0.5
    assert np.corrcoef(drawn, modes)[0, 1] > 0.98


def test_an_identity_is_independence(fit):
    labels = sorted(set(TABLE["animal"]))
    same = (np.eye(len(labels)), labels)
    related = bl.fit_reml(FORMULA, TABLE, known={"A": same})
    alone = bl.fit_reml("y ~ x + (1 | animal) + (1 | pen)", TABLE)
    assert related.criterion == pytest.approx(alone.criterion, abs=1e-7)
    for name in ("animal", "pen"):
        np.testing.assert_allclose(
            related.random_effects[name], alone.random_effects[name], atol=1e-5
        )


def test_update_keeps_what_the_new_formula_names(fit):
    again = bl.update(fit, ". ~ . - (1 | pen)", **QUICK)
    assert "known_relationships" in again.children
    without = bl.update(fit, ". ~ . - (1 | gr(animal, cov=A))", **QUICK)
    assert "known_relationships" not in without.children
    other = bl.update(fit, **QUICK, known={"A": A * 4.0})
    # The unit of A is that of sd's: half as large with four times the covariance.
    ratio = other["posterior"]["sd_animal"].median() / fit["posterior"]["sd_animal"].median()
    assert 0.35 < float(ratio) < 0.75
    reml = bl.fit_reml(FORMULA, TABLE, known={"A": A})
    assert bl.update(reml, method="ML").method == "ML"


def test_prior_draws_have_the_covariance():
    fixed = {"sd_animal": "LogNormal(0, 0.001)", "sd_pen": "HalfNormal(1)"}
    tree = bl.sample_prior(FORMULA, TABLE, known={"A": A}, priors=fixed, draws=4000, random_seed=1)
    labels = tree["prior"]["animal"].to_numpy().tolist()
    drawn = np.cov(tree["prior"]["b_animal"].to_numpy()[0, :, :, 0].T)
    # Of 4,000 draws an entry's standard error is 2 % of a variance.
    assert np.abs(drawn - A.loc[labels, labels]).to_numpy().max() < 0.15
    assert "known_relationships" in tree.children


def test_simulated_effects_have_the_covariance():
    design = bl.build_design(FORMULA, TABLE, known={"A": A})
    given = {"beta": {"Intercept": 0.0, "x": 0.0}, "sd": {"animal": 2.0, "pen": 0.0}}
    rng = np.random.default_rng(1)
    effects, rows = [], []
    for _ in range(2000):
        y, drawn = bl.simulate_response(design, **given, sigma=0.0, random_seed=rng)
        effects.append(drawn["animal"][:, 0])
        rows.append(y)
    labels = design.factors[0].levels.tolist()
    covariance = 4.0 * A.loc[labels, labels].to_numpy()
    assert np.abs(np.cov(np.array(effects).T) - covariance).max() < 0.15 * covariance.max()
    index = design.factors[0].index
    np.testing.assert_allclose(np.array(rows), np.array(effects)[:, index], atol=1e-12)


@pytest.mark.parametrize("structure", ["y ~ x + (1 | gr(animal, cov=A))",
                                       "y ~ x + (x | gr(animal, cov=A))"])  # fmt: skip
def test_the_graph_turns_offsets_into_related_effects(structure):
    design = bl.build_design(structure, TABLE, known={"A": A})
    model = Model.of(design).at_means
    graph = parametrization_named("noncentered").build(model)
    named = [graph["b_animal"], graph["sd_animal"]]
    turn = graph.compile_fn(
        graph.replace_rvs_by_values(named), inputs=graph.value_vars, mode=SLOW_BUT_INSTANT,
        on_unused_input="ignore",
    )  # fmt: skip
    q = len(design.factors[0].terms)
    sizes = {"beta_centered": 2, "sigma_log__": (), "sd_animal_log__": 1,
             "G_animal_cholesky-cov-packed__": 3, "z_animal": (12, q)}  # fmt: skip
    rng = np.random.default_rng(4)
    point = {v.name: rng.uniform(0.2, 0.8, sizes[v.name]) for v in graph.value_vars}
    found, sd = turn(point)
    root = np.linalg.cholesky(A.loc[design.factors[0].levels, design.factors[0].levels])
    if q == 1:
        np.testing.assert_allclose(found, root @ point["z_animal"] * sd, rtol=1e-10)
    else:  # whatever G's own root is, T mixes levels
        whitened = {**point, "z_animal": np.linalg.solve(root, point["z_animal"])}
        np.testing.assert_allclose(root @ turn(whitened)[0], found, rtol=1e-8, atol=1e-10)


def test_effects_come_back_from_offsets():
    design = bl.build_design("y ~ x + (1 | gr(animal, cov=A))", TABLE, known={"A": A})
    model = Model.of(design).at_means
    rng = np.random.default_rng(1)
    values = {
        "z_animal": rng.standard_normal((2, 3, 12, 1)), "sd_animal": np.ones((2, 3, 1)),
        "sigma": np.ones((2, 3)), "beta_centered": np.zeros((2, 3, 2)),
    }  # fmt: skip
    store = EffectsStore(design, KeptEffects.of(design, "draws"), (2, 3), rng=rng)
    parametrization_named("noncentered").recover(model, values, store)
    root = np.linalg.cholesky(A.loc[design.factors[0].levels, design.factors[0].levels])
    np.testing.assert_allclose(store.posterior()["b_animal"], root @ values["z_animal"])


def test_a_dense_map_is_not_gathered():
    design = bl.build_design("y ~ x + (1 | gr(animal, cov=A))", TABLE, known={"A": A})
    places, weights = padded_rows(design.factors[0].latent)
    assert places.shape == weights.shape == (12, 12)


def refused(error, said, call):
    with pytest.raises(error, match=said):
        call()


def build(formula=FORMULA, **given):
    return bl.build_design(formula, TABLE, **{"known": {"A": A}, **given})


def test_what_is_refused_by_name(fit):
    refused(FormulaError, "there is no known=", lambda: build(known=None))
    refused(FormulaError, "known= has: B", lambda: build(known={"B": A}))
    refused(ArgumentError, "'B'.*does not name", lambda: build(known={"A": A, "B": A}))
    refused(ArgumentError, "it was a DataFrame", lambda: build(known=A))
    lacking = A.drop("a3").drop(columns="a3")
    refused(DataError, "'a3' is not among them", lambda: build(known={"A": lacking}))
    twice = "y ~ (1 | animal) + (1 | gr(animal, cov=A))"
    refused(FormulaError, "Copy the column", lambda: build(twice))
    centered = {"parametrization": "centered"}
    refused(ArgumentError, "'noncentered'",
            lambda: bl.build_model(FORMULA, TABLE, known={"A": A}, **centered))  # fmt: skip
    refused(FormulaError, "need all rows", lambda: bl.gram_from_batches(FORMULA, [TABLE]))
    gram = bl.Gram.from_design(build())
    refused(ArgumentError, "known= is given beside",
            lambda: bl.fit_reml(build(), known={"A": A}))  # fmt: skip
    refused(ArgumentError, "several latent ones meet", lambda: gram + gram)
    refused(ArgumentError, "several latent ones meet", lambda: gram.save("gram.npz"))
    refused(TreeError, "not independent", lambda: bl.loo(fit, unit="group", factor="animal"))
    refused(TreeError, "not independent", lambda: bl.shrinkage(fit, factor="animal"))
    counts = TABLE.assign(y=np.arange(len(TABLE)) % 4)
    design = bl.build_design(FORMULA, counts, family="poisson", known={"A": A})
    refused(ArgumentError, "fit by fit_bayes", lambda: bl.fit_ml(design))
    for sampler in ("quadrature", "laplace_chain"):
        refused(ArgumentError, "latent levels",
                lambda s=sampler: bl.fit_bayes("y ~ x + (1 | gr(animal, cov=A))", counts,
                                               family="poisson", sampler=s,
                                               known={"A": A}))  # fmt: skip


def test_slopes_of_one_factor_in_two_terms_share_the_covariance():
    design = build("y ~ x + (1 | gr(animal, cov=A)) + (0 + x | gr(animal, cov=A))")
    assert design.factors[0].terms == ("Intercept", "x")
    assert design.factors[0].latent is not None


def test_a_state_travels_with_it():
    state = build().state
    assert bl.DesignState.from_json(state.to_json()) == state
    short = state.to_json(levels=False)
    levels = dict(state.levels)
    assert bl.DesignState.from_json(short, levels, known=state.known) == state
    with pytest.raises(DataError, match="lacks the known covariance 'A'"):
        bl.DesignState.from_json(short, levels)
    other = {"A": bl.known_covariance(A * 2.0)}
    with pytest.raises(DataError, match="another matrix"):
        bl.DesignState.from_json(short, levels, known=other)


def test_models_with_other_covariances_are_not_nested():
    one = bl.fit_reml("y ~ x + (1 | animal)", TABLE, method="ML")
    other = bl.fit_reml(FORMULA, TABLE, method="ML", known={"A": A})
    with pytest.raises(ArgumentError, match="the covariance that the levels of 'animal' have"):
        bl.likelihood_ratio_test(one, other)
    small = bl.fit_reml("y ~ x + (1 | gr(animal, cov=A))", TABLE, method="ML", known={"A": A})
    table = bl.likelihood_ratio_test(small, other)
    assert isinstance(table, pd.DataFrame)
