"""Several Gaussian responses, collapsed, against the multivariate normal written out."""

import numpy as np
import pytest
from stacked import dense_log_density, growth

import bayeslmm as bl
from bayeslmm.inference.structured.target import StructuredTarget
from bayeslmm.model.model import Model

# Sums of some hundred products, and a factorization of a hundred rows.
ROUNDING = 1e-9
FORMULAS = {
    "correlated": "mvbind(tarsus, back) ~ x + (1 |p| family)",
    "slopes": "mvbind(tarsus, back) ~ x + sex + (1 + x |p| family)",
    "independent effects": "mvbind(tarsus, back) ~ x + (1 | family)",
    "formulas of their own": "tarsus ~ x + (1 |p| family); back ~ sex + (1 |p| family)",
    "effects of one response": "tarsus ~ x + (1 | family); back ~ 0 + sex",
}


def covariances(model, sds, partials):
    found, sd, part = [], 0, 0
    for factor in model.priors.factors:
        covariance = factor.covariance
        m, k = covariance.n_sds, covariance.n_partials
        L = covariance.factor(sds[sd : sd + m], partials[part : part + k])
        found.append(L @ L.T)
        sd, part = sd + m, part + k
    return found


def residual_covariance(model, phi, count):
    named = model.structured_residual.variables(phi)
    if "sd_residual" in named:
        return named["sd_residual"][:, None] * named["corr_residual"] * named["sd_residual"]
    return np.diag(named["sigma_by"] ** 2)


def beta_prior(design, priors):
    """Mean and covariance of beta: intercepts at the means of their own response's columns."""
    numbers = np.array([prior.numbers for prior in priors.beta])
    turn = np.eye(len(numbers))
    for k, part in enumerate(design.stack.parts):
        own = [design.coef.index(f"{design.stack.names[k]}_{name}") for name in part.coef]
        if part.coef[0] == "Intercept":
            turn[own[0], own[1:]] = -part.X[:, 1:].mean(axis=0)
    return turn @ numbers[:, 0], turn @ np.diag(numbers[:, 1] ** 2) @ turn.T


@pytest.mark.parametrize("residual", [None, "diag"])
@pytest.mark.parametrize("case", FORMULAS)
def test_the_density_is_that_of_the_multivariate_normal(case, residual):
    design = bl.build_design(FORMULAS[case], growth(), residual=residual)
    model = Model.of(design)
    target = StructuredTarget(model)
    rng = np.random.default_rng(2)
    for _ in range(3):
        x = rng.normal(0.0, 0.5, target.size)
        sds, partials, phi, _ = target.parts(target.parameters(x))
        G, R = covariances(model, sds, partials), residual_covariance(model, phi, 2)
        expected = dense_log_density(design, G, R, beta_prior(design, model.priors))
        assert target.log_likelihood(x[None])[0] == pytest.approx(expected, rel=ROUNDING)


def test_the_gradient_reaches_intercepts_at_their_own_means():
    design = bl.build_design(FORMULAS["slopes"], growth())
    model = Model.of(design, {"tarsus_x": "StudentT(3, 0, 2)"})
    target = StructuredTarget(model)
    assert not target.integrated
    x = np.random.default_rng(2).normal(0.0, 0.3, target.size)
    sds, partials, phi, beta = target.parts(target.parameters(x))
    G, R = covariances(model, sds, partials), residual_covariance(model, phi, 2)
    expected = dense_log_density(design, G, R, beta)
    assert target.log_likelihood(x[None])[0] == pytest.approx(expected, rel=ROUNDING)
    value, gradient = target.log_density_and_gradient(x)
    assert value == pytest.approx(target.log_density(x[None])[0], rel=ROUNDING)
    step = 1e-5
    rise = [
        np.subtract(*target.log_density(np.stack([x + axis, x - axis]))) / (2 * step)
        for axis in step * np.eye(len(x))
    ]
    # Rounding over the step: 1e-12 of a value of a few thousand.
    assert np.allclose(gradient, rise, rtol=1e-5, atol=1e-5)
