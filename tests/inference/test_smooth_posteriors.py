"""Smooths as effects with one sd each: dense normals, mgcv, NUTS on the explicit model."""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from reml_reference import FOLDER
from scipy import optimize, stats

import bayeslmm as bl
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import conditional, pack_factors, profiled_criterion
from bayeslmm.inference.marginal.target import MarginalTarget

MGCV = json.loads((FOLDER / "smooths/mcycle.json").read_text())
FORMULAS = {
    "alone": "y ~ s(x)",
    "by labels, beside groups": "y ~ f + s(x, k=6, by=f) + (z | g)",
    "by a number": "y ~ s(x, bs='ps', by=z) + (1 | g)",
    "two smooths, crossed groups": "y ~ s(x, k=5) + s(z, bs='cc', k=6) + (1 | g) + (1 | h)",
    "of a logarithm, nested groups": "y ~ s(log(w), k=5) + (1 | g/f)",
}


@cache
def table(n=70):
    rng = np.random.default_rng(7)
    x = rng.uniform(0.0, 6.0, n)
    return pd.DataFrame(
        {
            "y": np.sin(x) + rng.normal(0, 0.4, n),
            "x": x,
            "z": rng.normal(0.0, 1.0, n),
            "w": rng.uniform(1.0, 9.0, n),
            "f": rng.choice(["u", "v"], n),
            "g": rng.choice(list("pqrst"), n),
            "h": rng.choice(list("abc"), n),
        }
    )


def dense(design, priors, draws):
    """log p(y | sds, sigma), beta integrated out, from n-by-n matrices."""
    V = draws.sigma**2 * np.eye(design.n)
    for factor, prior, sd, own in zip(
        design.factors, priors.factors, draws.sds, draws.partials, strict=True
    ):
        if factor.name.startswith("s("):
            # One number for each curve: a term of its own in V.
            widths = np.split(factor.columns, len(sd), axis=1)
            V += sum(s**2 * Z @ Z.T for s, Z in zip(sd, widths, strict=True))
            continue
        L = prior.covariance.factor(sd, own)
        same = factor.index[:, None] == factor.index[None]
        V += same * (factor.columns @ L @ L.T @ factor.columns.T)
    numbers = np.array([prior.numbers for prior in priors.beta])
    X = design.X @ priors.raw_beta(np.eye(len(priors.beta))).T
    V += X @ np.diag(numbers[:, 1] ** 2) @ X.T
    return stats.multivariate_normal(X @ numbers[:, 0], V).logpdf(design.y)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_density_has_one_sd_for_each_curve(formula):
    design = bl.build_design(FORMULAS[formula], table())
    priors = bl.resolve_priors(design)
    target = MarginalTarget(Gram.from_design(design), priors)
    rng = np.random.default_rng(1)
    low, high = target.prior_quantiles(0.2), target.prior_quantiles(0.8)
    found, expected = [], []
    for _ in range(4):
        point = target.point(low + (high - low) * rng.uniform(size=target.size))
        draws = target.unpack(point)
        value, slope = target.log_density_and_gradient(point)
        step = 1e-6
        ways = np.concatenate([step * np.eye(target.size), -step * np.eye(target.size)])
        up, down = np.split(target.log_density(point + ways), 2)
        # Central differences: 1e-12 from the step, 1e-16 |value| / step from rounding.
        np.testing.assert_allclose(
            (up - down) / (2 * step), slope, rtol=1e-5, atol=1e-6 * abs(value)
        )
        found.append(target.log_likelihood(point[None])[0])
        np.testing.assert_allclose(value - target.log_prior(point[None])[0], found[-1], rtol=1e-10)
        expected.append(dense(design, priors, draws))
    # 70-by-70 determinants and solves, of condition 1e3.
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@cache
def reml_of_mcycle():
    """The restricted likelihood's highest point, along the one relative sd."""
    design = bl.build_design("accel ~ s(times, k=20)", bl.load_dataset("mcycle"))
    gram = Gram.from_design(design)
    q = len(gram.factors[0].terms)

    def criterion(log_ratio):
        packed = pack_factors(gram, [np.exp(log_ratio) * np.eye(q)])
        return profiled_criterion(gram, packed, restricted=True, gradient=False)[0]

    found = optimize.minimize_scalar(
        criterion, bounds=(-3, 5), method="bounded", options={"xatol": 1e-10}
    )
    ratio = float(np.exp(found.x))
    packed = pack_factors(gram, [ratio * np.eye(q)])
    sigma = profiled_criterion(gram, packed, restricted=True, gradient=False)[2]
    return design, conditional(gram, [ratio * np.eye(q)], sigma), ratio, sigma


def test_reml_on_mcycle_is_mgcvs():
    design, known, _, sigma = reml_of_mcycle()
    # Both criteria are flat to 1e-9 where they stop: 1e-6 of sigma.
    assert sigma == pytest.approx(MGCV["sigma"], rel=1e-6)
    assert known.beta[0] == pytest.approx(MGCV["intercept"], rel=1e-9)
    assert np.sqrt(known.beta_cov[0, 0]) == pytest.approx(MGCV["intercept_std_error"], rel=1e-6)
    fitted = design.X @ known.beta + design.factors[0].columns @ known.modes[0][0]
    np.testing.assert_allclose(fitted[:10], MGCV["fitted_first10"], rtol=0, atol=1e-6)


def test_effective_degrees_of_freedom_are_mgcvs():
    design, known, ratio, sigma = reml_of_mcycle()
    q = design.factors[0].columns.shape[1]
    left = np.trace(known.marginal_cov[0][0]) / (ratio * sigma) ** 2
    assert design.X.shape[1] + q - left == pytest.approx(MGCV["edf"], rel=1e-5)


@cache
def mcycle():
    return bl.fit_bayes(
        "accel ~ s(times, k=20)", bl.load_dataset("mcycle"), random_seed=1, progressbar=False,
        parametrization="marginal", sampler="importance",
    )  # fmt: skip


def test_the_tree_holds_the_curves_one_sd_for_each_column():
    posterior = mcycle()["posterior"]
    sd = posterior["sd_s(times)"].to_numpy()
    assert sd.shape == (4, 1000, 18)
    np.testing.assert_array_equal(sd, np.broadcast_to(sd[..., :1], sd.shape))
    assert posterior["b_s(times)"].dims == ("chain", "draw", "s(times)", "s(times)_term")


def test_drawn_coefficients_are_those_of_their_normal():
    """Given sd and sigma u is normal: standardised draws have mean 0 and variance 1."""
    posterior = mcycle()["posterior"]
    design = bl.build_design("accel ~ s(times, k=20)", bl.load_dataset("mcycle"))
    Z = design.factors[0].columns
    sd = posterior["sd_s(times)"].to_numpy()[..., 0].ravel()
    sigma = posterior["sigma"].to_numpy().ravel()
    beta = posterior["beta"].to_numpy().reshape(4000, 2)
    u = posterior["b_s(times)"].to_numpy().reshape(4000, -1)
    scores = []
    for k in range(0, 4000, 4):
        precision = Z.T @ Z / sigma[k] ** 2 + np.eye(18) / sd[k] ** 2
        mean = np.linalg.solve(precision, Z.T @ (design.y - design.X @ beta[k]) / sigma[k] ** 2)
        scores.append(np.linalg.cholesky(precision).T @ (u[k] - mean))
    scores = np.array(scores)
    # 18,000 standard normal numbers, and 18 means of 1,000 of them: five standard errors.
    assert abs(scores.mean(axis=0)).max() < 5 / np.sqrt(1000)
    assert scores.var() == pytest.approx(1.0, abs=5 * np.sqrt(2 / scores.size))


@pytest.mark.slow
def test_the_posterior_is_that_of_the_explicit_model():
    import pymc as pm

    data = bl.load_dataset("mcycle")
    design = bl.build_design("accel ~ s(times, k=20)", data)
    priors = bl.resolve_priors(design)
    (intercept, slope), sd_prior = priors.beta, priors.factors[0].sd[0]
    with pm.Model():
        a = pm.Normal("a", *intercept.numbers)
        b = pm.Normal("b", *slope.numbers)
        s = pm.HalfStudentT("s", nu=sd_prior.numbers[0], sigma=sd_prior.numbers[1])
        sigma = pm.HalfStudentT("sigma", nu=priors.sigma.numbers[0], sigma=priors.sigma.numbers[1])
        z = pm.Normal("z", 0.0, 1.0, shape=18)
        mu = a + b * design.X[:, 1] + s * (design.factors[0].columns @ z)
        pm.Deterministic("curve", mu)
        pm.Normal("y", mu, sigma, observed=design.y)
        judge = pm.sample(
            2000, tune=1500, chains=4, cores=2, random_seed=3, target_accept=0.95,
            progressbar=False,
        )["posterior"]  # fmt: skip
    ours = mcycle()["posterior"]
    for name, theirs in (("sigma", "sigma"), ("sd_s(times)", "s")):
        own = ours[name].to_numpy().reshape(4000, -1)[:, 0]
        other = judge[theirs].to_numpy().ravel()
        # Errors of 4,000 independent draws and of some 2,000: four standard errors.
        error = np.hypot(own.std() / np.sqrt(4000), other.std() / np.sqrt(1500))
        assert abs(own.mean() - other.mean()) < 4 * error
        assert own.std() == pytest.approx(other.std(), rel=0.1)
    curve = bl.predict(mcycle()).to_numpy().reshape(4000, -1)
    other = judge["curve"].to_numpy().reshape(8000, -1)
    error = np.hypot(curve.std(axis=0) / np.sqrt(4000), other.std(axis=0) / np.sqrt(3000))
    assert np.abs((curve.mean(axis=0) - other.mean(axis=0)) / error).max() < 4.5
    np.testing.assert_allclose(curve.std(axis=0), other.std(axis=0), rtol=0.1)


@pytest.mark.slow
def test_bands_cover_a_fixed_curve_on_average():
    """Nychka (1988), doi:10.1080/01621459.1988.10478711: across the curve, near their level."""
    rng = np.random.default_rng(11)
    x = np.sort(rng.uniform(0.0, 1.0, 150))
    truths = {
        "waves": lambda x: np.sin(2 * np.pi * x) + 0.4 * np.cos(5 * np.pi * x),
        "bump": lambda x: 2.0 * np.exp(-0.5 * ((x - 0.4) / 0.12) ** 2),
    }
    for truth in truths.values():
        f = truth(x)
        covered = []
        for k in range(40):
            data = {"y": f + rng.normal(0.0, 0.4, len(x)), "x": x}
            tree = bl.fit_bayes(
                "y ~ s(x, k=15)", data, random_seed=k, draws=250, progressbar=False,
                parametrization="marginal", sampler="importance",
            )  # fmt: skip
            eta = bl.predict(tree).to_numpy().reshape(1000, -1)
            low, high = np.quantile(eta, [0.05, 0.95], axis=0)
            covered.append(np.mean((low <= f) & (f <= high)))
        # Points of a curve go together: the mean of 40 data sets has a standard error near 0.01.
        assert np.mean(covered) == pytest.approx(0.9, abs=0.035)
