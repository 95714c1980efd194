"""Likelihoods of generalised linear mixed models, their maxima, and what has none."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError, NumericalWarning, SingularFitWarning
from bayeslmm.reml.glmm.coordinates import Coordinates, Point
from bayeslmm.reml.glmm.laplace import Laplace
from bayeslmm.reml.glmm.quadrature import Quadrature

FAMILIES = [
    ("bernoulli", "logit"),
    ("bernoulli", "probit"),
    ("bernoulli", "cloglog"),
    ("binomial", "logit"),
    ("poisson", None),
    ("negbinomial", None),
    ("gamma", None),
    ("beta", "logit"),
    ("beta", "probit"),
    ("student", None),
]
PHI = np.array([1.3, 4.0])


def responses(seed=2, levels=10, each=6):
    """A table with a response of each family, and two crossed factors."""
    rng, n = np.random.default_rng(seed), levels * each
    g, h = np.repeat(np.arange(levels), each), np.arange(n) % 4
    x, z = rng.normal(size=(2, n))
    slopes = 0.3 + 0.5 * rng.normal(size=levels)[g]
    eta = slopes * x + 0.7 * rng.normal(size=levels)[g] + 0.4 * rng.normal(size=4)[h]
    p, mu, trials = 1 / (1 + np.exp(-eta)), np.exp(eta), rng.integers(1, 9, n)
    return pd.DataFrame(
        {
            "g": np.char.add("g", g.astype(str)),
            "h": np.char.add("h", h.astype(str)),
            "x": x,
            "z": z,
            "trials": trials,
            "bernoulli": (rng.random(n) < p).astype(int),
            "binomial": rng.binomial(trials, p),
            "poisson": rng.poisson(mu),
            "negbinomial": rng.poisson(mu * rng.gamma(2.0, 0.5, n)),
            "gamma": mu * rng.gamma(2.0, 0.5, n),
            "beta": np.clip(rng.beta(5 * p, 5 * (1 - p)), 1e-3, 1 - 1e-3),
            "student": eta + rng.standard_t(3, n),
        }
    )


def design_of(family, link, terms, **others):
    trials = "trials" if family == "binomial" else None
    return bl.build_design(
        f"{family} ~ x + {terms}", responses(**others), family=family, link=link, trials=trials
    )


def somewhere(coordinates, *factors):
    return Point(np.array([0.1, 0.3]), tuple(map(np.array, factors)), PHI[: coordinates.n_phi])


def dense_laplace(coordinates, point):
    """Laplace's approximation by Newton's method on dense matrices and differences."""
    design = coordinates.design
    n = design.n
    offset = coordinates.X @ point.beta + (0.0 if design.offset is None else design.offset)
    blocks = []
    for factor, Z, L in zip(design.factors, coordinates.Z, point.factors, strict=True):
        own = Z @ L
        wide = np.zeros((n, len(factor.levels), own.shape[1]))
        wide[np.arange(n), factor.index] = own
        blocks.append(wide.reshape(n, -1))
    A = np.concatenate(blocks, axis=1)
    phi = {p.name: v for p, v in zip(design.family.parameters, point.phi, strict=True)}

    def density(eta):
        return design.family.log_density(design.y, eta, phi, design.known)

    def slopes(eta, h=1e-5):
        up, down, at = density(eta + h), density(eta - h), density(eta)
        return (up - down) / (2 * h), (2 * at - up - down) / h**2

    u = np.zeros(A.shape[1])
    for _ in range(60):
        slope, weight = slopes(offset + A @ u)
        H = np.eye(len(u)) + A.T @ (np.maximum(weight, 0.0)[:, None] * A)
        step = np.linalg.solve(H, A.T @ slope - u)
        u += step / max(1.0, np.abs(step).max())
    _, weight = slopes(offset + A @ u, 1e-4)
    H = np.eye(len(u)) + A.T @ (weight[:, None] * A)
    return density(offset + A @ u).sum() - 0.5 * u @ u - 0.5 * np.linalg.slogdet(H)[1]


@pytest.mark.parametrize(("family", "link"), FAMILIES)
def test_one_node_is_laplace(family, link):
    # Two compiled ways, level by level and by elimination; sums of 60 rows differ by rounding.
    coordinates = Coordinates(design_of(family, link, "(x | g)"))
    point = somewhere(coordinates, [[0.7, 0.0], [0.2, 0.4]])
    one = Quadrature(coordinates, 1).value(point, settle=True)
    assert Laplace(coordinates).value(point) == pytest.approx(one, abs=1e-9)


@pytest.mark.parametrize(
    ("family", "link"), [("poisson", None), ("beta", "logit"), ("student", None)]
)
def test_laplace_of_crossed_factors_is_that_of_dense_matrices(family, link):
    coordinates = Coordinates(design_of(family, link, "(x + z | g) + (1 | h)"))
    L = [[0.7, 0.0, 0.0], [0.2, 0.4, 0.0], [-0.1, 0.1, 0.3]]
    point = somewhere(coordinates, L, [[0.5]])
    # The dense curvature is a second difference of values, good to some 1e-7 a row.
    expected = dense_laplace(coordinates, point)
    assert Laplace(coordinates).value(point, settle=True) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("family", "link"), FAMILIES)
def test_slopes_are_differences(family, link):
    coordinates = Coordinates(design_of(family, link, "(x | g)"))
    point = somewhere(coordinates, [[0.7, 0.0], [0.2, 0.4]])
    likelihood, x = Quadrature(coordinates, 31), coordinates.place(point)
    value, slopes = likelihood.value_and_slopes(point)
    assert value == pytest.approx(likelihood.value(point), abs=1e-9)
    step = 1e-4 * np.eye(len(x))
    ahead = [likelihood.value(coordinates.point(x + h)) for h in step]
    behind = [likelihood.value(coordinates.point(x - h)) for h in step]
    differences = (np.array(ahead) - behind) / 2e-4
    # Slopes of tens; the rule with 31 nodes and differences leave some 1e-6 of them.
    assert coordinates.pull_back(point, slopes) == pytest.approx(differences, abs=2e-5)


def test_one_node_is_exact_for_a_gaussian_response():
    # The compiled rows of a family that fit_ml leaves to cross-products.
    table = bl.load_dataset("sleepstudy")
    fit = bl.fit_reml("Reaction ~ Days + (Days | Subject)", table, method="ML")
    coordinates = Coordinates(fit.data)
    L = [fit.sigma * lam for lam in fit.factors]
    turned = coordinates.Z[0].T @ fit.data.factors[0].columns / fit.n_obs
    scale = np.linalg.inv(coordinates.Z[0].T @ coordinates.Z[0] / fit.n_obs) @ turned
    beta = coordinates.placed_beta(fit.fixed_effects["estimate"].to_numpy())
    point = Point(
        beta, (np.linalg.cholesky(scale @ L[0] @ L[0].T @ scale.T),), np.array([fit.sigma])
    )
    for nodes in (1, 5):
        value = Quadrature(coordinates, nodes).value(point, settle=True)
        assert value == pytest.approx(fit.log_likelihood, rel=1e-12)


def test_uncorrelated_columns_have_no_covariance():
    formula = "use01 ~ urban + (1 | district) + (0 + age | district)"
    fit = bl.fit_ml(formula, bl.load_dataset("contraception"), family="bernoulli")
    assert fit.factors[0][1, 0] == 0.0
    assert (np.diag(fit.factors[0]) >= 0.0).all()
    assert not any(name.startswith("corr_") for name in fit.estimates.index)


def test_coordinates_go_to_and_fro():
    design = design_of("poisson", None, "(x + z || g) + (x | h)")
    coordinates = Coordinates(design)
    x = np.linspace(0.2, 1.1, coordinates.size)
    assert coordinates.place(coordinates.point(x)) == pytest.approx(x)
    beta = coordinates.fixed_effects(x)
    assert coordinates.X @ x[:2] == pytest.approx(design.X @ beta)
    for factor, Z, own, L in zip(
        design.factors,
        coordinates.Z,
        coordinates.point(x).factors,
        coordinates.covariance_factors(x),
        strict=True,
    ):
        assert Z @ own @ own.T @ Z.T == pytest.approx(factor.columns @ L @ L.T @ factor.columns.T)
    assert len(coordinates.natural(x)) == len(coordinates.names)


@pytest.mark.parametrize("family", ["gaussian", "lognormal"])
def test_gaussian_responses_are_those_of_fit_reml(family):
    table = bl.load_dataset("sleepstudy")
    fit = bl.fit_ml("Reaction ~ Days + (Days | Subject)", table, family=family)
    left = "log(Reaction)" if family == "lognormal" else "Reaction"
    other = bl.fit_reml(f"{left} ~ Days + (Days | Subject)", table, method="ML")
    change = -np.log(table["Reaction"]).sum() if family == "lognormal" else 0.0
    assert fit.log_likelihood == pytest.approx(other.log_likelihood + change, rel=1e-12)
    assert fit.approximation == "exact"
    assert fit.sigma == pytest.approx(other.sigma)
    pd.testing.assert_frame_equal(fit.fixed_effects, other.fixed_effects)
    wald = bl.confidence_intervals(other, "wald", ci_prob=0.6826894921370859)
    assert list(fit.estimates.index) == list(wald.index)
    modes = other.random_effects["Subject"]
    pd.testing.assert_frame_equal(fit.random_effects["Subject"], modes)


def test_scales_of_predictors_do_not_matter():
    table = responses(levels=40)
    table["far"] = 1e4 + 300.0 * table["x"]
    one = bl.fit_ml("poisson ~ x + (x | g)", table, family="poisson")
    other = bl.fit_ml("poisson ~ far + (far | g)", table, family="poisson")
    assert other.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-7)
    slopes = one.fixed_effects.loc["x"].to_numpy(), other.fixed_effects.loc["far"].to_numpy()
    assert slopes[0] == pytest.approx(300.0 * slopes[1], rel=1e-3)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_the_unit_of_a_location_family_does_not_matter(scale):
    table = responses(levels=40)
    table["far"] = scale * (table["student"] + 10.0)
    one = bl.fit_ml("student ~ x + (1 | g)", table, family="student")
    other = bl.fit_ml("far ~ x + (1 | g)", table, family="student")
    change = len(table) * np.log(scale)
    assert other.log_likelihood + change == pytest.approx(one.log_likelihood, abs=1e-6)
    assert other.sigma == pytest.approx(scale * one.sigma, rel=1e-4)
    assert other.nu == pytest.approx(one.nu, rel=1e-4)


def test_random_effects_are_the_modes():
    fit = bl.fit_ml("poisson ~ x + (x | g)", responses(levels=40), family="poisson")
    design, L = fit.data, fit.factors[0]
    b = fit.random_effects["g"].to_numpy()
    eta = design.X @ fit.fixed_effects["estimate"].to_numpy()
    eta += np.sum(design.factors[0].columns * b[design.factors[0].index], axis=1)
    # d/db of the log joint density: Z'(y - mu) = G^-1 b.
    pulls = (design.y - np.exp(eta))[:, None] * design.factors[0].columns
    score = np.stack([np.bincount(design.factors[0].index, pull) for pull in pulls.T], axis=1)
    np.testing.assert_allclose(score @ L @ L.T, b, atol=1e-6)


def test_without_random_effects_it_is_a_generalised_linear_model():
    fit = bl.fit_ml("poisson ~ x", responses(), family="poisson")
    design = fit.data
    beta = fit.fixed_effects["estimate"].to_numpy()
    mu = np.exp(design.X @ beta)
    assert design.X.T @ (design.y - mu) == pytest.approx(np.zeros(2), abs=1e-5)
    vcov = np.linalg.inv(design.X.T @ (mu[:, None] * design.X))
    assert fit.fixed_effects["std_error"].to_numpy() == pytest.approx(
        np.sqrt(np.diag(vcov)), rel=1e-5
    )
    assert fit.approximation == "exact"
    assert "Generalised linear model" in repr(fit)


def test_a_variance_of_zero_is_said():
    rng = np.random.default_rng(1)
    table = {
        "y": np.tile([1, 2, 3, 4, 2, 1], 10),
        "x": rng.normal(size=60),
        "g": np.repeat(list("abcdefghij"), 6),
    }
    with pytest.warns(
        SingularFitWarning, match=r"standard deviation of 'Intercept' by 'g' is zero"
    ):
        fit = bl.fit_ml("y ~ x + (1 | g)", table, family="poisson")
    assert fit.is_singular
    assert fit.variance_components["sd"].iloc[0] == 0.0
    assert np.isnan(fit.estimates.loc["sd_g[Intercept]", "std_error"])
    plain = bl.fit_ml("y ~ x", table, family="poisson")
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-8)
    assert fit.vcov.to_numpy() == pytest.approx(plain.vcov.to_numpy(), rel=1e-4)
    assert "Singular fit" in repr(fit)


def separated():
    table = responses(levels=20)
    table["arm"] = np.where(table["g"].isin(["g0", "g1", "g2"]), "a", "b")
    table.loc[table["arm"] == "a", ["bernoulli", "poisson"]] = 0
    return table


@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_an_estimate_at_infinity_is_said_and_not_printed(family):
    table = separated()
    with pytest.warns(NumericalWarning, match=r"of arm\[a\] is infinite.* 18 of 120 rows"):
        fit = bl.fit_ml(f"{family} ~ 0 + arm + x + (1 | g)", table, family=family)
    assert fit.fixed_effects["estimate"]["arm[a]"] == -np.inf
    assert np.isnan(fit.fixed_effects["std_error"]["arm[a]"])
    # The rest are what the other rows say.
    other = bl.fit_ml(f"{family} ~ x + (1 | g)", table[table["arm"] == "b"], family=family)
    assert fit.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-6)
    x = fit.fixed_effects.loc["x"].to_numpy()
    assert x == pytest.approx(other.fixed_effects.loc["x"].to_numpy(), rel=1e-4)
    assert "Without a finite estimate: arm[a]." in repr(fit)


def test_infinite_estimates_of_treatment_contrasts_take_the_intercept_along():
    with pytest.warns(NumericalWarning, match="of Intercept, arm"):
        fit = bl.fit_ml("bernoulli ~ arm + x + (1 | g)", separated(), family="bernoulli")
    assert fit.fixed_effects["estimate"][["Intercept", "arm[T.b]"]].tolist() == [-np.inf, np.inf]
    assert np.isfinite(fit.fixed_effects.loc["x"]).all()


def test_rows_that_are_told_without_error_have_no_estimate():
    table = responses()
    table["bernoulli"] = 1
    with pytest.raises(DataError, match=r"without error in every row \(Intercept\).*fit_bayes"):
        bl.fit_ml("bernoulli ~ x + (1 | g)", table, family="bernoulli")


def test_a_standard_deviation_that_runs_to_infinity_is_refused():
    table = responses()
    table["bernoulli"] = (table["g"] < "g5").astype(int)
    with pytest.raises(DataError, match=r"sd_g\[Intercept\] has no finite estimate.*fit_bayes"):
        bl.fit_ml("bernoulli ~ x + (1 | g)", table, family="bernoulli")


def test_levels_of_one_yes_or_no_each_are_refused():
    table = responses()
    table["row"] = [f"r{i}" for i in range(len(table))]
    with pytest.raises(DataError, match="next to nothing of sd_row"):
        bl.fit_ml("bernoulli ~ x + (1 | g) + (1 | row)", table, family="bernoulli")


def test_laplace_of_a_family_that_is_not_log_concave_comes_to_rest():
    # Scoring alone leaves modes 1e-5 off, and the search then sees noise.
    fit = bl.fit_ml("student ~ x + (1 | g) + (1 | h)", responses(levels=40), family="student")
    assert fit.converged
    assert fit.n_evaluations < 1000
    assert set(fit.parameters) == {"sigma", "nu"}


def test_a_shape_that_runs_to_infinity_is_said():
    rng = np.random.default_rng(4)
    table = {"y": rng.binomial(12, 0.5, 80), "g": np.repeat(list("abcdefgh"), 10)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        with pytest.warns(NumericalWarning, match=r"shape is infinite: family='poisson'"):
            fit = bl.fit_ml("y ~ 1 + (1 | g)", table, family="negbinomial")
        simpler = bl.fit_ml("y ~ 1 + (1 | g)", table, family="poisson")
    assert fit.shape == np.inf
    # What a shape of some 1e4 and more leaves of the difference.
    assert fit.log_likelihood == pytest.approx(simpler.log_likelihood, abs=5e-3)


def test_a_constant_response_has_nothing_to_divide():
    table = responses()
    table["gamma"] = 2.5
    with pytest.raises(DataError, match=r"'gamma' is 2\.5 in every row"):
        bl.fit_ml("gamma ~ x + (1 | g)", table, family="gamma")


def test_quadrature_is_for_one_factor_of_two_columns():
    with pytest.raises(ArgumentError, match=r"effects by 'g' have 3 columns"):
        bl.fit_ml(
            "poisson ~ x + (x + z | g)", responses(), family="poisson", approximation="quadrature"
        )


def test_a_fit_says_what_it_is_and_can_be_pickled():
    table = responses(levels=40)
    fit = bl.fit_ml("negbinomial ~ x + (x | g)", table, family="negbinomial")
    shown = repr(fit)
    assert f"Family: negbinomial (log)   shape {fit.shape:.5g}" in shown
    assert f"adaptive quadrature, {fit.nodes} nodes" in shown
    assert "<strong>Fixed effects</strong>" in fit._repr_html_()
    assert fit.convergence.startswith("Converged")
    assert fit.n_parameters == len(fit.estimates) == 6
    assert fit.aic == pytest.approx(12.0 - 2.0 * fit.log_likelihood)
    with pytest.raises(AttributeError, match="no 'nu'; the parameters of its family are: shape"):
        _ = fit.nu
    assert pickle.loads(pickle.dumps(fit)).shape == fit.shape  # noqa: S301 - its own
    design = bl.build_design("negbinomial ~ x + (x | g)", table, family="negbinomial")
    assert bl.fit_ml(design).log_likelihood == fit.log_likelihood
