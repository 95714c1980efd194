"""Advice on rows that count several times or are censored, and on families of the user's own."""

import numpy as np
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
