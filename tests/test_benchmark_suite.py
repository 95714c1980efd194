"""The suite's machinery: processes are timed and stopped, and tables become a page."""

import json
import resource
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from parts import page, pictures, workloads
from parts.reference import worst_ess
from parts.runner import machine, run

PRINTS = "import json; x = bytearray(50_000_000); print('noise'); print(json.dumps({'a': 1}))"


def test_a_process_is_timed_and_says_what_it_found():
    found = run([sys.executable, "-c", PRINTS], timeout=60)
    assert found["a"] == 1
    # A process begins as a copy of the one that starts it, whose peak is counted then.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert 50 < found["peak MB"] < 2000 + own
    assert 0 < found["process s"] < 60


def test_a_process_that_takes_too_long_or_fails_gives_nothing(capsys):
    assert run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5) is None
    assert capsys.readouterr().out == ""
    assert run([sys.executable, "-c", "raise SystemExit('no data')"], timeout=60) is None
    assert "no data" in capsys.readouterr().out


# Some tens of levels, where zero variances happen.
@pytest.mark.filterwarnings("ignore::bayeslmm.SingularFitWarning")
def test_each_workload_gives_what_its_part_shows(tmp_path):
    folder = workloads.write_rows(tmp_path / "rows", 400, 8)
    assert len(pd.read_parquet(folder)) == 400
    keys = {"rows", "REML call s", "Gram s", "search s", "evaluations"}
    for found in (workloads.fit_levels(100), workloads.fit_crossed(50)):
        assert set(found) == keys
    found = workloads.fit_by_iterations(60)
    assert found["REML chance"] < 0.02
    assert found["posterior chance"] < 0.02
    formula, table = workloads.columns_formula(2, 1), workloads.columns_table(2, 1)
    assert formula == "y ~ x0 + x1 + (1 + x0 | g)"
    assert set(table) == {"y", "g", "x0", "x1"}


def test_resampled_draws_are_worth_what_the_tree_says():
    draws = {
        "sigma[0]": np.random.default_rng(1).normal(size=(4, 250)),
        "corr[0]": np.ones((4, 250)),
    }
    assert worst_ess(draws, 900.0) == 900.0
    assert 700 < worst_ess(draws, None) < 1300  # independent draws; the constant does not count


def test_tables_become_a_page_with_their_circumstances(tmp_path):
    table = pd.DataFrame(
        {"rows": [10_000, 10**8], "pass s": [0.012345, 123.4], "lme4 s": ["1.5", "> 600"]}
    )
    table.to_csv(tmp_path / "rows.csv", index=False)
    circumstances = machine() | {"load after": 0.5, "note": "No R here."}
    (tmp_path / "rows.json").write_text(json.dumps(circumstances))
    pictures.draw("rows", table, tmp_path / "rows.png")
    page.write_page(tmp_path, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "| 10,000 | 0.0123 | 1.5 |" in text
    assert "| 100,000,000 | 123 | > 600 |" in text
    assert "![Rows](benchmarks/rows.png)" in text
    assert circumstances["date"] in text
    assert text.rstrip().endswith("No R here.")
    assert "## Crossed levels" not in text  # not measured yet


def test_pictures_and_tables_belong_to_parts():
    assert set(pictures.LINES) < set(page.PARTS)
    assert all(callable(part.measure) and part.minutes for part in page.PARTS.values())
