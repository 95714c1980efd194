"""Formulas of parameters in compiled likelihoods, against the families' NumPy verbs."""

import ctypes

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import bayeslmm as bl
from bayeslmm.inference.laplace_chain.sample import latent_model
from bayeslmm.inference.laplace_chain.target import LaplaceTarget
from bayeslmm.inference.method import choose_method
from bayeslmm.inference.nuts.marginal import compiles
from bayeslmm.inference.nuts.nutpie_model import _DENSITY, _DOUBLE
from bayeslmm.inference.quadrature.nuts import compile_target
from bayeslmm.inference.quadrature.start import starting_points
from bayeslmm.inference.quadrature.target import QuadratureTarget
from bayeslmm.inference.settings import SamplerSettings
from bayeslmm.model.family_numbers import number_priors, parameters_at
from bayeslmm.model.model import Model

N = 60
RNG = np.random.default_rng(5)
# Levels lie mixed, so that compiled code has rows in another order.
ROWS = pd.DataFrame(
    {
        "count": RNG.poisson(3, N),
        "share": RNG.beta(3, 4, N),
        "size": RNG.gamma(2.0, size=N),
        "value": RNG.standard_t(4, N),
        "x": RNG.normal(2, 1, N),
        "w": RNG.normal(size=N),
        "g": RNG.choice(list("abcdef"), N),
        "h": RNG.choice(list("pqr"), N),
    }
)
CASES = {
    "negbinomial": ("count", {"shape": "~ x + offset(w)"}),
    "gamma": ("size", {"shape": "~ x"}),
    "beta": ("share", {"phi": "~ 0 + h"}),
    "student": ("value", {"nu": "~ x"}),
    "student, sigma": ("value", {"sigma": "~ x"}),
    "student, strata": ("value", {"sigma": "~ 0 + h", "nu": "~ x"}),
}


def model_of(family, effects="(1 | g)"):
    response, formulas = CASES[family]
    name = family.split(",")[0]
    design = bl.build_design(f"{response} ~ w + {effects}", ROWS, family=name, **formulas)
    return Model.of(design).at_means


def point_of(target, model, seed=1):
    start = starting_points(target, model)
    rng = np.random.default_rng(seed)
    return start.points[0] + 0.5 * start.units * rng.normal(size=target.size)


@pytest.mark.parametrize("family", CASES)
def test_levels_are_integrals_of_the_familys_densities(family):
    model = model_of(family)
    target = QuadratureTarget(model, 151 if "student" in family else 41)
    x = point_of(target, model)
    values, design = target.parameters(x), model.design
    given = target.given(x[None])
    levels = target.likelihood.by_level(given)[0]
    first = target.n_sds + target.n_partials
    phi = parameters_at(model, values[first : first + target.n_phi])
    eta = design.X @ model.priors.raw_beta(values[first + target.n_phi :])
    factor, sd = design.factors[0], given.L[0, 0, 0]
    for j in range(len(factor.levels)):
        rows = factor.index == j
        own = {name: v[rows] if np.ndim(v) else v for name, v in phi.items()}

        def density(u, rows=rows, own=own):
            there = eta[rows] + sd * u
            logs = design.family.log_density(design.y[rows], there, own, None)
            return np.exp(logs.sum()) * stats.norm.pdf(u)

        expected, _ = integrate.quad(density, -9, 9, epsabs=0, epsrel=1e-10, limit=200)
        # t levels are not analytic within reach: their error falls slowly with the nodes.
        assert levels[j] == pytest.approx(
            np.log(expected), abs=1e-6 if "student" in family else 1e-8
        )


@pytest.mark.parametrize("family", CASES)
def test_the_gradient_is_that_of_the_density(family):
    model = model_of(family)
    target = QuadratureTarget(model, 61)
    x = point_of(target, model)
    _, gradient = target.log_density_and_gradient(x)
    step = 1e-4 * starting_points(target, model).units
    moved = x + np.concatenate([np.diag(step), -np.diag(step)])
    ends = np.reshape([target.log_density_and_gradient(y)[0] for y in moved], (2, -1))
    # Fisher's identity holds for the integral; t levels are integrated to some 1e-5.
    error = 1e-3 if "student" in family else 1e-4
    assert gradient * step == pytest.approx((ends[0] - ends[1]) / 2, rel=error, abs=1e-8)


@pytest.mark.parametrize("family", ["negbinomial", "beta", "student, sigma"])
def test_the_compiled_density_is_the_one_in_python(family):
    model = model_of(family)
    target = QuadratureTarget(model, 9)
    assert compiles(target)
    x = point_of(target, model)
    value, gradient = target.log_density_and_gradient(x)
    compiled = compile_target(target, x, np.ones(target.size))
    out, total = np.empty(target.size), np.empty(1)
    pointers = [array.ctypes.data_as(_DOUBLE) for array in (x, out, total)]
    call = _DENSITY(compiled.compiled_logp_func.address)
    assert call(target.size, *pointers, ctypes.c_void_p(compiled.user_data.ctypes.data)) == 0
    assert total[0] == pytest.approx(value, abs=1e-8)
    assert out == pytest.approx(gradient, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("family", ["negbinomial", "beta", "student, strata"])
def test_the_chain_has_the_density_of_all_effects(family):
    model = model_of(family, "(1 | g) + (1 | h)")
    latent = latent_model(model)
    target = LaplaceTarget(latent, model.priors, number_priors(model))
    points = np.tile(target.first_point(), (2, 1))
    eps = np.random.default_rng(2).normal(size=(2, latent.size))
    found, design = target.evaluate(points, eps), model.design
    phi = parameters_at(model, target.phi(points)[0])
    effects = latent.random_effects(found.effects, target.factors(points))
    beta = latent.fixed_effects(found.effects)
    centered = model.priors.centered_beta(beta)
    logs = []
    for k in range(2):
        eta = design.X @ beta[k]
        for factor, b in zip(design.factors, effects, strict=True):
            eta = eta + np.sum(factor.columns * b[k][factor.index], axis=1)
        total = design.family.log_density(design.y, eta, phi, None).sum()
        u = found.effects[k, : latent.n_random]
        total += sum(p.log_density(v) for p, v in zip(model.priors.beta, centered[k], strict=True))
        logs.append(total - 0.5 * u @ u + 0.5 * eps[k] @ eps[k])
    # Differences of sums over sixty rows.
    expected = logs[1] - logs[0]
    assert found.log_ratio[1] - found.log_ratio[0] == pytest.approx(expected, abs=1e-9)


def test_a_fit_has_the_coefficients_of_the_columns_as_they_are():
    rows = ROWS.assign(count=RNG.poisson(np.exp(0.5 + ROWS.w) * RNG.gamma(2.0, 0.5, N)))
    tree = bl.fit_bayes(
        "count ~ w + (1 | g)", rows, family="negbinomial", shape="~ x", draws=300, chains=2,
        random_seed=1, progressbar=False,
    )  # fmt: skip
    assert tree.attrs["engine"] == "quadrature"
    posterior = tree["posterior"]
    assert posterior["beta_shape"].dims == ("chain", "draw", "shape_coef")
    assert posterior["beta_shape"]["shape_coef"].to_numpy().tolist() == ["Intercept", "x"]
    # The posterior's density at each draw, from the variables of the tree.
    design = bl.build_design("count ~ w + (1 | g)", rows, family="negbinomial", shape="~ x")
    model = Model.of(design)
    target = QuadratureTarget(model.at_means, 15)
    few = posterior.isel(chain=0, draw=slice(0, 5))
    sd, beta, shape = (few[name].to_numpy() for name in ("sd_g", "beta", "beta_shape"))
    centered = [model.priors.centered_predictor("beta_shape", shape)]
    values = np.concatenate([sd, *centered, model.priors.centered_beta(beta)], axis=1)
    expected = tree["sample_stats"]["lp"].to_numpy()[0, :5]
    # What nodes leave.
    assert target.log_density(target.point(values)) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("sigma", ["~ x", "~ 0 + h"])
def test_student_fits_hold_what_a_formula_of_sigma_says(sigma):
    tree = bl.fit_bayes(
        "value ~ w + (1 | g)", ROWS, family="student", sigma=sigma, draws=300, chains=2,
        random_seed=1, progressbar=False,
    )  # fmt: skip
    assert tree.attrs["engine"] == "quadrature"
    posterior = tree["posterior"]
    found = {name: posterior[name].dims[2:] for name in posterior.data_vars if "sigma" in name}
    slopes = {"sigma": (), "beta_sigma": ("sigma_coef",)}
    assert found == (slopes if sigma == "~ x" else {"sigma_by": ("sigma_level",)})
    # The density of each draw, from the variables of the tree.
    design = bl.build_design("value ~ w + (1 | g)", ROWS, family="student", sigma=sigma)
    model = Model.of(design)
    target = QuadratureTarget(model.at_means, int(tree["sample_stats"].attrs["nodes"]))
    few = posterior.isel(chain=[0], draw=slice(0, 5))
    scale = model.structured_residual.scale.phi({n: few[n].to_numpy() for n in found})[0]
    nu, sd, beta = (few[name].to_numpy()[0] for name in ("nu", "sd_g", "beta"))
    values = np.concatenate([sd, scale, nu[:, None], model.priors.centered_beta(beta)], axis=1)
    expected = tree["sample_stats"]["lp"].to_numpy()[0, :5]
    # What nodes leave.
    assert target.log_density(target.point(values)) == pytest.approx(expected, abs=0.02)


def test_effects_in_a_parameter_are_for_nuts():
    design = bl.build_design("count ~ (1 | g)", ROWS, family="negbinomial", shape="~ (1 | h)")
    chosen, reasons = choose_method(Model.of(design), SamplerSettings(sampler="auto"))
    assert chosen.sampler == "nutpie"
    assert "shape has random effects" in reasons["sampler_reason"]
