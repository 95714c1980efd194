"""What the documentation says is so: its code runs, its tables hold, its lists are complete."""

import importlib
import re
import shutil
import sys
import warnings
from functools import cache, partial
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.families.registry import family_of
from bayeslmm.inference.fit import fit_bayes
from bayeslmm.model.residual.of_design import structured_residuals

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FIXED = "distance ~ age * Sex"
FORMULA = "Reaction ~ Days + (Days | Subject)"
GROUPS = {"y": [1.0, 2.0, 4.0, 3.0, 0.0, 5.0], "x": [0.0, 1.0, 2.0] * 2, "g": list("aaabbb")}
# Those of the first hour show what their code gives: they are run when the site is built.
SHOWN = [
    "index",
    "guide",
    "formulas",
    "families",
    "residuals",
    "effects",
    "priors",
    "levels",
    "effects",
    "for_lme4_users",
    "for_brms_and_bambi_users",
    "for_nlme_mmrm_and_glmmtmb_users",
]
# What somebody who comes from another package searches a page for.
LOOKED_FOR = {
    "for_lme4_users": """
        fixef ranef VarCorr coef confint anova emmeans emtrends pairs resid fitted plot update
        drop1 predict simulate logLik AIC BIC glmer glmer.nb""",
    "for_brms_and_bambi_users": """
        fixef ranef VarCorr coef pp_check prior_summary default_prior as_draws_df bayes_R2 loo
        loo_compare conditional_effects hypothesis posterior_epred posterior_predict update
        bernoulli negbinomial posterior_linpred""",
    "for_nlme_mmrm_and_glmmtmb_users": """
        varIdent varPower varExp corAR1 corCAR1 corSymm corCompSymm corARMA us cs csh toep toeph ad
        adh ar1h gls mmrm getVarCov emmeans anova ACF resid""",
}
# `python` blocks are shown alone, cells with their output; `py` is for machines that we lack.
BLOCK = re.compile(
    r"^```(?:python|\{code-cell\} ipython3)\n(?::tags:[^\n]*\n\n?)?(.*?)^```",
    flags=re.DOTALL | re.M,
)


@cache
def tree():
    """One posterior for pages that do not fit one: they show what to do with it."""
    return fit_bayes(
        FORMULA,
        bl.load_dataset("sleepstudy"),
        parametrization="marginal",
        sampler="importance",
        random_seed=1,
    )


ARGUMENTS = re.compile(r"(family|link)=")


def blocks(page):
    return BLOCK.findall(page.read_text("utf-8"))


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
    # What the site's kernels do, too: a bar belongs to nobody here.
    monkeypatch.setattr(bl, "fit_bayes", partial(fit_bayes, progressbar=False))
    with warnings.catch_warnings(), pd.option_context("display.precision", 6):
        # Pages speak of warnings where they meet them, and show or hide them themselves.
        warnings.simplefilter("ignore")
        yield lambda code, names: exec(compile(code, "docs", "exec"), names)  # noqa: S102
    plt.close("all")


def played(page, run):
    """Run a page's code from top to bottom, and return the names that it leaves."""
    data = bl.load_dataset("sleepstudy")
    # Pages that show results stand alone; others may take the guide's names for granted.
    alone = page.stem in SHOWN
    names = {} if alone else {"bl": bl, "formula": FORMULA, "data": data, "idata": tree()}
    for block in blocks(page):
        run(block, names)
    return names


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p) and not p.stem.startswith("for_")], ids=lambda p: p.stem
)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, run):
    played(page, run)


@pytest.mark.parametrize("stem", SHOWN)
def test_a_page_of_the_first_hour_shows_what_its_code_gives(stem):
    text = (DOCS / f"{stem}.md").read_text("utf-8")
    assert text.startswith("---\nfile_format: mystnb\n")
    assert "{code-cell} ipython3" in text
    # A block beside the cells would be neither run by the site nor shown with its output.
    assert "```python" not in text
    assert len(blocks(DOCS / f"{stem}.md")) == text.count("{code-cell}")


def evaluate(code, names):
    try:
        if ARGUMENTS.match(code):
            # What stands beside a name, as in family="gamma", link="probit".
            given = eval(f"dict({code})", names)  # noqa: S307
            return family_of(given.get("family", "bernoulli"), given.get("link"))
        return eval(code, names)  # noqa: S307
    finally:
        plt.close("all")


def test_each_verb_for_lme4_users_is_one(run):
    page = DOCS / "for_lme4_users.md"
    names = played(page, run)
    for heading, least in (
        ("Verb by verb", 30),
        ("Means, contrasts and trends of a factor", 9),
        ("glmer: generalised models", 20),
        ("glmmTMB: names and dispersion", 10),
    ):
        table = rows(page, heading)
        assert len(table) >= least
        for _, *ours in table:
            assert any(ours)
            # Of glmmTMB the third column says what its own sigma is.
            for cell in ours[:1] if heading.startswith("glmmTMB") else ours:
                for code in code_in(cell):
                    assert evaluate(code, names) is not None or code.startswith("print"), code


def test_each_verb_for_brms_and_bambi_users_is_one(run):
    page = DOCS / "for_brms_and_bambi_users.md"
    names = played(page, run)
    names["trace"] = names["idata"]  # of whatever program
    table = rows(page, "Verb by verb") + rows(page, "Other response families")
    table += rows(page, "Smooths")
    assert len(table) >= 40
    for *_, ours in table:
        assert code_in(ours)
        for code in code_in(ours):
            if code.startswith("priors="):
                prior = evaluate(f"dict({code})", names)["priors"]
                formula = "y ~ x + (x | g)"
                assert bl.resolve_priors(bl.build_design(formula, GROUPS), prior)
            elif code != "pm.Model":
                assert evaluate(code, names) is not None, code


def test_each_verb_for_nlme_and_mmrm_users_is_one(run):
    page = DOCS / "for_nlme_mmrm_and_glmmtmb_users.md"
    names = played(page, run)
    spellings = rows(page, "Each spelling side by side")
    assert len(spellings) >= 18
    for *others, ours in spellings:
        assert any(others)
        for code in code_in(ours):
            given = evaluate(f"dict({code})", names)
            known = "se" in given
            model = ("yi ~ ablat", bl.load_dataset("bcg")) if known else (FIXED, names["orthodont"])
            design = bl.build_design(*model, **given)
            assert structured_residuals(design.residual).name
    for _, *ours in rows(page, "Verb by verb"):
        assert any(ours)
        for cell in ours:
            for code in code_in(cell):
                assert evaluate(code, names) is not None or code.startswith("print"), code


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("formulas", "Random-effects terms"),
        ("formulas", "The fixed part"),
        ("effects", "How others spell it"),
    ],
)
def test_each_formula_of_the_grammar_is_read(page, heading):
    for first, *_ in rows(DOCS / f"{page}.md", heading):
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


@pytest.mark.parametrize("page", LOOKED_FOR)
def test_the_verbs_that_people_look_for_are_named(page):
    text = (DOCS / f"{page}.md").read_text("utf-8")
    for verb in LOOKED_FOR[page].split():
        assert re.search(rf"^\|[^\n]*\b{verb}\(", text, flags=re.M), verb


def test_the_gallery_shows_each_notebook_with_question_answer_and_picture(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    gallery = importlib.import_module("gallery")
    notebooks = sorted((DOCS.parent / "notebooks").glob("*.ipynb"))
    for path in notebooks:
        shutil.copy(path, tmp_path)
    gallery.write(tmp_path)
    text = (tmp_path / "gallery.md").read_text("utf-8")
    assert text.count("{grid-item-card}") == text.count(":img-top:") == len(notebooks)
    assert text.count("?**") == len(notebooks)
    for path in notebooks:
        assert (tmp_path / path.name).with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.delitem(sys.modules, "gallery")


def test_the_api_page_lists_every_public_name():
    listed = re.findall(r"^   (\w+)$", (DOCS / "api.md").read_text("utf-8"), flags=re.M)
    assert len(listed) == len(set(listed))
    assert set(listed) == set(bl.__all__) - {"__version__"}


def test_every_link_between_pages_leads_somewhere():
    for page in [*PAGES, *DOCS.glob("decisions/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
