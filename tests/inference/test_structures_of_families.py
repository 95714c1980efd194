"""Structured effects of responses that are not Gaussian: by nodes, and by the chain."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.inference.laplace_chain.sample import latent_model
from bayeslmm.inference.laplace_chain.target import LaplaceTarget
from bayeslmm.model.model import Model
from bayeslmm.model.priors.resolve import resolve_priors

EPIL = bl.load_dataset("epil")
HALVES = EPIL.assign(half=np.where(EPIL["period"] > 2, "late", "early"))
MEAN = "y ~ lbase4 + trt"


@pytest.fixture(scope="module")
def chain():
    return bl.fit_bayes(
        f"{MEAN} + ar1(0 + period | subject)", EPIL, family="poisson", random_seed=1
    )


def test_the_chain_takes_a_structure_of_many_columns(chain):
    assert chain.attrs["engine"] == "laplace_chain"
    told = bl.variance_components(chain).set_index("quantity")["mean"]
    fit = bl.fit_ml(str(chain.attrs["formula"]), EPIL, family="poisson")
    sd, rho = fit.estimates["estimate"].iloc[-2:]
    # Half of a posterior sd, 0.05 and 0.075, of a mean that is no mode.
    assert told["sd"] == pytest.approx(sd, abs=0.04)
    assert told["rho"] == pytest.approx(rho, abs=0.05)
    sds = chain["posterior"]["sd_subject"].to_numpy()
    assert sds.shape[-1] == 4
    assert (sds == sds[..., :1]).all()
    corr = chain["posterior"]["corr_subject"].to_numpy()
    np.testing.assert_allclose(corr[..., 0, 3], chain["posterior"]["rho_subject"].to_numpy() ** 3)


@pytest.mark.filterwarnings("ignore:Pareto k exceeds")
@pytest.mark.parametrize("structure", ["homcs", "cs", "homdiag"])
def test_nodes_and_chain_have_one_posterior(structure):
    formula = f"{MEAN} + {structure}(0 + half | subject)"
    nodes, chain = (
        bl.fit_bayes(formula, HALVES, family="poisson", random_seed=1, sampler=sampler)
        for sampler in ("quadrature", "laplace_chain")
    )
    assert nodes.attrs["engine"] == "quadrature"
    for name in set(nodes["posterior"]) - {"b_subject"}:
        one, two = (fit["posterior"][name].to_numpy() for fit in (nodes, chain))
        assert one.shape == two.shape
        # 4,000 draws and a chain's some 1,500: a tenth of an sd is three Monte Carlo errors.
        error = np.maximum(one.std(axis=(0, 1)), 1e-9)
        assert (np.abs(one.mean(axis=(0, 1)) - two.mean(axis=(0, 1))) < 0.15 * error).all(), name
    assert np.isfinite(float(bl.loo(nodes, unit="group").elpd))


def _target(formula):
    design = bl.build_design(formula, HALVES, family="poisson")
    model = Model(design, resolve_priors(design))
    return LaplaceTarget(latent_model(model), model.priors, [])


def test_the_chain_s_density_is_that_of_the_same_unstructured_g():
    told, free = (_target(f"{MEAN} + {term}(0 + half | subject)") for term in ("homcs", "us"))
    sd, rho = 0.6, 0.4
    points = [
        told.point(np.array([[sd, 0.5 * (1.0 + rho)]])),
        free.point(np.array([[sd, sd, rho]])),
    ]
    np.testing.assert_allclose(told.packed(points[0]), free.packed(points[1]), rtol=1e-12)
    values = [
        target.evaluate(point).log_density - target.log_prior(point)
        for target, point in zip((told, free), points, strict=True)
    ]
    np.testing.assert_allclose(*values, rtol=1e-12)


def test_predictions_of_such_a_fit_know_its_effects(chain):
    new = pd.DataFrame({"lbase4": [1.0], "trt": ["placebo"], "period": [2], "subject": ["nobody"]})
    found = bl.predict_table(chain, new, new_levels="sample", random_seed=1)
    assert found["sd"].iloc[0] > 0.5
