"""Tables of two and more crossed factors whose levels meet in various ways."""

from __future__ import annotations

import numpy as np

from bayeslmm.design.build import build_design
from bayeslmm.gram.gram import Gram


def levels(kind, n_levels, n, rng):
    """Levels of two factors in n rows: how they meet is what is hard or easy."""
    g = rng.integers(0, n_levels, n)
    if kind == "random":
        return g, rng.integers(0, n_levels, n)
    if kind == "communities":  # twenty of them, and one row in fifty elsewhere
        size = n_levels // 20
        h = g // size * size + rng.integers(0, size, n)
        away = rng.random(n) < 0.02
        return g, np.where(away, rng.integers(0, n_levels, n), h)
    if kind == "chain":  # each level meets the next one
        return g, np.minimum(g + rng.integers(0, 2, n), n_levels - 1)
    if kind == "movers":  # workers by firms, a tenth of whom change
        home = rng.integers(0, n_levels // 5, n_levels)
        moved = rng.random(n) < 0.05
        return g, np.where(moved, rng.integers(0, n_levels // 5, n), home[g])
    raise ValueError(kind)


def crossed_table(
    kind="random", n_levels=600, n=6000, *, slope=0.0, third=0, weeks=0, sds=(0.5, 0.7, 1.0)
):
    """A response with effects of g, h and maybe k, of x by g, and of weeks by g that fade."""
    rng = np.random.default_rng(5)
    g, h = levels(kind, n_levels, n, rng)
    x = rng.normal(size=n)
    effects = sds[0] * rng.normal(size=n_levels)[g] + sds[1] * rng.normal(size=n_levels)[h]
    effects += slope * rng.normal(size=n_levels)[g] * x
    table = {"g": np.char.add("g", g.astype(str)), "h": np.char.add("h", h.astype(str)), "x": x}
    if third:
        k = rng.integers(0, third, n)
        effects += 0.4 * rng.normal(size=third)[k]
        table["k"] = np.char.add("k", k.astype(str))
    if weeks:
        week = rng.integers(0, weeks, n)
        apart = np.abs(np.subtract.outer(np.arange(weeks), np.arange(weeks)))
        root = np.linalg.cholesky(0.7**apart)
        effects += 0.5 * (rng.normal(size=(n_levels, weeks)) @ root.T)[g, week]
        table["week"] = week
    table["w"] = rng.uniform(0.5, 2.0, n)
    table["y"] = 1.0 + 0.3 * x + effects + sds[2] * rng.normal(size=n) / np.sqrt(table["w"])
    return table


def crossed_gram(formula="y ~ x + (1 | g) + (1 | h)", *, weights=None, **given):
    """Their cross-products."""
    return Gram.from_design(build_design(formula, crossed_table(**given), weights=weights))
