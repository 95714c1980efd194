"""Posteriors with residuals in series, by weighted draws: quadrature and another sampler."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.model.residual import interpolation

DATA = Path(__file__).parent.parent / "reference" / "data"
HOW = {"sampler": "importance", "draws": 2000, "chains": 4, "random_seed": 3,
       "progressbar": False, "effects": "moments"}  # fmt: skip
# Standard errors of means of 8000 draws whose weights are uneven.
ERRORS = 4.0 / np.sqrt(3000)


def moments(draws):
    return np.mean(draws), np.std(draws)


def test_ovary_agrees_with_a_sampler_of_explicit_effects():
    # PyMC 5 with standard normal effects and AR(1) in conditional form, 3,000 draws: means and
    # standard deviations.
    judge = {"sigma": (3.73, 0.28), "rho_residual": (0.611, 0.056), "sd_Mare": (3.17, 0.99)}
    table = pd.read_csv(DATA / "Ovary.csv")
    wide = f"HalfStudentT(3, {2.5 * table.follicles.std(ddof=0)})"
    priors = {"sd": wide, "sigma": wide, "Intercept": "Normal(0, 1e4)", "beta": "Normal(0, 1e4)"}
    tree = bl.fit_bayes(
        "follicles ~ s1 + c1 + (1 | Mare)", table, residual="ar1(step | Mare)", priors=priors, **HOW
    )
    assert tree.sample_stats.attrs["pareto_k"] < 0.5
    for name, (mean, sd) in judge.items():
        found = moments(tree.posterior[name].to_numpy())
        # Both have errors; the judge's come from draws that are worth about 1,000.
        np.testing.assert_allclose(found[0], mean, atol=5.0 * sd / np.sqrt(800))
        np.testing.assert_allclose(found[1], sd, rtol=0.12)


PRIORS = {"sigma": (2.5, 1.0), "range_residual": (3.0, 1.0), "sd": (3.5, 1.0)}


def log_posterior_of_body_weight(table, logs):
    """log p(sigma, range, sd | y) on logarithms (s, 3), by matrices of one rat's rows.

    Each of the 16 rats was weighed on the same days, so that all have the same covariance.
    """
    sigma, length, sd = np.exp(logs).T[:, :, None, None]
    rats = [rat for _, rat in table.groupby("Rat")]
    time = rats[0].Time.to_numpy(float)
    V = sd**2 + sigma**2 * np.exp(-np.abs(time[:, None] - time) / length)
    inverse, total = np.linalg.inv(V), -0.5 * len(rats) * np.linalg.slogdet(V)[1]
    design = bl.build_design("weight ~ Time*C(Diet)", table)
    X = np.column_stack([np.ones(len(table)), design.X[:, 1:] - design.X[:, 1:].mean(axis=0)])
    W = np.column_stack([X, table.weight])
    A = sum(
        np.einsum("rk,srt,tl->skl", W[rows], inverse, W[rows], optimize=True)
        for rows in (table.index.get_indexer(rat.index) for rat in rats)
    )
    A[:, :-1, :-1] += np.eye(6) / 1e8
    b = A[:, :-1, -1:]
    solved = np.linalg.solve(A[:, :-1, :-1], b)
    total -= 0.5 * (A[:, -1, -1] - np.squeeze(np.swapaxes(b, 1, 2) @ solved, (1, 2)))
    total -= 0.5 * np.linalg.slogdet(A[:, :-1, :-1])[1]
    for x, (mu, tau) in zip(logs.T, PRIORS.values(), strict=True):
        total += stats.norm(mu, tau).logpdf(x)
    return total


@pytest.fixture(scope="module")
def body_weight():
    return pd.read_csv(DATA / "BodyWeight.csv")


def test_body_weight_agrees_with_quadrature(body_weight):
    table = body_weight
    priors = {name: f"LogNormal{numbers}" for name, numbers in PRIORS.items()}
    priors |= {"Intercept": "Normal(0, 1e4)", "beta": "Normal(0, 1e4)"}
    tree = bl.fit_bayes(
        "weight ~ Time*C(Diet) + (1 | Rat)", table, residual="ou(Time | Rat)", priors=priors, **HOW
    )
    assert tree.sample_stats.attrs["pareto_k"] < 0.7
    names = ("sigma", "range_residual", "sd_Rat")
    drawn = np.log(np.stack([tree.posterior[name].to_numpy().ravel() for name in names], axis=-1))
    # A grid over all that was drawn, and half as much again: sums of a smooth density that falls
    # to nothing at its ends are exact to many digits.
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    axes = np.linspace(low - 0.25 * (high - low), high + 0.25 * (high - low), 32).T
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    logs = log_posterior_of_body_weight(table, grid)
    mass = np.exp(logs - logs.max())
    mass /= mass.sum()
    means = mass @ grid
    sds = np.sqrt(mass @ (grid - means) ** 2)
    assert np.all(np.abs(drawn.mean(axis=0) - means) < ERRORS * sds)
    np.testing.assert_allclose(drawn.std(axis=0), sds, rtol=0.1)
    at_one = np.exp(-1.0 / tree.posterior["range_residual"].to_numpy())
    np.testing.assert_allclose(tree.posterior["rho_residual"].to_numpy(), at_one)


def test_a_fit_by_nodes_says_so_and_agrees_with_one_by_gaps(monkeypatch):
    rng = np.random.default_rng(6)
    table = pd.DataFrame({"g": np.repeat(np.arange(15), 20)})
    table["time"] = np.cumsum(np.exp(rng.uniform(-2.0, 1.0, len(table))))
    table["y"] = rng.normal(size=len(table)).cumsum() / 4 + np.repeat(rng.normal(size=15), 20)
    formula, residual = "y ~ 1 + (1 | g)", "ou(time | g)"
    by_nodes = bl.fit_bayes(formula, table, residual=residual, **HOW)
    monkeypatch.setattr(interpolation, "_MOST_CELLS", 0)
    by_gaps = bl.fit_bayes(formula, table, residual=residual, **HOW)
    assert 0.0 < by_nodes.attrs["residual_interpolation_error"] <= 1e-10
    assert "residual_interpolation_error" not in by_gaps.attrs
    for name in ("sigma", "range_residual", "sd_g"):
        # Modes that differ by the search's tolerance move the points that are drawn around them.
        found, exact = by_nodes.posterior[name], by_gaps.posterior[name]
        assert abs(float(found.mean() - exact.mean())) < ERRORS * float(exact.std())
