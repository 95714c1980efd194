"""What the documentation says is so: its code runs, its tables hold, its lists are complete."""

import re
import warnings
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import bayeslmm as bl
from bayeslmm.inference.fit import fit_bayes

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FORMULA = "Reaction ~ Days + (Days | Subject)"


@cache
def tree():
    """One posterior for all pages: they show what to do with it, not its digits."""
    return fit_bayes(
        FORMULA,
        bl.load_dataset("sleepstudy"),
        parametrization="marginal",
        draws=150,
        tune=150,
        random_seed=1,
        progressbar=False,
    )


def fit_once(formula, data, **settings):
    assert formula == FORMULA
    bl.describe_priors(formula, data, settings.get("priors"))
    return tree()


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), flags=re.DOTALL | re.M)


def rows(page, heading):
    """The cells of the table under a heading, without its two header lines."""
    section = page.read_text("utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def code_in(cell):
    spans = re.findall(r"``\s?(.+?)\s?``(?!`)|`([^`]+)`", cell)
    return [(double or single).replace(r"\|", "|") for double, single in spans]


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(bl, "fit_bayes", fit_once)
    with warnings.catch_warnings():
        # 150 draws are enough for code to run, not to be trusted.
        warnings.simplefilter("ignore")
        yield lambda code, names: exec(compile(code, "docs", "exec"), names)  # noqa: S102
    plt.close("all")


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.stem)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, run):
    # What a page on its own may take for granted, from the guide.
    data = bl.load_dataset("sleepstudy")
    names = {"bl": bl, "formula": FORMULA, "data": data, "idata": tree()}
    for block in blocks(page):
        run(block, names)


def test_each_verb_for_lme4_users_is_one(run):
    page = DOCS / "for_lme4_users.md"
    names = {}
    run(blocks(page)[0], names)
    table = rows(page, "Verb by verb")
    assert len(table) > 20
    for _, *ours in table:
        assert any(ours)
        for cell in ours:
            for code in code_in(cell):
                assert eval(code, names) is not None or code.startswith("print"), code  # noqa: S307


@pytest.mark.parametrize("heading", ["Random-effects terms", "The fixed part"])
def test_each_formula_of_the_grammar_is_read(heading):
    for first, *_ in rows(DOCS / "formulas.md", heading):
        codes = code_in(first)
        assert codes
        designs = []
        for code in codes:
            formula = code if "~" in code else f"y ~ 1 + {code}"
            mixed = bl.parse_formula(formula)
            assert str(bl.parse_formula(str(mixed))) == str(mixed)
            designs.append(mixed)
        # Spellings that stand side by side mean the same.
        assert len({str(mixed) for mixed in designs}) == 1


def test_the_api_page_lists_every_public_name():
    listed = re.findall(r"^   (\w+)$", (DOCS / "api.md").read_text("utf-8"), flags=re.M)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(bl.__all__) - {"__version__"}


def test_every_link_between_pages_leads_somewhere():
    for page in [*PAGES, *DOCS.glob("decisions/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
