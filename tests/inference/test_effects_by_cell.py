"""Importance sampling where evaluations are expensive: the same posterior from few of them."""

import arviz as az
import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.inference.importance.shared_effects import N_CELLS
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.model import Model

FORMULA = "diameter ~ 1 + (1 | plate) + (1 | sample)"


def fit(**settings):
    return bl.fit_bayes(
        FORMULA, bl.load_dataset("penicillin"), parametrization="marginal", sampler="importance",
        random_seed=2, progressbar=False, **settings,
    )  # fmt: skip


@pytest.fixture
def everything_is_dear(monkeypatch):
    monkeypatch.setattr("bayeslmm.inference.importance.interpolated_target.EXPENSIVE_SECONDS", 0.0)


def test_few_evaluations_give_the_posterior_of_many(everything_is_dear, monkeypatch):
    sparing = fit()
    monkeypatch.undo()
    exact = fit()
    assert "surrogate" not in exact["sample_stats"].attrs
    for name, array in exact["posterior"].data_vars.items():
        one, other = (
            x.to_numpy().reshape(4, 1000, -1) for x in (sparing["posterior"][name], array)
        )
        for k in range(one.shape[-1]):
            x, y = one[..., k], other[..., k]
            for method, a, b in (("mean", x.mean(), y.mean()), ("sd", x.std(), y.std())):
                error = np.hypot(float(az.mcse(x, method=method)), float(az.mcse(y, method=method)))
                # Some 70 figures: beyond 4 once in 250 seeds.
                assert abs(a - b) <= 4 * error, (name, k, method)


def test_the_record_says_what_was_spared(everything_is_dear):
    about = fit(draws=200)["sample_stats"].attrs
    assert about["surrogate"] == "interpolated"
    assert 30 < about["surrogate_n_exact"] <= 320
    assert 0.0 < about["surrogate_error_sd"] < 0.04
    assert about["surrogate_error_sd"] <= about["surrogate_error_max"]
    assert about["effects_points"] == N_CELLS


def test_a_promise_that_was_not_kept_is_told(everything_is_dear, monkeypatch):
    monkeypatch.setattr("bayeslmm.inference.importance.shared_effects._TOO_LARGE", 0.0)
    with pytest.warns(bl.SamplingWarning, match="interpolated log-density errs") as caught:
        fit(draws=100)
    assert caught[0].filename == __file__


def test_fewer_draws_than_cells_have_their_own_factorizations(everything_is_dear):
    tree = fit(draws=25, chains=2)
    assert tree["sample_stats"].attrs["effects_points"] <= 50
    assert tree["posterior"]["b_plate"].shape == (2, 25, 24, 1)


def test_the_same_seed_gives_the_same_draws(everything_is_dear):
    one, other = fit(draws=50, cores=1), fit(draws=50, cores=2)
    for name in one["posterior"].data_vars:
        np.testing.assert_array_equal(one["posterior"][name], other["posterior"][name])


def test_a_failed_interpolation_falls_back_to_exact_values(everything_is_dear, monkeypatch):
    from functools import partial

    from bayeslmm.inference.importance import sample as direct_sampling
    from bayeslmm.inference.importance.interpolated_target import interpolate_posterior

    starved = partial(interpolate_posterior, budget=50)
    monkeypatch.setattr(direct_sampling, "interpolate_posterior", starved)
    tree = fit(draws=250)
    about = tree["sample_stats"].attrs
    assert "too few" in about["surrogate"] or "still errs" in about["surrogate"]
    assert "surrogate_error_sd" not in about
    assert about["n_points"] >= 1000


def test_moments_of_effects_need_no_draws_of_them(everything_is_dear):
    tree = fit(effects="moments")
    moments = tree["effects_moments"]["b_plate_mean"].to_numpy()
    drawn = fit()["posterior"]["b_plate"].mean(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(moments, drawn, rtol=1e-9)


def crossed_design(formula="y ~ 1 + (1 | a) + (1 | b)"):
    rng = np.random.default_rng(0)
    table = {
        "y": rng.normal(size=1000),
        "x": rng.normal(size=1000),
        "a": (np.arange(1000) % 300).astype(str),
        "b": rng.permutation(np.arange(1000) % 250).astype(str),
    }
    return bl.build_design(formula, table)


def test_auto_interpolates_where_a_border_is_large_and_parameters_are_few():
    from bayeslmm.inference.importance.sample import ImportanceSampling

    method = ImportanceSampling()
    design = crossed_design()
    suits, why = method.suits(Model.of(design), SamplerSettings())
    assert suits
    assert "250 columns" in why
    wide = crossed_design("y ~ x + (x + I(x**2) | a) + (x | b)")
    suits, why = method.suits(Model.of(wide), SamplerSettings())
    assert not suits
    assert "9 free entries" in why
