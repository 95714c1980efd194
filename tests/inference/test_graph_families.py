"""Each family's PyMC form against its NumPy form: densities, gradients, draws."""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode

from bayeslmm.families.registry import FAMILIES, family_of
from bayeslmm.inference.graph.likelihood import LIKELIHOODS, add_response

# The Python linker compiles nothing: these tests evaluate a handful of points.
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
N = 24
ALL = [(name, link) for name in FAMILIES for link in family_of(name).links]
VALUES = {
    "sigma": 0.7, "shape": 2.3, "phi": 5.1, "nu": 3.4, "alpha": 2.0, "ndt": 0.01,
    "zi": 0.3, "hu": 0.4, "zoi": 0.35, "coi": 0.6, "threshold": np.array([-1.2, 0.3, 1.6]),
}  # fmt: skip


def values_of(family):
    return {parameter.name: VALUES[parameter.name] for parameter in family.parameters}


def known_of(family, rng):
    if family.response.known == "weights":
        return rng.uniform(0.3, 3.0, N)
    return rng.integers(1, 30, N).astype(float) if family.response.known == "trials" else None


def observed_model(family, y, known):
    """The response y at predictors and parameters that are data, so that they can be exchanged."""
    with pm.Model(coords={"obs": np.arange(len(y))}) as model:
        eta = pm.Data("eta", np.zeros(len(y)), dims="obs")
        phi = {name: pm.Data(name, value) for name, value in values_of(family).items()}
        add_response(
            family, SimpleNamespace(y=y, response="y", known=known, likweights=None), eta, phi
        )
    return model


@pytest.fixture(params=ALL, ids="-".join)
def case(request):
    family = family_of(*request.param)
    rng = np.random.default_rng(3)
    known = known_of(family, rng)
    y = family.draw(rng.normal(0, 1.5, N), values_of(family), known, rng)
    return family, y, known


def densities(model, mode):
    """eta -> log-densities of the rows and the gradient of their sum."""
    logp = model.logp(vars=[model["y"]], sum=False)[0]
    eta = pt.vector("at")
    outputs = pytensor.graph.clone_replace(
        [logp, pt.grad(logp.sum(), model["eta"])], {model["eta"]: eta}
    )
    function = pytensor.function([eta], outputs, mode=mode)
    return lambda at: [np.broadcast_to(out, at.shape) for out in function(at)]


def test_every_family_has_its_likelihood():
    assert set(LIKELIHOODS) == set(FAMILIES)


def test_the_graphs_log_density_is_the_familys(case):
    family, y, known = case
    both = densities(observed_model(family, y, known), SLOW_BUT_INSTANT)
    phi = values_of(family)
    for seed in range(5):
        eta = np.random.default_rng(seed).normal(0, 1.5, N)
        expected = family.log_density(y, eta, phi, known)
        found, slope = both(eta)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
        step = 1e-5
        differences = (
            family.log_density(y, eta + step, phi, known)
            - family.log_density(y, eta - step, phi, known)
        ) / (2 * step)
        # A central difference's own error: step^2 times the third derivative, and rounding.
        np.testing.assert_allclose(slope, differences, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("far", [30.0, 300.0])
def test_values_and_gradients_are_finite_far_from_zero(case, far):
    family, y, known = case
    both = densities(observed_model(family, y, known), SLOW_BUT_INSTANT)
    for eta in (np.full(N, -far), np.full(N, far)):
        with np.errstate(over="ignore"):  # of the branch that is not taken
            found, slope = both(eta)
        assert np.isfinite(found).all()
        assert np.isfinite(slope).all()
        expected = family.log_density(y, eta, values_of(family), known)
        # Of densities near one, made of logarithms of some hundreds, rounding is left.
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_pymc_draws_what_the_family_draws(case):
    family, _, known = case
    n = 4_000
    eta = np.full(n, 0.4)
    rows = None if known is None else np.full(n, 3.0)
    phi = {**values_of(family), **({"nu": 30.0} if family.name == "student" else {})}
    y = family.draw(eta, phi, rows, np.random.default_rng(1))
    model = observed_model(family, y, rows)
    with model:
        pm.set_data({"eta": eta, **phi})
        drawn = pm.draw(model["y"], random_seed=5, mode=SLOW_BUT_INSTANT)
    mean, variance = family.mean(eta, phi), family.variance(eta, phi, rows)
    if family.response.known == "trials":
        mean = mean * rows
    assert drawn.shape == (n,)
    # Five standard errors of the mean; the same rows in both, and their spread to a tenth.
    assert abs(drawn.mean() - mean[0]) < 5 * np.sqrt(variance[0] / n)
    np.testing.assert_allclose(np.var(drawn), np.var(y), rtol=0.25)


def test_links_compile_for_nuts():
    # Numba's forms of erfcx and log1mexp, as nutpie uses them.
    for link in family_of("bernoulli").links:
        family = family_of("bernoulli", link)
        y = np.array([0.0, 1.0, 1.0, 0.0])
        eta = np.array([-2.0, 0.3, 1.0, 30.0])
        found, slope = densities(observed_model(family, y, None), "NUMBA")(eta)
        np.testing.assert_allclose(found, family.log_density(y, eta, {}, None), rtol=1e-12)
        assert np.isfinite(slope).all()
