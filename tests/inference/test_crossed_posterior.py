"""Posteriors of crossed factors without a dense matrix: against those with one."""

from functools import cache

import crossed
import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.gram.border.choice import TOLERANCE
from bayeslmm.gram.border.draws import draw_beta, draw_given_beta
from bayeslmm.gram.border.operator import Operator
from bayeslmm.gram.border.solution import solve_fixed
from bayeslmm.gram.border.sparse_products import sparse_products
from bayeslmm.gram.likelihood import conditional
from bayeslmm.results.convergence import MAX_PROBE_ERROR
from bayeslmm.results.diagnostics import blocks, diagnostics_table

HOW = {
    "parametrization": "marginal",
    "sampler": "importance",
    "random_seed": 1,
    "progressbar": False,
}
CASES = {
    "intercepts": ("y ~ x + (1 | g) + (1 | h)", {}, {}),
    "slopes": ("y ~ x + (x | g) + (1 | h)", {"slope": 0.3}, {}),
    "flat": (
        "y ~ x + (1 | g) + (1 | h)",
        {"kind": "communities"},
        {"x": "StudentT(3, 0, 1)"},
    ),
    "three": ("y ~ x + (1 | g) + (1 | h) + (1 | k)", {"third": 60}, {}),
    "few numbers": ("y ~ x + ar1(0 + week | g) + (1 | h)", {"weeks": 3}, {}),
}
SPARSE = {
    "chain": ("y ~ x + (x | g) + (1 | h)", {"kind": "chain", "slope": 0.3}, {}),
    "flat": CASES["flat"],
    "sparse, few numbers": CASES["few numbers"],
}


@cache
def dense(formula, given, how):
    table = crossed.crossed_table(n_levels=120, n=1200, **dict(given))
    priors = {"priors": dict(how)} if how else {}
    return table, priors, bl.fit_bayes(formula, table, border="dense", **HOW, **priors)


@pytest.fixture(
    scope="module",
    params=[("krylov", name) for name in CASES] + [("sparse", name) for name in SPARSE],
    ids=" ".join,
)
def both(request):
    border, name = request.param
    formula, given, how = (CASES | SPARSE)[name]
    table, priors, exact = dense(formula, tuple(given.items()), tuple(how.items()))
    return exact, bl.fit_bayes(formula, table, border=border, **HOW, **priors)


def test_parameters_are_those_of_the_dense_posterior(both):
    exact, found = both
    assert found.attrs["border_reason"] == "asked for"
    # A sparse factor has no chance.
    told = found["sample_stats"].attrs.get("probe_error")
    assert (told is None) == (found.attrs["border"] == "sparse")
    assert max(told or [0.0]) < TOLERANCE
    chance = [diagnostics_table(tree, max_effects=1)["mcse_mean"] for tree in both]
    for name, labels, known in blocks(exact):
        if name.startswith(("b_", "corr_")):
            continue
        own = next(draws for other, _, draws in blocks(found) if other == name)
        error = np.hypot(*(of[labels].to_numpy() for of in chance))
        assert (np.abs((own - known).mean(axis=(0, 1))) < 4.5 * error).all()
        # 4,000 draws know a standard deviation to 1.1 per cent.
        assert (np.abs(own.std(axis=(0, 1)) / known.std(axis=(0, 1)) - 1.0) < 0.08).all()


def test_effects_are_those_of_the_dense_posterior(both):
    for name in ("b_g", "b_h"):
        known, own = (tree.posterior[name].values.reshape(4000, -1) for tree in both)
        z = (own.mean(axis=0) - known.mean(axis=0)) / known.std(axis=0) * np.sqrt(2000.0)
        # Means over few relative factors vary a little more than independent draws do.
        assert 0.85 < np.sqrt(np.mean(z**2)) < 1.35
        ratio = own.std(axis=0) / known.std(axis=0)
        assert abs(ratio.mean() - 1.0) < 0.01
        # Neighbouring effects of one factor hang together as in the dense posterior.
        pair = np.corrcoef(known[:, :40].T), np.corrcoef(own[:, :40].T)
        assert np.sqrt(np.mean((pair[0] - pair[1]) ** 2)) < 0.03


@pytest.mark.parametrize("border", ["krylov", "sparse"])
def test_moments_are_those_of_draws(border):
    table = crossed.crossed_table(n_levels=120, n=1200, slope=0.3)
    formula = "y ~ x + (x | g) + (1 | h)"
    drawn = bl.fit_bayes(formula, table, border=border, **HOW)
    told = bl.fit_bayes(formula, table, border=border, effects="moments", **HOW)
    for name in ("b_g", "b_h"):
        draws = drawn.posterior[name].values.reshape(4000, -1)
        mean = told["effects_moments"][f"{name}_mean"].values.ravel()
        sd = told["effects_moments"][f"{name}_sd"].values.ravel()
        # Chance of 4,000 draws is 0.016, and sixteen relative factors add as much with few levels.
        off = (draws.mean(axis=0) - mean) / sd
        assert np.sqrt(np.mean(off**2)) < 0.04
        ratio = draws.std(axis=0) / sd
        assert abs(ratio.mean() - 1.0) < 0.01
        assert ratio.std() < 0.02  # draws: 1.1 per cent


def test_draws_have_the_moments_of_the_conditional():
    gram = crossed.crossed_gram("y ~ x + (x | g) + (1 | h)", n_levels=30, n=300, weights="w")
    lams = [np.array([[0.6, 0.0], [0.2, 0.4]]), np.array([[0.7]])]
    operator = Operator(sparse_products(gram), gram, lams)
    solution, rng = solve_fixed(operator), np.random.default_rng(1)
    mean, precision = np.array([0.5, -0.5]), np.diag([2.0, 9.0])
    known = conditional(gram, lams, 1.3, precision, mean)
    sigma, n = np.full(20_000, 1.3), 20_000
    beta = draw_beta(gram, solution.T, sigma, (mean, precision), rng)
    effects = draw_given_beta(operator, solution, lams, (beta, sigma), rng)
    off = (beta.mean(axis=0) - known.beta) / np.sqrt(np.diag(known.beta_cov) / n)
    assert np.abs(off).max() < 4.0
    np.testing.assert_allclose(np.cov(beta.T), known.beta_cov, rtol=0.1, atol=1e-4)
    for drawn, modes, cov in zip(effects, known.modes, known.marginal_cov, strict=True):
        variance = np.diagonal(cov, axis1=1, axis2=2)
        z = (drawn.mean(axis=0) - modes) / np.sqrt(variance / n)
        assert np.sqrt(np.mean(z**2)) < 1.6
        # A variance of 20,000 draws is known to one per cent.
        ratio = drawn.var(axis=0) / variance
        assert np.abs(ratio - 1.0).max() < 0.05


def test_chance_is_a_part_of_monte_carlo_errors_and_warned_of():
    table = crossed.crossed_table(n_levels=100, n=900)
    fit = bl.fit_bayes("y ~ x + (1 | g) + (1 | h)", table, border="krylov", **HOW)
    plain = bl.diagnose(fit)
    assert plain.ok
    assert f"random probes at most {MAX_PROBE_ERROR}" in plain.text
    doubtful = fit.copy(deep=True)
    doubtful["sample_stats"].attrs["probe_error"] = [0.2, 0.01, 0.01]
    told = bl.diagnose(doubtful)
    assert [problem.name for problem in told.problems] == ["probe_error"]
    assert "probes=512" in str(told)
    name = "sd_g[Intercept]"
    sd = float(fit.posterior["sd_g"].std())
    before, after = (one.table.loc[name, "mcse_mean"] for one in (plain, told))
    assert np.isclose(after**2 - before**2, (0.2 * sd) ** 2, rtol=0.02)


def test_large_borders_take_a_sparse_factor_or_iterations_by_themselves(monkeypatch):
    monkeypatch.setattr("bayeslmm.gram.border.choice.LARGEST_DENSE", 90)
    table = crossed.crossed_table(n_levels=100, n=900)
    fit = bl.fit_bayes(
        "y ~ x + (1 | g) + (1 | h)", table, random_seed=1, progressbar=False, effects="moments"
    )
    assert fit.attrs["sampler"] == "importance"
    assert fit.attrs["border"] == "sparse"
    assert "100 columns, and a sparse factor is small" in fit.attrs["sampler_reason"]
    monkeypatch.setattr("bayeslmm.gram.border.sparse_factor.MOST_OPERATIONS", 10.0)
    fit = bl.fit_bayes(
        "y ~ x + (1 | g) + (1 | h)", table, random_seed=1, progressbar=False, effects="moments"
    )
    assert fit.attrs["border"] == "krylov"
    assert "100 columns, more than 90" in fit.attrs["sampler_reason"]


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"sampler": "nutpie", "parametrization": "marginal"}, "sampler='importance'"),
        ({"parametrization": "noncentered"}, "leave border='krylov' out"),
        ({"border": "sparse", "sampler": "nutpie", "parametrization": "marginal"}, "NUTS takes"),
        ({"border": "sparse", "parametrization": "centered"}, "leave border='sparse' out"),
        ({"border": "sparse", "family": "bernoulli"}, "family='bernoulli'"),
        ({"family": "bernoulli"}, "family='bernoulli'"),
        ({"sigma": "~ 1 + x"}, "a residual structure"),
        ({"probes": 1}, "probes must be a whole number from 2"),
        ({"border": "sprase"}, "border"),
    ],
)
def test_what_iterations_do_not_fit_is_refused_by_name(how, match):
    table = crossed.crossed_table(n_levels=20, n=200)
    if "family" in how:
        table["y"] = (table["y"] > 1.0).astype(int)
    with pytest.raises(ArgumentError, match=match):
        bl.fit_bayes(
            "y ~ x + (1 | g) + (1 | h)",
            table,
            **({"border": "krylov", "random_seed": 1, "progressbar": False} | how),
        )


def test_too_many_slopes_are_refused_with_what_to_do():
    table = crossed.crossed_table(n_levels=40, n=400)
    with pytest.raises(ArgumentError, match="parametrization='noncentered'"):
        bl.fit_bayes("y ~ x + (x + w | g) + (x | h)", table, border="krylov", **HOW)
