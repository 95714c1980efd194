"""Random effects in sigma: how such models are chosen, sampled, drawn from priors and refused."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pytensor.compile.mode import Mode
from scipy import stats

import bayeslmm as bl
from bayeslmm.errors import (
    ArgumentError,
    DataError,
    FormulaError,
    IdentificationWarning,
    NumericalWarning,
    TreeError,
)
from bayeslmm.inference.method import choose_method
from bayeslmm.inference.nuts.compile import free_variables
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model

# The Python linker compiles nothing: these tests evaluate a handful of points.
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
FORMULA, SIGMA = "y ~ x + (1 | g)", "~ x + (1 | g)"
TRUTH = {"sigma": 1.2, "beta_sigma": 0.3, "sd_g": 0.8, "sd_sigma_g": 0.5}


def table(m=40, k=12, seed=3):
    """Levels whose means and sigmas differ, by `simulate_response`."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"x": rng.normal(size=m * k).round(2), "g": np.repeat(np.arange(m), k)})
    rows["g"] = "s" + rows["g"].astype(str).str.zfill(2)
    design = bl.build_design(FORMULA, rows.assign(y=rng.normal(size=m * k)), sigma=SIGMA)
    y, effects = bl.simulate_response(
        design, beta=[2.0, 1.0], sd={"g": TRUTH["sd_g"], "sigma_g": TRUTH["sd_sigma_g"]},
        parameters={"sigma": TRUTH["sigma"], "beta_sigma": [TRUTH["beta_sigma"]]},
        random_seed=seed,
    )  # fmt: skip
    return rows.assign(y=y), effects


ROWS, EFFECTS = table()


@pytest.fixture(scope="module")
def fit():
    return bl.fit_bayes(
        FORMULA, ROWS, sigma=SIGMA, draws=400, tune=400, chains=2, random_seed=1, progressbar=False,
        priors={"sd_sigma": "HalfNormal(0.8)"},
    )  # fmt: skip


def test_parameters_and_effects_are_found_again(fit):
    posterior = fit["posterior"]
    for name, true in TRUTH.items():
        drawn = posterior[name].to_numpy().ravel()
        # Four standard deviations of the posterior: of four parameters one in 4,000 seeds is out.
        assert abs(drawn.mean() - true) < 4 * drawn.std(), name
        assert drawn.std() < 0.5 * true, name
    for name in ("g", "sigma_g"):
        drawn = posterior[f"b_{name}"].mean(("chain", "draw")).to_numpy()
        # Twelve rows tell a level's log(sigma) with an error of 0.2, against a sd of 0.5.
        assert np.corrcoef(drawn[:, 0], EFFECTS[name][:, 0])[0, 1] > 0.8


def test_the_tree_says_why_it_is_nuts_and_names_everything(fit):
    assert (fit.attrs["sampler"], fit.attrs["parametrization"]) == ("nutpie", "noncentered")
    assert "only NUTS draws" in fit.attrs["sampler_reason"]
    assert "by g, over which no integral" in fit.attrs["parametrization_reason"]
    dims = {name: array.dims[2:] for name, array in fit["posterior"].data_vars.items()}
    assert dims["sd_sigma_g"] == ("sigma_g_term",)
    assert dims["b_sigma_g"] == ("sigma_g", "sigma_g_term")
    assert fit["posterior"]["sigma_g"].to_numpy().tolist() == sorted(set(ROWS["g"]))
    assert {"sd_sigma_g", "sd_g", "sigma", "beta_sigma"} <= set(fit["log_prior"].data_vars)
    drawn = fit["posterior"]["sd_sigma_g"].to_numpy()[..., 0]
    expected = stats.halfnorm(scale=0.8).logpdf(drawn)
    np.testing.assert_allclose(fit["log_prior"]["sd_sigma_g"], expected, rtol=1e-12)


def test_a_saved_tree_answers_as_the_one_that_was_saved(fit, tmp_path):
    path = tmp_path / "fit.nc"
    fit.to_netcdf(path)
    with xr.open_datatree(path) as held:
        back = held.load()
    new = pd.DataFrame({"x": [0.5, 0.5], "g": ["s03", "new"]})
    options = {"kind": "response", "new_levels": "sample", "random_seed": 5}
    np.testing.assert_array_equal(bl.predict(back, new, **options), bl.predict(fit, new, **options))
    assert str(bl.summary(back)) == str(bl.summary(fit))
    pd.testing.assert_frame_equal(
        bl.random_effects(back, "sigma_g"), bl.random_effects(fit, "sigma_g")
    )
    # Of a level with few rows each row tells much of its sigma; levels cannot be left out here.
    with pytest.warns(NumericalWarning, match="few others inform: refit without those rows"):
        assert np.isfinite(bl.loo(back).elpd)


def test_priors_are_looked_at_and_changed(fit, tmp_path):
    names = set(bl.prior_sensitivity(fit).index)
    assert {"sd_sigma_g[Intercept]", "beta_sigma[x]", "sigma", "sd_g[Intercept]"} <= names
    assert "icc[g]" not in names
    bl.plot_prior_posterior(fit)
    # A reweighted scenario: b given its sd has the distribution that it had.
    wider = bl.resolve_priors(
        bl.build_design(FORMULA, ROWS, sigma=SIGMA), {"sd_sigma": "HalfNormal(1.2)"}
    )
    from bayeslmm.inference.reweighting import log_ratios
    from bayeslmm.model.priors.priors import Priors

    old = Priors.from_json(fit.attrs["priors"])
    values = {str(k): v.to_numpy() for k, v in fit["posterior"].data_vars.items()}
    drawn = values["sd_sigma_g"][..., 0]
    expected = stats.halfnorm(scale=1.2).logpdf(drawn) - stats.halfnorm(scale=0.8).logpdf(drawn)
    np.testing.assert_allclose(log_ratios(values, old, wider), expected, rtol=1e-9, atol=1e-12)


def test_draws_of_another_program_are_adopted(fit):
    trace = {str(k): v for k, v in fit["posterior"].data_vars.items()}
    tree = bl.adopt(trace, FORMULA, ROWS, sigma=SIGMA)
    np.testing.assert_array_equal(tree["posterior"]["b_sigma_g"], trace["b_sigma_g"])
    np.testing.assert_array_equal(
        bl.predict(tree, kind="response", random_seed=1, draws=50),
        bl.predict(fit, kind="response", random_seed=1, draws=50),
    )
    for lacking in ("b_g", "b_sigma_g"):
        short = {name: values for name, values in trace.items() if name != lacking}
        with pytest.raises(TreeError, match=lacking):
            bl.adopt(short, FORMULA, ROWS, sigma=SIGMA)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_a_fit_is_made_again_with_something_changed(fit):
    short = {"draws": 30, "tune": 60, "progressbar": False}
    again = bl.update(fit, priors={"sigma": "HalfNormal(3)"}, **short)
    assert "sd_sigma_g" in again["posterior"]
    origins = json.loads(again.attrs["priors"])["origins"]
    assert (origins["sigma"], origins["sd_sigma_g[Intercept]"]) == ("user", "user")
    plain = bl.update(fit, sigma="~ x", sampler="importance", parametrization="marginal", **short)
    assert "sd_sigma_g" not in plain["posterior"]


def likelihood(graph, values):
    evaluate = graph.compile_logp(vars=graph.observed_RVs, mode=SLOW_BUT_INSTANT)
    return float(evaluate({v.name: values[v.name] for v in graph.value_vars}))


@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ 1"])
def test_without_variance_it_is_the_model_without_effects_in_sigma(formula):
    with_effects = bl.build_model(formula, ROWS, sigma=SIGMA)
    without = bl.build_model(formula, ROWS, sigma="~ x")
    rng = np.random.default_rng(4)
    point = {v.name: v.start + 0.3 * rng.normal(size=v.shape) for v in free_variables(with_effects)}
    values = {
        value.name: p for value, p in zip(with_effects.value_vars, point.values(), strict=True)
    }
    (log_sd,) = [name for name in values if name.startswith("sd_sigma_g")]
    # A standard deviation of 1e-13: log(sigma) moves by as much, and 480 log-densities by 1e-9.
    found = likelihood(with_effects, {**values, log_sd: np.full(1, np.log(1e-13))})
    np.testing.assert_allclose(found, likelihood(without, values), rtol=1e-11)
    assert abs(found - likelihood(with_effects, values)) > 1.0


def test_the_whole_density_is_priors_offsets_and_likelihood():
    graph = bl.build_model("y ~ 1", ROWS, sigma="~ (x || g)")
    rng = np.random.default_rng(8)
    values = {
        value.name: v.start + 0.3 * rng.normal(size=v.shape)
        for value, v in zip(graph.value_vars, free_variables(graph), strict=True)
    }
    total = graph.compile_logp(jacobian=False, mode=SLOW_BUT_INSTANT)(values)
    sd, sigma = np.exp(values["sd_sigma_g_log__"]), float(np.exp(values["sigma_log__"]))
    z, beta = values["z_sigma_g"], values["beta_centered"]
    code = np.unique(ROWS["g"], return_inverse=True)[1]
    b = z * sd
    log_sigma = np.log(sigma) + b[code, 0] + b[code, 1] * ROWS["x"]
    s_y, s_x = ROWS["y"].std(), ROWS["x"].std()
    expected = (
        stats.norm(beta[0], np.exp(log_sigma)).logpdf(ROWS["y"]).sum()
        + stats.norm.logpdf(z).sum()
        + stats.halfnorm.logpdf(sd, scale=[1.0, 1.0 / s_x]).sum()
        + stats.norm.logpdf(beta[0], ROWS["y"].mean(), 2.5 * s_y)
        + np.log(2.0)
        + stats.t.logpdf(sigma, 3, scale=s_y)
    )
    # PyMC's half-t keeps nine digits.
    np.testing.assert_allclose(total, expected, rtol=1e-9)


def test_prior_draws_have_the_variances_of_their_priors():
    fixed = {"Intercept": "Normal(0, 1e-9)", "sigma": "Uniform(2, 2.0001)"}
    tree = bl.sample_prior(
        "y ~ 1", ROWS, sigma="~ (1 | g)", draws=2000, random_seed=2,
        priors={**fixed, "sd_sigma": "Uniform(0.5, 0.5001)"},
    )  # fmt: skip
    b = tree["prior"]["b_sigma_g"].to_numpy()[0, ..., 0]
    # 80,000 independent normals: an error of 0.3 per cent.
    assert b.std() == pytest.approx(0.5, rel=0.015)
    y = tree["prior_predictive"]["y"].to_numpy()[0]
    code = np.unique(ROWS["g"], return_inverse=True)[1]
    assert stats.kstest((y / (2.0 * np.exp(b[:, code])))[:, ::12].ravel(), "norm").pvalue > 1e-3


def test_correlations_of_slopes_are_drawn_from_their_prior():
    tree = bl.sample_prior("y ~ 1", ROWS, sigma="~ (x | g)", draws=3000, random_seed=1)
    prior = tree["prior"]
    assert prior["corr_sigma_g"].dims[2:] == ("sigma_g_term", "sigma_g_term_bis")
    # LKJ(2) of two columns: (1 + r) / 2 is Beta(2, 2).
    r = prior["corr_sigma_g"].to_numpy()[0, :, 0, 1]
    assert stats.kstest((1 + r) / 2, stats.beta(2, 2).cdf).pvalue > 1e-3
    b, sd = prior["b_sigma_g"].to_numpy()[0], prior["sd_sigma_g"].to_numpy()[0]
    own = (b / sd[:, None]).prod(axis=-1).mean(axis=1)
    # Products of two standard normals, 40 of each draw, about their correlation.
    assert np.mean(own - r) == pytest.approx(0.0, abs=0.02)


def chosen(formula=FORMULA, family="gaussian", **asked):
    model = Model.of(bl.build_design(formula, ROWS, sigma=SIGMA, family=family))
    settings = {"sampler": "auto", "parametrization": "auto"} | asked
    return choose_method(model, SamplerSettings(**settings))


@pytest.mark.parametrize("formula", [FORMULA, "y ~ 1"])
@pytest.mark.parametrize("family", ["gaussian", "student"])
def test_nuts_is_chosen_whatever_the_mean(formula, family):
    settings, reasons = chosen(formula, family)
    assert (settings.sampler, settings.parametrization) == ("nutpie", "noncentered")
    assert reasons["sampler_reason"]
    assert chosen(formula, family, sampler="pymc")[0].parametrization == "noncentered"
    assert chosen(formula, family, parametrization="centered")[0].parametrization == "centered"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"parametrization": "marginal"}, "parametrization='marginal' integrates .*, here of 'g'"),
        ({"sampler": "importance"}, "sampler='importance' integrates .*give sampler='nutpie'"),
        ({"sampler": "laplace_chain"}, "sigma has random effects of its own, and the chain"),
        ({"sampler": "quadrature"}, "quadrature"),
    ],
)
def test_what_integrates_effects_out_is_refused(asked, message):
    with pytest.raises(ArgumentError, match=message):
        bl.fit_bayes(FORMULA, ROWS, sigma=SIGMA, **asked)


def test_reml_is_refused():
    with pytest.raises(ArgumentError, match=r"fit_reml integrates .* here of 'g'.* fit_bayes"):
        bl.fit_reml(FORMULA, ROWS, sigma=SIGMA)
    with pytest.raises(ArgumentError, match="give 'noncentered'"):
        bl.build_model(FORMULA, ROWS, sigma=SIGMA, parametrization="marginal")


def test_sums_over_rows_are_refused():
    with pytest.raises(FormulaError, match=r"sums over batches.* read the rows into a table"):
        bl.gram_from_batches(FORMULA, [ROWS], sigma=SIGMA, progressbar=False)
    with pytest.raises(ArgumentError, match=r"fitted to rows, .* fit the table itself"):
        bl.Gram.from_design(bl.build_design(FORMULA, ROWS, sigma=SIGMA))


@pytest.mark.parametrize("family", ["poisson", "gamma", "negbinomial"])
def test_other_families_are_refused_by_name(family):
    with pytest.raises(ArgumentError, match=rf"sigma= is about .* the family is '{family}'"):
        bl.fit_bayes(FORMULA, ROWS, sigma=SIGMA, family=family)


def test_levels_of_one_row_are_warned_of():
    rows = ROWS.assign(row=np.arange(len(ROWS)).astype(str))
    with pytest.warns(IdentificationWarning, match=r"Each level of 'row' has one row.*'student'"):
        bl.build_design(FORMULA, rows, sigma="~ (1 | row)")
    with pytest.raises(DataError, match="factor 'one' has one level only"):
        bl.build_design(FORMULA, ROWS.assign(one="a"), sigma="~ (1 | one)")


def test_simulated_responses_ask_for_what_sigma_has():
    design = bl.build_design("y ~ 1", ROWS, sigma="~ (x | g)")
    given = {"beta": [0.0], "parameters": {"sigma": 1.0}}
    with pytest.raises(ArgumentError, match="sd lacks sigma_g"):
        bl.simulate_response(design, **given)
    sd, corr = {"sigma_g": [0.5, 0.2]}, {"sigma_g": 0.9}
    y, effects = bl.simulate_response(design, sd=sd, corr=corr, random_seed=1, **given)
    assert effects["sigma_g"].shape == (40, 2)
    again, _ = bl.simulate_response(design, sd={"sigma_g": 0.0}, random_seed=1, **given)
    code = np.unique(ROWS["g"], return_inverse=True)[1]
    log_sigma = effects["sigma_g"][code, 0] + effects["sigma_g"][code, 1] * ROWS["x"]
    np.testing.assert_allclose(y, again * np.exp(log_sigma), rtol=1e-12)
