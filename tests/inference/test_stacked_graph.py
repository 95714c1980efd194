"""PyMC models of several responses and of categories against the families' NumPy verbs."""

import numpy as np
import pytest
from pytensor.compile.mode import Mode
from stacked import growth, journeys

import bayeslmm as bl
from bayeslmm.errors import DataError
from bayeslmm.families.several.softmax import log_probabilities
from bayeslmm.families.several.stacked import OfCategories, OfResponses
from bayeslmm.inference.graph.build import build_model
from bayeslmm.model.exact_means import require_dispersion

SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")


def at_random(design):
    """Linear predictors, parameters, and the log-density of each observed variable, at a point."""
    model = build_model(design)
    point = model.initial_point(random_seed=1)
    rng = np.random.default_rng(3)
    point = {name: value + rng.normal(0, 0.3, np.shape(value)) for name, value in point.items()}
    names = [parameter.name for parameter in design.family.parameters]
    outputs = [model["mu"], *(model[name] for name in names)]
    outputs = model.replace_rvs_by_values(outputs)
    outputs += model.logp(vars=model.observed_RVs, sum=False, jacobian=False)
    function = model.compile_fn(
        outputs, inputs=model.value_vars, mode=SLOW_BUT_INSTANT, on_unused_input="ignore"
    )
    eta, *found = function(point)
    return eta, dict(zip(names, found, strict=False)), found[len(names) :]


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("choice ~ x + (1 |p| person)", "categorical"),
        ("mvbind(bus, car, walk) ~ x + (1 | person)", "multinomial"),
    ],
)
def test_the_likelihood_of_categories_is_the_family_s(formula, family):
    design = bl.build_design(formula, journeys(), family=family)
    assert isinstance(design.family, OfCategories)
    eta, _, (logp,) = at_random(design)
    expected = design.family.log_density(design.y, eta, {}, design.trials)
    # Sums of a few logarithms.
    assert np.allclose(logp, expected.reshape(-1, 2)[:, 0], rtol=1e-10)
    assert not expected.reshape(-1, 2)[:, 1].any()


def test_responses_have_the_densities_of_their_own_families():
    table = growth().assign(young=np.random.default_rng(1).poisson(3, 60), eggs=9)
    families = {"tarsus": "student", "young": "binomial", "back": "gaussian"}
    design = bl.build_design(
        "tarsus ~ x + (1 |p| family); young ~ sex + (1 |p| family); back ~ 1", table,
        family=families, trials={"young": "eggs"},
    )  # fmt: skip
    assert isinstance(design.family, OfResponses)
    eta, phi, found = at_random(design)
    expected = design.family.log_density(design.y, eta, phi, design.trials)
    for k, logp in enumerate(found):
        rows = design.stack.rows_of(k)
        assert np.allclose(logp, expected[rows], rtol=1e-10)
    assert list(phi) == ["sigma_tarsus", "nu_tarsus", "sigma_back"]
    priors = bl.resolve_priors(design, {"nu_tarsus": "Gamma(4, 1)"})
    assert str(priors.parameters["nu_tarsus"]) == "Gamma(alpha=4, beta=1)"
    alone = bl.build_design("back ~ 1", table.dropna())
    assert priors.parameters["sigma_back"].family == bl.resolve_priors(alone).sigma.family


def test_probabilities_of_categories_are_their_odds():
    eta = np.random.default_rng(1).normal(0, 3, (50, 2))
    p = np.exp(log_probabilities(eta))
    assert np.allclose(p.sum(axis=1), 1.0, rtol=1e-14)
    assert np.allclose(np.log(p[:, 1:] / p[:, :1]), eta, rtol=1e-10)
    far = log_probabilities(np.array([[800.0, -800.0]]))
    assert np.allclose(far, [[-800.0, 0.0, -1600.0]])
    counts = np.array([[2.0, 1.0]])
    many = bl.Multinomial().log_density(counts, eta[:1], {}, np.array([4.0]))
    one = sum(
        bl.Categorical().log_density(hot, eta[:1], {}, None)
        for hot in np.array([[[1.0, 0]], [[1.0, 0]], [[0, 1.0]], [[0, 0]]])
    )
    # 4! / (1! 2! 1!) orders of the same counts.
    assert np.allclose(many - one, np.log(12.0), rtol=1e-12)


def test_draws_have_the_moments_of_their_family():
    family = OfCategories(bl.Multinomial(), 2)
    eta = np.tile([0.5, -0.3], 40_000)[:, None]
    known = np.full(80_000, 5.0)[:, None]
    drawn = family.draw(eta, {}, known, np.random.default_rng(1))[:, 0].reshape(-1, 2)
    # Of 40,000 draws the mean lies within four of its standard errors.
    mean, variance = 5 * family.mean(eta[:2], {})[:, 0], family.variance(eta[:2], {}, known[:2])
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 4 * np.sqrt(variance[:, 0] / 40_000))


def test_a_response_that_its_levels_fit_exactly_is_refused_among_others():
    table = growth().dropna().assign(size=lambda t: 1.0 + t["family"].str[1:].astype(int))
    design = bl.build_design(
        "tarsus ~ x; size ~ 1 + (1 | family)", table,
        family={"tarsus": "gaussian", "size": "gamma"},
    )  # fmt: skip
    priors = bl.resolve_priors(design).parameters
    with pytest.raises(DataError, match="'size' does not vary within the levels of 'family'"):
        require_dispersion(design, priors)
