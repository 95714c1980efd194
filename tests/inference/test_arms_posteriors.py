"""Posteriors of gr(g, by=arm): every way to sample, families, residual structures, model files."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm.model.model import Model

HOW = {"parametrization": "marginal", "sampler": "importance", "progressbar": False,
       "random_seed": 1, "draws": 250}  # fmt: skip
FORMULA = "y ~ x + (x | gr(g, by=arm)) + (1 | h)"
RNG = np.random.default_rng(4)
N, M = 240, 20
G, H = RNG.permutation(np.arange(N) % M), RNG.choice(6, N)
TABLE = pd.DataFrame(
    {"g": [f"g{k:02d}" for k in G], "arm": np.array(["t", "c"])[G % 2], "x": RNG.normal(5, 1, N),
     "h": [f"h{k}" for k in H], "visit": 0}
)  # fmt: skip
ETA = RNG.normal(size=M)[G] * (1 + G % 2) + 0.7 * RNG.normal(size=M)[G] * (TABLE.x - 5)
TABLE["visit"] = TABLE.groupby("g").cumcount()
TABLE["y"] = TABLE.x + ETA + RNG.normal(size=6)[H] + RNG.normal(size=N)
TABLE["success"] = (RNG.uniform(size=N) < 1 / (1 + np.exp(-ETA))).astype(int)
TABLE["count"] = RNG.poisson(np.exp(0.5 * ETA.clip(-3, 3)))


@pytest.fixture(scope="module")
def fit():
    return bl.fit_bayes(FORMULA, TABLE, **HOW)


def of_other_arms(tree, group="posterior"):
    """Effects of a level in arms that are not its own."""
    state = bl.build_design(FORMULA, TABLE).state
    effects = tree[group]["b_g"].to_numpy()
    return effects[..., ~state.arms["g"].holds], effects[..., state.arms["g"].holds]


def test_effects_of_other_arms_are_zero_and_a_level_has_its_arm(fit):
    none, own = of_other_arms(fit)
    assert np.all(none == 0.0)
    assert np.all(np.ptp(own.reshape(-1, own.shape[-1]), axis=0) > 0.0)
    arms = fit["fitted_levels"]["arm_of_g"]
    expected = TABLE.groupby("g")["arm"].first()
    assert arms.to_series().to_dict() == expected.to_dict()
    corr = fit["posterior"]["corr_g"].to_numpy()
    assert np.all(corr[..., :2, 2:] == 0.0)
    assert np.ptp(corr[..., 0, 1]) > 0.0


def test_cross_products_give_the_same_draws(fit):
    gram = bl.gram_from_batches(FORMULA, [TABLE.iloc[:50], TABLE.iloc[50:]], progressbar=False)
    other = bl.fit_bayes(FORMULA, gram, **HOW)
    for name in ("sd_g", "beta", "sigma"):
        drawn = fit["posterior"][name]
        mean, sd = drawn.mean(("chain", "draw")), drawn.std(("chain", "draw"))
        off = np.abs(other["posterior"][name].mean(("chain", "draw")) - mean) / sd
        # Points are drawn around modes that differ in rounding: draws of one seed stay close.
        assert float(off.max()) < 0.05
    assert np.all(of_other_arms(other)[0] == 0.0)
    assert "cross_products" in other.children


def test_moments_and_chosen_levels_know_their_arms(fit):
    moments = bl.fit_bayes(FORMULA, TABLE, **HOW, effects="moments")
    kept = moments["effects_moments"]["b_g_mean"].to_numpy()
    assert np.all(kept[~bl.build_design(FORMULA, TABLE).state.arms["g"].holds] == 0.0)
    some = bl.fit_bayes(FORMULA, TABLE, **HOW, effects={"g": ["g03", "g10"]})
    table = bl.random_effects(some, "g")
    assert table["level"].tolist() == ["g03", "g03", "g10", "g10"]
    assert table["term"].tolist() == ["arm[c]", "arm[c]:x", "arm[t]", "arm[t]:x"]
    assert bl.predict(some, TABLE[TABLE.g == "g03"]).sizes["obs"] == 12


def test_a_saved_tree_predicts_known_and_new_levels(fit, tmp_path):
    fit.to_netcdf(tmp_path / "fit.nc")
    new = pd.DataFrame({"x": [5.0, 6.0, 5.0], "g": ["g00", "g01", "new"], "arm": ["t", "c", "t"],
                        "h": ["h0", "h1", "h2"]})  # fmt: skip
    with xr.open_datatree(tmp_path / "fit.nc") as saved:
        found = bl.predict(saved, new, new_levels="sample", random_seed=2)
        np.testing.assert_array_equal(
            found, bl.predict(fit, new, new_levels="sample", random_seed=2)
        )
        with pytest.raises(bl.DataError, match="'g00' of 'g' has 'arm' = 'c' here, and had 't'"):
            bl.predict(saved, new.assign(arm=["c", "c", "t"]), new_levels="sample")
        with pytest.raises(bl.DataError, match=r"value 'u'.*There are c, t"):
            bl.predict(saved, new.assign(arm=["t", "c", "u"]), new_levels="sample")
    none = new.assign(g=[None, "g01", "g00"], arm=[None, "c", "t"])
    assert np.isfinite(bl.predict(fit, none, new_levels="population")).all()
    lost = fit.copy()
    del lost["fitted_levels"]
    with pytest.raises(bl.TreeError, match="which levels of 'g' are in which arm"):
        bl.predict(lost, new)


def test_new_levels_scatter_as_their_arm_does(fit):
    row = {"x": [5.0, 5.0], "g": ["n1", "n2"], "arm": ["t", "c"], "h": ["h0", "h0"]}
    drawn = bl.predict(fit, row, new_levels="sample", random_seed=1, random_effects=["g"])
    fixed = bl.predict(fit, row, random_effects="none")
    spread = (drawn - fixed).std(("chain", "draw")).to_numpy()
    posterior = fit["posterior"]
    for k, arm in enumerate(("t", "c")):
        at = [f"arm[{arm}]", f"arm[{arm}]:x"]
        sd = posterior["sd_g"].sel(g_term=at).to_numpy()
        corr = posterior["corr_g"].sel(g_term=at, g_term_bis=at).to_numpy()[..., 0, 1]
        variance = sd[..., 0] ** 2 + 25 * sd[..., 1] ** 2 + 10 * corr * sd[..., 0] * sd[..., 1]
        # A thousand draws: their sd is known to 1 / sqrt(2000), some five of those.
        assert spread[k] == pytest.approx(np.sqrt(variance.mean()), rel=0.12)


def test_priors_draw_what_posteriors_hold():
    prior = bl.sample_prior(FORMULA, TABLE, draws=20, random_seed=1)
    none, own = of_other_arms(prior, "prior")
    assert np.all(none == 0.0)
    assert np.all(own != 0.0)


def test_simulated_effects_are_of_each_levels_arm():
    design = bl.build_design(FORMULA, TABLE)
    sd = {"g": [1.0, 0.5, 2.0, 1.0], "h": 1.0}
    y, effects = bl.simulate_response(
        design, beta=[0.0, 1.0], sd=sd, corr={"g": -0.6}, random_seed=1
    )
    assert np.all(effects["g"][~design.factors[0].arms.holds] == 0.0)
    assert np.isfinite(y).all()


@pytest.mark.parametrize("parametrization", ["noncentered", "centered"])
@pytest.mark.parametrize("formula", [FORMULA, "y ~ x + (x || gr(g, by=arm))",
                                     "y ~ x + (1 | g) + (0 + x | gr(g, by=arm))"])  # fmt: skip
def test_a_graph_has_effects_of_the_levels_of_each_arm(formula, parametrization):
    import pymc as pm

    design = bl.build_design(formula, TABLE)
    model = bl.build_model(design, parametrization=parametrization)
    names = ["mu", "beta", "sd_g", "b_g"] + ["b_h"] * (len(design.factors) > 1)
    values = dict(zip(names, pm.draw([model[n] for n in names], random_seed=3), strict=True))
    holds = design.factors[0].arms.holds
    assert np.all(values["b_g"][~holds] == 0.0)
    assert np.all(values["b_g"][holds] != 0.0)
    expected = design.X @ values["beta"]
    for factor in design.factors:
        expected += (factor.columns * values[f"b_{factor.name}"][factor.index]).sum(axis=1)
    np.testing.assert_allclose(values["mu"], expected, rtol=1e-10, atol=1e-10)
    free = sum(np.prod(v.shape.eval()) for v in model.free_RVs if v.name[:2] in {"z_", "b_"})
    others = sum(len(f.levels) for f in design.factors[1:])
    assert free == holds.sum() + others  # no variable for what is not there


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bayeslmm.SamplingWarning")  # so few draws are no posterior
@pytest.mark.parametrize("how", ["noncentered", "centered", "marginal"])
def test_every_graph_gives_its_draws_back(how):
    """Draws that are read back are what the graph itself computes."""
    fit = bl.fit_bayes("y ~ x + (1 | gr(g, by=arm))", TABLE, parametrization=how, draws=10, tune=30,
                       chains=2, random_seed=1, sampler="pymc", progressbar=False)  # fmt: skip
    state = bl.build_design("y ~ x + (1 | gr(g, by=arm))", TABLE).state
    effects = fit["posterior"]["b_g"].to_numpy()
    assert np.all(effects[..., ~state.arms["g"].holds] == 0.0)
    assert np.all(effects[..., state.arms["g"].holds] != 0.0)


def test_one_arm_more_is_one_posterior_more():
    """Where nothing is shared but sigma, an arm's G has the posterior of its own rows alone."""
    priors = {"sigma": "TruncatedNormal(1, 0.001, 0, 9)", "sd": "HalfNormal(2)",
              "beta": "Normal(0, 9)"}  # fmt: skip
    whole = bl.fit_bayes("y ~ 0 + arm + (1 | gr(g, by=arm))", TABLE, priors=priors, **HOW)
    for arm in ("t", "c"):
        alone = bl.fit_bayes("y ~ 1 + (1 | g)", TABLE[TABLE.arm == arm],
                             priors={**priors, "Intercept": "Normal(0, 9)"}, **HOW)  # fmt: skip
        ours = whole["posterior"]["sd_g"].sel(g_term=f"arm[{arm}]").to_numpy().ravel()
        theirs = alone["posterior"]["sd_g"].to_numpy().ravel()
        # Two sets of a thousand draws: means within five standard errors of their difference.
        assert abs(ours.mean() - theirs.mean()) < 5 * theirs.std() * np.sqrt(2 / 1000)


@pytest.mark.filterwarnings("ignore::bayeslmm.SamplingWarning")  # so few draws are no posterior
@pytest.mark.parametrize(
    ("formula", "given"),
    [
        ("success ~ x + (1 | gr(g, by=arm))", {"family": "bernoulli", "sampler": "quadrature"}),
        pytest.param(
            "count ~ x + (x | gr(g, by=arm))",
            {"family": "poisson", "sampler": "laplace_chain"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_other_families_have_arms(formula, given):
    fit = bl.fit_bayes(
        formula, TABLE, **given, draws=50, tune=100, random_seed=1, progressbar=False
    )
    state = bl.build_design(formula, TABLE, family=given["family"]).state
    effects = fit["posterior"]["b_g"].to_numpy()
    assert np.all(effects[..., ~state.arms["g"].holds] == 0.0)
    assert np.ptp(effects[..., state.arms["g"].holds]) > 0.0
    assert len(bl.random_effects(fit)) == state.arms["g"].holds.sum()
    assert np.isfinite(bl.predict(fit, TABLE.iloc[:3])).all()


@pytest.mark.parametrize(
    "given", [{"residual": "ar1(visit | g)"}, {"sigma": "~ 0 + arm"}], ids=["ar1", "strata"]
)
def test_residual_structures_have_arms(given):
    formula = "y ~ x + (x | gr(g, by=arm))"
    fit = bl.fit_bayes(formula, TABLE, **given, **HOW)
    none, _ = of_other_arms(fit)
    assert np.all(none == 0.0)
    assert np.isfinite(bl.predict(fit, TABLE.iloc[:3])).all()


def test_adopted_draws_are_of_each_levels_arm(fit):
    trace = fit["posterior"].to_dataset().drop_vars(["b_g", "b_h"])
    tree = bl.adopt(trace, FORMULA, TABLE, random_seed=1)
    assert np.all(of_other_arms(tree)[0] == 0.0)
    same = bl.adopt(fit, FORMULA, TABLE)
    np.testing.assert_array_equal(same["posterior"]["b_g"], fit["posterior"]["b_g"])


def test_a_study_of_priors_reads_arms():
    scenarios = {"wide": {"sd_g[arm[t]]": "HalfNormal(9)"}}
    study = bl.prior_study(FORMULA, TABLE, scenarios, **HOW)
    assert "wide" in str(bl.summarise_study(study))


def test_a_fit_is_updated_with_its_arms(fit):
    other = bl.update(fit, ". ~ . - (1 | h)", draws=100)
    assert other.attrs["formula"] == "y ~ 1 + x + (1 + x | gr(g, by=arm))"


@pytest.mark.slow
def test_nuts_on_the_graph_agrees_with_exact_integration():
    """The same posterior with explicit effects, non-centered, and with effects integrated out."""
    model = "y ~ x + (x | gr(g, by=arm))"
    exact = bl.fit_bayes(model, TABLE, **{**HOW, "draws": 2000})
    nuts = bl.fit_bayes(model, TABLE, parametrization="noncentered", sampler="nutpie", draws=2000,
                        random_seed=3, progressbar=False)  # fmt: skip
    for name in ("sd_g", "beta", "sigma", "corr_g", "b_g"):
        ours, theirs = (t["posterior"][name].to_numpy().reshape(8000, -1) for t in (exact, nuts))
        spread = ours.std(axis=0)
        drawn = spread > 0
        off = np.abs(ours.mean(axis=0) - theirs.mean(axis=0))[drawn] / spread[drawn]
        # Effective sizes are above 1,500 on either side: five standard errors of a difference.
        assert off.max() < 5 * np.sqrt(2 / 1500)
        assert np.all(theirs.std(axis=0)[~drawn] == 0.0)


def test_models_are_the_same_at_the_columns_means():
    """G at zero and at the means: densities of one draw differ by the volume alone."""
    design = bl.build_design("y ~ x + (x | gr(g, by=arm))", TABLE)
    model = Model.of(design)
    (factor,) = model.priors.factors
    assert factor.shift.sizes == (2, 2)
    moved = model.at_means.design.factors[0].columns
    for arm, j in (("c", 1), ("t", 3)):
        here = (TABLE.arm == arm).to_numpy()
        np.testing.assert_allclose(moved[here, j], TABLE.x[here] - TABLE.x.mean())
        assert np.all(moved[~here, j] == 0.0)
