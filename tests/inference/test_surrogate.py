"""The interpolated reduction: as close to exact as promised, and it says when it is not."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, norm, qmc

from bayeslmm.design.build import build_design
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.reduction import Reduced, density_from_reduced, reduce_exactly
from bayeslmm.inference.importance.interpolation import (
    FactorCoordinates,
    Whitening,
    from_smooth,
    to_smooth,
)
from bayeslmm.inference.importance.surrogate import TOLERANCE, build_surrogate, surrogate_suits
from bayeslmm.model.priors.fixed_effects import normal_prior
from bayeslmm.model.priors.resolve import resolve_priors

FORMULAS = {
    "intercepts": "y ~ 1 + (1 | g) + (1 | h)",
    "few levels": "y ~ x + (1 | g) + (1 | few)",
    "slope": "y ~ x + (x | g) + (1 | h)",
    "uncorrelated": "y ~ x + (x || g) + (x || h)",
}


def crossed_table(seed=0, n=600):
    rng = np.random.default_rng(seed)
    sizes = {"g": 40, "h": 30, "few": 6}
    at = {name: np.r_[np.arange(m), rng.integers(m, size=n - m)] for name, m in sizes.items()}
    x = rng.normal(size=n)
    slopes = rng.normal(size=(40, 2)) @ np.array([[0.8, 0.3], [0.0, 0.4]])
    y = 1.0 + 0.5 * x + slopes[at["g"], 0] + slopes[at["g"], 1] * x + rng.normal(size=n)
    y += 0.6 * rng.normal(size=30)[at["h"]] + 0.3 * rng.normal(size=6)[at["few"]]
    return {"y": y, "x": x} | {name: index.astype(str) for name, index in at.items()}


class Posterior:
    """Log sds, inverse hyperbolic tangents of partial correlations, log sigma; exact densities."""

    def __init__(self, formula, seed=0):
        design = build_design(formula, crossed_table(seed))
        self.gram, self.priors = Gram.from_design(design), resolve_priors(design)
        self.beta_prior = normal_prior(self.priors)
        self.n_sd = sum(len(f.terms) for f in self.priors.factors)
        self.n_pairs = [factor.covariance.n_partials for factor in self.priors.factors]
        self.d = self.n_sd + sum(self.n_pairs) + 1

    def read(self, eta):
        """Packed relative factors, sigma, log prior with Jacobian."""
        sds, partials, sigma = (
            np.exp(eta[:, : self.n_sd]),
            eta[:, self.n_sd : -1],
            np.exp(eta[:, -1]),
        )
        value = eta[:, : self.n_sd].sum(axis=1) + eta[:, -1] + self.priors.sigma.log_density(sigma)
        packed, a, b = [], 0, 0
        for factor, m in zip(self.priors.factors, self.n_pairs, strict=True):
            sd = sds[:, a : a + len(factor.terms)]
            z = np.tanh(partials[:, b : b + m])
            lam = factor.covariance.factor(sd, z) / sigma[:, None, None]
            packed.append(lam.reshape(len(eta), -1))
            value += sum(p.log_density(sd[:, k]) for k, p in enumerate(factor.sd))
            # Two columns: LKJ(2) is proportional to 1 - z^2, and dz = (1 - z^2) d(atanh z).
            value += 2.0 * np.log1p(-(z**2)).sum(axis=1)
            a, b = a + sd.shape[1], b + m
        return np.concatenate(packed, axis=1), sigma, value

    def finish(self, reduced, sigma):
        return density_from_reduced(self.gram, reduced, sigma, prior=self.beta_prior)

    def log_density(self, eta):
        packed, sigma, prior = self.read(eta)
        return self.finish(reduce_exactly(self.gram, packed), sigma) + prior

    def propose(self, count, seed=1):
        """A multivariate t around the mode: points and log densities, constants aside."""
        start = np.concatenate([np.full(self.n_sd, -0.7), np.zeros(self.d - self.n_sd)])
        mode = minimize(lambda e: -self.log_density(e[None])[0], start, method="BFGS").x
        h = 1e-3 * np.eye(self.d)
        shifts = np.array(
            [mode + s * a + t * b for a in h for b in h for s in (1, -1) for t in (1, -1)]
        )
        signs = np.tile([1, -1, -1, 1], self.d**2)
        H = (signs * self.log_density(shifts)).reshape(self.d, self.d, 4).sum(axis=2) / 4e-6
        size, axes = np.linalg.eigh(-0.5 * (H + H.T))
        u = np.clip(qmc.Sobol(self.d + 1, seed=seed).random(count), 1e-12, 1 - 1e-12)
        t = norm.ppf(u[:, :-1]) * np.sqrt(5 / chi2.ppf(u[:, -1], 5))[:, None]
        log_q = -(5 + self.d) / 2 * np.log1p((t**2).sum(axis=1) / 5)
        return mode + t @ (axes / np.sqrt(np.maximum(size, 0.05))).T, log_q


class Case:
    """A posterior, candidates for it, and a surrogate over them."""

    def __init__(self, name, seed=0, **settings):
        self.posterior = Posterior(FORMULAS[name], seed)
        self.eta, self.log_q = self.posterior.propose(4096)
        self.packed, self.sigma, self.prior = self.posterior.read(self.eta)
        self.surrogate, self.record = build_surrogate(
            self.posterior.gram, self.packed, self.log_weights, np.random.default_rng(3), **settings
        )
        self.everywhere = np.arange(len(self.packed))

    def log_weights(self, reduced, places):
        value = self.posterior.finish(reduced, self.sigma[places])
        return value + self.prior[places] - self.log_q[places]

    def weights(self, reduced):
        log = self.log_weights(reduced, self.everywhere)
        weights = np.exp(log - log.max())
        return weights / weights.sum()


@pytest.fixture(scope="module", params=FORMULAS)
def case(request):
    return Case(request.param)


def test_held_out_exact_values_agree_as_promised(case):
    record = case.record
    assert record.converged, record.reason
    assert record.reason == ""
    weights = case.weights(case.surrogate(case.packed))
    held_out = np.random.default_rng(8).choice(len(weights), 400, p=weights)
    exact = reduce_exactly(case.posterior.gram, case.packed[held_out])
    interpolated = case.surrogate(case.packed[held_out])
    error = case.log_weights(exact, held_out) - case.log_weights(interpolated, held_out)
    assert error.std() < TOLERANCE


def test_posterior_means_are_those_of_exact_values(case):
    exact = case.weights(reduce_exactly(case.posterior.gram, case.packed))
    ours = case.weights(case.surrogate(case.packed))
    mean = exact @ case.eta
    sd = np.sqrt(exact @ (case.eta - mean) ** 2)
    # The same candidates weighted twice: what is left is the interpolation's error. A mean moves by
    # at most sd(weight) posterior sds, and a Monte Carlo standard error of 2,000 draws is 0.022.
    assert np.abs((ours @ case.eta - mean) / sd).max() < TOLERANCE
    np.testing.assert_allclose(np.sqrt(ours @ (case.eta - mean) ** 2), sd, rtol=TOLERANCE)


def test_nothing_is_extrapolated_far_from_the_nodes(case):
    far = np.vstack([case.packed[:1], 1e3 * case.packed[:1]])
    reduced = case.surrogate(far)
    assert np.isfinite(reduced.logdet[0])
    assert reduced.logdet[1] == -np.inf
    values = case.posterior.finish(reduced, case.sigma[:2])
    assert values[1] == -np.inf


def test_evaluations_are_counted(case, monkeypatch):
    calls = []

    def counted(gram, packed, **settings):
        calls.append(len(packed))
        return reduce_exactly(gram, packed, **settings)

    monkeypatch.setattr("bayeslmm.inference.importance.surrogate.reduce_exactly", counted)
    _, again = build_surrogate(
        case.posterior.gram, case.packed, case.log_weights, np.random.default_rng(3)
    )
    assert again == case.record  # the same seed, the same answer
    assert sum(calls) == again.n_exact


def test_too_small_a_budget_is_refused_with_the_figures():
    record = Case("slope", budget=60).record
    assert not record.converged
    assert record.n_exact <= 60
    assert "exact evaluations" in record.reason
    assert f"{record.error_sd:.2g}" in record.reason
    none = Case("slope", budget=10).record
    assert not none.converged
    assert none.rounds == none.n_exact == 0
    assert "too few" in none.reason


def test_a_broken_reduction_is_noticed(monkeypatch):
    """Noise on log|V| that no smooth function follows: the checks must not pass."""
    rng = np.random.default_rng(5)

    def noisy(gram, packed, **settings):
        exact = reduce_exactly(gram, packed, **settings)
        return Reduced(exact.logdet + 0.2 * rng.normal(size=len(packed)), exact.cross)

    monkeypatch.setattr("bayeslmm.inference.importance.surrogate.reduce_exactly", noisy)
    record = Case("intercepts", budget=150).record
    assert not record.converged
    assert record.error_sd > TOLERANCE


def test_models_with_too_many_parameters_are_refused_by_name():
    table = crossed_table()
    wide = Gram.from_design(build_design("y ~ x + (1 + x + I(x**2) | g) + (1 | h)", table))
    assert "7 free entries" in surrogate_suits(wide)
    assert surrogate_suits(Gram.from_design(build_design(FORMULAS["slope"], table))) == ""
    assert "no random effects" in surrogate_suits(Gram.from_design(build_design("y ~ x", table)))


def test_coordinates_are_smooth_where_a_variance_or_one_minus_a_correlation_is_zero():
    gram = Gram.from_design(build_design(FORMULAS["slope"], crossed_table()))
    coordinates = FactorCoordinates(gram)
    assert coordinates.n_coordinates == 4

    def at(sd, corr):
        factor = np.array([[sd, 0.0], [0.4 * corr, 0.4 * np.sqrt(1 - corr**2)]])
        return coordinates(np.r_[factor.ravel(), 0.3][None])[0]

    # Quadratic at zero: half the sd moves them a quarter as far.
    full, half = at(1e-3, 0.0) - at(0.0, 0.0), at(5e-4, 0.0) - at(0.0, 0.0)
    np.testing.assert_allclose(full, 4.0 * half, rtol=1e-3, atol=1e-12)
    # One-sided slopes at a correlation of one are finite.
    steps = [np.linalg.norm(at(0.5, 1.0) - at(0.5, 1.0 - h)) / h for h in (1e-3, 1e-4)]
    assert steps[0] == pytest.approx(steps[1], rel=0.01)


def test_columns_may_be_turned_without_effect_on_distances():
    """Any square root of Sigma gives the same coordinates."""
    gram = Gram.from_design(build_design(FORMULAS["slope"], crossed_table()))
    coordinates = FactorCoordinates(gram)
    factor = np.array([[0.5, 0.0], [0.2, 0.3]])
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    one, other = (np.r_[m.ravel(), 0.3][None] for m in (factor, factor @ turn))
    np.testing.assert_allclose(coordinates(one), coordinates(other), atol=1e-12)


def test_the_smooth_form_of_a_reduction_can_be_undone():
    rng = np.random.default_rng(0)
    half = rng.normal(size=(5, 3, 3))
    reduced = Reduced(rng.normal(size=5), half @ np.swapaxes(half, 1, 2))
    again = from_smooth(to_smooth(reduced))
    np.testing.assert_allclose(again.logdet, reduced.logdet)
    np.testing.assert_allclose(again.cross, reduced.cross, rtol=1e-12)
    assert np.isnan(to_smooth(Reduced(np.zeros(1), -np.eye(2)[None]))[0, 1:]).all()


def test_whitening_drops_directions_without_extent():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 1)) @ np.array([[1.0, 2.0]])
    white = Whitening(points, np.ones(500))(points)
    assert white.shape == (500, 1)
    assert white.std() == pytest.approx(1.0)
