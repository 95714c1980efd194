"""Maximum likelihood of other families with structures of G: glmmTMB's numbers, and identities."""

import itertools

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.design.build import build_design
from bayeslmm.reml.glmm.coordinates import Coordinates
from bayeslmm.reml.glmm.quadrature import Quadrature

EPIL = bl.load_dataset("epil")
HALVES = EPIL.assign(half=np.where(EPIL["period"] > 2, "late", "early"))
MEAN = "y ~ lbase4 + trt"


def test_ar1_is_glmmtmb_s():
    """glmmTMB 1.1.5, ``y ~ lbase4 + trt + ar1(0 + factor(period) | subject)``, Laplace too."""
    fit = bl.fit_ml(f"{MEAN} + ar1(0 + period | subject)", EPIL, family="poisson")
    assert fit.log_likelihood == pytest.approx(-628.43965159, abs=2e-6)
    expected = [-0.0465917, 1.0194748, -0.3432163, 0.595804, 0.6955]
    np.testing.assert_allclose(fit.estimates["estimate"], expected, atol=6e-5)
    errors = [0.2002375, 0.0949376, 0.1427276]
    np.testing.assert_allclose(fit.fixed_effects["std_error"], errors, rtol=1e-3)
    assert list(fit.estimates.index[-2:]) == ["sd_subject[period]", "rho_subject"]
    assert fit.converged
    assert not fit.is_singular
    assert "rho" in fit.variance_components


@pytest.mark.parametrize("how", ["auto", "laplace"])
def test_two_heterogeneous_columns_are_the_unstructured_ones(how):
    free, told = (
        bl.fit_ml(f"{MEAN} + {term}", HALVES, family="poisson", approximation=how)
        for term in ("(0 + half | subject)", "cs(0 + half | subject)")
    )
    assert told.log_likelihood == pytest.approx(free.log_likelihood, abs=1e-6)
    both = told.estimates.to_numpy(), free.estimates.to_numpy()
    np.testing.assert_allclose(*both, rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(
        told.random_effects["subject"], free.random_effects["subject"], atol=1e-4
    )


def test_simpler_structures_lie_inside_larger_ones():
    fits = [
        bl.fit_ml(f"{MEAN} + {term}", HALVES, family="poisson")
        for term in ("homdiag(0 + half | subject)", "homcs(0 + half | subject)",
                     "cs(0 + half | subject)")
    ]  # fmt: skip
    assert [fit.n_parameters for fit in fits] == [4, 5, 6]
    assert fits[0].log_likelihood < fits[1].log_likelihood < fits[2].log_likelihood
    for small, large in itertools.pairwise(fits):
        assert bl.likelihood_ratio_test(small, large).loc[large.formula, "df"] == 1


@pytest.mark.parametrize("structure", ["homdiag", "homcs", "cs", "hetar1"])
def test_slopes_in_the_variables_are_differences(structure):
    design = build_design(f"{MEAN} + {structure}(0 + half | subject)", HALVES.assign(
        half=pd.Categorical(HALVES["half"], ordered=True)), family="poisson")  # fmt: skip
    coordinates = Coordinates(design)
    likelihood = Quadrature(coordinates, 9)
    x = np.random.default_rng(1).normal(0.4, 0.1, coordinates.size)

    def value(at):
        return likelihood.value_and_slopes(coordinates.point(at))[0]

    point = coordinates.point(x)
    found = coordinates.pull_back(point, likelihood.value_and_slopes(point)[1])
    moves = 1e-5 * np.eye(len(x))
    expected = [(value(x + move) - value(x - move)) / 2e-5 for move in moves]
    # Differences of a log-likelihood of some 1e3 keep eight digits.
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-5)
    np.testing.assert_allclose(coordinates.place(point), x, rtol=1e-9)


def test_a_correlation_on_its_bound_is_said():
    rng = np.random.default_rng(5)
    level = np.repeat(np.arange(40), 6)
    same = rng.normal(0.0, 1.0, 40)[level]
    half = np.tile(["a", "b"], 120)
    y = rng.poisson(np.exp(1.0 + same))
    table = pd.DataFrame({"y": y, "half": half, "g": [f"g{k}" for k in level]})
    with pytest.warns(bl.SingularFitWarning):
        fit = bl.fit_ml("y ~ 1 + homcs(0 + half | g)", table, family="poisson")
    assert fit.is_singular or fit.estimates.loc["rho_g", "estimate"] < 0.9999
