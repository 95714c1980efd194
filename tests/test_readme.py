"""The README's example prints what the README shows, Monte Carlo error aside."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
NUMBER = re.compile(r"-?\d+\.\d+|\b\d+\b")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def words(text):
    # Digits differ from machine to machine, and with them the width of columns.
    return NUMBER.sub("#", text).split()


def test_the_example_prints_what_is_shown(capsys):
    names = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), names)  # noqa: S102 -- our own text
    printed = capsys.readouterr().out
    printed = printed[printed.index("Bayesian linear") :]
    (shown,) = blocks("text")
    assert words(printed) == words(shown)
    for text in (printed, shown):
        slope = float(re.search(r"Days +(\S+)", text[text.index("Fixed effects") :])[1])
        # Two runs of some 1,300 effective draws with a posterior sd of 1.7 differ by less than
        # 0.3 (four standard errors of the difference); both by as much from REML's 10.47.
        assert slope == pytest.approx(10.47, abs=0.3)


def test_a_table_of_ones_own_takes_three_lines(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(8)
    patients = np.repeat([f"P{k}" for k in range(20)], 4)
    week = np.tile([0, 2, 4, 8], 20)
    arm = np.where(np.arange(80) // 4 % 2, "drug", "control")
    pain = 60 - 2 * week + np.repeat(rng.normal(0, 8, 20), 4) + rng.normal(0, 5, 80)
    columns = {"patient": patients, "week": week, "arm": arm, "pain": pain}
    pd.DataFrame(columns).to_csv(tmp_path / "trial.csv", index=False)
    monkeypatch.chdir(tmp_path)
    own = blocks("python")[1]
    assert len([line for line in own.splitlines() if line]) == 3
    exec(compile(own, "README.md", "exec"), {"bl": bl})  # noqa: S102 -- our own text
    assert "week:arm[T.drug]" in capsys.readouterr().out


def test_it_says_how_to_install_and_which_python_then_runs_the_lines():
    first = README.index("import bayeslmm")
    for words in ("python -m pip install .", "make demo", ".venv/bin/python"):
        assert words in README[:first]
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert requires["requires-python"] == ">=3.12"
    assert "Python 3.12 or newer" in README[:first]


def test_every_linked_file_exists():
    for target in re.findall(r"\]\((?!https:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
