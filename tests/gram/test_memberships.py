"""Rows with several levels of one factor: densities and moments against dense normals."""

import dense
import memberships
import numpy as np
import pytest

from bayeslmm.design.build import build_design
from bayeslmm.errors import ArgumentError, FormulaError
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import (
    conditional,
    draw_effects,
    log_density,
    pack_factors,
    profiled_criterion,
)
from bayeslmm.gram.streaming.from_batches import gram_from_batches
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.model.residual.of_design import structured_residuals

TABLE = memberships.membership_table()
FORMULAS = {
    "alone": "y ~ x + (1 | mm(g1, g2))",
    "weighed": "y ~ x + (1 | mm(g1, g2, weights=[u, v]))",
    "slopes": "y ~ x + (x | mm(g1, g2, weights=[u, v]))",
    "uncorrelated slopes": "y ~ x + (x || mm(g1, g2))",
    "crossed": "y ~ x + (1 | mm(g1, g2, weights=[u, v])) + (x | pen)",
    "the first level by itself, too": "y ~ x + (1 | mm(g1, g2)) + (1 | g1)",
    "two of them": "y ~ x + (1 | mm(g1, g2)) + (1 | mm(h1, h2, weights=[u, v]))",
}
APART = ("weighed", "slopes", "uncorrelated slopes", "the first level by itself, too")
WEIGHTS = np.random.default_rng(5).uniform(0.5, 2.0, len(TABLE))


def with_other_members(table):
    return table.assign(h1=table["pen"], h2=table["pen"].to_numpy()[::-1])


def columns_of(design):
    """Z of each factor from the table's own columns."""
    table, out = with_other_members(TABLE), []
    terms = {term.factor: term for term in design.formula.random}
    for factor in design.factors:
        term = terms[factor.name]
        labels, part = memberships.shares(table, term.variables, term.weights or None)
        assert factor.levels.tolist() == labels
        Z = part[:, :, None] * factor.columns[:, None, :]
        out.append(Z.reshape(len(table), -1))
    return out


@pytest.fixture(params=FORMULAS.values(), ids=FORMULAS)
def design(request, monkeypatch):
    monkeypatch.setattr(dense, "random_columns", columns_of)
    return build_design(request.param, with_other_members(TABLE), weights=WEIGHTS)


def factors_of(design, seed=1):
    rng = np.random.default_rng(seed)
    out = []
    for factor in design.factors:
        lam = np.tril(rng.standard_normal((len(factor.terms),) * 2))
        out.append(lam if len(factor.blocks) == 1 else np.diag(np.diag(lam)))
    return out


# Sums over 60 rows and factors of at most 16 columns: rounding of conditioned matrices.
EXACT = 1e-9


def test_the_density_is_the_dense_normal(design):
    lams = factors_of(design)
    mean, precision = np.array([1.0, -0.5]), np.array([[0.3, 0.1], [0.1, 0.5]])
    value, _, _ = log_density(Gram.from_design(design), lams, 0.8, mean, precision)
    expected = dense.log_density(design, lams, 0.8, mean, np.linalg.inv(precision))
    assert value == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("restricted", [True, False], ids=["REML", "ML"])
def test_the_criterion_is_the_dense_one(design, restricted):
    gram, lams = Gram.from_design(design), factors_of(design)
    value, _, sigma = profiled_criterion(gram, pack_factors(gram, lams), restricted=restricted)
    assert value == pytest.approx(dense.criterion(design, lams, sigma, restricted), rel=EXACT)


PRIOR = np.array([1.0, -0.5]), np.array([[0.3, 0.1], [0.1, 0.5]])


def test_modes_and_covariances_are_the_dense_ones(design):
    lams, (mean, precision) = factors_of(design), PRIOR
    found = conditional(Gram.from_design(design), lams, 0.8, precision, mean)
    modes, cov = dense.conditional(design, lams, 0.8, mean, precision)
    p = at = len(design.coef)
    np.testing.assert_allclose(found.beta, modes[:p], rtol=EXACT)
    np.testing.assert_allclose(found.beta_cov, cov[:p, :p], rtol=EXACT)
    for k, factor in enumerate(design.factors):
        m, q = len(factor.levels), len(factor.terms)
        np.testing.assert_allclose(found.modes[k].ravel(), modes[at : at + m * q], atol=EXACT)
        for level in range(m):
            own = slice(at + level * q, at + (level + 1) * q)
            np.testing.assert_allclose(found.marginal_cov[k][level], cov[own, own], atol=EXACT)
        at += m * q


def test_draws_of_effects_have_their_conditional(design):
    lams = [np.abs(np.diag(np.diag(lam))) + 0.2 * np.eye(len(lam)) for lam in factors_of(design)]
    gram, (mean, precision), n = Gram.from_design(design), PRIOR, 20_000
    packed = np.repeat(pack_factors(gram, lams)[None], n, axis=0)
    rng = np.random.default_rng(1)
    beta, effects = draw_effects(gram, packed, np.full(n, 0.8), rng, precision, mean)
    modes, cov = dense.conditional(design, lams, 0.8, mean, precision)
    drawn = np.column_stack([beta, *(b.reshape(n, -1) for b in effects)])
    sd = np.sqrt(np.diag(cov))
    # Means of 20,000 draws are within 5 standard errors, covariances within 5 of theirs.
    assert np.abs((drawn.mean(axis=0) - modes) / sd).max() < 5 / np.sqrt(n)
    assert np.abs(np.cov(drawn.T) - cov).max() / np.max(sd) ** 2 < 5 * np.sqrt(2 / n)


@pytest.mark.parametrize("residual", ["ar1(time | pen)", "cs(time | pen)"])
@pytest.mark.parametrize("formula", [FORMULAS[name] for name in APART], ids=APART)
def test_residuals_with_a_structure_beside_it(formula, residual):
    table = TABLE.assign(time=TABLE.groupby("pen").cumcount())
    design = build_design(formula, table, residual=residual)
    gram = products_of(design, structured_residuals(design.residual)).at(np.array([0.7, 0.4]))
    lams = factors_of(design)
    same = design.residual.group[:, None] == design.residual.group
    apart = np.abs(table["time"].to_numpy()[:, None] - table["time"].to_numpy())
    V = 0.49 * same * (0.4**apart if residual.startswith("ar1") else np.where(apart, 0.4, 1.0))
    for Z, f, lam in zip(columns_of(design), design.factors, lams, strict=True):
        V += Z @ np.kron(np.eye(len(f.levels)), lam @ lam.T) @ Z.T
    X, y = design.X, design.y
    solved = np.linalg.solve(V, np.column_stack([X, y]))
    beta = np.linalg.solve(X.T @ solved[:, :2], X.T @ solved[:, 2])
    r = y - X @ beta
    logdets = np.linalg.slogdet(V)[1] + np.linalg.slogdet(X.T @ solved[:, :2])[1]
    expected = -0.5 * ((len(y) - 2) * np.log(2 * np.pi) + logdets + r @ np.linalg.solve(V, r))
    value, _, _ = log_density(gram, lams, 1.0, gradient=False)
    assert value == pytest.approx(expected, rel=EXACT)


def test_two_columns_that_agree_are_one_level():
    both = build_design("y ~ x + (x | mm(g1, copy))", TABLE.assign(copy=TABLE["g1"]))
    alone = build_design("y ~ x + (x | g1)", TABLE)
    assert both.factors[0].levels.tolist() == alone.factors[0].levels.tolist()
    assert both.factors[0].counts.tolist() == alone.factors[0].counts.tolist()
    lams = factors_of(alone)
    one, other = (log_density(Gram.from_design(d), lams, 0.8) for d in (both, alone))
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    np.testing.assert_allclose(one[1][0], other[1][0], rtol=1e-9)


def test_sums_over_batches_refuse_them():
    gram = Gram.from_design(build_design(FORMULAS["alone"], TABLE))
    with pytest.raises(ArgumentError, match="several latent ones meet"):
        gram + gram
    with pytest.raises(FormulaError, match="several of which a row has need all rows"):
        gram_from_batches(FORMULAS["alone"], [TABLE])
