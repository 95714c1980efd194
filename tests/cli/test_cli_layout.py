"""What is printed fits into the terminal, and no name or number is cut."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bayeslmm.cli.app import app
from bayeslmm.cli.layout import table_lines, wrapped

LONG = """\
title = "A model whose parameters have names that fill half a line of a terminal of 80 columns"
formula = "Reaction ~ poly(Days, 2) + (poly(Days, 2) | Subject)"
data = { bundled = "sleepstudy" }
"""


@pytest.mark.parametrize("command", ["priors", "reml", "list"])
def test_every_line_fits_into_80_columns(tmp_path, command):
    path = tmp_path / "long.toml"
    path.write_text(LONG)
    arguments = ["--models", str(tmp_path)] if command == "list" else [str(path)]
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, [command, *arguments])
    assert result.exit_code == 0, result.output
    long = [line for line in result.output.splitlines() if len(line) > 80]
    # A path is one word.
    assert [line for line in long if str(tmp_path) not in line] == []


def comparison(longest):
    names = ["Intercept", "corr_Subject[" + "x" * longest + "]"]
    numbers = {"reml": [251.41, -0.0123456], "diff_sd": [12345.678, 0.25]}
    table = pd.DataFrame({**numbers, "verdict": ["agrees", "as expected, and by far"]})
    return table.set_index(pd.Index(names, name="parameter"))


@pytest.mark.parametrize("longest", [5, 30, 40, 55])
def test_names_numbers_and_words_stay_whole(longest):
    table = comparison(longest)
    lines = table_lines(table, 80)
    assert max(map(len, lines)) <= 80
    words = " ".join(lines).split()
    for word in (*table.index, "251.4", "-0.01235", "1.235e+04", "0.25", "expected,", "verdict"):
        assert word in words


def test_texts_wrap_before_names_leave_their_line():
    beside, below = table_lines(comparison(20), 75), table_lines(comparison(60), 80)
    assert any("Intercept" in line and "251.4" in line for line in beside)
    assert not any("Intercept" in line and "251.4" in line for line in below)


def test_a_table_without_names_or_rows_is_laid_out():
    assert table_lines(pd.DataFrame({"a": [1], "b": ["x"]}), 80)[-1].split() == ["1", "x"]
    assert len(table_lines(pd.DataFrame({"a": np.empty(0)}), 80)) == 2


@given(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=200))
def test_wrapping_loses_no_word(text):
    assert wrapped(text, 30).split() == text.split()


def test_what_is_laid_out_already_stays():
    text = "This '(' is never closed.\n    y ~ x + (x + " + "z + " * 30 + "\n            ^"
    assert wrapped(text, 40) == text
