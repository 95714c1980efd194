"""Levels with zeros of two kinds: integrals, slopes and draws against sums over a fine grid."""

import numpy as np
import pandas as pd
import pytest
from family_members import named

import bayeslmm as bl
from bayeslmm.families.registry import family_of
from bayeslmm.model.quadrature.level_rows import level_rows
from bayeslmm.model.quadrature.likelihood import LevelLikelihood, Points

SD, BETA, LEVELS = 1.4, np.array([1.2, 0.5]), 12
GRID = np.linspace(-9.0, 9.0, 3601)
PHI = {"shape": 1.7, "sigma": 0.8, "phi": 6.5, "zi": 0.45, "hu": 0.4}
CASES = [
    "zero_inflated_poisson", "zero_inflated_negbinomial", "zero_inflated_binomial",
    "hurdle_poisson", "hurdle_negbinomial", "hurdle_gamma", "hurdle_lognormal",
    "truncated_poisson", "truncated_negbinomial", "beta_binomial",
]  # fmt: skip


def numbers_of(family):
    return np.array([PHI[parameter.name] for parameter in family.parameters])


@pytest.fixture(scope="module", params=CASES)
def design(request):
    """Twelve levels of four rows; of the first three all rows are zero where that can be."""
    rng = np.random.default_rng(1)
    own = family_of(request.param)
    g, x = np.repeat(np.arange(LEVELS), 4), rng.normal(size=4 * LEVELS)
    trials = rng.integers(3, 9, len(g)).astype(float) if own.response.known == "trials" else None
    eta = BETA[0] + BETA[1] * x + rng.normal(0, SD, LEVELS)[g]
    y = own.draw(eta, named(own, numbers_of(own)), trials, rng)
    if own.response.allowed(np.zeros(()), None):
        y[g < 3] = 0.0
    table = {"y": y, "x": x, "g": np.char.add("l", np.char.zfill(g.astype(str), 2))}
    if trials is not None:
        table["n"] = trials
    name = None if trials is None else "n"
    return bl.build_design("y ~ x + (1 | g)", table, family=request.param, trials=name)


def on_the_grid(design, sd=SD, beta=BETA, phi=None):
    """Each level's log-density at standardised effects, shape (J, points), prior included."""
    family = design.family
    phi = named(family, numbers_of(family) if phi is None else phi)
    eta = (design.X @ beta)[:, None] + sd * GRID
    known = None if design.known is None else design.known[:, None]
    each = family.log_density(design.y[:, None], eta, phi, known)
    sums = np.zeros((LEVELS, len(GRID)))
    np.add.at(sums, design.factors[0].index, each)
    return sums - 0.5 * GRID**2 - 0.5 * np.log(2 * np.pi)


def log_integrals(density):
    top = density.max(axis=1, keepdims=True)
    return np.log(np.exp(density - top).sum(axis=1) * (GRID[1] - GRID[0])) + top[:, 0]


def point(design, sd=SD, beta=BETA, phi=None):
    phi = numbers_of(design.family) if phi is None else phi
    return Points(np.array([[[sd]]]), beta[None], phi[None])


def likelihood(design, nodes):
    return LevelLikelihood(level_rows(design, (0.0, 0.0)), nodes)


def test_integrals_are_those_over_a_fine_grid(design):
    found = likelihood(design, 41).by_level(point(design))[0]
    # Nodes around a single mode of four rows, whose densities are far from normal.
    np.testing.assert_allclose(found, log_integrals(on_the_grid(design)), atol=2e-5)


def test_levels_of_zeros_are_integrated_whatever_the_nodes(design):
    if "inflated" not in design.family.name:
        return
    found = likelihood(design, 5).by_level(point(design))[0]
    # The prior's mass beyond six standard deviations, and the trapezoid rule at an eighth.
    np.testing.assert_allclose(found[:3], log_integrals(on_the_grid(design))[:3], atol=1e-7)


def test_slopes_are_those_of_the_integrals(design):
    value, slopes = likelihood(design, 41).value_and_slopes(point(design))
    assert value == pytest.approx(log_integrals(on_the_grid(design)).sum(), abs=1e-4)
    phi, step = numbers_of(design.family), 1e-5

    def change(**given):
        return log_integrals(on_the_grid(design, **given)).sum()

    expected = [(change(sd=SD + step) - change(sd=SD - step)) / (2 * step)]
    for k in range(2):
        moved = step * np.eye(2)[k]
        expected.append((change(beta=BETA + moved) - change(beta=BETA - moved)) / (2 * step))
    for k in range(len(phi)):
        moved = step * np.eye(len(phi))[k]
        expected.append((change(phi=phi + moved) - change(phi=phi - moved)) / (2 * step))
    found = np.concatenate([slopes.L.ravel(), slopes.beta, slopes.phi])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_drawn_effects_have_the_moments_of_the_density(design):
    one, count = point(design), 4000
    many = Points(*(np.repeat(part, count, axis=0) for part in (one.L, one.beta, one.phi)))
    drawn = likelihood(design, 15).draw(many, np.random.default_rng(2)).effects[:, :, 0]
    density = on_the_grid(design)
    weights = np.exp(density - density.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    mean = SD * weights @ GRID
    sd = np.sqrt(SD**2 * (weights @ GRID**2) - mean**2)
    # Five standard errors of 4000 independent draws; two per cent of a thousandth's left steps.
    assert np.all(np.abs(drawn.mean(axis=0) - mean) < 5 * sd / np.sqrt(count) + 0.01 * sd)
    np.testing.assert_allclose(drawn.std(axis=0), sd, rtol=0.08)


def test_laplaces_approximation_with_a_formula_for_zeros_is_glmmtmbs():
    table = bl.load_dataset("salamanders")
    table["mined"] = pd.Categorical(table["mined"], ["yes", "no"])
    kinds = ["GP", "PR", "DM", "EC-A", "EC-L", "DES-L", "DF"]
    table["spp"] = pd.Categorical(table["spp"], kinds)
    design = bl.build_design(
        "count ~ mined + spp + (1 | site)", table, family="zero_inflated_poisson", zi="~ mined"
    )
    # glmmTMB 1.1.5 (R 4.2.2), ML by Laplace's approximation.
    beta = np.array([
        -0.360697687716546, 1.27142752055264, -1.26974543005527, 0.268999376535705,
        -0.565190468863087, 0.665712280186554, 0.625352720026535, 0.11503264848997,
    ])  # fmt: skip
    zi, sd = np.array([0.789999536845585, -1.84490897061032]), 0.333672427534953
    # Columns of formulas for parameters are centered.
    zi[0] += zi[1] * np.mean(table["mined"] == "no")
    level = LevelLikelihood(level_rows(design, (0.0,) * 8), 1)
    value = level.values(Points(np.array([[[sd]]]), beta[None], zi[None]))[0]
    # At its maximum a likelihood hardly knows of what its program left of a tolerance.
    assert value == pytest.approx(-886.764266247876, abs=1e-5)
