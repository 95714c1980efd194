"""Crossed effects by iterations: against factorizations of the same models."""

import crossed
import numpy as np
import pytest

from bayeslmm.errors import ArgumentError, NumericalError
from bayeslmm.gram.border import conjugate_gradients, lanczos
from bayeslmm.gram.border.choice import KRYLOV, LARGEST_DENSE, choose_border
from bayeslmm.gram.border.moments import own_blocks
from bayeslmm.gram.border.operator import Operator
from bayeslmm.gram.border.probes import Probes, log_determinant, log_determinant_slopes
from bayeslmm.gram.border.solution import solve_fixed, unexplained
from bayeslmm.gram.border.sparse_products import sparse_products
from bayeslmm.gram.likelihood import conditional, pack_factors
from bayeslmm.gram.reduction import reduce_exactly

SLOPE = np.array([[0.6, 0.0], [0.2, 0.4]])
MODELS = {
    "intercepts": ("y ~ x + (1 | g) + (1 | h)", [[[0.5]], [[0.7]]]),
    "slopes": ("y ~ x + (x | g) + (x | h)", [SLOPE, 0.7 * SLOPE]),
    "three": ("y ~ x + (x | g) + (x || h) + (1 | k)", [SLOPE, np.diag([0.3, 0.5]), [[0.4]]]),
    "nested": ("y ~ x + (1 | g / h) + (1 | k)", [[[0.4]], [[0.5]], [[0.6]]]),
    "singular": ("y ~ x + (x | g) + (1 | h)", [[[0.6, 0.0], [0.3, 0.0]], [[0.0]]]),
}
SEEDS = range(20)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    formula, lams = MODELS[request.param]
    gram = crossed.crossed_gram(formula, n_levels=80, n=900, third=40, weights="w")
    lams = [np.asarray(lam, float) for lam in lams]
    return gram, lams, Operator(sparse_products(gram), gram, lams)


def logdet(gram, lams):
    return reduce_exactly(gram, pack_factors(gram, lams)[None]).logdet[0]


def test_products_and_the_effects_are_those_of_a_factorization(model):
    gram, lams, operator = model
    exact = reduce_exactly(gram, pack_factors(gram, lams)[None]).cross[0]
    solution = solve_fixed(operator)
    # Residuals of 1e-8 leave an error of their square, and rounding.
    assert np.abs(solution.T - exact).max() < 1e-13 * np.abs(exact).max()
    for own, left, effects in zip(
        operator.blocks, unexplained(operator, solution), solution.effects, strict=True
    ):
        m, q, _ = own.within.shape
        # F' Z'V^-1[X y] is what solves for the effects.
        turned = np.einsum("ab,mac->mbc", own.F, left.reshape(m, q, -1))
        assert np.abs(turned.reshape(effects.shape) - effects).max() < 1e-6


def test_log_determinants_are_right_up_to_their_own_errors(model):
    gram, lams, operator = model
    exact = logdet(gram, lams)
    for second in (False, True):
        off = []
        for seed in SEEDS:
            probes = Probes(operator, 32, np.random.default_rng(seed))
            found = log_determinant(operator, probes, second=second)
            # Lanczos steps stop at changes of 1e-4.
            off.append((found.mean - exact) / np.hypot(found.error, 1e-4))
        # The root of chi-square / 20 exceeds 1.6 once in a thousand times.
        assert np.sqrt(np.mean(np.square(off))) < 1.6
        assert np.abs(off).max() < 4.5


def test_slopes_are_those_of_the_log_determinant(model):
    gram, lams, operator = model
    probes = Probes(operator, 512, np.random.default_rng(3))
    slopes, _, _ = log_determinant_slopes(operator, probes)
    for k, by_probe in enumerate(slopes):
        mean, error = by_probe.mean(axis=0), by_probe.std(axis=0) / np.sqrt(512)
        for a, b in np.ndindex(mean.shape):
            move = np.zeros(mean.shape)
            move[a, b] = 1e-5
            move = np.linalg.solve(gram.factors[k].scale, move)
            ahead, behind = (
                logdet(gram, [lam + sign * move if j == k else lam for j, lam in enumerate(lams)])
                for sign in (1.0, -1.0)
            )
            # Differences of numbers of some hundreds keep six decimals here.
            assert abs(mean[a, b] - (ahead - behind) / 2e-5) < 4.5 * error[a, b] + 1e-4


def test_own_blocks_are_those_of_a_factorization(model):
    gram, lams, operator = model
    exact = conditional(gram, lams, 1.0).cov
    blocks = own_blocks(operator, Probes(operator, 256, np.random.default_rng(1)))
    for known, lam, own in zip(exact, lams, blocks, strict=True):
        # Probes err by their number's root, of what is left beyond two exact terms.
        assert np.abs(lam @ own @ lam.T - known).max() < 0.02 * np.abs(known).max() + 1e-12


def test_steps_that_do_not_end_are_refused(monkeypatch):
    monkeypatch.setattr(conjugate_gradients, "MOST_STEPS", 2)
    monkeypatch.setattr(lanczos, "MOST_STEPS", 2)
    A = np.diag(np.linspace(0.0, 0.999, 50))
    with pytest.raises(NumericalError, match="border='dense'"):
        conjugate_gradients.solve(lambda X: A @ X, np.ones((50, 1)), 1e-9)
    with pytest.raises(NumericalError, match="border='dense'"):
        lanczos.log_forms(lambda X: A @ X, np.ones((50, 1)), 1e-9)
    with pytest.raises(NumericalError, match="border='dense'"):
        lanczos.inverse_root(lambda X: A @ X, np.ones((50, 1)), 1e-9)


def test_functions_of_a_matrix_are_exact_after_as_many_steps_as_it_has_columns():
    rng = np.random.default_rng(1)
    axes, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    values = np.linspace(-0.5, 0.95, 12)
    A, z = (axes * values) @ axes.T, rng.normal(size=(12, 3))
    root, _ = lanczos.inverse_root(lambda X: A @ X, z, 1e-14)
    np.testing.assert_allclose(root, (axes / np.sqrt(1.0 - values)) @ axes.T @ z, rtol=1e-8)
    logs, first, second, _ = lanczos.log_forms(lambda X: A @ X, z, 1e-12)
    turned = (axes.T @ z) ** 2
    np.testing.assert_allclose(logs, np.log1p(-values) @ turned, rtol=1e-8)
    np.testing.assert_allclose(first, values @ turned, rtol=1e-8)
    np.testing.assert_allclose(second, values**2 @ turned, rtol=1e-8)


def test_columns_are_counted_before_anything_is_laid_out():
    gram = crossed.crossed_gram(n_levels=40, n=300)
    assert gram.n_border == gram.plan.n_border
    assert choose_border(gram).method == "dense"
    assert choose_border(gram, KRYLOV).reason == "asked for"
    large = crossed.crossed_gram(n_levels=LARGEST_DENSE + 500, n=30_000)
    chosen = choose_border(large)
    assert (chosen.method, "plan" in vars(large)) == (KRYLOV, False)
    assert f"more than {LARGEST_DENSE:,}" in chosen.reason


def test_what_does_not_cross_is_refused():
    with pytest.raises(ArgumentError, match="there are 1 grouping factors"):
        choose_border(crossed.crossed_gram("y ~ x + (1 | g)", n_levels=20, n=90), KRYLOV)
    with pytest.raises(ArgumentError, match="border"):
        choose_border(crossed.crossed_gram(n_levels=20, n=90), "sparse_")
