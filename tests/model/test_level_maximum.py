"""Maximum likelihood by quadrature and by Laplace against lme4 and glmmTMB."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import bayeslmm as bl
from bayeslmm.errors import ArgumentError
from bayeslmm.model.quadrature.enough_nodes import LADDERS, NodeError, node_error
from bayeslmm.model.quadrature.level_rows import level_rows, why_not
from bayeslmm.model.quadrature.likelihood import LevelLikelihood, Points
from bayeslmm.model.quadrature.maximum import maximize_likelihood

REFERENCE = Path(__file__).parent.parent / "reference"
FITS = {fit["id"]: fit for fit in json.loads((REFERENCE / "families.json").read_text())["fits"]}
EXACT = ["cbpp_agq25", "cbpp_probit", "contraception_agq15", "toenail_agq51"]
NODES = {"cbpp_agq25": 25, "cbpp_probit": 25, "contraception_agq15": 15, "toenail_agq51": 51}
LAPLACE = ["cbpp_laplace", "contraception_laplace", "epil_poisson_laplace", "epil_nb_laplace",
           "owls_nb_offset", "salamanders_poisson", "gamma_laplace", "beta_laplace"]  # fmt: skip


def design_of(fit):
    if fit["dataset"]:
        table = bl.load_dataset(fit["dataset"])
    else:
        table = pd.read_csv(REFERENCE / "data" / "simulated_positive.csv")
    return bl.build_design(
        fit["formula"], table, family=fit["family"], link=fit["link"], trials=fit.get("trials")
    )


def left_out(design, fit):
    """Where it integrates by quadrature, lme4 counts from the saturated model's log-likelihood."""
    if fit["family"] != "binomial" or fit["id"] == "cbpp_laplace":
        return 0.0
    return float(binom.logpmf(design.y, design.trials, design.y / design.trials).sum())


@pytest.mark.parametrize("name", EXACT)
def test_quadrature_gives_lme4s_fit(name):
    fit = FITS[name]
    design = design_of(fit)
    found = maximize_likelihood(design, NODES[name])
    assert found.log_likelihood - left_out(design, fit) == pytest.approx(fit["loglik"], abs=1e-4)
    error = np.abs(found.beta - fit["estimate"]) / fit["se"]
    assert error.max() < 1e-3
    assert found.errors == pytest.approx(fit["se"], rel=5e-3)
    # Its optimiser stops within some 1e-4 of the maximum.
    assert found.L[0, 0] == pytest.approx(fit["sd"], rel=5e-4)


@pytest.mark.parametrize("name", LAPLACE)
def test_one_node_is_laplaces_approximation(name):
    fit = FITS[name]
    found = maximize_likelihood(design_of(fit), 1)
    # lme4's optimum is up to 4e-4 below the maximum for Poisson responses; glmmTMB's is exact.
    assert -1e-6 < found.log_likelihood - fit["loglik"] < 5e-4
    if "glmmTMB" in fit["program"]:
        assert found.log_likelihood == pytest.approx(fit["loglik"], abs=1e-6)
        assert found.L[0, 0] == pytest.approx(fit["sd"], rel=1e-4)
    if name != "salamanders_poisson":  # other contrasts
        error = np.abs(found.beta - fit["estimate"]) / fit["se"]
        assert error.max() < 2e-3
        # lme4 differentiates its deviance by rough steps.
        assert found.errors == pytest.approx(fit["se"], rel=1.5e-2)
    if name == "epil_nb_laplace":
        assert found.phi["shape"] == pytest.approx(fit["sigma"], rel=1e-4)
    if name == "gamma_laplace":
        assert found.phi["shape"] == pytest.approx(fit["sigma"] ** -2, rel=1e-4)


def test_nodes_are_doubled_until_it_does_not_matter():
    """Toenail needs 31 at its maximum; seven would be off by more than one."""
    design = design_of(FITS["toenail_agq51"])
    likelihood = LevelLikelihood(level_rows(design, ()), 1)
    fit = FITS["toenail_agq51"]
    at = Points(np.full((1, 1, 1), fit["sd"]), np.array([fit["estimate"]]), np.zeros((1, 0)))
    exact = likelihood.with_nodes(121).values(at)[0]
    assert abs(likelihood.with_nodes(7).values(at)[0] - exact) > 1.0
    errors = [node_error(likelihood.with_nodes(K), at) for K in (7, 31, 41)]
    assert [error.enough for error in errors] == [False, True, True]
    assert errors[1].error == pytest.approx(
        abs(likelihood.with_nodes(31).values(at)[0] - exact), abs=1e-4
    )
    assert maximize_likelihood(design).n_nodes >= 31
    assert not NodeError(7, 0.01).enough
    assert all(count % 2 for ladder in LADDERS.values() for count in ladder)


def test_a_gaussian_response_is_fit_reml_s_maximum_likelihood():
    table = bl.load_dataset("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    found = maximize_likelihood(bl.build_design(formula, table), 1)
    exact = bl.fit_reml(formula, table, method="ML")
    assert found.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-6)
    assert found.beta == pytest.approx(exact.fixed_effects["estimate"].to_numpy(), rel=1e-5)
    sds = np.sqrt(np.diag(found.L @ found.L.T))
    assert [*sds, found.phi["sigma"]] == pytest.approx([23.7805, 5.7168, 25.5918], rel=1e-3)  # lme4


def test_uncorrelated_columns_have_no_covariance():
    table = bl.load_dataset("contraception")
    formula = "use01 ~ urban + (1 | district) + (0 + age | district)"
    found = maximize_likelihood(bl.build_design(formula, table, family="bernoulli"), 7)
    assert found.L[1, 0] == 0.0
    assert (np.diag(found.L) >= 0.0).all()


def test_other_models_are_refused_with_the_reason():
    table = bl.load_dataset("epil")
    for formula, said in (
        ("y ~ 1 + (1 | subject) + (1 | period)", "2 grouping factors"),
        ("y ~ 1", "no grouping factor"),
        ("y ~ 1 + (V4 + lage | subject)", "3 columns"),
    ):
        design = bl.build_design(formula, table, family="poisson")
        assert said in why_not(design)
        with pytest.raises(ArgumentError, match=said):
            maximize_likelihood(design)
    design = bl.build_design("y ~ 1 + (1 | subject)", table, family="poisson")
    with pytest.raises(ArgumentError, match="odd"):
        maximize_likelihood(design, 8)
