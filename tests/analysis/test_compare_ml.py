"""Posteriors beside maximum likelihood: hand-worked tables, and families that REML is not for."""

import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, TreeError

SMALL = {
    "n": np.array([2, 3, 1, 4, 2, 8, 6, 9, 5, 7, 1, 2, 2, 3, 1]),
    "size": np.full(15, 10),
    "x": np.tile([0.0, 1.0, 2.0, 3.0, 4.0], 3),
    "g": np.repeat(list("abc"), 5),
}


@pytest.fixture(scope="module")
def tree():
    """Draws of two values each, so that means and sds are known."""
    draws = {
        "beta": np.stack([np.full((2, 4), -1.0), np.full((2, 4), 0.2)], axis=-1)
        + np.where(np.arange(4) % 2, 0.5, -0.5)[None, :, None],
        "sd_g": np.broadcast_to([[1.0], [2.0], [1.0], [2.0]], (2, 4, 1)),
        "b_g": np.zeros((2, 4, 3, 1)),
    }
    return trees.make_tree("n ~ x + (1 | g)", SMALL, draws, family="binomial", trials="size")


def test_the_model_is_refitted_from_the_tree_alone(tree):
    table = bl.compare_ml(tree)
    fit = bl.fit_ml("n ~ x + (1 | g)", SMALL, family="binomial", trials="size")
    assert list(table.index) == ["Intercept", "x", "sd_g[Intercept]"]
    np.testing.assert_allclose(table["ml"], fit.estimates["estimate"], rtol=1e-10)
    np.testing.assert_allclose(table["ml_se"], fit.estimates["std_error"], rtol=1e-8)
    np.testing.assert_allclose(table["mean"], [-1.0, 0.2, 1.5], atol=1e-12)
    np.testing.assert_allclose(table["diff_sd"], (table["mean"] - table["ml"]) / table["sd"])
    np.testing.assert_allclose(
        table["diff_mcse"], (table["mean"] - table["ml"]) / table["mcse_mean"]
    )
    assert table.attrs == {"singular": False, "approximation": "quadrature"}


def test_a_fit_at_hand_is_taken(tree):
    fit = bl.fit_ml(
        "n ~ x + (1 | g)", SMALL, family="binomial", trials="size", approximation="laplace"
    )
    table = bl.compare_ml(tree, fit=fit)
    assert table.attrs["approximation"] == "laplace"
    assert table["ml"].tolist() == fit.estimates["estimate"].tolist()
    with pytest.raises(ArgumentError, match="fit is a result of fit_ml, and not a str"):
        bl.compare_ml(tree, fit="laplace")
    other = bl.fit_ml("n ~ 1 + (1 | g)", SMALL, family="binomial", trials="size")
    with pytest.raises(TreeError, match="of 3 parameters, and the fit of 2"):
        bl.compare_ml(tree, fit=other)


@pytest.mark.parametrize("verb", [bl.compare_reml, bl.refit_reml])
def test_reml_names_what_is_for_other_families(verb, tree):
    with pytest.raises(TreeError, match=r"family of this fit is 'binomial'. compare_ml"):
        verb(tree)


def test_slopes_and_parameters_of_the_family_stand_in_the_fits_order():
    rng = np.random.default_rng(3)
    table = {"x": rng.normal(size=80), "g": np.repeat(list("abcdefgh"), 10)}
    effects = rng.normal(size=(8, 2)).repeat(10, axis=0) * [0.6, 0.4]
    table["y"] = np.exp(effects[:, 0] + (0.3 + effects[:, 1]) * table["x"]) * rng.gamma(
        3, 1 / 3, 80
    )
    corr = np.broadcast_to([[1.0, 0.25], [0.25, 1.0]], (1, 4, 2, 2))
    draws = {
        "beta": np.broadcast_to([1.0, 2.0], (1, 4, 2)),
        "sd_g": np.broadcast_to([3.0, 4.0], (1, 4, 2)),
        "corr_g": corr,
        "b_g": np.zeros((1, 4, 8, 2)),
        "shape": np.full((1, 4), 5.0),
    }
    tree = trees.make_tree("y ~ x + (x | g)", table, draws, family="gamma")
    compared = bl.compare_ml(tree)
    assert compared["mean"].tolist() == [1.0, 2.0, 3.0, 4.0, 0.25, 5.0]
    assert compared.index[-2:].tolist() == ["corr_g[Intercept, x]", "shape"]
