"""Cross-products of a residual covariance with parameters: against dense normals, and rows."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import bayeslmm as bl
from bayeslmm.gram.likelihood import log_density
from bayeslmm.gram.structured.records import Records
from bayeslmm.gram.structured.structured_gram import RowGram, StructuredGram, sum_or_pass
from bayeslmm.kernels.densities import DENSITY, ML, ML_AT_SIGMA, REML
from bayeslmm.kernels.structured.density import structured_density, structured_values
from tests.dense import random_columns

N = 120
MEAN, COV = np.array([1.0, -0.5]), np.diag([2.0, 3.0])
PRIOR = MEAN, np.linalg.inv(COV)
NONE = np.zeros(0)
COEFFICIENTS = np.array([1.3, 0.7, 2.0, 0.1])
FORMULAS = {
    "one factor": "y ~ x + (x | g)",
    "nested": "y ~ x + (x | g) + (1 | h)",
    "crossed": "y ~ x + (x | g) + (x | item)",
    "no effects": "y ~ x",
}


def tables():
    rng = np.random.default_rng(1)
    return {
        "y": rng.normal(size=N) + 5.0,
        "x": rng.normal(size=N),
        "g": [f"g{k}" for k in np.repeat(np.arange(12), 10)],
        "h": [f"h{k}" for k in np.repeat(np.arange(4), 30)],
        # Consecutive rows share an item, so that correlated rows do.
        "item": [f"i{k}" for k in np.repeat(rng.integers(0, 5, N // 2), 2)],
    }


class Case:
    """A design, records of three strata and of neighbours, and everything dense."""

    def __init__(self, formula):
        self.design = design = bl.build_design(formula, tables())
        rng = np.random.default_rng(2)
        same = np.ones(N - 1, dtype=bool)
        for factor in design.factors:
            same &= factor.index[1:] == factor.index[:-1]
        if not design.factors:
            same = np.arange(N - 1) % 2 == 0
        left = np.flatnonzero(same)
        rows = np.arange(N)
        base = np.concatenate([rng.integers(0, 3, N), np.full(len(left), 3)])
        first, second = np.concatenate([rows, left]), np.concatenate([rows, left + 1])
        self.records = Records.symmetric(first, second, base, 4, rng.uniform(0.9, 1.1, len(base)))
        P = np.zeros((N, N))
        weight = COEFFICIENTS[self.records.base] * self.records.factor
        np.add.at(P, (self.records.first, self.records.second), weight)
        self.R = np.linalg.inv(P)
        self.logdet = np.linalg.slogdet(self.R)[1]
        self.lams = [
            0.7 * np.tril(rng.normal(size=(len(f.terms), len(f.terms)))) for f in design.factors
        ]
        self.packed = np.concatenate([NONE, *(lam.ravel() for lam in self.lams)])
        self.V = self.R.copy()
        for factor, Z, lam in zip(design.factors, random_columns(design), self.lams, strict=True):
            self.V += Z @ np.kron(np.eye(len(factor.levels)), lam @ lam.T) @ Z.T
        self.gram = StructuredGram.from_design(design, self.records)
        self.rows = RowGram.from_design(design, self.records)

    def value(self, c=COEFFICIENTS, logdet=None, packed=None, beta=NONE, kind=DENSITY):
        logdet = self.logdet if logdet is None else logdet
        floats = self.gram.floats(c, logdet)
        packed = self.packed if packed is None else packed
        return structured_density(self.gram.plan.ints, floats, packed, beta, *PRIOR, kind)

    def dense(self, beta=None):
        X, y = self.design.X, self.design.y
        if beta is not None:
            return multivariate_normal(X @ beta, self.V).logpdf(y)
        return multivariate_normal(X @ MEAN, self.V + X @ COV @ X.T).logpdf(y)


@pytest.fixture(scope="module", params=list(FORMULAS))
def case(request):
    return Case(FORMULAS[request.param])


def test_density_is_that_of_the_dense_normal(case):
    # Rounding of sums over 120 rows: some 1e-13 of a value of a few hundred.
    assert case.value()[0] == pytest.approx(case.dense(), abs=1e-9)
    beta = np.array([4.0, 0.3])
    assert case.value(beta=beta)[0] == pytest.approx(case.dense(beta), abs=1e-9)


def test_restricted_likelihood_is_the_limit_of_flat_priors(case):
    gram, X, y = case.gram, case.design.X, case.design.y
    floats = gram.floats(COEFFICIENTS, case.logdet)
    flat = np.zeros(2), np.zeros((2, 2))
    value = structured_density(gram.plan.ints, floats, case.packed, NONE, *flat, DENSITY)[0]
    solved = np.linalg.solve(case.V, np.column_stack([X, y]))
    information = X.T @ solved[:, :2]
    r = y - X @ np.linalg.solve(information, X.T @ solved[:, 2])
    parts = (
        (N - 2) * np.log(2 * np.pi)
        + np.linalg.slogdet(case.V)[1]
        + np.linalg.slogdet(information)[1]
        + r @ np.linalg.solve(case.V, r)
    )
    assert value == pytest.approx(-0.5 * parts, abs=1e-9)
    ml = structured_density(gram.plan.ints, floats, case.packed, NONE, *flat, ML_AT_SIGMA)[0]
    whole = N * np.log(2 * np.pi) + np.linalg.slogdet(case.V)[1] + r @ np.linalg.solve(case.V, r)
    assert ml == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("kind", [DENSITY, REML, ML, ML_AT_SIGMA])
def test_gradients_are_those_of_differences(case, kind):
    value = case.value(kind=kind)
    d_c, d_logdet = case.gram.pull_back(value[2])
    h = 1e-5

    def slope(up, down):
        return (up[0] - down[0]) / (2 * h)

    by_c = [
        slope(
            case.value(COEFFICIENTS + h * e, kind=kind), case.value(COEFFICIENTS - h * e, kind=kind)
        )
        for e in np.eye(4)
    ]
    # Central differences over 1e-5 round at 1e-16 / 1e-5 of values of a few hundred.
    np.testing.assert_allclose(d_c, by_c, rtol=1e-6, atol=1e-7)
    by_lam = [
        slope(
            case.value(packed=case.packed + h * e, kind=kind),
            case.value(packed=case.packed - h * e, kind=kind),
        )
        for e in np.eye(len(case.packed))
    ]
    np.testing.assert_allclose(value[1], np.array(by_lam).reshape(-1), rtol=1e-6, atol=1e-6)
    by_logdet = slope(
        case.value(logdet=case.logdet + h, kind=kind), case.value(logdet=case.logdet - h, kind=kind)
    )
    assert d_logdet == pytest.approx(by_logdet, abs=1e-7)


def test_gradient_in_fixed_effects_is_that_of_differences(case):
    beta, h = np.array([4.0, 0.3]), 1e-5
    by_beta = [
        (case.value(beta=beta + h * e)[0] - case.value(beta=beta - h * e)[0]) / (2 * h)
        for e in np.eye(2)
    ]
    np.testing.assert_allclose(case.value(beta=beta)[3], by_beta, rtol=1e-6, atol=1e-6)


def test_many_points_at_once_are_each_of_them(case):
    gram = case.gram
    cs = np.array([COEFFICIENTS, 1.1 * COEFFICIENTS])
    logdets = np.array([case.logdet, case.logdet - N * np.log(1.1)])
    values = structured_values(
        gram.plan.ints, gram.head, gram.plan_bodies, cs, logdets,
        np.array([case.packed, case.packed]), np.zeros((2, 0)), *PRIOR,
    )  # fmt: skip
    expected = [case.value(c, logdet)[0] for c, logdet in zip(cs, logdets, strict=True)]
    np.testing.assert_allclose(values, expected, rtol=1e-13)


def test_a_pass_over_the_rows_gives_the_same_numbers(case):
    floats = case.gram.floats(COEFFICIENTS, case.logdet)
    by_rows = case.rows.floats(COEFFICIENTS, case.logdet)
    np.testing.assert_allclose(by_rows, floats, rtol=1e-12, atol=1e-12 * np.abs(floats).max())
    d_floats = case.value()[2]
    for mine, theirs in zip(
        case.gram.pull_back(d_floats), case.rows.pull_back(d_floats), strict=True
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11)


def test_the_gram_at_a_point_is_a_gram(case):
    gram = case.gram.gram_of(case.gram.floats(COEFFICIENTS, case.logdet))
    assert log_density(gram, case.lams, 1.0, *PRIOR)[0] == pytest.approx(case.dense(), abs=1e-9)


def test_bases_of_parts_of_the_records_add_up(case):
    r = case.records
    halves = [
        Records(r.first[some], r.second[some], r.base[some], r.factor[some], r.n_bases)
        for some in (slice(0, 70), slice(70, None))
    ]
    parts = StructuredGram.from_design(case.design, halves)
    scale = np.abs(case.gram.bodies).max()
    np.testing.assert_allclose(parts.bodies, case.gram.bodies, rtol=1e-12, atol=1e-13 * scale)


def test_few_bases_are_summed_and_many_are_not(case):
    assert isinstance(sum_or_pass(case.design, case.records), StructuredGram)
    rows = np.arange(N)
    own = Records(rows, rows, rows, None, N)
    many = sum_or_pass(case.design, own)
    assert isinstance(many, StructuredGram if not case.design.factors else RowGram)
