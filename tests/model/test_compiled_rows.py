"""Rows that count several times, and censored ones, under compiled quadrature."""

import numpy as np
import pytest
from scipy.special import logsumexp

import bayeslmm as bl
from bayeslmm.families.censored import Censored
from bayeslmm.families.registry import family_of
from bayeslmm.model.compiled_rows import whole_constants, why_not_compiled
from bayeslmm.model.quadrature.level_rows import level_rows, why_not
from bayeslmm.model.quadrature.likelihood import LevelLikelihood, Points

N = 24
RNG = np.random.default_rng(3)
BASE = {
    "x": RNG.normal(size=N),
    "g": np.repeat(list("abcd"), 6),
    "size": RNG.integers(1, 9, N).astype(float),
    "w": RNG.integers(1, 4, N).astype(float),
    "o": RNG.uniform(-0.5, 0.5, N),
}
FORMULA = "y ~ x + offset(o) + (1 | g)"
BETA, SD = np.array([0.3, -0.4]), 0.8
PHI = {"sigma": 0.7, "shape": 1.6}


def table_of(name):
    family, rng = family_of(name), np.random.default_rng(6)
    known = BASE["size"] if name == "binomial" else None
    eta = BETA[0] + BETA[1] * BASE["x"] + BASE["o"]
    return {**BASE, "y": family.draw(eta, PHI, known, rng)}


def likelihood(design, sd=SD, nodes=61):
    phi = np.array([[PHI[p.name] for p in design.family.parameters]])
    rows = level_rows(design, (0.0,) * len(design.coef))
    points = Points(np.array([[[sd]]]), BETA[None], phi)
    return LevelLikelihood(rows, nodes).values(points)[0]


def by_nodes(design):
    """The same by a fine trapezoid on NumPy's densities, each row as often as it counts."""
    nodes = np.linspace(-9.0, 9.0, 2001)
    eta = design.X @ BETA + design.offset
    known = None if design.known is None else design.known[:, None]
    density = design.family.log_density(design.y[:, None], eta[:, None] + SD * nodes, PHI, known)
    if design.likweights is not None:
        density = design.likweights[:, None] * density
    sums = np.stack([density[design.factors[0].index == j].sum(axis=0) for j in range(4)])
    joint = sums - 0.5 * nodes**2 - 0.5 * np.log(2 * np.pi) + np.log(nodes[1] - nodes[0])
    return float(logsumexp(joint, axis=1).sum())


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "log"])
def test_rows_that_count_several_times_are_as_many_rows(link):
    name = "poisson" if link == "log" else "binomial"
    table = table_of(name)
    places = np.repeat(np.arange(N), BASE["w"].astype(int))
    whole = {key: values[places] for key, values in table.items()}
    how = {"family": name, "link": link, "trials": "size" if name == "binomial" else None}
    counted = bl.build_design(FORMULA, table, likweights="w", **how)
    repeated = bl.build_design(FORMULA, whole, **how)
    # Terms of y alone are another number: differences between parameters are the same.
    found = likelihood(counted) - likelihood(counted, sd=0.3)
    assert found == pytest.approx(likelihood(repeated) - likelihood(repeated, sd=0.3), abs=1e-9)
    assert by_nodes(counted) == pytest.approx(likelihood(repeated), abs=1e-9)
    assert not whole_constants(counted)


def test_other_families_that_count_are_not_compiled():
    design = bl.build_design(FORMULA, table_of("gamma"), family="gamma", likweights="w")
    assert "likweights" in why_not_compiled(design)
    assert why_not(design) == why_not_compiled(design)


@pytest.mark.parametrize("name", ["gaussian", "lognormal", "weibull", "exponential"])
def test_censored_rows_are_integrated_as_by_numpy(name):
    table = table_of(name)
    kinds = np.tile([0, 0, 1, -1, 2, 0], 4)
    design = bl.build_design(FORMULA, table, family=name, cens=kinds, y2=table["y"] + 0.7)
    assert isinstance(design.family, Censored)
    # Of log(y) the kernels leave out what turns its density into that of y.
    less = 0.0 if name != "lognormal" else np.log(table["y"][kinds == 0]).sum()
    assert likelihood(design) == pytest.approx(by_nodes(design) + less, abs=1e-9)


@pytest.mark.parametrize("name", ["weibull", "exponential"])
def test_waiting_times_are_integrated_as_by_numpy(name):
    design = bl.build_design(FORMULA, table_of(name), family=name)
    assert likelihood(design) == pytest.approx(by_nodes(design), abs=1e-9)


@pytest.mark.parametrize("name", ["student", "gamma", "poisson"])
def test_censored_families_without_kernels_go_to_nuts(name):
    table = table_of("poisson") if name == "poisson" else {**BASE, "y": np.exp(BASE["x"])}
    design = bl.build_design(FORMULA, table, family=name, cens=np.ones(N))
    assert "has no compiled form" in why_not(design)
