"""Looking at priors before sampling: tables, draws, implied priors, all without a compiler."""

import math
import subprocess
import sys

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, TreeError

FORMULA = "Reaction ~ Days + (Days | Subject)"
DRAWS = 4000
# Binomial standard error of a share of 4000 draws is at most 0.008; 4.5 of them for all checks.
SHARE = 4.5 * 0.5 / math.sqrt(DRAWS)


@pytest.fixture(scope="module")
def sleepstudy():
    return bl.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def design(sleepstudy):
    return bl.build_design(FORMULA, sleepstudy)


@pytest.fixture(scope="module")
def tree(design):
    return bl.sample_prior(design, draws=DRAWS, random_seed=3)


def test_the_description_says_what_a_slope_means_for_the_response(sleepstudy):
    table = bl.describe_priors(FORMULA, sleepstudy, {"Days": "Normal(0, 10)", "corr": "LKJ(1)"})
    s_x = np.std(sleepstudy["Days"], ddof=1)
    days = table.loc["Days"]
    assert days["distribution"] == "Normal(mu=0, sigma=10)"
    assert days["q95"] == pytest.approx(16.448536, rel=1e-7)
    assert days["response_q95"] == pytest.approx(16.448536 * s_x, rel=1e-7)
    assert days["change"] == "+2.88"
    assert days["origin"] == "user"
    assert table.loc["Intercept", "response_q50"] == table.loc["Intercept", "q50"]
    # Uniform on (-1, 1), and on no scale of the response.
    assert table.loc["corr_Subject", ["q5", "q95"]].to_list() == pytest.approx([-0.9, 0.9])
    assert np.isnan(table.loc["corr_Subject", "response_q95"])
    assert list(table.index) == [
        "Intercept", "Days", "sd_Subject[Intercept]", "sd_Subject[Days]", "corr_Subject", "sigma",
    ]  # fmt: skip


def test_the_description_switches_columns_of_two_values(sleepstudy):
    table = bl.describe_priors("score ~ Machine + (1 | Worker)", bl.load_dataset("machines"))
    row = table.loc["Machine[T.B]"]
    assert row["change"] == "0 -> 1"
    assert row["response_q95"] == row["q95"]


def test_prior_draws_have_the_names_and_dimensions_of_a_posterior(tree):
    assert {name: array.dims[2:] for name, array in tree["prior"].data_vars.items()} == {
        "beta": ("coef",),
        "sigma": (),
        "sd_Subject": ("Subject_term",),
        "corr_Subject": ("Subject_term", "Subject_term_bis"),
        "b_Subject": ("Subject", "Subject_term"),
    }
    assert tree["prior_predictive"]["Reaction"].shape == (1, DRAWS, 180)
    assert tree["observed_data"].sizes["obs"] == 180
    assert bl.build_design(tree.attrs["formula"], bl.load_dataset("sleepstudy")).coef == (
        "Intercept",
        "Days",
    )
    assert list(tree["prior"]["Subject"].to_numpy()[:2]) == ["308", "309"]


def test_prior_draws_follow_their_priors(tree, design):
    prior = tree["prior"]
    listed = dict(bl.resolve_priors(design).entries())
    centered = prior["beta"].to_numpy()[0] @ [[1.0], [4.5]]
    columns = {
        "Intercept": centered[:, 0],
        "Days": prior["beta"].to_numpy()[0, :, 1],
        "sd_Subject[Intercept]": prior["sd_Subject"].to_numpy()[0, :, 0],
        "sd_Subject[Days]": prior["sd_Subject"].to_numpy()[0, :, 1],
        "sigma": prior["sigma"].to_numpy()[0],
    }
    for name, values in columns.items():
        below = (values[:, None] < listed[name].quantile([0.1, 0.5, 0.9])).mean(axis=0)
        np.testing.assert_allclose(below, [0.1, 0.5, 0.9], atol=SHARE, err_msg=name)


def test_effects_and_responses_follow_from_the_parameters():
    # All priors nearly degenerate: G and the response's covariance are known.
    table = {
        "y": np.arange(6.0),
        "x": np.array([0.0, 1, 2, 0, 1, 2]),
        "g": list("aaabbb"),
        "w": np.array([1.0, 4, 1, 4, 1, 4]),
    }
    priors = {
        "Intercept": "Normal(5, 1e-9)",
        "x": "Normal(2, 1e-9)",
        "sd_g[Intercept]": "Uniform(1.999999, 2)",
        "sd_g[x]": "Uniform(0.499999, 0.5)",
        "corr": "LKJ(1e8)",
        "sigma": "Uniform(0.999999, 1)",
    }
    tree = bl.sample_prior(
        "y ~ x + (x | g)", table, priors=priors, draws=20_000, random_seed=1, weights="w"
    )
    y = tree["prior_predictive"]["y"].to_numpy()[0]
    # 5 sits at the mean of x, 1.
    np.testing.assert_allclose(y.mean(axis=0), 5 + 2 * (table["x"] - 1), atol=4.5 * 2.5 / 141)
    Z = np.column_stack([np.ones(3), [0.0, 1, 2]])
    block = Z @ np.diag([4.0, 0.25]) @ Z.T
    expected = np.kron(np.eye(2), block) + np.diag(1 / table["w"])
    # A sample covariance's standard error is at most sqrt(2 / n) times the largest variance, 6.
    np.testing.assert_allclose(np.cov(y.T), expected, atol=4.5 * 0.01 * 6)


def test_the_same_seed_gives_the_same_prior_draws(design):
    one = bl.sample_prior(design, draws=20, random_seed=9)
    two = bl.sample_prior(design, draws=20, random_seed=9)
    assert one["prior_predictive"].identical(two["prior_predictive"])
    other = bl.sample_prior(design, draws=20, random_seed=8)
    assert not one["prior"].equals(other["prior"])


def test_correlations_of_separate_blocks_stay_zero():
    table = bl.load_dataset("sleepstudy")
    table["z"] = np.sin(np.arange(len(table)))
    tree = bl.sample_prior(
        "Reaction ~ Days + (Days | Subject) + (0 + z | Subject)", table, draws=50, random_seed=2
    )
    corr = tree["prior"]["corr_Subject"].to_numpy()[0]
    assert (corr[:, :2, 2] == 0).all()
    assert (corr[:, 0, 1] != 0).all()
    assert (corr[:, [0, 1, 2], [0, 1, 2]] == 1).all()


def test_extreme_correlations_and_offsets_are_drawn_without_a_warning():
    table = bl.load_dataset("sleepstudy")
    tree = bl.sample_prior(
        "Reaction ~ 0 + offset(Days) + (Days | Subject)",
        table,
        priors={"corr": "LKJ(0.01)", "sd": "HalfCauchy(100)"},
        draws=500,
        random_seed=2,
    )
    assert "beta" not in tree["prior"]
    assert np.isfinite(tree["prior_predictive"]["Reaction"]).all()


@pytest.mark.parametrize("draws", [0, -1, 2.5, True])
def test_impossible_numbers_of_draws_are_refused(design, draws):
    with pytest.raises(ArgumentError, match="draws must be a positive whole number"):
        bl.sample_prior(design, draws=draws)


def test_implied_priors_by_hand():
    table = {"y": np.arange(8.0), "g": list("aabbccdd")}
    # With both sds half-normal of one scale, the ICC is a squared sine of a uniform angle: its
    # quantiles are sin^2(pi q / 2).
    tree = bl.sample_prior(
        "y ~ 1 + (1 | g)", table, priors={"sd": "HalfNormal(3)", "sigma": "HalfNormal(3)"},
        draws=DRAWS, random_seed=4,
    )  # fmt: skip
    implied = bl.implied_priors(tree)
    assert list(implied.index) == ["icc[g]"]
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    angles = np.arcsin(np.sqrt(implied.loc["icc[g]"].to_numpy())) * 2 / math.pi
    np.testing.assert_allclose(angles, levels, atol=SHARE)


def test_implied_priors_of_slopes_and_correlations(tree):
    implied = bl.implied_priors(tree)
    assert list(implied.index) == [
        "icc[Subject]", "sd_Subject[Days] / |Days|", "corr_Subject[Intercept,Days]",
    ]  # fmt: skip
    sd = tree["prior"]["sd_Subject"].to_numpy()[0, :, 1]
    ratio = sd / np.abs(tree["prior"]["beta"].to_numpy()[0, :, 1])
    assert implied.loc["sd_Subject[Days] / |Days|", "q50"] == pytest.approx(np.median(ratio))
    # LKJ(2) of two columns: (r + 1) / 2 ~ Beta(2, 2), whose 95 % point is 0.8647.
    assert implied.loc["corr_Subject[Intercept,Days]", "q95"] == pytest.approx(0.729, abs=0.03)


def test_several_factors_have_a_total_icc():
    tree = bl.sample_prior(
        "strength ~ 1 + (1 | batch/cask)", bl.load_dataset("pastes"), draws=100, random_seed=1
    )
    implied = bl.implied_priors(tree)
    assert set(implied.index) == {"icc[batch]", "icc[batch:cask]", "icc[total]"}


def test_implied_priors_need_the_group(tree):
    with pytest.raises(TreeError, match="posterior"):
        bl.implied_priors(tree, group="posterior")


def test_nothing_here_loads_pymc():
    code = (
        "import sys, bayeslmm as bl\n"
        f"tree = bl.sample_prior({FORMULA!r}, bl.load_dataset('sleepstudy'), draws=20)\n"
        "bl.describe_priors(tree.attrs['formula'], bl.load_dataset('sleepstudy'))\n"
        "bl.implied_priors(tree)\n"
        "assert not {'pymc', 'pytensor', 'nutpie'} & set(sys.modules), 'PyMC was imported'\n"
    )
    run = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
