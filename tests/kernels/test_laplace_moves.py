"""The compiled Laplace chain against dense algebra, differences, and the Gaussian's closed form."""

from dataclasses import replace

import designs
import numpy as np
import pytest
from dense import random_columns

from bayeslmm.families.registry import family_of
from bayeslmm.inference.laplace_chain.latent import LatentModel, elimination_plan
from bayeslmm.kernels.families import by_row, codes
from bayeslmm.kernels.families.rows import rows as family_rows
from bayeslmm.kernels.laplace_chain.moves import begin
from bayeslmm.resources import single_blas_thread

TIGHT = 1e-20
PHI = {codes.NEGBINOMIAL: [2.3], codes.GAMMA: [1.7], codes.GAUSSIAN: [0.8], codes.STUDENT: [0.9, 5],
       codes.BETA_PROBIT: [4.0]}  # fmt: skip


def responses(code, rng, n):
    if code in (codes.BINOMIAL_LOGIT, codes.BINOMIAL_PROBIT, codes.BINOMIAL_CLOGLOG):
        return rng.integers(0, 2, n).astype(float)
    if code in (codes.POISSON, codes.NEGBINOMIAL):
        return rng.poisson(2.0, n).astype(float)
    if code == codes.GAMMA:
        return rng.gamma(2.0, size=n)
    return rng.beta(2.0, 2.0, n) if code == codes.BETA_PROBIT else rng.normal(size=n)


class Case:
    """One small model, as compiled code has it and dense."""

    def __init__(self, kind, code, *, p=3, trials=None, offset=True, seed=1):
        rng = np.random.default_rng(seed)
        design = designs.random_design(kind, seed, p=p, offset=offset)
        y = responses(code, rng, design.n)
        if trials is not None:
            y = rng.binomial(trials, 0.4, design.n).astype(float)
        name, link = next(key for key, value in codes.CODES.items() if value == code)
        known = (
            {"weights": None} if trials is None else {"trials": np.full(design.n, float(trials))}
        )
        name = name if trials is None else "binomial"
        self.design, self.code = replace(design, y=y, family=family_of(name, link), **known), code
        self.known = np.ones(design.n) if trials is None else np.full(design.n, float(trials))
        self.phi = np.array(PHI.get(code, []), dtype=float)
        self.factors = designs.random_factors(design, seed, 0.6)
        root = rng.normal(size=(p, p))
        self.mean, self.precision = 0.1 * rng.normal(size=p), root @ root.T + np.eye(p)
        prior = (self.mean, self.precision)
        self.latent = LatentModel.of(self.design, elimination_plan(self.design), prior)
        self.lam = np.concatenate([L.ravel() for L in self.factors])
        # All effects as columns, in the plan's order.
        parts = [None] * len(self.factors)
        Z = random_columns(self.design)
        for place, k in enumerate(self.latent.order):
            levels = np.eye(self.latent.sizes[k][0])
            parts[place] = Z[k] @ np.kron(levels, self.factors[k])
        inner = self.design.X @ np.linalg.inv(self.latent.root) if p else self.design.X
        self.columns = np.concatenate([*parts, inner], axis=1)
        self.prior = np.eye(self.latent.size)
        u = self.latent.n_random
        self.prior[u:, u:] = self.latent.prior.precision
        self.center = np.concatenate([np.zeros(u), self.latent.prior.mean])
        self.offset = np.zeros(design.n) if design.offset is None else design.offset

    def values(self, eps, lam=None, tolerance=TIGHT):
        s = len(eps)
        lams = np.tile(self.lam if lam is None else lam, (s, 1))
        starts = np.tile(self.latent.start(), (s, 1))
        with single_blas_thread():
            return self.latent.values(lams, np.tile(self.phi, (s, 1)), starts, eps, tolerance)

    def state(self, eps, latent=None):
        rows = (latent or self.latent).rows
        with single_blas_thread():
            return begin(
                rows, self.latent.prior, self.lam, self.phi, self.latent.start(), eps, TIGHT
            )

    def log_joint(self, effects):
        eta = self.columns @ effects + self.offset
        value, slope, curvature, _ = family_rows(
            self.code, eta, self.design.y, self.known, self.phi
        )
        away = effects - self.center
        hessian = self.columns.T @ (curvature[:, None] * self.columns) + self.prior
        gradient = self.columns.T @ slope - self.prior @ away
        total = value.sum() - 0.5 * away @ self.prior @ away + self.latent.prior.constant
        return total, gradient, hessian

    def mode(self):
        at = self.center.copy()
        for _ in range(200):
            _, gradient, hessian = self.log_joint(at)
            at = at + np.linalg.solve(hessian, gradient)
        return at


@pytest.mark.parametrize("kind", designs.KINDS)
@pytest.mark.parametrize("p", [0, 3])
def test_the_factor_of_the_curvature_is_that_of_dense_algebra(kind, p):
    case = Case(kind, codes.BINOMIAL_LOGIT, p=p)
    size = case.latent.size
    log_marginal, _, effects, _, _ = case.values(
        np.concatenate([np.zeros((1, size)), np.eye(size)])
    )
    mode, root = effects[0], (effects[1:] - effects[0]).T  # R^-1, column by column
    value, gradient, H = case.log_joint(mode)
    # Newton's method converges quadratically: what is left is rounding of sums over 60 rows.
    assert np.abs(gradient).max() < 1e-10
    np.testing.assert_allclose(root @ root.T @ H, np.eye(size), atol=1e-9)
    expected = value - 0.5 * np.linalg.slogdet(H)[1] + 0.5 * p * np.log(2 * np.pi)
    np.testing.assert_allclose(log_marginal, expected, rtol=1e-11)


CODES = [codes.BINOMIAL_PROBIT, codes.BINOMIAL_CLOGLOG, codes.POISSON, codes.NEGBINOMIAL,
         codes.GAMMA, codes.STUDENT, codes.BETA_PROBIT]  # fmt: skip


@pytest.mark.parametrize("code", CODES)
def test_every_family_has_the_mode_of_dense_algebra(code):
    case = Case("nested_and_crossed", code)
    log_marginal, _, effects, fixed, _ = case.values(np.zeros((1, case.latent.size)))
    np.testing.assert_allclose(effects[0], case.mode(), atol=1e-7)
    np.testing.assert_allclose(fixed[0], effects[0, case.latent.n_random :], atol=1e-12)
    value, _, H = case.log_joint(effects[0])
    expected = value - 0.5 * np.linalg.slogdet(H)[1] + 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_marginal, expected, rtol=1e-10)


def test_several_trials_have_the_mode_of_dense_algebra():
    case = Case("crossed", codes.BINOMIAL_LOGIT, trials=7)
    _, _, effects, _, _ = case.values(np.zeros((1, case.latent.size)))
    np.testing.assert_allclose(effects[0], case.mode(), atol=1e-8)


class CaseByRow(Case):
    """A model whose family's parameters have each a slope on the scale of their logarithm."""

    def __init__(self, kind, code):
        super().__init__(kind, code)
        n, k = self.design.n, len(self.phi)
        x = np.random.default_rng(7).normal(size=n)
        self.table = self.phi * np.exp(0.2 * x)[:, None]
        order = np.argsort(self.design.factors[self.latent.order[0]].index, kind="stable")
        columns = np.tile(np.stack([np.ones(n), x[order]]), (k, 1))
        predictors = by_row.PhiRows(
            columns, np.zeros((k, n)), 2 * np.arange(k + 1), np.full(k, by_row.LOG)
        )
        self.phi = np.column_stack([np.log(self.phi), np.full(k, 0.2)]).ravel()
        self.latent = replace(self.latent, rows=self.latent.rows._replace(phi=predictors))

    def log_joint(self, effects):
        eta = self.columns @ effects + self.offset
        parts = [
            family_rows(self.code, *(np.array([v]) for v in row[:3]), row[3])[:3]
            for row in zip(eta, self.design.y, self.known, self.table, strict=True)
        ]
        value, slope, curvature = (np.concatenate(part) for part in zip(*parts, strict=True))
        away = effects - self.center
        hessian = self.columns.T @ (curvature[:, None] * self.columns) + self.prior
        gradient = self.columns.T @ slope - self.prior @ away
        total = value.sum() - 0.5 * away @ self.prior @ away + self.latent.prior.constant
        return total, gradient, hessian


BY_ROW = [codes.NEGBINOMIAL, codes.GAMMA, codes.STUDENT, codes.BETA_PROBIT]


@pytest.mark.parametrize("code", BY_ROW)
def test_rows_with_parameters_of_their_own_have_the_density_of_dense_algebra(code):
    case = CaseByRow("nested_and_crossed", code)
    size = case.latent.size
    eps = np.concatenate([np.zeros((1, size)), np.random.default_rng(3).normal(size=(2, size))])
    log_marginal, log_ratio, effects, _, _ = case.values(eps)
    np.testing.assert_allclose(effects[0], case.mode(), atol=1e-7)
    value, _, H = case.log_joint(effects[0])
    expected = value - 0.5 * np.linalg.slogdet(H)[1] + 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(log_marginal, expected, rtol=1e-10)
    for k in (1, 2):
        ratio = case.log_joint(effects[k])[0] - value + 0.5 * eps[k] @ eps[k]
        # Differences of sums over sixty rows.
        assert log_ratio[k] == pytest.approx(ratio, abs=1e-9)


@pytest.mark.parametrize("kind", ["three_levels", "three_crossed", "nested_and_crossed"])
def test_the_log_ratio_and_its_gradient_in_eps(kind):
    case = Case(kind, codes.POISSON)
    size = case.latent.size
    eps = 0.7 * np.random.default_rng(3).normal(size=size)
    state = case.state(eps)
    mode, _, _ = case.log_joint(case.mode())
    here, _, _ = case.log_joint(state.effects)
    np.testing.assert_allclose(state.log_ratio, here + 0.5 * eps @ eps - mode, atol=1e-9)
    h = 1e-5
    _, ratio, _, _, _ = case.values(eps + h * np.concatenate([np.eye(size), -np.eye(size)]))
    # Central differences: the third derivative leaves some 1e-9, rounding 1e-8.
    np.testing.assert_allclose((ratio[:size] - ratio[size:]) / (2 * h), state.kick, atol=1e-6)


@pytest.mark.parametrize("kind", designs.KINDS)
def test_a_gaussian_response_has_no_log_ratio(kind):
    case = Case(kind, codes.GAUSSIAN)
    eps = 3.0 * np.random.default_rng(5).normal(size=(20, case.latent.size))
    _, ratio, effects, _, iterations = case.values(eps)
    assert np.abs(ratio).max() < 1e-9
    assert iterations.max() <= 3
    _, _, H = case.log_joint(effects[0])
    mode = case.mode()
    squares = [(e - mode) @ H @ (e - mode) for e in effects]
    np.testing.assert_allclose(squares, np.square(eps).sum(axis=1), rtol=1e-9)


def test_the_mode_is_a_function_of_theta_alone():
    case = Case("nested_and_crossed", codes.BINOMIAL_LOGIT)
    rng = np.random.default_rng(7)
    eps = rng.normal(size=case.latent.size)
    first = case.state(eps)
    # Another history: other factors, other effects, far and near, through the same arrays.
    for scale in (0.01, 5.0, 1.0):
        case.values(rng.normal(size=(3, len(eps))), scale * case.lam, tolerance=1e-4)
    for latent in (case.latent, case.latent.private()):
        again = case.state(eps, latent)
        np.testing.assert_array_equal(again.effects, first.effects)
        assert again.log_ratio == first.log_ratio
        assert again.curvature.logdet == first.curvature.logdet


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e8, 1e150])
def test_extreme_factors_give_numbers_or_nothing(scale):
    case = Case("crossed", codes.BINOMIAL_LOGIT)
    found = case.values(np.zeros((1, case.latent.size)), scale * case.lam)
    assert not np.isnan(found[0]).any()
    assert not (found[0] > 0.0).any()  # the probability of binary responses
    if scale < 1.0:
        assert np.isfinite(found[0]).all()
