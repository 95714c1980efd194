"""Effects by ar1() and ou() at positions that no training row had: the process's conditionals."""

import numpy as np
import pandas as pd
import pytest

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
