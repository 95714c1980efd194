"""Posteriors with a residual structure: against quadrature, and against the explicit graph."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.inference.structured.target import StructuredTarget
from bayeslmm.model.model import Model
from bayeslmm.results.diagnostics import blocks, diagnostics_table

# Rubin (1981), table 1: coaching effects in eight schools, and their standard errors.
SCHOOLS = pd.DataFrame(
    {
        "y": [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0],
        "se": [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0],
        "study": list("ABCDEFGH"),
    }
)
# Log risk ratios of tuberculosis with and without BCG vaccination in thirteen trials, and their
# standard errors: dat.bcg of metafor 3.8-1, by its escalc(measure="RR").
BCG = pd.DataFrame(
    {
        "y": [
            -0.8893113339, -1.5853886572, -1.3480731483, -1.4415511900, -0.2175473222,
            -0.7861155858,
            -1.6208982236, 0.0119523335, -0.4694176487, -1.3713448035, -0.3393588283, 0.4459134006,
            -0.0173139482,
        ],
        "se": [
            0.5706003549, 0.4411135017, 0.6444904696, 0.1414568199, 0.2262966464, 0.0831000509,
            0.4722470197, 0.0629410780, 0.2375588568, 0.2702310005, 0.1114101161, 0.7297299810,
            0.2672165034,
        ],
        "study": [f"t{k:02d}" for k in range(13)],
    }
)  # fmt: skip


def by_quadrature(table, priors):
    """Moments of tau, mu and the studies' effects: a sum over tau, normal integrals given tau."""
    design = bl.build_design("y ~ 1 + (1 | study)", table, se="se")
    resolved = bl.resolve_priors(design, priors)
    mean, width = resolved.beta[0].numbers
    y, V = table.y.to_numpy(), table.se.to_numpy() ** 2
    # On the logarithm; halving the step changes the eighth digit.
    log_tau = np.linspace(np.log(1e-5), np.log(1e3), 8000)
    tau = np.exp(log_tau)
    log_weight = resolved.factors[0].sd[0].log_density(tau) + log_tau
    precision = 1.0 / (V + tau[:, None] ** 2)
    total = precision.sum(axis=1) + 1.0 / width**2
    mu = (precision @ y + mean / width**2) / total
    log_weight += 0.5 * np.log(precision).sum(axis=1) - 0.5 * np.log(total)
    log_weight -= 0.5 * ((precision * y**2).sum(axis=1) + mean**2 / width**2 - total * mu**2)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    # E(theta_i | tau) and its variance, mu integrated out.
    shrink = tau[:, None] ** 2 * precision
    theta = mu[:, None] + shrink * (y - mu[:, None])
    spread = shrink * V + (1.0 - shrink) ** 2 / total[:, None]

    def moments(values, variances):
        center = weight @ values
        return center, np.sqrt(weight @ (variances + (values - center) ** 2))

    return {
        "tau": moments(tau, 0.0 * tau),
        "mu": moments(mu, 1.0 / total),
        "theta": moments(theta, spread),
    }


@pytest.mark.parametrize(
    ("table", "priors"),
    [(SCHOOLS, {"sd": "HalfCauchy(25)", "Intercept": "Normal(0, 50)"}), (BCG, None)],
    ids=["eight schools", "BCG"],
)
def test_meta_analyses_agree_with_quadrature(table, priors):
    exact = by_quadrature(table, priors)
    fit = bl.fit_bayes(
        "y ~ 1 + (1 | study)", table, se="se", priors=priors, random_seed=1, draws=10_000,
        progressbar=False, sampler="importance",
    )  # fmt: skip
    worth = fit["sample_stats"].attrs["ess_draws"]
    assert worth > 20_000
    posterior = fit["posterior"]
    mu = posterior["beta"].to_numpy()[..., 0]
    drawn = {
        "tau": posterior["sd_study"].to_numpy()[..., 0].ravel(),
        "mu": mu.ravel(),
        "theta": (mu[..., None] + posterior["b_study"].to_numpy()[..., 0]).reshape(mu.size, -1),
    }
    for name, values in drawn.items():
        mean, sd = exact[name]
        # 4 Monte Carlo standard errors of 20,000 draws and more: 0.03 of the sd.
        np.testing.assert_array_less(np.abs(values.mean(axis=0) - mean), 4 * sd / np.sqrt(worth))
        np.testing.assert_allclose(values.std(axis=0), sd, rtol=0.05)
    assert "sigma" not in posterior


def test_the_density_of_a_meta_analysis_integrates_to_three_digits():
    exact = by_quadrature(BCG, None)
    model = Model.of(bl.build_design("y ~ 1 + (1 | study)", BCG, se="se"))
    target = StructuredTarget(model)
    assert target.names == ("log sd_study[Intercept]",)
    log_tau = np.linspace(np.log(1e-5), np.log(1e3), 8000)[:, None]
    log_density = target.log_density(log_tau)
    weight = np.exp(log_density - log_density.max())
    tau, weight = np.exp(log_tau[:, 0]), weight / weight.sum()
    # The same sum of the same density: it differs by rounding.
    np.testing.assert_allclose(weight @ tau, exact["tau"][0], rtol=1e-9)


# ---------------------------------------------------------------------------------------------
# The explicit graph, sampled by NUTS
# ---------------------------------------------------------------------------------------------


def panel(n_groups=30, visits=4, seed=2):
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(n_groups), visits), np.tile(np.arange(visits), n_groups)
    x, f = rng.normal(size=len(g)), np.where(g % 2, "a", "b")
    e = rng.normal(size=(n_groups, visits))
    for k in range(1, visits):
        e[:, k] = 0.6 * e[:, k - 1] + 0.8 * e[:, k]
    y = 2.0 + x + 0.7 * rng.normal(size=n_groups)[g] + e.ravel() * np.where(f == "a", 0.6, 1.5)
    se = rng.uniform(0.3, 1.5, len(g))
    return pd.DataFrame(
        {"y": y, "x": x, "g": g, "t": t, "visit": np.array(list("pqrs"))[t], "f": f, "se": se}
    )


MODELS = {
    "strata": ("y ~ x + (1 | g)", {"sigma": "~ 0 + f"}),
    "series": ("y ~ x + (1 | g)", {"residual": "ar1(t | g)"}),
    "unstructured": ("y ~ x", {"residual": "us(visit | g)"}),
    "columns": ("y ~ x + (1 | g)", {"sigma": "~ x"}),
    "known": ("y ~ x + (1 | g)", {"se": "se"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_graph_has_the_same_posterior(name):
    formula, given = MODELS[name]
    settings = {"random_seed": 7, "progressbar": False}
    ours = bl.fit_bayes(formula, panel(), sampler="importance", **given, **settings)
    graph = bl.fit_bayes(
        formula, panel(), sampler="nutpie", parametrization="noncentered",
        draws=2500, target_accept=0.95, **given, **settings,
    )  # fmt: skip
    assert graph["sample_stats"]["diverging"].sum() == 0
    errors = diagnostics_table(graph)["mcse_mean"]
    independent = ours["sample_stats"].attrs["ess_draws"]
    theirs = dict(scalars(graph))
    found = {}
    for label, values in scalars(ours):
        error = np.hypot(errors[label], values.std() / np.sqrt(independent))
        found[label] = (values.mean() - theirs[label].mean()) / error
        # Spreads of a thousand draws or more have errors of three per cent.
        assert abs(np.log(values.std() / theirs[label].std())) < 0.12, label
    scores = np.array(list(found.values()))
    # The largest of some forty scores is beyond 4 once in four hundred.
    assert np.abs(scores).max() < 4.0, found
    assert np.sqrt(np.mean(scores**2)) < 1.5


def scalars(tree):
    for _, labels, values in blocks(tree):
        yield from zip(labels, values.reshape(-1, len(labels)).T, strict=True)


# ---------------------------------------------------------------------------------------------
# Draws from priors, and of other programs
# ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_prior_draws_have_the_priors_and_the_residuals_covariance(name):
    formula, given = MODELS[name]
    table = panel(4)
    tree = bl.sample_prior(formula, table, draws=4000, random_seed=1, **given)
    prior = tree["prior"]
    design = bl.build_design(formula, table, **given)
    structure = Model.of(design).structured_residual
    variables = {key: prior[key].to_numpy() for key in structure.dims}
    priors = Model.of(design).priors.parameters
    for key, values in variables.items():
        own = [prior for name, prior in priors.items() if name.partition("[")[0] == key]
        for k, one in enumerate(own):
            if one.family == "LKJ":
                # Of four visits each correlation is 2 Beta(2, 2) - 1.
                assert stats.kstest((values[0, :, 1, 0] + 1) / 2, stats.beta(2, 2).cdf)[1] > 1e-3
                continue
            drawn = values.reshape(4000, -1)[:, k]
            assert np.mean(drawn < one.quantile(0.5)) == pytest.approx(0.5, abs=0.04)
    eta = prior["beta"].to_numpy()[0] @ design.X.T
    for factor in design.factors:
        eta += prior[f"b_{factor.name}"].to_numpy()[0, :, factor.index, 0].T
    e = tree["prior_predictive"]["y"].to_numpy()[0] - eta
    phi = structure.phi(variables)[0] if variables else np.zeros((4000, 0))
    some = np.flatnonzero(table.g == 0)
    R = structure.covariance(phi, some) if given.get("residual") else None
    if R is not None:
        white = np.linalg.solve(np.linalg.cholesky(R), e[:, some, None])[..., 0]
        # Means of 4,000 products have errors of 0.016, of squares of 0.022.
        np.testing.assert_allclose(white.T @ white / 4000, np.eye(len(some)), atol=0.1)
    else:
        z = e / (
            structure.sd(phi)[:, structure.cell]
            * (1.0 if structure.relative is None else structure.relative)
        )
        np.testing.assert_allclose((z**2).mean(axis=0), 1.0, atol=0.12)


@pytest.mark.parametrize("name", MODELS)
def test_adopted_draws_get_their_effects_back(name):
    formula, given = MODELS[name]
    table = panel(12)
    fit = bl.fit_bayes(
        formula, table, sampler="importance", random_seed=2, progressbar=False, **given
    )
    trace = {
        key: fit["posterior"][key].to_numpy()
        for key in fit["posterior"].data_vars
        if key not in ("beta", "b_g")
    }
    if not trace:
        pytest.skip("nothing is left to adopt")
    adopted = bl.adopt(trace, formula, table, random_seed=3, **given)
    first, second = dict(scalars(fit)), dict(scalars(adopted))
    assert list(first) == list(second)
    for label, values in first.items():
        # Two draws of the effects given the same 4,000 parameters.
        error = np.sqrt(2.0) * values.std() / np.sqrt(3000)
        assert abs(values.mean() - second[label].mean()) < 4.5 * error, label
    given_beta = bl.adopt(
        {**trace, "beta": fit["posterior"]["beta"].to_numpy()}, formula, table, **given
    )
    np.testing.assert_array_equal(given_beta["posterior"]["beta"], fit["posterior"]["beta"])


def test_known_errors_without_random_effects_have_a_normal_posterior():
    fit = bl.fit_bayes(
        "y ~ 1", BCG, se="se", sampler="importance", draws=500, chains=4, random_seed=1
    )
    priors = bl.resolve_priors(bl.build_design("y ~ 1", BCG, se="se"))
    mean, width = priors.beta[0].numbers
    precision = (BCG.se**-2).sum() + width**-2
    center = ((BCG.y / BCG.se**2).sum() + mean / width**2) / precision
    drawn = fit["posterior"]["beta"].to_numpy().ravel()
    # Four standard errors of a mean, and of a standard deviation, of 2,000 independent draws.
    error = precision**-0.5 / np.sqrt(2000)
    assert drawn.mean() == pytest.approx(center, abs=4 * error)
    assert drawn.std() == pytest.approx(precision**-0.5, abs=4 * error / np.sqrt(2))
    covariance = np.diag(BCG.se**2) + width**2
    evidence = stats.multivariate_normal(np.full(len(BCG), mean), covariance).logpdf(BCG.y)
    assert fit["sample_stats"].attrs["log_evidence"] == pytest.approx(evidence, rel=1e-10)
    assert "Variance components" not in str(bl.summary(fit))
    assert np.isfinite(bl.predict(fit, kind="response").to_numpy()).all()
    by_nuts = {"sampler": "nutpie", "draws": 50, "tune": 50, "chains": 2}
    with pytest.raises(bl.SamplingError, match="sampler='importance'"):
        bl.fit_bayes("y ~ 1", BCG, se="se", **by_nuts)
