"""Prior studies of other families, with draws from nowhere in the place of refits."""

import numpy as np
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, PriorError
from bayeslmm.model.priors.resolve import resolve_priors, vary_priors
from bayeslmm.studies.files import study_key

pytestmark = pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
FORMULA = "y ~ x + (1 | g)"


@pytest.fixture
def fits(monkeypatch):
    """Stand in for `fit_bayes`, and record what it was asked for."""
    asked = []

    def fit_bayes(formula, data, *, priors, random_seed, **given):
        coding = {name: given[name] for name in ("weights", "missing", "family", "link", "trials")}
        asked.append((priors, coding))
        how = {name: coding[name] for name in ("family", "link", "trials")}
        shape = {"chains": given["chains"], "draws": given["draws"]}
        draws = trees.random_draws(formula, data, **shape, **how)
        return bl.adopt(draws, formula, data, priors=priors, random_seed=random_seed, **coding)

    monkeypatch.setattr("bayeslmm.studies.scenario_run.fit_bayes", fit_bayes)
    return asked


def study(family, scenarios, **more):
    trials = "size" if family in trees.OF_TRIALS else None
    return bl.prior_study(
        FORMULA, trees.family_data(family), scenarios, family=family, trials=trials,
        draws=100, progressbar=False, **more,
    )  # fmt: skip


def test_refits_are_of_the_family_its_link_and_trials(fits):
    found = study("binomial", ["brms", "probability"], link="probit", reweight=False)
    assert len(fits) == 3
    for priors, coding in fits:
        assert (coding["family"], coding["link"], coding["trials"]) == (
            "binomial", "probit", "size",
        )  # fmt: skip
        assert not priors.parameters
    assert found.attrs["family"] == "binomial"
    assert "sigma" not in found["posterior"]
    table = bl.summarise_study(found)
    assert set(table.index.get_level_values("quantity")) >= {"x", "sd_g[Intercept]", "icc[g]"}


def test_scenarios_vary_the_familys_parameters_and_are_reweighted(fits):
    found = study("negbinomial", {"shape": ["Exponential(1)", "Exponential(1.1)"]})
    assert list(found["scenarios"]["scenario"].to_numpy()) == [
        "reference", "shape=Exponential(1)", "shape=Exponential(1.1)",
    ]  # fmt: skip
    methods = found["scenarios"]["method"].to_numpy()
    assert "reweighted" in methods
    assert "shape" in found["posterior"]


@pytest.mark.parametrize(
    ("family", "scenarios", "message"),
    [
        ("student", ["brms", "rstanarm"], "'rstanarm': The prior scheme 'rstanarm'"),
        ("poisson", ["probability"], "means between 0 and 1"),
        ("bernoulli", {"tight": {"sigma": "HalfNormal(1)"}}, "'tight': .*no parameter 'sigma'"),
    ],
)
def test_scenarios_that_the_family_does_not_take_are_refused_by_name(
    fits, family, scenarios, message
):
    with pytest.raises(PriorError, match=message):
        study(family, scenarios)
    assert not fits


def test_quantities_know_the_familys_parameters(fits):
    found = study("negbinomial", ["brms"], quantities={"spread": "1 / sqrt(shape)"})
    values = found["posterior"].sel(scenario="reference")
    np.testing.assert_allclose(values["spread"], values["shape"] ** -0.5)
    with pytest.raises(ArgumentError, match="'sigma', which is no parameter"):
        study("negbinomial", ["brms"], quantities={"spread": "sigma"})


def test_finished_scenarios_of_another_family_are_not_taken():
    data = trees.family_data("poisson")
    keys = {
        study_key(bl.build_design(FORMULA, data, family=family), {}, 0, {}, True)
        for family in ("gaussian", "poisson", "negbinomial")
    }
    assert len(keys) == 3


def test_varied_priors_keep_the_rest_of_every_family():
    design = bl.build_design(FORMULA, trees.family_data("beta"), family="beta")
    base = resolve_priors(design, {"scheme": "brms", "Intercept": "Normal(0, 1)"})
    varied, deciding = vary_priors(design, {"phi": "Gamma(2, 0.1)"}, base)
    assert deciding == {"phi": "phi"}
    assert str(varied.parameters["phi"]) == "Gamma(alpha=2, beta=0.1)"
    assert varied.beta == base.beta
    assert varied.factors == base.factors
    assert varied.origins["phi"] == "user"
