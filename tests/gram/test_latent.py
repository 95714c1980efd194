"""Levels with a known covariance: densities and moments against dense normals."""

import dense
import known
import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.design.build import build_design
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import (
    conditional,
    draw_effects,
    log_density,
    pack_factors,
    profiled_criterion,
)
from bayeslmm.kernels.densities import DENSITY, ML, ML_AT_COEFFICIENT, ML_AT_SIGMA, REML
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.reml.search import Objective

TABLE = known.related_table()
ANIMALS = sorted(set(TABLE["animal"]))
PENS = sorted(set(TABLE["pen"]))
# More levels than the data have, in another order than theirs.
A = known.random_covariance([*ANIMALS[::-1], "b0", "b1"], seed=2)
B = known.random_covariance(PENS, seed=3)
# Parents with rows and without, an inbred one among them; the others have no progeny.
PARENTS = bl.pedigree(
    {
        "id": ["s", "d", "e", *ANIMALS],
        "sire": [None, None, None, "s", "s", "a0", *["a0", "s", "a10"] * 3],
        "dam": [None, None, None, "d", "d", "a1", *["e", None, "d"] * 3],
    }
)
# Clades of four tips, of which some have no rows.
CLADES = [ANIMALS[k : k + 4] for k in range(0, 12, 4)]
TREE = bl.phylogeny(
    "("
    + ",".join(f"({','.join(f'{label}:1' for label in [*clade, f'z{k}'])}):2"
                   for k, clade in enumerate(CLADES)) + ",out:3);",
    scale=False,
)  # fmt: skip
FORMULAS = {
    "alone": "y ~ x + (1 | gr(animal, cov=A))",
    "slopes": "y ~ x + (x | gr(animal, cov=A))",
    "uncorrelated slopes": "y ~ x + (x || gr(animal, cov=A))",
    "crossed with an independent factor": "y ~ x + (1 | gr(animal, cov=A)) + (x | pen)",
    "crossed with a known one": "y ~ x + (x | gr(animal, cov=A)) + (1 | gr(pen, cov=B))",
    "nested, independent, beside it": "y ~ x + (1 | gr(animal, cov=A)) + (1 | herd) + (1 | pen)",
    "of a phylogeny": "y ~ x + (x | gr(animal, cov=T)) + (1 | pen)",
    "of a pedigree": "y ~ x + (1 | gr(animal, cov=P))",
    "slopes, of a pedigree": "y ~ x + (x | gr(animal, cov=P)) + (1 | pen)",
    "crossed, of a pedigree": "y ~ x + (1 | gr(animal, cov=P)) + (x | gr(pen, cov=B))",
    "nested, of a pedigree": "y ~ x + (1 | gr(animal, cov=P)) + (1 | herd) + (1 | pen)",
    "the same levels without it beside it": "y ~ x + (1 | gr(animal, cov=A)) + (1 | copy)",
}
WEIGHTS = np.random.default_rng(5).uniform(0.5, 2.0, len(TABLE))


# As latent levels of a dense border, and as nodes with a sparse precision.
FORMS = {"latent levels": Gram.from_design, "nodes": Gram.of_nodes}


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def summed(request):
    return request.param


@pytest.fixture(params=FORMULAS.values(), ids=FORMULAS)
def design(request, summed):
    table = TABLE.assign(copy=TABLE["animal"])
    known = named_in(request.param, inverted=summed == Gram.of_nodes)
    return build_design(request.param, table, weights=WEIGHTS, known=known)


def named_in(formula, inverted=False):
    matrices = {"A": A, "B": B}
    if inverted:
        matrices = {
            name: bl.precision(np.linalg.inv(matrix), matrix.index)
            for name, matrix in matrices.items()
        }
    matrices |= {"P": PARENTS, "T": TREE}
    return {name: matrix for name, matrix in matrices.items() if f"={name}" in formula}


def factors_of(design, seed=1):
    rng = np.random.default_rng(seed)
    out = []
    for factor in design.factors:
        lam = np.tril(rng.standard_normal((len(factor.terms),) * 2))
        correlated = len(factor.blocks) == 1
        out.append(lam if correlated else np.diag(np.diag(lam)))
    return out


def known_of(design, factor):
    cov = {term.factor: term.cov for term in design.formula.random}[factor.name]
    levels = factor.levels.tolist()
    if cov in {"P", "T"}:
        return {"P": PARENTS, "T": TREE}[cov].covariance_of(levels)
    matrix = {"A": A, "B": B}.get(cov)
    return np.eye(len(levels)) if matrix is None else matrix.loc[levels, levels].to_numpy()


@pytest.fixture
def related(monkeypatch, design):
    """Make the dense twin's random effects those of related levels, where the formula says so."""

    def covariance(design, lams, sigma):
        named = zip(design.factors, lams, strict=True)
        return [np.kron(known_of(design, f), sigma**2 * lam @ lam.T) for f, lam in named]

    monkeypatch.setattr(dense, "effects_covariance", covariance)
    return design


# Sums over 48 rows and factors of at most 36 columns: rounding of conditioned matrices.
EXACT = 1e-9


def test_the_density_is_the_dense_normal(related, summed):
    lams = factors_of(related)
    mean, precision = np.array([1.0, -0.5]), np.array([[0.3, 0.1], [0.1, 0.5]])
    value, _, _ = log_density(summed(related), lams, 0.8, mean, precision)
    expected = dense.log_density(related, lams, 0.8, mean, np.linalg.inv(precision))
    assert value == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("restricted", [True, False], ids=["REML", "ML"])
def test_the_criterion_is_the_dense_one(related, summed, restricted):
    gram, lams = summed(related), factors_of(related)
    packed = pack_factors(gram, lams)
    value, _, sigma = profiled_criterion(gram, packed, restricted=restricted)
    expected = dense.criterion(related, lams, sigma, restricted)
    assert value == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("kind", [DENSITY, REML, ML, ML_AT_SIGMA, ML_AT_COEFFICIENT])
@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_criteria_of_nodes_are_those_of_latent_levels(formula, kind):
    table, known = TABLE.assign(copy=TABLE["animal"]), named_in(formula, inverted=True)
    design = build_design(formula, table, weights=WEIGHTS, known=known)
    held = 0.7, np.array([0.5, 1.0])
    one, other = (Objective(form(design), kind, *held) for form in FORMS.values())
    packed = pack_factors(one.gram, factors_of(design))
    value, slopes, extra = one.evaluate(packed, gradient=True)
    found, own, told = other.evaluate(packed, gradient=True)
    assert (found, told) == (pytest.approx(value, rel=EXACT), pytest.approx(extra, rel=EXACT))
    np.testing.assert_allclose(own, slopes, rtol=EXACT, atol=1e-8)
    assert other.evaluate(packed, gradient=False)[0] == found


def test_the_gradient_is_that_of_differences(related, summed):
    gram, lams = summed(related), factors_of(related)
    _, slopes, d_sigma = log_density(gram, lams, 0.8)
    step = 1e-6
    for k, lam in enumerate(lams):
        for i, j in zip(*np.tril_indices(len(lam)), strict=True):
            if lam[i, j] == 0.0:
                continue
            ends = []
            for sign in (1, -1):
                moved = [other.copy() for other in lams]
                moved[k][i, j] += sign * step
                ends.append(log_density(gram, moved, 0.8, gradient=False)[0])
            # Central differences: rounding of 1e-13 over a step of 1e-6.
            assert slopes[k][i, j] == pytest.approx(np.diff(ends[::-1])[0] / (2 * step), abs=1e-5)
    up, down = (log_density(gram, lams, 0.8 + sign * step, gradient=False)[0] for sign in (1, -1))
    assert d_sigma == pytest.approx((up - down) / (2 * step), abs=1e-5)


def test_modes_and_covariances_of_the_told_effects(related, summed):
    lams = factors_of(related)
    for lam in lams:  # the dense twin inverts G
        lam[np.diag_indices(len(lam))] = np.abs(np.diag(lam)) + 0.2
    mean, precision = np.array([1.0, -0.5]), np.array([[0.3, 0.1], [0.1, 0.5]])
    found = conditional(summed(related), lams, 0.8, precision, mean)
    modes, cov = dense.conditional(related, lams, 0.8, mean, precision)
    p = at = len(related.coef)
    np.testing.assert_allclose(found.beta, modes[:p], rtol=EXACT)
    np.testing.assert_allclose(found.beta_cov, cov[:p, :p], rtol=EXACT)
    inverse = np.linalg.inv(cov)
    given_beta = np.linalg.inv(inverse[p:, p:])
    for k, factor in enumerate(related.factors):
        m, q = len(factor.levels), len(factor.terms)
        np.testing.assert_allclose(found.modes[k].ravel(), modes[at : at + m * q], atol=EXACT)
        for level in range(m):
            own = slice(at + level * q, at + (level + 1) * q)
            beside = slice(own.start - p, own.stop - p)
            np.testing.assert_allclose(found.marginal_cov[k][level], cov[own, own], atol=EXACT)
            np.testing.assert_allclose(found.cov[k][level], given_beta[beside, beside], atol=EXACT)
        at += m * q


def test_draws_of_effects_have_their_conditional(related, summed):
    lams = [np.abs(np.diag(np.diag(lam))) + 0.2 * np.eye(len(lam)) for lam in factors_of(related)]
    gram = summed(related)
    mean, precision = np.array([1.0, -0.5]), np.array([[0.3, 0.1], [0.1, 0.5]])
    n = 4_000 if gram.by_nodes else 20_000
    packed = np.repeat(pack_factors(gram, lams)[None], n, axis=0)
    rng = np.random.default_rng(1)
    beta, effects = draw_effects(gram, packed, np.full(n, 0.8), rng, precision, mean)
    modes, cov = dense.conditional(related, lams, 0.8, mean, precision)
    drawn = np.column_stack([beta, *(b.reshape(n, -1) for b in effects)])
    sd = np.sqrt(np.diag(cov))
    # Means of so many draws are within 5 standard errors, covariances within 5 of theirs.
    assert np.abs((drawn.mean(axis=0) - modes) / sd).max() < 5 / np.sqrt(n)
    assert np.abs(np.cov(drawn.T) - cov).max() / np.max(sd) ** 2 < 5 * np.sqrt(2 / n)


@pytest.mark.parametrize("residual", ["ar1(time | animal)", "cs(time | animal)"])
@pytest.mark.parametrize("formula", list(FORMULAS.values())[:9], ids=list(FORMULAS)[:9])
def test_residuals_with_a_structure_beside_it(formula, residual, monkeypatch):
    design = build_design(formula, TABLE, residual=residual, known=named_in(formula))
    structure = structured_residuals(design.residual)
    products = products_of(design, structure)
    phi = np.array([0.7, 0.4])
    gram = products.at(phi)
    lams = factors_of(design)
    same = design.residual.group[:, None] == design.residual.group
    apart = np.abs(TABLE["time"].to_numpy()[:, None] - TABLE["time"].to_numpy())
    R = 0.49 * same * (0.4**apart if residual.startswith("ar1") else np.where(apart, 0.4, 1.0))
    V = R.copy()
    for Z, f, lam in zip(dense.random_columns(design), design.factors, lams, strict=True):
        V += Z @ np.kron(known_of(design, f), lam @ lam.T) @ Z.T
    X, y = design.X, design.y
    solved = np.linalg.solve(V, np.column_stack([X, y]))
    beta = np.linalg.solve(X.T @ solved[:, :2], X.T @ solved[:, 2])
    r = y - X @ beta
    logdets = np.linalg.slogdet(V)[1] + np.linalg.slogdet(X.T @ solved[:, :2])[1]
    n = len(y) - 2
    expected = -0.5 * (n * np.log(2 * np.pi) + logdets + r @ np.linalg.solve(V, r))
    value, _, _ = log_density(gram, lams, 1.0, gradient=False)
    assert value == pytest.approx(expected, rel=EXACT)


def test_animals_without_progeny_are_eliminated_one_by_one():
    design = build_design(FORMULAS["of a pedigree"], TABLE, known={"P": PARENTS})
    # Parents of animals with rows, with rows themselves or not.
    parents = {"s", "d", "e", "a0", "a1", "a10"}
    assert Gram.from_design(design).plan.n_border == len(parents)
    assert design.factors[0].latent.n_alone == len(ANIMALS) - 3
    T = design.factors[0].latent.matrix.toarray()
    np.testing.assert_allclose(T @ T.T, PARENTS.covariance_of(design.factors[0].levels), atol=1e-12)


def test_tips_of_few_branches_are_eliminated_one_by_one():
    formula = "y ~ x + (1 | gr(animal, cov=T))"
    design = build_design(formula, TABLE, known={"T": TREE})
    assert Gram.from_design(design).plan.n_border == len(CLADES)
    T = design.factors[0].latent.matrix.toarray()
    np.testing.assert_allclose(T @ T.T, TREE.covariance_of(design.factors[0].levels), atol=1e-12)
    binary = bl.phylogeny(known.random_tree(12))
    other = build_design(formula, TABLE.assign(animal=[f"s{a[1:]}" for a in TABLE["animal"]]),
                         known={"T": binary})  # fmt: skip
    assert other.factors[0].latent.n_alone == 0
