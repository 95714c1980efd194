"""Prior studies: scenarios, reweighting against refits, interruption, summaries."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, PriorError, TreeError
from bayeslmm.inference.reweighting import (
    quantities_pareto_k,
    resample,
    reweightable,
    smoothed_weights,
    support_contains,
)
from bayeslmm.model.priors.schemes import PriorScheme
from bayeslmm.studies.files import scenario_seed
from bayeslmm.studies.scenarios import read_scenarios

FORMULA = "Yield ~ 1 + (1 | Batch)"
QUICK = {"draws": 500, "tune": 500, "chains": 4, "cores": 2, "progressbar": False}
SCENARIOS = {
    "wider": {"sd": "HalfStudentT(3, 100)"},
    "far off": {"sd": "HalfStudentT(3, 1)", "sigma": "HalfStudentT(3, 1)"},
    "bounded": {"sd": "Uniform(0, 60)"},
}

QUANTITIES = {
    "total variance": lambda p: p["sigma"] ** 2 + p["sd_Batch"][..., 0] ** 2,
    "ratio": "sd_Batch[Intercept] / sigma",
}

# 500 draws are enough to compare, and 4 chains of a marginal fit may raise an eyebrow.
pytestmark = pytest.mark.filterwarnings("ignore:The draws of these:bayeslmm.errors.SamplingWarning")


@pytest.fixture(scope="module")
def dyestuff():
    return bl.load_dataset("dyestuff")


@pytest.fixture(scope="module")
def design(dyestuff):
    return bl.build_design(FORMULA, dyestuff)


@pytest.fixture(scope="module")
def study(dyestuff):
    return bl.prior_study(
        FORMULA,
        dyestuff,
        SCENARIOS,
        quantities=QUANTITIES,
        random_seed=1,
        **QUICK,
    )


@pytest.fixture(scope="module")
def refitted(dyestuff):
    return bl.prior_study(FORMULA, dyestuff, SCENARIOS, reweight=False, random_seed=1, **QUICK)


def test_a_study_lays_scenarios_side_by_side(study):
    assert list(study["posterior"]["scenario"].to_numpy()) == ["reference", *SCENARIOS]
    assert list(study["posterior"].data_vars) == [
        "Intercept", "sd_Batch[Intercept]", "sigma", "icc[Batch]", "total variance",
        "ratio",
    ]  # fmt: skip
    assert study["posterior"]["sigma"].dims == ("scenario", "chain", "draw")
    assert study["posterior"]["sigma"].shape == (4, 4, 500)
    about = study["scenarios"].to_dataset()
    assert list(about["method"].to_numpy()) == ["refit", "reweighted", "refit", "reweighted"]
    k = about["pareto_k"].to_numpy()
    assert np.isnan(k[0])
    assert k[1] < 0.7
    assert k[2] >= 0.7
    priors = bl.Priors.from_json(str(about["priors"].sel(scenario="wider").item()))
    assert str(priors.factors[0].sd[0]) == "HalfStudentT(nu=3, sigma=100)"


def test_reweighted_means_are_those_of_refits(study, refitted):
    import arviz as az

    assert (refitted["scenarios"]["method"] == "refit").all()
    for scenario in ("wider", "bounded"):
        for name in refitted["posterior"].data_vars:
            ours = study["posterior"][name].sel(scenario=scenario).to_numpy()
            theirs = refitted["posterior"][name].sel(scenario=scenario).to_numpy()
            error = np.hypot(float(az.mcse(ours)), float(az.mcse(theirs)))
            assert abs(ours.mean() - theirs.mean()) < 4 * error, (scenario, name)


def test_derived_quantities_are_taken_with_their_parameters(study):
    posterior = study["posterior"].to_dataset()
    expected = posterior["sigma"] ** 2 + posterior["sd_Batch[Intercept]"] ** 2
    np.testing.assert_allclose(posterior["total variance"], expected, rtol=1e-12)
    expected = posterior["sd_Batch[Intercept]"] / posterior["sigma"]
    np.testing.assert_allclose(posterior["ratio"], expected, rtol=1e-12)


def test_an_interrupted_study_resumes_to_the_same_result(dyestuff, study, tmp_path, monkeypatch):
    from bayeslmm.studies import scenario_run as running

    settings = {"quantities": QUANTITIES, "random_seed": 1, "folder": tmp_path, **QUICK}
    fit, calls = running.fit_bayes, []

    def interrupted(*args, **kwargs):
        calls.append(kwargs["random_seed"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(*args, **kwargs)

    monkeypatch.setattr(running, "fit_bayes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        bl.prior_study(FORMULA, dyestuff, SCENARIOS, **settings)
    # The reference and the two reweighted scenarios are finished, the refit is not.
    assert len(list(tmp_path.glob("*.nc"))) == 3
    again = bl.prior_study(FORMULA, dyestuff, SCENARIOS, **settings)
    assert len(calls) == 3, "only the unfinished scenario is fitted"
    assert again["posterior"].to_dataset().equals(study["posterior"].to_dataset())
    assert again["scenarios"].to_dataset().equals(study["scenarios"].to_dataset())
    assert not list(tmp_path.glob("*.part"))
    # A third time nothing is left to do; other settings take none of these files.
    bl.prior_study(FORMULA, dyestuff, SCENARIOS, **settings)
    assert len(calls) == 3
    bl.prior_study(FORMULA, dyestuff, {"a": {}}, **(settings | {"random_seed": 2}))
    assert len(calls) == 4


def test_a_changed_quantity_takes_no_scenario_of_the_old_one(dyestuff, tmp_path):
    def study(by):
        quantities = {"scaled": lambda posterior: by * posterior["sigma"]}
        return bl.prior_study(
            FORMULA, dyestuff, {"a": {"sd": "HalfStudentT(3, 90)"}}, quantities=quantities,
            folder=tmp_path, random_seed=1, **(QUICK | {"draws": 50, "tune": 200}),
        )  # fmt: skip

    one, two = study(1.0), study(2.0)
    np.testing.assert_array_equal(2 * one["posterior"]["scaled"], two["posterior"]["scaled"])
    assert len(list(tmp_path.glob("*.nc"))) == 4
    with pytest.raises(ArgumentError, match=r"'scaled' cannot be kept.*leave the folder out"):
        study(dyestuff)


def test_a_damaged_file_is_named_and_made_anew(dyestuff, tmp_path):
    settings = {"folder": tmp_path, "random_seed": 1} | QUICK | {"draws": 50, "tune": 200}
    one = bl.prior_study(FORMULA, dyestuff, {"a": {"sd": "HalfStudentT(3, 90)"}}, **settings)
    [file] = tmp_path.glob("a.*.nc")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.warns(bl.DataWarning, match="cannot be read.*scenario 'a' is made anew") as caught:
        two = bl.prior_study(FORMULA, dyestuff, {"a": {"sd": "HalfStudentT(3, 90)"}}, **settings)
    assert caught[0].filename == __file__
    assert two["posterior"].to_dataset().equals(one["posterior"].to_dataset())


def test_the_summary_says_how_far_conclusions_move(study):
    table = bl.summarise_study(study)
    assert table.index.names == ["quantity", "scenario"]
    reference = table.xs("reference", level="scenario")
    assert (reference["moved"] == 0).all()
    assert (reference["spread"] == 1).all()
    sd = study["posterior"]["sd_Batch[Intercept]"]
    row = table.loc[("sd_Batch[Intercept]", "wider")]
    before = sd.sel(scenario="reference")
    expected = float(sd.sel(scenario="wider").mean() - before.mean()) / float(before.std(ddof=1))
    assert row["moved"] == pytest.approx(expected)
    assert row["sd"] == pytest.approx(float(sd.sel(scenario="wider").std(ddof=1)))
    # 2,000 draws, the reweighted ones fewer in effect: sqrt(2 / 2000) at least.
    assert 0.03 < row["mcse"] < 0.1
    assert (reference["mcse"] == 0).all()
    assert row["moved"] > 0
    assert row["method"] == "reweighted"
    assert not row["sign_flips"]


def test_flips_of_signs_and_verdicts_by_hand():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(1, 4000))
    values = np.stack([draws * 0.3 + 1, draws + 1, draws * 0.3 - 1])
    labels = ["reference", "wide", "negative"]
    study = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {"x": (("scenario", "chain", "draw"), values)}, coords={"scenario": labels}
            ),
            "scenarios": xr.Dataset(
                {"method": ("scenario", ["refit"] * 3)}, coords={"scenario": labels}
            ),
        }
    )
    table = bl.summarise_study(study).loc["x"]
    assert list(table["sign_flips"]) == [False, False, True]
    assert list(table["verdict_flips"]) == [False, True, False]
    assert table.loc["wide", "spread"] == pytest.approx(1 / 0.3)
    assert table.loc["negative", "moved"] == pytest.approx(-2 / values[0].std(ddof=1))


def test_the_picture_has_a_panel_per_quantity_and_a_row_per_scenario(study):
    figure = bl.plot_prior_study(study, ["sigma", "icc[Batch]"])
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["sigma", "icc[Batch]"]
    assert [text.get_text() for text in shown[0].get_yticklabels()] == ["reference", *SCENARIOS]
    with pytest.raises(ArgumentError, match="no quantity 'sigm'"):
        bl.plot_prior_study(study, ["sigm"])
    plt.close("all")


def test_grids_take_every_combination_over_the_reference(design):
    grid = {"sd": ["HalfNormal(10)", "HalfNormal(50)"], "sigma": ["HalfNormal(20)"]}
    for reference in ({"scheme": "brms"}, "brms", bl.resolve_priors(design, "brms")):
        resolved = read_scenarios(design, grid, reference)
        assert list(resolved) == [
            "reference",
            "sd=HalfNormal(10), sigma=HalfNormal(20)",
            "sd=HalfNormal(50), sigma=HalfNormal(20)",
        ]
        last = dict(resolved["sd=HalfNormal(50), sigma=HalfNormal(20)"].entries())
        assert str(last["sd_Batch[Intercept]"]) == "HalfNormal(sigma=50)"
        assert last["Intercept"].family == "StudentT"


def test_what_a_scenario_names_changes_whatever_named_it_in_the_reference(design):
    reference = {"sd_Batch[Intercept]": "HalfNormal(7)", "sigma": "HalfNormal(8)"}
    for scenarios in ({"sd": ["Exponential(3)"]}, {"other": {"sd": "Exponential(3)"}}):
        _, changed = read_scenarios(design, scenarios, reference).values()
        assert str(changed.factors[0].sd[0]) == "Exponential(lam=3)"
        assert str(changed.sigma) == "HalfNormal(sigma=8)"
        assert changed.origins == {
            "Intercept": "default", "sd_Batch[Intercept]": "user", "sigma": "user",
        }  # fmt: skip


def test_a_scheme_as_a_scenario_replaces_the_reference(design):
    reference = {"sigma": "HalfNormal(8)"}
    scenarios = {"all": "brms", "part": {"scheme": "brms", "sd": "HalfNormal(3)"}, "none": None}
    resolved = read_scenarios(design, scenarios, reference)
    assert resolved["all"] == bl.resolve_priors(design, "brms")
    assert resolved["part"] == bl.resolve_priors(design, scenarios["part"])
    assert resolved["none"] == bl.resolve_priors(design)


def test_lists_of_schemes_are_scenarios_of_their_own(design):
    mine = PriorScheme("mine", lambda _: {"sigma": "HalfNormal(1)"})
    resolved = read_scenarios(design, ["brms", mine])
    assert list(resolved) == ["reference", "brms", "mine"]
    assert resolved["brms"] == bl.resolve_priors(design, "brms")


@pytest.mark.parametrize(
    ("scenarios", "message"),
    [
        ({}, "not empty"),
        ([], "not empty"),
        ("brms", "must be a mapping"),
        (["brms", "brms"], "listed twice"),
        ([{"sigma": "HalfNormal(1)"}], "give single priors a name"),
        ({"sd": ["HalfNormal(1)"], "sigma": "HalfNormal(1)"}, "mixes lists with single values"),
        ({"reference": "brms"}, "another name"),
        ({"a": {"sdd": "HalfNormal(1)"}}, r"Scenario 'a'.*Did you mean 'sd'"),
        ({1: "brms"}, "must be text"),
        ({"sd": []}, "no value for 'sd'"),
        ({"sd": ["HalfNormal(1)", "HalfNormal(1)"]}, r"lists HalfNormal\(1\) twice for 'sd'"),
        (
            {"sd": ["HalfNormal(1)", "HalfNormal(2)"], "sd_Batch": ["HalfNormal(3)"]},
            "varies 'sd' in vain: 'sd_Batch', more specific, wins",
        ),
        ({"beta": ["Normal(0, 1)", "Normal(0, 2)"]}, "varies 'beta' in vain: this model has no"),
    ],
)
def test_scenarios_that_cannot_be_read_are_refused_before_anything_is_fitted(
    dyestuff, scenarios, message
):
    with pytest.raises(PriorError, match=message):
        bl.prior_study(FORMULA, dyestuff, scenarios)


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        ({"a": "sigm + 1"}, r"quantity 'a'.*'sigm', which is no parameter.*Did you mean 'sigma'"),
        ({"a": "sigma +"}, "quantity 'a'.*cannot be read"),
        ({"a": "__import__('os').getcwd()"}, "quantity 'a'"),
        ({"a": "1 + 1"}, "names no parameter"),
        ({"a": 3}, "must be text such as"),
        ({1: "sigma"}, "name of a quantity is text"),
        (["sigma"], "must be a mapping"),
    ],
)
def test_quantities_that_cannot_be_read_are_refused_before_anything_is_fitted(
    dyestuff, quantities, message
):
    with pytest.raises(ArgumentError, match=message):
        bl.prior_study(FORMULA, dyestuff, ["brms"], quantities=quantities)


def test_a_wider_support_cannot_be_reached_by_weights(design):
    bounded = bl.resolve_priors(design, {"sd": "Uniform(0, 60)"})
    whole = bl.resolve_priors(design)
    assert support_contains(whole, bounded)
    assert not support_contains(bounded, whole)


def test_weights_by_hand():
    weights, k = smoothed_weights(np.full((2, 3), -np.inf))
    assert k == np.inf
    assert weights.sum() == pytest.approx(1)
    # Ratios of a standard normal to one of twice its sd are bounded: a light tail.
    x = 2 * np.random.default_rng(0).normal(size=(4, 1000))
    weights, k = smoothed_weights(-0.5 * x**2 + 0.5 * (x / 2) ** 2)
    assert k < 0.5
    assert float(weights @ x.ravel() ** 2) == pytest.approx(1, abs=0.1)


def test_weights_that_are_large_where_a_quantity_is_are_found_out():
    # Powers of a Pareto(1) variable have that power as their tail's index.
    x = 1 / (1 - np.random.default_rng(0).uniform(size=(4, 1000)))
    ratio = 0.4 * np.log(x)
    weights, k = smoothed_weights(ratio)
    # The estimate's standard error from 190 draws of the tail is some 0.1.
    assert k == pytest.approx(0.4, abs=0.3)
    # 0.4 + 0.5, and a little more as the distance from the mean grows faster than the quantity.
    assert quantities_pareto_k(ratio, weights, {"x": x**0.5}) > 0.8
    assert quantities_pareto_k(ratio, weights, {"x": 1.0 * (x > 2)}) < 0.7
    # A tail that is as heavy without weights is not theirs.
    even = np.full(4000, 1 / 4000)
    assert quantities_pareto_k(np.zeros((4, 1000)), even, {"x": x}) == -np.inf


def test_weights_of_too_few_draws_are_left_to_a_refit():
    weights = np.zeros(4000)
    weights[:390] = 1 / 390
    assert not reweightable(weights, 0.1)
    weights[:410] = 1 / 410
    assert reweightable(weights, 0.1)
    # 1 - 1 / log10(1000) = 2 / 3: a thousand draws cannot tell more.
    assert reweightable(np.full(1000, 1e-3), 0.66)
    assert not reweightable(np.full(1000, 1e-3), 0.67)


def test_resampling_keeps_each_draw_as_often_as_its_weight_says():
    weights = np.random.default_rng(0).dirichlet(np.ones(200))
    counts = np.bincount(resample(weights, np.random.default_rng(1)), minlength=200)
    assert (np.abs(counts - 200 * weights) < 1 + 1e-9).all()


def test_seeds_depend_on_names_alone():
    assert scenario_seed(1, "a") == scenario_seed(1, "a")
    assert len({scenario_seed(s, n) for s in (1, 2) for n in ("a", "b")}) == 4


def test_what_is_no_study_is_refused(study):
    with pytest.raises(TreeError, match="prior study is needed"):
        bl.summarise_study(xr.DataTree())
    with pytest.raises(TreeError, match="prior study is needed"):
        bl.plot_prior_study({"a": 1})
    with pytest.raises(ArgumentError, match="n_jobs"):
        bl.prior_study(FORMULA, bl.load_dataset("dyestuff"), ["brms"], n_jobs=0)


def test_too_few_draws_have_weights_and_no_verdict():
    ratios = np.log(np.arange(1.0, 11.0)).reshape(2, 5)
    weights, pareto_k = smoothed_weights(ratios)
    np.testing.assert_allclose(weights, np.arange(1, 11) / 55, rtol=1e-12)
    assert pareto_k == np.inf


def test_a_quantity_that_only_counts_has_a_harmless_tail():
    ratios = np.where(np.arange(100) < 60, 0.0, -1.0).reshape(4, 25)
    weights, pareto_k = smoothed_weights(ratios)
    assert pareto_k == -np.inf
    np.testing.assert_allclose(weights[0] / weights[-1], np.e, rtol=1e-12)
    assert quantities_pareto_k(ratios, weights, {"positive": ratios < 0}) == -np.inf
