"""Every table of a fit, for every family: right, or refused with the family's name."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm.errors import TreeError
from bayeslmm.results.shares import share_of_draws

pytestmark = [
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning"),
    # Integrals given Student's t with wild draws may be rough.
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.NumericalWarning"),
]
PARAMETERS = {
    "bernoulli": (),
    "binomial": (),
    "poisson": (),
    "negbinomial": ("shape",),
    "gamma": ("shape",),
    "lognormal": ("sigma",),
    "beta": ("phi",),
    "student": ("sigma", "nu"),
}
RESIDUALS = ("lognormal",)  # whose sigma is a standard deviation, of the logarithm


@cache
def fit(family):
    data = trees.family_data(family)
    how = {"family": family, **({"trials": "size"} if family in trees.OF_TRIALS else {})}
    draws = trees.random_draws(trees.TINY_FORMULA, data, chains=4, draws=100, **how)
    draws |= {"nu": 4 * draws["nu"]} if "nu" in draws else {}
    return bl.adopt(draws, trees.TINY_FORMULA, data, random_seed=1, **how)


@pytest.fixture(params=PARAMETERS)
def family(request):
    return request.param


ANSWERED = {
    "fixed_effects": bl.fixed_effects,
    "random_effects": bl.random_effects,
    "coefficients": bl.coefficients,
    "variance_components": bl.variance_components,
    "tidy_draws": bl.tidy_draws,
    "icc": bl.icc,
    "icc of responses": lambda tree: bl.icc(tree, scale="observation", kind="unadjusted"),
    "icc at a value": lambda tree: bl.icc(tree, scale="observation", at={"x": 2.0}),
    "r_squared": lambda tree: bl.r_squared(tree, by_level="g"),
    "r_squared of responses": lambda tree: bl.r_squared(tree, scale="observation"),
    "describe_priors": lambda tree: bl.describe_priors(tree)[["q5", "q50", "q95"]],
    "implied_priors": lambda tree: bl.implied_priors(tree, "posterior"),
    "prior_sensitivity": bl.prior_sensitivity,
}


@pytest.mark.parametrize("name", ANSWERED)
def test_tables_are_numbers(family, name):
    table = ANSWERED[name](fit(family))
    assert len(table)
    numbers = table.select_dtypes("number")
    assert np.isfinite(numbers.drop(columns="r_hat", errors="ignore").to_numpy()).all()
    for write in (bl.to_markdown, bl.to_latex):
        assert len(write(table.head(3)).splitlines()) >= 3


@pytest.mark.parametrize("name", ["icc", "r_squared"])
@pytest.mark.parametrize("scale", ["latent", "observation"])
def test_shares_lie_between_zero_and_one(family, name, scale):
    table = getattr(bl, name)(fit(family), scale=scale)
    bounds = table[["mean", "eti95_lb", "eti95_ub"]].to_numpy()
    assert ((bounds > 0) & (bounds < 1)).all()


OF_CLOSED_FORMS = {
    "shrinkage": bl.shrinkage,
    "refit_reml": bl.refit_reml,
    "compare_reml": bl.compare_reml,
    "compare_random_effects": bl.compare_random_effects,
}
OF_ADDITIVE = {
    "design_effect": bl.design_effect,
    "marginal_covariance": lambda tree: bl.marginal_covariance(tree, level="b"),
}


@pytest.mark.parametrize("name", OF_CLOSED_FORMS)
def test_what_takes_normal_effects_is_refused_by_name(family, name):
    if family == "lognormal":
        OF_CLOSED_FORMS[name](fit(family))
        return
    with pytest.raises(TreeError, match=f"the family of this fit is '{family}'"):
        OF_CLOSED_FORMS[name](fit(family))


@pytest.mark.parametrize("name", OF_ADDITIVE)
def test_what_takes_a_constant_variance_is_refused_by_name(family, name):
    if family == "student":
        found = np.asarray(OF_ADDITIVE[name](fit(family)))
        assert np.isfinite(found).all()
        return
    with pytest.raises(TreeError, match=f"the family of this fit is '{family}'"):
        OF_ADDITIVE[name](fit(family))


def test_variance_components_name_the_familys_parameters(family):
    table = bl.variance_components(fit(family))
    rest = table[table["factor"] != "g"]
    if family in RESIDUALS:
        assert list(rest["factor"] + " " + rest["quantity"]) == ["Residual sd", "Residual variance"]
    else:
        assert set(rest["factor"]) <= {family}
        assert tuple(rest["quantity"]) == PARAMETERS[family]
    for name in PARAMETERS[family]:
        draws = fit(family)["posterior"][name].to_numpy()
        assert np.isclose(rest["mean"], draws.mean(), rtol=1e-12).any()


def test_a_summary_names_family_and_parameters(family):
    text = str(bl.summary(fit(family)))
    link = fit(family).attrs["link"]
    assert text.startswith(f"Bayesian {family} ({link}) mixed model: y ~ 1 + x + (1 + x | g)")
    lines = [line for line in text.splitlines() if line.split()[:1] == [family]]
    if family in RESIDUALS:
        assert any(line.split()[:2] == ["Residual", "sd"] for line in text.splitlines())
    elif PARAMETERS[family]:
        assert lines[0].split()[1] == PARAMETERS[family][0]
    assert ("Residual" in text) == (family in RESIDUALS)
    assert bl.summary(fit(family))._repr_html_()


def test_statements_and_draws_know_the_familys_parameters(family):
    tree = fit(family)
    for name in PARAMETERS[family]:
        draws = tree["posterior"][name].to_numpy()
        found = bl.hypothesis(tree, f"{name} > 1")
        assert found.loc[0, "probability"] == pytest.approx(share_of_draws(draws > 1))
        assert bl.tidy_draws(tree, [name])[name].tolist() == draws.ravel().tolist()
    ratio = bl.tidy_draws(tree, {"odds": "exp(x)"})["odds"]
    assert ratio.to_numpy() == pytest.approx(
        np.exp(tree["posterior"]["beta"].to_numpy()[..., 1].ravel())
    )
    if "sigma" not in PARAMETERS[family]:
        with pytest.raises(bl.ArgumentError, match="'sigma', which is no parameter of this fit"):
            bl.hypothesis(tree, "sigma > 1")


def test_a_tree_from_a_file_says_the_same(family, tmp_path):
    fit(family).to_netcdf(tmp_path / "fit.nc")
    back = xr.load_datatree(tmp_path / "fit.nc")
    for name in ("variance_components", "icc of responses", "describe_priors"):
        pd.testing.assert_frame_equal(ANSWERED[name](back), ANSWERED[name](fit(family)))
    assert str(bl.summary(back)) == str(bl.summary(fit(family)))


def test_one_chain_and_one_draw_are_enough_for_tables(family):
    few = fit(family).isel(chain=[0], draw=[0])
    for name in ("fixed_effects", "variance_components", "icc", "r_squared of responses"):
        assert len(ANSWERED[name](few))
