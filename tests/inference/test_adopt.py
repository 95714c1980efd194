"""Draws of other programs as result trees."""

import warnings

import arviz as az
import numpy as np
import pymc as pm
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm.errors import NumericalError, SamplingWarning, TreeError

FORMULA = "y ~ x + (x | g)"
TABLE = trees.TINY
SHAPE = (4, 250)


@pytest.fixture(scope="module")
def fitted():
    return bl.fit_bayes(
        FORMULA, TABLE, parametrization="marginal", sampler="importance", random_seed=1,
        draws=SHAPE[1], progressbar=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def arrays(fitted):
    """The draws as plain arrays, as numpyro gives them."""
    return {str(name): values.to_numpy() for name, values in fitted["posterior"].items()}


def test_adopted_draws_are_the_draws_of_the_fit(fitted, arrays):
    adopted = bl.adopt(arrays, FORMULA, TABLE)
    xr.testing.assert_equal(adopted["posterior"].to_dataset(), fitted["posterior"].to_dataset())
    for group in ("log_prior", "observed_data", "constant_data"):
        xr.testing.assert_allclose(adopted[group].to_dataset(), fitted[group].to_dataset())
    same = ("formula", "response", "priors", "design", "n_levels", "n_obs", "data_fingerprint")
    assert {key: adopted.attrs[key] for key in same} == {key: fitted.attrs[key] for key in same}
    assert adopted.attrs["sampler"] == "another program"


def test_every_verb_works_on_an_adopted_tree(arrays, tmp_path):
    adopted = bl.adopt(arrays, FORMULA, TABLE)
    adopted.to_netcdf(tmp_path / "adopted.nc")
    adopted = xr.load_datatree(tmp_path / "adopted.nc")
    assert "4 chains of 250, another program" in str(bl.summary(adopted))
    for verb in (
        bl.fixed_effects, bl.random_effects, bl.variance_components, bl.coefficients, bl.icc,
        bl.r_squared, bl.shrinkage, bl.diagnose, bl.check_groups, bl.predict_table,
        bl.compare_reml, bl.prior_sensitivity, bl.plot_levels,
    ):  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", bl.SingularFitWarning)
            assert verb(adopted) is not None
    assert np.isfinite(bl.loo(adopted, unit="group").elpd)


def test_a_trace_of_build_models_model_is_read_as_pymc_writes_it():
    with bl.build_model(FORMULA, TABLE):
        trace = pm.sample_prior_predictive(draws=300, random_seed=1)
    trace["posterior"] = trace["prior"]
    adopted = bl.adopt(trace, FORMULA, TABLE)
    assert set(adopted["posterior"].data_vars) == {"beta", "sigma", "sd_g", "corr_g", "b_g"}
    assert adopted.attrs["sampler"] == "pymc"
    for name, found in adopted["posterior"].data_vars.items():
        np.testing.assert_array_equal(found, trace["posterior"][name].to_numpy())


def test_labels_are_put_in_the_models_order(fitted, arrays):
    turned = fitted["posterior"].to_dataset().isel(g=[2, 0, 1], g_term=[1, 0])
    turned = turned.isel(g_term_bis=[1, 0], coef=[1, 0])
    turned["b_g"] = turned["b_g"].transpose("g_term", "g", "draw", "chain")
    adopted = bl.adopt(turned, FORMULA, TABLE)
    for name, values in arrays.items():
        np.testing.assert_array_equal(adopted["posterior"][name], values)


def test_dimensions_without_labels_are_in_the_models_order(arrays):
    adopted = bl.adopt(az.from_dict({"posterior": arrays}), FORMULA, TABLE)
    np.testing.assert_array_equal(adopted["posterior"]["b_g"], arrays["b_g"])


def test_a_single_column_needs_no_dimension_of_its_own():
    rng = np.random.default_rng(1)
    trace = {
        "beta": rng.normal(size=SHAPE),
        "sigma": np.exp(rng.normal(size=SHAPE)),
        "sd_g": np.exp(rng.normal(size=SHAPE)),
        "b_g": rng.normal(size=(*SHAPE, 3)),
    }
    adopted = bl.adopt(trace, "y ~ 1 + (1 | g)", TABLE)
    assert adopted["posterior"]["b_g"].dims == ("chain", "draw", "g", "g_term")
    np.testing.assert_array_equal(adopted["posterior"]["b_g"][..., 0], trace["b_g"])
    assert adopted["posterior"]["beta"].shape == (*SHAPE, 1)


@pytest.mark.parametrize("given", [(), ("beta",)], ids=["effects", "random effects"])
def test_effects_that_are_not_there_are_drawn_from_their_conditional(given):
    priors = {"beta": "Normal(0, 2)", "Intercept": "Normal(0, 5)"}
    theta = {"sigma": 1.5, "sd_g": [2.0, 0.5], "corr_g": [[1.0, 0.6], [0.6, 1.0]]}
    known = {"beta": [1.0, 2.0]} if given else {}
    shape = (4, 5000)
    trace = trees.constant_draws(shape, **theta, **known)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SamplingWarning)  # theta stands still
        adopted = bl.adopt(trace, FORMULA, TABLE, priors=priors, random_seed=2)
    # The joint normal of (beta, b) by dense algebra.
    X = np.column_stack([np.ones(9), TABLE["x"]])
    Z = np.zeros((9, 6))
    for row, level in enumerate(np.searchsorted(["a", "b", "c"], TABLE["g"])):
        Z[row, 2 * level : 2 * level + 2] = X[row]
    G = np.outer(theta["sd_g"], theta["sd_g"]) * theta["corr_g"]
    turn = np.eye(2)
    turn[0, 1] = TABLE["x"].mean()
    prior = turn.T @ np.diag([1 / 25, 1 / 4]) @ turn
    y, W = TABLE["y"], np.hstack([X, Z])
    precision = np.zeros((8, 8))
    precision[:2, :2] = prior
    precision[2:, 2:] = np.kron(np.eye(3), np.linalg.inv(G))
    if given:
        y, W, precision = y - X @ [1.0, 2.0], Z, precision[2:, 2:]
    covariance = np.linalg.inv(W.T @ W / 1.5**2 + precision)
    mean = covariance @ W.T @ y / 1.5**2
    drawn = [adopted["posterior"]["b_g"].to_numpy().reshape(-1, 6)]
    if not given:
        drawn.insert(0, adopted["posterior"]["beta"].to_numpy().reshape(-1, 2))
    drawn = np.concatenate(drawn, axis=1)
    sd = np.sqrt(np.diag(covariance))
    # Five Monte Carlo standard errors of means and of standard deviations of 20,000 draws.
    assert np.abs((drawn.mean(axis=0) - mean) / sd).max() < 5 / np.sqrt(len(drawn))
    assert np.abs(drawn.std(axis=0) / sd - 1).max() < 5 / np.sqrt(2 * len(drawn))


def test_cross_products_do(arrays):
    gram = bl.Gram.from_design(bl.build_design(FORMULA, TABLE))
    variances = {name: arrays[name] for name in ("sigma", "sd_g", "corr_g")}
    adopted = bl.adopt(variances, FORMULA, gram, random_seed=1)
    again = bl.adopt(variances, FORMULA, TABLE, random_seed=1)
    np.testing.assert_array_equal(adopted["posterior"]["b_g"], again["posterior"]["b_g"])


def without(*lacking):
    return lambda arrays: {name: values for name, values in arrays.items() if name not in lacking}


def changed(**values):
    return lambda arrays: {**arrays, **{k: change(arrays[k]) for k, change in values.items()}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("sigma"), r"no variable 'sigma'.* It has: b_g, beta"),
        (without("sd_g"), "no variable 'sd_g'"),
        (without("corr_g"), "no variable 'corr_g'"),
        (without("beta"), "no variable 'beta'"),
        (changed(b_g=lambda b: b[..., :2, :]), r"'b_g' has the shape \(2, 2\) .* is \(3, 2\)"),
        (changed(beta=lambda b: b[..., :1]), r"'beta' has the shape \(1,\).*\(Intercept, x\)"),
        (changed(sigma=lambda s: s[:2]), r"the same for all: here are"),
        (changed(sigma=lambda s: s.ravel()), r"group_by_chain=True"),
        (changed(sd_g=np.log), r"'sd_g' goes down to -.* not its logarithm"),
        (changed(corr_g=np.linalg.cholesky), r"no correlation matrices .*L @ L\.T"),
    ],
)
def test_what_does_not_fit_the_model_is_refused_by_name(arrays, change, message):
    with pytest.raises(TreeError, match=message):
        bl.adopt(change(arrays), FORMULA, TABLE)


def test_other_labels_are_refused(fitted):
    other = fitted["posterior"].to_dataset().assign_coords(g=["a", "b", "d"])
    with pytest.raises(TreeError, match=r"'d' along 'g'.* It has a, b, c"):
        bl.adopt(other, FORMULA, TABLE)


def test_numbers_that_are_none_are_refused(arrays):
    spoiled = arrays["b_g"].copy()
    spoiled[0, 0, 0, 0] = np.nan
    with pytest.raises(NumericalError, match="'b_g' holds 1 numbers"):
        bl.adopt({**arrays, "b_g": spoiled}, FORMULA, TABLE)


@pytest.mark.parametrize(
    ("trace", "message"),
    [
        (3, "not a int"),
        (xr.DataTree(), r"no group 'posterior' \(it has: none\)"),
        (xr.Dataset({"sigma": ("draw", [1.0])}), "begin with chain and draw"),
    ],
)
def test_what_is_no_trace_is_refused(trace, message):
    with pytest.raises(TreeError, match=message):
        bl.adopt(trace, FORMULA, TABLE)


def test_fixed_effects_whose_priors_are_not_normal_must_be_there(arrays):
    variances = {name: arrays[name] for name in ("sigma", "sd_g", "corr_g")}
    with pytest.raises(TreeError, match="no variable 'beta'"):
        bl.adopt(variances, FORMULA, TABLE, priors={"beta": "StudentT(3, 0, 2)"})


def test_chains_that_do_not_agree_are_told(arrays):
    apart = arrays["beta"] + np.arange(4)[:, None, None] * 10
    with pytest.warns(SamplingWarning, match="R-hat"):
        bl.adopt({**arrays, "beta": apart}, FORMULA, TABLE)
