"""The census: 212 models that people fit, spelt here, built, and some of them fitted."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from census.fit import fit
from census.rows import PARTS, ROWS
from census.simulate import responses_of, simulate

import bayeslmm as bl

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "benchmarks"))

from parts.census_page import write_page  # noqa: E402

REFUSED = [row for row in ROWS.values() if row.refused]
FITTED = [row for row in ROWS.values() if not row.refused]
# One of each kind that is fitted in about a second.
QUICK = {
    **dict.fromkeys((12, 25, 74, 107, 111, 134, 165, 192, 197), "importance"),
    **dict.fromkeys((54, 60, 184), "quadrature"),
}


def by_number(row):
    return str(row.number)


def test_every_model_of_the_census_is_spelt_once():
    assert list(ROWS) == list(range(1, 213))
    assert sum(len(part.ROWS) for part in PARTS) == 212
    # The dozen that may remain.
    assert len(REFUSED) <= 12


@pytest.mark.filterwarnings("ignore:The categories of:bayeslmm.DataWarning")
@pytest.mark.parametrize("row", FITTED, ids=by_number)
def test_a_model_builds_and_its_response_can_be_drawn(row):
    simulated = simulate(row)
    assert len(simulated.table) == row.n
    assert all(len(set(simulated.table[name])) > 1 for name in responses_of(row))
    design = bl.build_design(row.formula, simulated.table, **simulated.arguments)
    assert design.coef == simulated.design.coef
    assert all(np.isfinite(value) for value in simulated.truth.values())


@pytest.mark.parametrize("row", REFUSED, ids=by_number)
def test_what_cannot_be_fitted_is_refused_by_name_with_what_to_use(row):
    with pytest.raises(bl.BayesLMMError, match=row.refused):
        simulate(row)


@pytest.mark.filterwarnings("ignore::bayeslmm.BayesLMMWarning")
@pytest.mark.parametrize("number", QUICK)
def test_weighted_draws_hold_the_parameters_that_data_were_drawn_from(number):
    found = fit(ROWS[number], parametrization="marginal", sampler=QUICK[number])
    assert found.k_hat < 0.7
    asked, held = sum(found.asked.values()), sum(found.held.values())
    # These tables were drawn once and for all; a third outside would be no chance.
    assert held >= 2 * asked / 3


def test_the_page_shows_what_was_measured(tmp_path):
    line = {"number": 4, "method": "quadrature", "seconds": 1.5, "cpu_seconds": 2.0, "k_hat": 0.8,
            "r_hat": np.nan}  # fmt: skip
    counts = {"fixed_asked": 4, "sd_asked": 3, "family_asked": 1,
              "fixed_held": 4, "sd_held": 1, "family_held": 1}  # fmt: skip
    other = {**line, "number": 6, "k_hat": np.nan, "r_hat": 1.002, "sd_held": 3}
    results = pd.DataFrame([{**line, **counts}, {**counts, **other}])
    write_page(ROWS, results, tmp_path / "census.md")
    text = (tmp_path / "census.md").read_text("utf-8")
    assert "2 of 212 are fitted, 1 of these with k-hat below 0.7" in text
    # 14 of 16; the models have 6 and 8 of 8: sqrt(1 + 1) / 16 is the error.
    assert "| all | 16 | 87.5 ± 8.8 |" in text
    assert all(f"| {number} | " in text for number in ROWS)


def test_the_page_of_the_documentation_is_of_these_results_and_models(tmp_path):
    results = pd.read_csv(ROOT / "docs" / "benchmarks" / "census.csv")
    write_page(ROWS, results, tmp_path / "census.md")
    page = (tmp_path / "census.md").read_text("utf-8")
    assert page == (ROOT / "docs" / "census.md").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::bayeslmm.BayesLMMWarning")
@pytest.mark.parametrize("row", FITTED, ids=by_number)
def test_a_model_is_fitted_by_the_plain_call(row):
    found = fit(row)
    assert found.k_hat < 0.7 or found.r_hat < 1.01
