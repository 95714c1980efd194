"""Effects by ar1() and ou() at positions that no training row had: the process's conditionals."""

import numpy as np
import pandas as pd
import pytest
from known import random_covariance

import bayeslmm as bl
from bayeslmm.design.factors.structured_columns import with_positions
from bayeslmm.errors import DataError
from bayeslmm.model.covariance.bridge import widened

N, TIMES = 30, np.array([0, 1, 2, 4, 5])


def _table(seed=2):
    rng = np.random.default_rng(seed)
    corr = 0.7 ** np.abs(np.subtract.outer(TIMES, TIMES))
    u = rng.standard_normal((N, len(TIMES))) @ np.linalg.cholesky(corr).T
    y = 1.0 + 0.2 * TIMES + 2.0 * u
    rows = {"week": np.tile(TIMES, N), "g": np.repeat([f"g{k}" for k in range(N)], len(TIMES))}
    twice = pd.concat([pd.DataFrame(rows | {"y": y.ravel()})] * 2, ignore_index=True)
    return twice.assign(y=twice["y"] + 0.5 * rng.standard_normal(len(twice)))


TABLE = _table()
FORMULAS = {"ar1": "y ~ week + ar1(0 + week | g)", "ou": "y ~ week + ou(0 + week | g)"}
NEW = {"ar1": [3.0, 7.0, -1.0, 6.0], "ou": [0.5, 2.5, 3.25, 7.0, -1.5]}


def _dense(kind, rho, known, new):
    """Weights on effects at known positions, and the covariance that is left, by dense algebra."""
    every = np.concatenate([known, new])
    R = rho ** np.abs(np.subtract.outer(every, every))
    q = len(known)
    W = R[q:, :q] @ np.linalg.inv(R[:q, :q])
    return W, R[q:, q:] - W @ R[:q, q:]


@pytest.fixture(scope="module", params=["ar1", "ou"])
def fits(request):
    formula = FORMULAS[request.param]
    idata = bl.fit_bayes(formula, TABLE, sampler="importance", random_seed=1)
    return request.param, bl.fit_reml(formula, TABLE), idata


def test_the_bridge_is_dense_conditioning_for_rho_of_either_sign():
    state = bl.build_design(FORMULAS["ar1"], TABLE).state
    rows = pd.DataFrame({"week": [3, 6, 7, -1], "g": "g0"})
    wider = with_positions(state, rows, ("g",))
    factor = bl.rebuild_design(wider, rows, response="ignored").factors[0]
    found = widened(factor, state.terms["g"], state.structures["g"])
    every = np.array([-1, 0, 1, 2, 3, 4, 5, 6, 7])
    at_new = np.isin(every, [-1, 3, 6, 7])
    for rho in (0.7, -0.6, 0.0, 1.0 - 1e-9):
        G = 2.0 * rho ** np.abs(np.subtract.outer(TIMES, TIMES).astype(float))
        weights, left = found.weights(G)
        W, rest = _dense("ar1", rho, TIMES.astype(float), every[at_new].astype(float))
        # At rho = 1 - 1e-9 the dense inverse keeps some seven digits.
        tolerance = 1e-9 if rho < 0.99 else 1e-6
        np.testing.assert_allclose(weights[at_new], W, atol=tolerance)
        np.testing.assert_allclose(left[at_new], 2.0 * np.diag(rest), atol=tolerance)
        np.testing.assert_allclose(weights[~at_new], np.eye(5), atol=1e-15)


def test_several_new_positions_of_a_level_have_their_joint_covariance():
    state = bl.build_design(FORMULAS["ou"], TABLE).state
    new = np.array(NEW["ou"])
    rows = pd.DataFrame({"week": new, "g": "g0"})
    wider = with_positions(state, rows, ("g",))
    factor = bl.rebuild_design(wider, rows, response="ignored").factors[0]
    found = widened(factor, state.terms["g"], state.structures["g"])
    rho, k = 0.6, len(new)
    G = 4.0 * rho ** np.abs(np.subtract.outer(TIMES, TIMES).astype(float))
    parts = found.effects(np.zeros((k, 5, 1)), G[None], np.eye(k)[..., None])[..., 0]
    _, rest = _dense("ou", rho, TIMES.astype(float), np.sort(new))
    at_new = np.setdiff1d(np.arange(found.width), found.places)
    np.testing.assert_allclose(parts[:, at_new].T @ parts[:, at_new], 4.0 * rest, atol=1e-12)


def test_reml_s_predictions_there_are_those_of_a_fit_that_has_the_positions(fits):
    kind, reml, _ = fits
    new = pd.DataFrame({"week": NEW[kind], "g": "g3"})
    found = bl.predict_table(reml, new)
    G = reml.covariance["g"].to_numpy()
    sd = np.sqrt(G[0, 0])
    rho = G[0, 1] / G[0, 0]
    W, rest = _dense(kind, rho, TIMES.astype(float), np.array(NEW[kind]))
    fixed = reml.fixed_effects["estimate"].to_numpy()
    effects = W @ reml.random_effects["g"].loc["g3"].to_numpy()
    expected = fixed[0] + fixed[1] * np.array(NEW[kind]) + effects
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-9)
    # Far from the data nothing but the process's own variance is left.
    assert (found["std_error"] > np.sqrt(np.diag(rest)) * sd * (1 - 1e-9)).all()
    far = bl.predict_table(reml, pd.DataFrame({"week": [100.0], "g": ["g3"]}))
    none = bl.predict_table(reml, pd.DataFrame({"week": [100.0]}), random_effects="none")
    together = np.hypot(none["std_error"], sd)
    np.testing.assert_allclose(far["std_error"], together, rtol=1e-6)


def test_a_posterior_s_are_reml_s_but_for_the_variances_own_uncertainty(fits):
    kind, reml, idata = fits
    new = pd.DataFrame({"week": NEW[kind], "g": "g3"})
    ours = bl.predict_table(idata, new, random_seed=1)
    theirs = bl.predict_table(reml, new)
    assert (np.abs(ours["mean"] - theirs["estimate"]) < 0.25 * theirs["std_error"]).all()
    np.testing.assert_allclose(ours["sd"], theirs["std_error"], rtol=0.15)
    again = bl.predict_table(idata, pd.concat([new, new]), random_seed=1)
    np.testing.assert_allclose(again["mean"].iloc[: len(new)], again["mean"].iloc[len(new) :])
    unseen = bl.predict_table(idata, new.assign(g="nobody"), new_levels="sample", random_seed=1)
    G = reml.covariance["g"].to_numpy()
    np.testing.assert_allclose(unseen["sd"], np.sqrt(G[0, 0]), rtol=0.25)
    average = bl.predict_table(idata, new.assign(g="nobody"), new_levels="average")
    assert np.isfinite(average["mean"]).all()


def test_positions_that_nothing_foretells_are_refused():
    reml = bl.fit_reml("y ~ week + hetar1(0 + week | g)", TABLE)
    rows = {"week": [3], "g": ["g3"]}
    with pytest.raises(DataError, match="no training row"):
        bl.predict_table(reml, rows)
    reml = bl.fit_reml(FORMULAS["ar1"], TABLE)
    with pytest.raises(DataError, match="whole numbers"):
        bl.predict_table(reml, {"week": [3.5], "g": ["g3"]})
    found = bl.predict_table(reml, {"week": [3.5]}, random_effects="none")
    assert np.isfinite(found["estimate"]).all()


# Levels whose variances in A are 0.8 to 2.6, two of them without rows.
LABELS = [f"g{k:02d}" for k in range(14)]
KNOWN = 1.5 * random_covariance(LABELS, seed=4)
UNSEEN = ["g03", "g05", "g13"]


def _related(seed=3):
    rng = np.random.default_rng(seed)
    corr = 0.7 ** np.abs(np.subtract.outer(TIMES, TIMES))
    u = np.linalg.cholesky(KNOWN) @ rng.standard_normal((14, 5)) @ np.linalg.cholesky(corr).T
    rows = {"week": np.tile(TIMES, 14), "g": np.repeat(LABELS, 5), "y": 2.0 * u.ravel()}
    twice = pd.concat([pd.DataFrame(rows)] * 2, ignore_index=True)
    twice["y"] += 0.7 * rng.standard_normal(len(twice))
    return twice[~twice["g"].isin(["g12", "g13"])].reset_index(drop=True)


@pytest.mark.parametrize("kind", ["ar1", "ou"])
def test_levels_with_a_known_covariance_have_their_own_variances_there(kind):
    table = _related()
    fit = bl.fit_reml(f"y ~ 1 + {kind}(0 + week | gr(g, cov=A))", table, known={"A": KNOWN})
    G, s2 = fit.covariance["g"].to_numpy(), fit.sigma**2
    rho = G[0, 1] / G[0, 0]
    new = pd.DataFrame({"g": ["g03", "g03", "g05", "g13", "g13"], "week": [3, 7, 2, 3, 4]})

    def cov(one, other):
        apart = np.abs(np.subtract.outer(one["week"].to_numpy(), other["week"].to_numpy()))
        return KNOWN.loc[one["g"], other["g"]].to_numpy() * G[0, 0] * rho ** apart.astype(float)

    V, X, y = cov(table, table) + s2 * np.eye(len(table)), np.ones(len(table)), table["y"]
    half = np.linalg.solve(V, cov(table, new))
    own = 1.0 / (X @ np.linalg.solve(V, X))
    beta = own * (X @ np.linalg.solve(V, y))
    inner = np.diag(cov(new, new) - cov(new, table) @ half)
    found = bl.predict_table(fit, new)
    np.testing.assert_allclose(found["estimate"], beta + half.T @ (y - beta), rtol=1e-8)
    error = np.sqrt((1.0 - half.sum(axis=0)) ** 2 * own + inner)
    np.testing.assert_allclose(found["std_error"], error, rtol=1e-8)


def test_draws_of_related_levels_there_have_the_known_covariance():
    formula = "y ~ 1 + ou(0 + week | gr(g, cov=A))"
    idata = bl.fit_bayes(
        formula, _related(), known={"A": KNOWN}, sampler="importance", draws=1000, random_seed=1
    )
    rows = pd.DataFrame({"g": np.repeat(UNSEEN, 3), "week": [2.0, 3.0, 4.0] * 3})
    eta = bl.predict(idata, rows, random_seed=2).to_numpy().reshape(-1, 3, 3)
    post = idata["posterior"]
    rho = post["corr_g"].to_numpy()[..., 0, 1].ravel()
    sd = post["sd_g"].to_numpy()[..., 0].ravel()
    weight, left = rho / (1.0 + rho**2), (1.0 - rho**2) / (1.0 + rho**2)
    fixed = post["beta"].to_numpy().reshape(len(rho), 1)
    b = eta - fixed[..., None]
    e = b[:, :, 1] - weight[:, None] * (b[:, :, 0] + b[:, :, 2])
    white = np.linalg.solve(np.linalg.cholesky(KNOWN.loc[UNSEEN, UNSEEN]), e.T)
    white = white / (sd * np.sqrt(left))
    n = len(rho)
    assert np.abs(white @ white.T / n - np.eye(3)).max() < 5 * np.sqrt(2 / n)


def test_means_over_draws_of_relatives_there_are_averages_over_them():
    formula, options = "y ~ 1 + ou(0 + week | gr(g, cov=A))", {"family": "lognormal"}
    table = _related()
    table["y"] = np.exp(0.2 * table["y"])
    idata = bl.fit_bayes(
        formula, table, known={"A": KNOWN}, sampler="importance", random_seed=1, **options
    )
    rows = pd.DataFrame({"g": "g13", "week": [2.0, 3.0, 7.0]})
    drawn = bl.predict_table(idata, rows, new_levels="sample", random_seed=2)
    mean = bl.predict_table(idata, rows, new_levels="average")
    # Of 4000 draws' means.
    error = drawn["sd"] / np.sqrt(1000)
    assert (np.abs(drawn["mean"] - mean["mean"]) < 5 * error).all()
    assert (mean["sd"] < drawn["sd"]).all()
