"""The README's example prints what the README shows, Monte Carlo error aside."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
NUMBER = re.compile(r"-?\d+\.\d+|\b\d+\b")


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return found


def words(text):
    # Digits differ from machine to machine, and with them the width of columns.
    return NUMBER.sub("#", text).split()


def test_the_example_prints_what_is_shown(capsys):
    names = {}
    exec(compile(block("python"), "README.md", "exec"), names)  # noqa: S102 -- our own text
    printed = capsys.readouterr().out
    printed = printed[printed.index("Bayesian linear") :]
    shown = block("text")
    assert words(printed) == words(shown)
    for text in (printed, shown):
        slope = float(re.search(r"Days +(\S+)", text[text.index("Fixed effects") :])[1])
        # Two runs of some 1,300 effective draws with a posterior sd of 1.7 differ by less than
        # 0.3 (four standard errors of the difference); both by as much from REML's 10.47.
        assert slope == pytest.approx(10.47, abs=0.3)


def test_every_linked_file_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
