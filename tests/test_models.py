"""The shipped studies fit their data: sizes and names are those of the reference fits."""

from itertools import combinations
from pathlib import Path

import pytest

from bayeslmm.design import build_design
from bayeslmm.priors import resolve_priors
from bayeslmm.spec import find_specs, read_spec

SPECS = [read_spec(path) for path in find_specs(Path(__file__).parent.parent / "models")]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_study_has_the_rows_coefficients_and_levels_of_its_reference(spec):
    design = build_design(
        spec.formula, spec.data.load(), weights=spec.weights, missing=spec.missing
    )
    reference = spec.reference
    assert len(design.y) == reference.n_obs
    assert design.coef == tuple(reference.fixed_effects)
    assert {f.name: len(f.levels) for f in design.factors} == dict(reference.n_levels)
    sds, correlations = {"sigma"}, set()
    for factor in design.factors:
        sds |= {f"sd_{factor.name}[{term}]" for term in factor.terms}
        for block in factor.blocks:
            correlations |= {
                f"corr_{factor.name}[{factor.terms[i]},{factor.terms[j]}]"
                for i, j in combinations(block, 2)
            }
    assert set(reference.standard_deviations) == sds
    assert set(reference.correlations) == correlations


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_study_states_priors_that_its_model_has(spec):
    design = build_design(spec.formula, spec.data.load())
    origins = resolve_priors(design, dict(spec.priors)).origins
    assert ("user" in origins.values()) == bool(spec.priors)
