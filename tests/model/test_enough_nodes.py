"""How many nodes a likelihood needs, and which designs nodes are for."""

import json
from pathlib import Path

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.model.quadrature.enough_nodes import LADDERS, NodeError, node_error
from bayeslmm.model.quadrature.level_rows import level_rows, why_not
from bayeslmm.model.quadrature.likelihood import LevelLikelihood, Points

REFERENCE = Path(__file__).parent.parent / "reference" / "glmm" / "fits.json"
FITS = {fit["id"]: fit for fit in json.loads(REFERENCE.read_text("utf-8"))["fits"]}


def test_nodes_are_doubled_until_it_does_not_matter():
    """Toenail needs 31 at its maximum; seven would be off by more than one."""
    fit = FITS["toenail_agq51"]
    design = bl.build_design(fit["formula"], bl.load_dataset("toenail"), family="bernoulli")
    likelihood = LevelLikelihood(level_rows(design, ()), 1)
    beta, sd = np.array([fit["fixed"]["estimate"]]), fit["sd"]["patientID"]
    at = Points(np.full((1, 1, 1), sd), beta, np.zeros((1, 0)))
    exact = likelihood.with_nodes(121).values(at)[0]
    assert abs(likelihood.with_nodes(7).values(at)[0] - exact) > 1.0
    errors = [node_error(likelihood.with_nodes(K), at) for K in (7, 31, 41)]
    assert [error.enough for error in errors] == [False, True, True]
    assert errors[1].error == pytest.approx(
        abs(likelihood.with_nodes(31).values(at)[0] - exact), abs=1e-4
    )
    assert not NodeError(7, 0.01).enough
    assert all(count % 2 for ladder in LADDERS.values() for count in ladder)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("y ~ 1 + (1 | subject) + (1 | period)", "2 grouping factors"),
        ("y ~ 1", "no grouping factor"),
        ("y ~ 1 + (V4 + lage | subject)", "3 columns"),
    ],
)
def test_other_models_are_refused_with_the_reason(formula, said):
    design = bl.build_design(formula, bl.load_dataset("epil"), family="poisson")
    assert said in why_not(design)
