"""What is asked of fits with a residual structure, against n-by-n covariances of each draw."""

import numpy as np
import pandas as pd
import pytest
import structured_twin as twin
import trees
from scipy import stats
from scipy.stats import multivariate_normal, norm

import bayeslmm as bl
from bayeslmm.analysis.checks.likelihood import group_log_likelihood, row_log_likelihood
from bayeslmm.analysis.checks.standardized_effects import standardized_effects
from bayeslmm.analysis.sensitivity.power_scaling import log_likelihood as marginal_log_likelihood
from bayeslmm.analysis.variance.pooling import pooling_estimates
from bayeslmm.errors import ArgumentError, TreeError

T = trees.STRUCTURED
Y, G = T["y"], T["g"]
# Rounding of ten-by-ten inverses.
EXACT = {"rtol": 1e-9, "atol": 1e-11}


@pytest.fixture(scope="module", params=trees.STRUCTURES | trees.IN_SIGMA)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def idata(name):
    return trees.structured_tree(name)


@pytest.fixture(scope="module")
def R(idata, name):  # noqa: N802 - as it is written
    return twin.covariance(idata, name)


def flat(array):
    """Draws (s, n) of an array (chain, draw, obs)."""
    return array.to_numpy().reshape(-1, array.shape[-1])


def test_rows_are_left_out_given_their_groups_other_rows(idata, R):
    rest = Y - twin.eta(idata)
    expected = np.empty_like(rest)
    for s, (e, cov) in enumerate(zip(rest, R, strict=True)):
        for i in range(len(Y)):
            others = np.delete(np.arange(len(Y)), i)
            a = np.linalg.solve(cov[np.ix_(others, others)], cov[others, i])
            variance = cov[i, i] - a @ cov[others, i]
            expected[s, i] = norm(a @ e[others], np.sqrt(variance)).logpdf(e[i])
    np.testing.assert_allclose(row_log_likelihood(idata), expected, **EXACT)
    added = flat(bl.add_log_likelihood(idata)["log_likelihood"]["y"])
    np.testing.assert_allclose(added, expected, **EXACT)
    np.testing.assert_allclose(flat(bl.log_likelihood(idata, T)), expected, **EXACT)


def marginal_parts(idata, R):
    """Covariances of y given beta and G, shape (s, n, n)."""
    Z, same = twin.columns(T), G[:, None] == G
    return R + same * (Z @ twin.effects_covariance(idata) @ Z.T)


@pytest.mark.usefixtures("closed")
def test_groups_are_left_out_with_their_residual_covariance(idata, R):
    V, mean = marginal_parts(idata, R), twin.eta(idata, effects=False)
    expected = np.array(
        [
            [
                multivariate_normal(m[g == G], v[np.ix_(g == G, g == G)]).logpdf(Y[g == G])
                for g in "abc"
            ]
            for m, v in zip(mean, V, strict=True)
        ]
    )
    np.testing.assert_allclose(group_log_likelihood(idata).values, expected, **EXACT)
    total = marginal_log_likelihood(idata).ravel()
    np.testing.assert_allclose(total, expected.sum(axis=1), **EXACT)


@pytest.mark.usefixtures("closed")
def test_marginal_covariances_hold_r(idata, R):
    V = marginal_parts(idata, R)
    found = bl.marginal_covariance(idata, level="b").to_numpy()
    rows = np.flatnonzero(G == "b")
    np.testing.assert_allclose(found, V[:, rows[:, None], rows].mean(axis=0), **EXACT)
    scale = np.sqrt(np.einsum("sii->si", V))
    corr = (V / scale[:, :, None] / scale[:, None, :])[:, rows[:, None], rows]
    found = bl.marginal_covariance(idata, level="b", kind="correlation").to_numpy()
    np.testing.assert_allclose(found, corr.mean(axis=0), **EXACT)


CORRELATED = sorted(twin.GROUPS - set(trees.IN_SIGMA))


@pytest.mark.parametrize("name", CORRELATED)
def test_groups_of_residuals_are_left_out_where_there_are_no_others(name):
    """Rows of a residual group are held out together, and looked at together."""
    fit = trees.structured_tree(name, formula="y ~ x")
    own = twin.covariance(fit, name)
    beta = fit["posterior"]["beta"].to_numpy().reshape(-1, 2)
    mean = beta @ np.stack([np.ones(10), T["x"]])
    expected = np.array(
        [
            [
                multivariate_normal(m[g == G], v[np.ix_(g == G, g == G)]).logpdf(Y[g == G])
                for g in "abc"
            ]
            for m, v in zip(mean, own, strict=True)
        ]
    )
    found = group_log_likelihood(fit)
    assert (found.name, found.levels, found.integrated) == ("g", tuple("abc"), ())
    np.testing.assert_allclose(found.values, expected, **EXACT)
    rows = np.flatnonzero(G == "b")
    block = bl.marginal_covariance(fit, level="b")
    np.testing.assert_allclose(block, own[:, rows[:, None], rows].mean(axis=0), **EXACT)
    assert (block.attrs["factor"], block["obs"].to_numpy().tolist()) == ("g", rows.tolist())


def test_groups_of_residuals_beside_effects_are_asked_for_by_name():
    fit = trees.structured_tree("ar1", formula="y ~ x + (1 | arm)")
    effects = fit["posterior"]["b_arm"].to_numpy().reshape(-1, 2)
    eta = twin.eta(fit, effects=False) + effects[:, T["arm"].codes]
    own = twin.covariance(fit, "ar1")
    found = group_log_likelihood(fit, "g")
    assert (found.name, found.integrated, found.conditional) == ("g", (), ("arm",))
    rows = np.flatnonzero(G == "c")
    expected = [
        multivariate_normal(m[rows], v[np.ix_(rows, rows)]).logpdf(Y[rows])
        for m, v in zip(eta, own, strict=True)
    ]
    np.testing.assert_allclose(found.values[:, 2], expected, **EXACT)  # noqa: PD011 - no table
    assert group_log_likelihood(fit).name == "arm"
    nested = trees.structured_tree("ar1", formula="y ~ x + (1 | g)")
    same = group_log_likelihood(nested, "g")
    assert (same.name, same.integrated) == ("g", ("g",))
    with pytest.raises(TreeError, match="'visit' is no grouping factor"):
        group_log_likelihood(fit, "visit")


def test_estimates_by_residual_group_are_those_of_refits():
    """Beside fits without a group, which foretell it by an average of densities."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(20), 5)
    table = pd.DataFrame({"g": [f"s{k}" for k in g], "x": rng.normal(size=100)})
    table["y"] = 1.0 + table.x + rng.normal(size=20)[g] + 0.7 * rng.normal(size=100)
    how = {
        "residual": "cs(1 | g)", "sampler": "importance", "random_seed": 1, "progressbar": False,
        "draws": 2000, "chains": 2,
    }  # fmt: skip
    fit = bl.fit_bayes("y ~ x", table, **how)
    estimate = bl.loo(fit, unit="group")
    priors = bl.resolve_priors(bl.build_design("y ~ x", table, residual="cs(1 | g)"))
    for place, label in enumerate(estimate.elpd_i[estimate.elpd_i.dims[0]].to_numpy()[:2]):
        out = (table.g == label).to_numpy()
        refit = bl.fit_bayes("y ~ x", table[~out], priors=priors, **how)["posterior"].to_dataset()
        beta, sigma, rho = (
            refit[v].to_numpy().reshape(4000, -1) for v in ("beta", "sigma", "rho_residual")
        )
        mean = beta @ np.stack([np.ones(5), table.x[out]])
        C = (1 - rho[..., None]) * np.eye(5) + rho[..., None]
        each = [
            multivariate_normal(m, v).logpdf(table.y[out])
            for m, v in zip(mean, sigma[..., None] ** 2 * C, strict=True)
        ]
        exact = np.log(np.mean(np.exp(each)))
        # Noise of 4,000 draws, weighted and not.
        assert float(estimate.elpd_i[place]) == pytest.approx(exact, abs=0.08)
    compared = bl.compare_models({"one": fit, "other": fit}, unit="group")
    assert len(compared) == 2


@pytest.mark.parametrize("name", ["strata", "covariate", "known", "known and sigma"])
def test_rows_that_are_independent_have_no_groups(name):
    fit = trees.structured_tree(name, formula="y ~ x")
    for ask in (
        lambda: bl.loo(fit, unit="group"),
        lambda: bl.marginal_covariance(fit, level="a"),
    ):
        with pytest.raises(TreeError, match="about groups of rows, and the model has none"):
            ask()


def test_shares_of_variance_take_the_mean_diagonal(idata, name, R):
    Z = twin.columns(T)
    own = np.einsum("nq,sqr,nr->sn", Z, twin.effects_covariance(idata), Z).mean(axis=1)
    rest = np.einsum("sii->si", R).mean(axis=1)
    if name not in trees.IN_SIGMA:
        share = bl.icc(idata)
        np.testing.assert_allclose(share["mean"]["g"], (own / (own + rest)).mean(), **EXACT)
        assert share["at"]["g"] == "averaged over the data"
    fixed = (twin._draws(idata, "beta") @ Z.T).var(axis=1, ddof=1)
    whole = fixed + own + rest
    found = bl.r_squared(idata)["mean"]
    np.testing.assert_allclose(found["marginal"], (fixed / whole).mean(), **EXACT)
    np.testing.assert_allclose(found["conditional"], ((fixed + own) / whole).mean(), **EXACT)


@pytest.mark.usefixtures("closed")
def test_shares_at_a_value_take_the_residuals_there(idata, name):
    table = {**T, "x": np.full(10, 1.0)}
    rest = np.einsum("sii->si", twin.covariance(idata, name, table)).mean(axis=1)
    own = np.einsum("i,sij,j->s", np.ones(2), twin.effects_covariance(idata), np.ones(2))
    found = bl.icc(idata, at={"x": 1.0})["mean"]["g"]
    np.testing.assert_allclose(found, (own / (own + rest)).mean(), **EXACT)


@pytest.mark.usefixtures("closed")
def test_design_effects_count_what_residuals_correlate(idata, name, R):
    V = marginal_parts(idata, R)
    expected = V.sum(axis=(1, 2)) / np.einsum("sii->s", V)
    table = bl.design_effect(idata)
    np.testing.assert_allclose(table["mean"]["total"], expected.mean(), **EXACT)
    assert ("Residual" in table.index) == (name in twin.GROUPS)


def test_shrinkage_takes_the_precision_of_a_levels_rows(idata, R):
    G_, Z = twin.effects_covariance(idata), twin.columns(T)
    table = bl.shrinkage(idata).set_index(["level", "term"])["mean"]
    for g in "abc":
        rows = np.flatnonzero(g == G)
        P = Z[rows].T @ np.linalg.inv(R[:, rows[:, None], rows]) @ Z[rows]
        left = np.linalg.inv(np.linalg.inv(G_) + P)
        for k, term in enumerate(("Intercept", "x")):
            share = left[:, k, k] / G_[:, k, k]
            np.testing.assert_allclose(table[g, term], share.mean(), **EXACT)


def test_no_pooling_is_generalised_least_squares(idata, name):
    mean = idata.copy()
    posterior = idata["posterior"].to_dataset()
    estimates = pooling_estimates(idata).none
    # R at the means of the parameters, correlations by way of partial ones: its own of one draw.
    one = posterior.mean(("chain", "draw")).expand_dims(chain=[0], draw=[0])
    mean["posterior"] = type(idata)(one)
    if name.startswith("us"):
        pytest.skip("the mean of partial correlations is not that of correlations")
    S = twin.covariance(mean, name)[0]
    for level, g in enumerate("abc"):
        rows = np.flatnonzero(g == G)
        Z, W = twin.columns(T)[rows], np.linalg.inv(S[np.ix_(rows, rows)])
        expected = np.linalg.solve(Z.T @ W @ Z, Z.T @ W @ Y[rows])
        np.testing.assert_allclose(estimates[level], expected, rtol=1e-8)


@pytest.mark.usefixtures("closed")
def test_standardized_effects_take_r_at_the_means(idata, name):
    if name.startswith("us"):
        pytest.skip("the mean of partial correlations is not that of correlations")
    mean = idata.copy()
    one = idata["posterior"].to_dataset().mean(("chain", "draw")).expand_dims(chain=[0], draw=[0])
    mean["posterior"] = type(idata)(one)
    S, C = twin.covariance(mean, name)[0], twin.effects_covariance(idata).mean(axis=0)
    found, X = standardized_effects(idata), twin.columns(T)
    V = S + (G[:, None] == G) * (X @ C @ X.T)
    W = np.linalg.inv(V)
    beta = np.linalg.solve(X.T @ W @ X, X.T @ W @ Y)
    P = W - W @ X @ np.linalg.solve(X.T @ W @ X, X.T @ W)
    for k, term in enumerate(("Intercept", "x")):
        expected = []
        for g in "abc":
            cross = (g == G)[:, None] * X @ C[:, k]
            told = cross @ P @ cross
            expected.append(cross @ W @ (Y - X @ beta) / np.sqrt(told))
        np.testing.assert_allclose(found["g", term], expected, rtol=1e-7)


def test_residuals_are_scaled_and_decorrelated(idata, name, R):
    rest = Y - twin.eta(idata)
    np.testing.assert_allclose(bl.residuals(idata), rest.mean(axis=0), **EXACT)
    np.testing.assert_allclose(bl.fitted(idata), twin.eta(idata).mean(axis=0), **EXACT)
    sd = np.sqrt(np.einsum("sii->si", R))
    pearson = flat(bl.residuals(idata, kind="pearson", as_draws=True))
    np.testing.assert_allclose(pearson, rest / sd, **EXACT)
    quantile = flat(bl.residuals(idata, kind="quantile", as_draws=True))
    # Far out, probabilities next to one tell quantiles from each other no more.
    near = np.abs(rest / sd) < 5
    np.testing.assert_allclose(quantile[near], (rest / sd)[near], rtol=1e-8)
    normalized = flat(bl.residuals(idata, kind="normalized", as_draws=True))
    for g in "abc":
        rows = np.flatnonzero(g == G)
        rows = rows if name == "cs" else rows[np.argsort(T["week"][rows])]
        for t, row in enumerate(rows):
            before = rows[:t]
            for s in range(len(rest)):
                a = np.linalg.solve(R[s][np.ix_(before, before)], R[s][before, row])
                sd_ahead = np.sqrt(R[s][row, row] - a @ R[s][before, row])
                ahead = (rest[s, row] - a @ rest[s, before]) / sd_ahead
                np.testing.assert_allclose(normalized[s, row], ahead, **EXACT)


def test_residuals_of_given_rows_are_those_of_the_fit(idata):
    for kind in ("pearson", "normalized"):
        own, given = bl.residuals(idata, kind=kind), bl.residuals(idata, T, kind=kind)
        np.testing.assert_allclose(own, given, rtol=1e-12)


def test_levels_across_which_residuals_correlate_are_refused():
    idata = trees.structured_tree("ar1", formula="y ~ x + (1 | arm)")
    with pytest.raises(TreeError, match=r"correlate across levels of 'visit'"):
        group_log_likelihood(trees.structured_tree("cs", formula="y ~ x + (1 | visit)"))
    assert group_log_likelihood(idata).values.shape == (60, 2)  # noqa: PD011 - no table


@pytest.fixture(scope="module")
def lognormal():
    return trees.structured_tree("ar1 in strata", family="lognormal")


def test_expected_lognormal_responses_take_each_rows_variance(lognormal):
    R = twin.covariance(lognormal, "ar1 in strata")
    variance = np.einsum("sii->si", R)
    mean = np.exp(twin.eta(lognormal) + 0.5 * variance)
    np.testing.assert_allclose(flat(bl.predict(lognormal)), mean, **EXACT)
    np.testing.assert_allclose(bl.fitted(lognormal), mean.mean(axis=0), **EXACT)
    rest = Y - mean
    np.testing.assert_allclose(bl.residuals(lognormal), rest.mean(axis=0), **EXACT)
    link = bl.marginal_means(lognormal, "x", at={"x": [1]}, scale="link")
    np.testing.assert_allclose(link["mean"], lognormal["posterior"]["beta"].sum("coef").mean())
    with pytest.raises(TreeError, match=r"each row's own sigma.* ask for scale='link'"):
        bl.marginal_means(lognormal, "x", at={"x": [1]})
    with pytest.raises(TreeError, match=r"take scale='latent'"):
        bl.icc(lognormal, scale="observation")
    own = bl.icc(lognormal)["mean"]["g"]
    assert 0 < own < 1


def test_forecasts_of_logarithms_are_of_the_responses(lognormal):
    row = {"x": [0.0], "g": ["a"], "week": [5.0], "arm": ["v"]}
    table = {k: np.concatenate([np.asarray(T[k]), row[k]]) for k in row}
    R = twin.covariance(lognormal, "ar1 in strata", table)
    A = np.linalg.solve(R[:, :10, :10], R[:, :10, 10:])[:, :, 0]
    mean = twin.eta(lognormal, row)[:, 0] + np.sum(A * (np.log(Y) - twin.eta(lognormal)), axis=1)
    variance = R[:, 10, 10] - np.sum(A * R[:, :10, 10], axis=1)
    found = bl.predict(lognormal, row, residual="conditional")
    np.testing.assert_allclose(flat(found)[:, 0], np.exp(mean + 0.5 * variance), **EXACT)


def test_very_long_groups_are_refused(monkeypatch):
    monkeypatch.setattr("bayeslmm.model.residual.drawn.MOST_ROWS", 3)
    with pytest.raises(ArgumentError, match=r"A group of 4 rows with correlated residuals"):
        row_log_likelihood(trees.structured_tree("ar1"))


@pytest.fixture(scope="module")
def student():
    idata = trees.structured_tree("strata", family="student")
    idata["posterior"]["nu"] *= 6  # a variance takes more than two degrees of freedom
    return idata


def test_student_residuals_have_a_scale_for_each_row(student):
    scale, nu = twin.sds(student, "strata", T), student["posterior"]["nu"].to_numpy().ravel()
    rest = Y - twin.eta(student)
    expected = stats.t(nu[:, None], scale=scale).logpdf(rest)
    np.testing.assert_allclose(row_log_likelihood(student), expected, **EXACT)
    total = marginal_log_likelihood(student).ravel()
    np.testing.assert_allclose(total, expected.sum(axis=1), **EXACT)
    variance = scale**2 * (nu / (nu - 2))[:, None]
    pearson = flat(bl.residuals(student, kind="pearson", as_draws=True))
    np.testing.assert_allclose(pearson, rest / np.sqrt(variance), **EXACT)
    V = marginal_parts(student, variance[:, :, None] * np.eye(10))
    rows = np.flatnonzero(G == "b")
    found = bl.marginal_covariance(student, level="b")
    np.testing.assert_allclose(found, V[:, rows[:, None], rows].mean(axis=0), **EXACT)
    Z = twin.columns(T)
    own = np.einsum("nq,sqr,nr->sn", Z, twin.effects_covariance(student), Z).mean(axis=1)
    share = own / (own + variance.mean(axis=1))
    np.testing.assert_allclose(bl.icc(student)["mean"]["g"], share.mean(), **EXACT)
    with pytest.raises(TreeError, match=r"leave out single rows, unit='observation'"):
        group_log_likelihood(student)
    assert "nu" in str(bl.summary(student))
    assert bl.predict(student, kind="response", random_seed=1).shape == (2, 30, 10)


@pytest.mark.parametrize("residual", ["marginal", "conditional"])
def test_a_common_correlation_is_not_taken_for_more_rows_than_it_allows(residual):
    rng = np.random.default_rng(8)
    pairs = pd.DataFrame({"g": np.repeat(np.arange(12), 2).astype(str), "t": np.tile([0, 1], 12)})
    pairs["y"] = np.ravel(rng.normal(size=(12, 1)) * [1.0, -1.0]) + 0.3 * rng.normal(size=24)
    how = {"residual": "cs(t | g)", "sampler": "importance", "random_seed": 1}
    fit = bl.fit_bayes("y ~ 1", pairs, draws=50, chains=2, **how)
    new = pd.DataFrame({"g": "0", "t": [2, 3]})
    new = new if residual == "conditional" else pd.concat([pairs.head(2), new])
    with pytest.raises(bl.ArgumentError, match=r"g '0' has 4 rows here.*below -0\.333.*100 of 100"):
        bl.predict(fit, new, kind="response", residual=residual)
    above = {"rho_residual": "Uniform(-0.25, 1)"}
    fit = bl.fit_bayes("y ~ 1", pairs, draws=50, chains=2, priors=above, **how)
    drawn = bl.predict(fit, new, kind="response", residual=residual, random_seed=1)
    assert np.isfinite(drawn.to_numpy()).all()


def test_weights_beside_a_structure_are_refused_for_new_rows_too():
    idata = trees.structured_tree("cs")
    new = {"x": [0.0], "g": ["a"]}
    with pytest.raises(ArgumentError, match="leave weights= out"):
        bl.predict(idata, new, kind="response", weights=[2.0])
