"""One version everywhere: in the package, the changelog, the citation and what is shown."""

import re
from pathlib import Path

import pytest

import bayeslmm

ROOT = Path(__file__).parent.parent
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_version_has_a_dated_section_below_an_unreleased_one():
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    dated = re.fullmatch(r"\[([\d.]+)\] - (\d{4}-\d\d-\d\d)", headings[1])
    assert dated
    assert dated[1] == bayeslmm.__version__
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"version: {bayeslmm.__version__}\ndate-released: {dated[2]}\n" in citation


@pytest.mark.parametrize("name", ["README.md", "docs/citing.md", "docs/installation.md"])
def test_pages_show_the_version_that_there_is(name):
    text = (ROOT / name).read_text("utf-8")
    shown = re.findall(r"bayeslmm-([\d.]+)-py3|version = \{([\d.]+)\}", text)
    assert shown
    assert {"".join(each) for each in shown} == {bayeslmm.__version__}
