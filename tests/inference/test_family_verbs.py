"""Families through what takes a formula and rows beside a fit: prior draws, adopted draws."""

import numpy as np
import pandas as pd
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError, PriorError, TreeError

RNG = np.random.default_rng(5)
N = 60
TABLE = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "g": np.repeat(list("abcdef"), 10),
        "n": RNG.integers(1, 9, N),
        "exposure": RNG.uniform(1, 5, N),
        "yes": np.where(RNG.random(N) < 0.4, "yes", "no"),
    }
).assign(
    y01=lambda t: (t["yes"] == "yes").astype(int),
    successes=lambda t: RNG.binomial(t["n"], 0.4),
    count=RNG.poisson(3.0, N),
    positive=RNG.gamma(2.0, 1.0, N),
    share=RNG.beta(2, 3, N),
    number=RNG.normal(size=N),
)
CASES = {
    "bernoulli": ("y01", {}),
    "bernoulli probit": ("y01", {"link": "probit"}),
    "binomial": ("successes", {"trials": "n"}),
    "poisson": ("count", {}),
    "negbinomial": ("count", {}),
    "gamma": ("positive", {}),
    "lognormal": ("positive", {}),
    "beta": ("share", {}),
    "student": ("number", {}),
    "beta_binomial": ("successes", {"trials": "n"}),
    "zero_inflated_poisson": ("count", {}),
    "zero_one_inflated_beta": ("share", {}),
    "hurdle_gamma": ("positive", {}),
    "truncated_negbinomial": ("n", {}),
}


def given(case):
    response, how = CASES[case]
    return f"{response} ~ x + (x | g)", {"family": case.split()[0], **how}


@pytest.mark.parametrize("case", CASES)
def test_prior_draws_have_the_familys_parameters_and_possible_responses(case):
    formula, how = given(case)
    tree = bl.sample_prior(formula, TABLE, draws=40, random_seed=1, **how)
    design = bl.build_design(formula, TABLE, **how)
    names = {p.name for p in design.family.parameters}
    drawn = set(tree["prior"].data_vars)
    assert names == drawn - {"beta", "sd_g", "corr_g", "b_g"}
    assert tree.attrs["family"] == design.family.name
    response = next(iter(tree["prior_predictive"].data_vars.values())).to_numpy()
    known = None if design.known is None else design.known[None, None]
    assert design.family.response.allowed(np.minimum(response, 1e300), known).all()
    # The same as of a design that is built already.
    again = bl.sample_prior(design, draws=40, random_seed=1)
    xr.testing.assert_identical(again["prior"].to_dataset(), tree["prior"].to_dataset())


def test_prior_responses_of_a_binomial_are_counts_among_the_trials():
    formula, how = given("binomial")
    flat = {"Intercept": "Normal(0, 0.001)", "beta": "Normal(0, 0.001)", "sd": "HalfNormal(0.001)"}
    tree = bl.sample_prior(formula, TABLE, draws=4000, priors=flat, random_seed=1, **how)
    counts = tree["prior_predictive"]["successes"].to_numpy()[0]
    trials = TABLE["n"].to_numpy()
    # Binomial of one half: Monte Carlo error of a mean of 4000 counts is below 0.023.
    np.testing.assert_allclose(counts.mean(axis=0), trials / 2, atol=0.12)
    np.testing.assert_allclose(counts.var(axis=0), trials / 4, rtol=0.15)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
@pytest.mark.parametrize("case", CASES)
def test_draws_of_another_program_are_adopted(case):
    formula, how = given(case)
    draws = trees.random_draws(formula, TABLE, chains=2, draws=100, **how)
    tree = bl.adopt(draws, formula, TABLE, random_seed=1, **how)
    assert tree.attrs["family"] == how["family"]
    for name, values in draws.items():
        np.testing.assert_array_equal(tree["posterior"][name], values)
    assert set(tree["log_prior"].data_vars) == set(draws) - {"b_g"}


def test_effects_that_cannot_be_drawn_back_are_asked_for():
    formula, how = given("poisson")
    draws = trees.random_draws(formula, TABLE, chains=2, draws=100, **how)
    del draws["b_g"]
    with pytest.raises(TreeError, match="given a poisson response effects cannot be drawn back"):
        bl.adopt(draws, formula, TABLE, **how)
    del draws["beta"]
    with pytest.raises(TreeError, match="no variable 'beta'"):
        bl.adopt(draws, formula, TABLE, **how)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_effects_of_lognormal_responses_are_drawn_back():
    formula, how = given("lognormal")
    draws = trees.random_draws(formula, TABLE, chains=2, draws=100, **how)
    del draws["b_g"], draws["beta"]
    tree = bl.adopt(draws, formula, TABLE, random_seed=1, **how)
    of_log = bl.adopt(draws, formula.replace("positive", "log(positive)"), TABLE, random_seed=1)
    np.testing.assert_allclose(tree["posterior"]["b_g"], of_log["posterior"]["b_g"])


def test_a_parameter_of_the_family_is_positive_and_there():
    formula, how = given("negbinomial")
    draws = trees.random_draws(formula, TABLE, chains=2, draws=100, **how)
    with pytest.raises(TreeError, match="'shape' goes down to 0, and is a positive number"):
        bl.adopt({**draws, "shape": 0 * draws["shape"]}, formula, TABLE, **how)
    del draws["shape"]
    with pytest.raises(TreeError, match="no variable 'shape'"):
        bl.adopt(draws, formula, TABLE, **how)


def test_priors_of_adopted_draws_are_of_the_family():
    formula, how = given("bernoulli")
    draws = trees.random_draws(formula, TABLE, chains=2, draws=100, **how)
    with pytest.raises(PriorError, match="no parameter 'sigma'"):
        bl.adopt(draws, formula, TABLE, priors={"sigma": "HalfNormal(1)"}, **how)


class Asked(Exception):  # noqa: N818 - carries arguments, and is no error
    """What `update` asked `fit_bayes` for."""


@pytest.fixture
def asked(monkeypatch):
    """Return what `update` would fit: sampling itself is not the question here."""

    def refuse(formula, data, **how):
        raise Asked(formula, data, how)

    monkeypatch.setattr("bayeslmm.inference.update.fit_bayes", refuse)

    def ask(*args, **kwargs):
        with pytest.raises(Asked) as caught:
            bl.update(*args, **kwargs)
        return caught.value.args

    return ask


def adopted(case, **changes):
    formula, how = given(case)
    how |= changes
    draws = trees.random_draws(formula, TABLE, chains=2, draws=50, **how)
    return bl.adopt(draws, formula, TABLE, random_seed=1, **how)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
@pytest.mark.parametrize("case", CASES)
def test_an_update_keeps_family_link_trials_and_priors(case, asked):
    fit = adopted(case)
    formula, data, how = asked(fit)
    assert str(formula) == fit.attrs["formula"]
    assert (how["family"], how["link"]) == (fit.attrs["family"], fit.attrs["link"])
    assert how["priors"].to_json() == fit.attrs["priors"]
    known = {name: how[name] for name in ("weights", "trials") if name in how}
    again = bl.build_design(formula, data, family=how["family"], link=how["link"], **known)
    response, _ = CASES[case]
    np.testing.assert_array_equal(again.y, TABLE[response])
    np.testing.assert_array_equal(again.trials, TABLE["n"] if "trials" in CASES[case][1] else None)
    assert str(asked(fit, ". ~ . - x")[0]) == f"{response} ~ 1 + (1 + x | g)"


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_an_update_changes_family_or_link_alone(asked):
    _, _, how = asked(adopted("bernoulli"), link="probit")
    assert (how["family"], how["link"]) == ("bernoulli", "probit")
    assert how["priors"].beta[0].numbers[1] == 1.5
    _, _, how = asked(adopted("bernoulli probit"), family="poisson")
    assert (how["family"], how.get("link"), how.get("trials")) == ("poisson", None, None)
    _, _, how = asked(adopted("binomial"), family="poisson")
    assert how.get("trials") is None
    _, _, how = asked(adopted("poisson"), family="negbinomial")
    assert list(how["priors"].parameters) == ["shape"]


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_an_update_takes_trials_of_new_rows_from_their_column(asked):
    new = TABLE[:30]
    assert asked(adopted("binomial"), data=new)[2]["trials"] == "n"
    with pytest.raises(DataError, match=r"trials that were given by themselves.* give trials="):
        bl.update(adopted("binomial", trials=9), data=new)
    assert asked(adopted("binomial", trials=9), data=new, trials=9)[2]["trials"] == 9
    with pytest.raises(ArgumentError, match="needs their numbers of trials"):
        bl.update(adopted("poisson"), family="binomial")


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.BayesLMMWarning")
def test_an_update_codes_labels_as_the_fit_did(asked, tmp_path):
    draws = trees.random_draws("yes ~ x + (x | g)", TABLE, draws=50, family="bernoulli")
    fit = bl.adopt(draws, "yes ~ x + (x | g)", TABLE, family="bernoulli")
    fit.to_netcdf(tmp_path / "fit.nc")
    _, data, how = asked(xr.load_datatree(tmp_path / "fit.nc"))
    design = bl.build_design("yes ~ x", data, family=how["family"])
    np.testing.assert_array_equal(design.y, TABLE["y01"])
