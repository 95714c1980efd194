"""Advice on rows that count several times or are censored, and on families of the user's own."""

import numpy as np
import pytest
from registry import follows, table, told, works

import bayeslmm as bl

FORMULA = "y ~ x + (1 | g)"


def design(data=None, **given):
    return bl.build_design(FORMULA, table() if data is None else data, **given)


@follows("y2=", "cens=")
def censoring():
    rows = table(limit="interval", above=lambda t: t.y + 1)
    told("give their upper ends as y2=", design, rows, cens="limit")
    assert works(design, rows, cens="limit", y2="above").ends is not None
    told("say which rows are by cens=", design, rows, y2="above")
    told(
        "cens=, a column that says which rows are censored",
        design,
        rows,
        family="censored_gaussian",
    )
    assert works(design, rows.assign(limit="right"), cens="limit").ends is not None


@follows("cens='censored'", "family='weibull'")
def events():
    rows = table(time=lambda t: np.exp(t.y), status=lambda t: t.index % 2)
    with pytest.warns(bl.DataWarning, match="cens='censored'"):
        design(rows, cens="status")
    with pytest.raises(bl.FormulaError, match="family='weibull'"):
        bl.build_design("Surv(time, status) ~ x + (1 | g)", rows)
    turned = rows.assign(censored=rows.status == 0)
    found = works(bl.build_design, "time ~ x + (1 | g)", turned, family="weibull", cens="censored")
    assert np.isposinf(found.ends).sum() == 30


@follows("likweights='w'")
def counted_by_brms():
    told("likweights='w'", bl.build_design, "y | weights(w) ~ x + (1 | g)", table())
    works(design, table(w=2.0), likweights="w")


@follows("phi='~ x'", "shape='~ x'", "sigma='~ x'")
def dispersion():
    rows = table(share=lambda t: 1 / (1 + np.exp(-t.y)), count=lambda t: t.index % 4)
    told("phi='~ x'", bl.fit_bayes, "share ~ 1", rows, family="beta", dispformula="~ x")
    works(bl.build_design, "share ~ 1", rows, family="beta", phi="~ x")
    works(bl.build_design, "count ~ 1", rows, family="negbinomial", shape="~ x")
    works(bl.build_design, "y ~ 1", rows, sigma="~ x")


@follows("family='truncated_poisson'")
def truncated():
    told("truncated_poisson", bl.build_design, "count | trunc(lb = 1) ~ x", table())
    rows = table(count=lambda t: 1 + t.index % 4)
    works(bl.build_design, "count ~ x", rows, family="truncated_poisson")


@follows("likweights=")
def counted():
    told("has likweights=", design, weights="w", cens=np.ones(60))
    assert works(design, likweights="w", cens=np.ones(60)).likweights is not None


@follows("custom_family()", "parameters=")
def custom():
    told("custom_family(...) has made it", design, family="own_counts")

    def logp(y, eta, spread):
        return -0.5 * ((y - eta) / spread) ** 2

    how = {"parameters": [bl.FamilyParameter("spread", "spread", "HalfNormal(1)")]}
    told("parameters= is a list", bl.custom_family, "own_numbers", logp, parameters=["spread"])
    own = works(bl.custom_family, "own_numbers", logp, **how)
    eta, phi = np.zeros(3), {"spread": 1.0}
    told("custom_family(..., draw=...)", own.draw, eta, phi, None, np.random.default_rng(1))
    drawn = works(bl.custom_family, "own_numbers", logp, draw=lambda eta, rng, spread: eta, **how)
    works(drawn.draw, eta, phi, None, np.random.default_rng(1))
    assert works(design, family="own_numbers").family.name == "own_numbers"
