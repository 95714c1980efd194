"""Ordered categories as rows of yes and no: the same likelihood as row by row."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.model.quadrature.level_rows import level_rows
from bayeslmm.model.quadrature.likelihood import LevelLikelihood, Points
from bayeslmm.model.quadrature.split import SplitLikelihood, level_likelihood

CUTS = np.array([[-1.0, 0.2, 1.4], [-0.5, 0.0, 0.1]])
SPLIT = [("cumulative", "logit"), *(("sratio", link) for link in ("logit", "probit", "cloglog"))]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    n = 60
    return {
        "y": rng.integers(1, 5, n),
        "x": rng.normal(size=n),
        "z": rng.normal(size=n),
        "o": rng.normal(size=n) / 3,
        "g": rng.integers(0, 6, n).astype(str),
    }


def pair(table, case, formula="y ~ x + offset(o) + (z | g)"):
    design = bl.build_design(formula, table, family=case[0], link=case[1])
    centers, nodes = (0.3,), 9
    return level_likelihood(design, centers, nodes), LevelLikelihood(
        level_rows(design, centers), nodes
    )


def points(columns):
    L = np.array([[[0.9, 0.0], [0.2, 0.5]], [[0.3, 0.0], [-0.4, 1.1]]])[:, :columns, :columns]
    return Points(L, np.array([[0.7], [-1.2]]), CUTS)


@pytest.mark.parametrize("case", SPLIT, ids="-".join)
@pytest.mark.parametrize("columns", [1, 2])
def test_values_by_level_are_those_of_the_rows(table, case, columns):
    formula = "y ~ x + offset(o) + (z | g)" if columns == 2 else "y ~ x + offset(o) + (1 | g)"
    split, plain = pair(table, case, formula)
    assert isinstance(split, SplitLikelihood)
    at = points(columns)
    # Modes are looked for to a hundredth of a standard deviation, from where nodes are exact.
    np.testing.assert_allclose(split.by_level(at), plain.by_level(at), rtol=1e-5)
    np.testing.assert_allclose(split.values(at), split.by_level(at).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("case", SPLIT, ids="-".join)
def test_slopes_are_those_of_the_rows(table, case):
    split, plain = pair(table, case)
    (a, first), (b, second) = (one.value_and_slopes(points(2)[:1]) for one in (split, plain))
    assert a == pytest.approx(b, rel=1e-10)
    for name in ("L", "beta", "phi"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-8)


def test_effects_are_drawn_back_alike(table):
    split, plain = pair(table, SPLIT[0], "y ~ x + (1 | g)")
    many = Points(np.full((2000, 1, 1), 0.9), np.full((2000, 1), 0.7), np.tile(CUTS[0], (2000, 1)))
    first, second = (one.draw(many, np.random.default_rng(1)).effects for one in (split, plain))
    # Five standard errors of a mean of 2,000, with effects of sd 0.4 or so.
    assert np.abs(first.mean(axis=0) - second.mean(axis=0)).max() < 5 * 0.6 / np.sqrt(1000)


def test_other_families_keep_their_rows(table):
    design = bl.build_design("y ~ x + (1 | g)", table, family="cumulative", link="probit")
    assert type(level_likelihood(design, (0.0,), 5)) is LevelLikelihood
