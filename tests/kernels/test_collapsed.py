"""The collapsed density in sds, partial correlations and sigma against dense algebra."""

import numpy as np
import pandas as pd
import pytest
from designs import at_zero
from scipy import stats

import bayeslmm as bl
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import draw_effects, pack_factors
from bayeslmm.inference.graph.build import build_model
from bayeslmm.kernels.linked_density import linked_density
from bayeslmm.model.covariance.compiled import covariance_table
from bayeslmm.model.priors.fixed_effects import normal_prior

FORMULAS = {
    "intercept": "y ~ x + (1 | g)",
    "three correlated columns": "y ~ x + (x + z | g)",
    "uncorrelated": "y ~ x + (x || g)",
    "nested": "y ~ x + (x | a/b)",
    "crossed": "y ~ x + (x | g) + (1 | h)",
    "several terms on a factor": "y ~ x + (1 | g) + (0 + x + z | g)",
    "no fixed effects": "y ~ 0 + (1 | g)",
    "no random effects": "y ~ x",
    "offset": "y ~ x + offset(z) + (1 | g)",
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(11)
    n = 60
    return pd.DataFrame(
        {
            "y": rng.normal(10, 3, n),
            "x": rng.normal(2, 1, n),
            "z": rng.normal(0, 2, n),
            "g": rng.choice(list("pqrst"), n),
            "h": rng.choice(list("uvw"), n),
            "a": np.repeat(list("ABC"), n // 3),
            "b": np.tile(list("klmn"), n // 4),
            "w": rng.uniform(0.5, 2, n),
        }
    )


class Case:
    """A design, its Gram, and a random point in the parameters that NUTS moves in."""

    def __init__(self, formula, table, seed=0, weights=None):
        rng = np.random.default_rng(seed)
        self.design = bl.build_design(formula, table, weights=weights)
        self.priors = bl.resolve_priors(self.design)
        self.gram = Gram.from_design(self.design)
        self.covariances = [f.covariance for f in self.priors.factors]
        self.sds = np.exp(rng.normal(0, 0.5, sum(G.n_columns for G in self.covariances)))
        self.partials = rng.uniform(-0.8, 0.8, sum(G.n_partials for G in self.covariances))
        self.sigma = 1.7
        self.mean, self.precision = normal_prior(self.priors)

    def density(self, sds=None, partials=None, sigma=None, beta=None):
        return linked_density(
            self.gram.plan.ints,
            self.gram.plan.floats,
            covariance_table(self.covariances),
            self.sds if sds is None else sds,
            self.partials if partials is None else partials,
            self.sigma if sigma is None else sigma,
            np.zeros(0) if beta is None else beta,
            self.mean,
            self.precision,
        )

    def factors(self, sds=None):
        sds = self.sds if sds is None else sds
        at = np.cumsum([0, *(G.n_columns for G in self.covariances)])
        pair = np.cumsum([0, *(G.n_partials for G in self.covariances)])
        return [
            G.factor(sds[at[k] : at[k + 1]], self.partials[pair[k] : pair[k + 1]])
            for k, G in enumerate(self.covariances)
        ]

    def effects_matrix(self):
        """Z, dense, with all effects of all factors side by side."""
        blocks = []
        for factor in self.design.factors:
            m, q = len(factor.levels), len(factor.terms)
            Z = np.zeros((len(self.design.y), m, q))
            Z[np.arange(len(self.design.y)), factor.index] = factor.columns
            blocks.append(Z.reshape(len(Z), -1))
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(self.design.y), 0))

    def effects_covariance(self, sds=None):
        from scipy.linalg import block_diag

        parts = []
        for L, factor in zip(self.factors(sds), self.design.factors, strict=True):
            parts += [L @ L.T] * len(factor.levels)
        return block_diag(*parts) if parts else np.zeros((0, 0))

    def residual_covariance(self):
        w = 1.0 if self.design.weights is None else self.design.weights
        return self.sigma**2 * np.eye(len(self.design.y)) / w

    def response(self):
        return self.design.y - (0 if self.design.offset is None else self.design.offset)


@pytest.fixture(params=FORMULAS.values(), ids=FORMULAS.keys())
def case(request, table):
    return Case(request.param, table, weights="w" if "offset" in request.param else None)


def test_the_density_is_the_dense_normal_density(case):
    Z, G = case.effects_matrix(), case.effects_covariance()
    X = case.design.X
    cov = case.residual_covariance() + Z @ G @ Z.T
    mean = np.zeros(len(X))
    if X.shape[1]:
        cov = cov + X @ np.linalg.inv(case.precision) @ X.T
        mean = X @ case.mean
    expected = stats.multivariate_normal(mean, cov).logpdf(case.response())
    # The dense covariance mixes prior variances of 1e4 with residual ones near 1.
    assert case.density()[0] == pytest.approx(expected, rel=1e-9)


def test_the_density_given_beta_is_the_dense_normal_density(case):
    X = case.design.X
    if not X.shape[1]:
        pytest.skip("there is no beta")
    beta = np.linspace(0.5, 1.5, X.shape[1])
    Z = case.effects_matrix()
    cov = case.residual_covariance() + Z @ case.effects_covariance() @ Z.T
    expected = stats.multivariate_normal(X @ beta, cov).logpdf(case.response())
    assert case.density(beta=beta)[0] == pytest.approx(expected, rel=1e-11)


def derivative(function, x, h):
    """Central differences with the seven-point rule, whose error is of order h^6."""
    out = []
    for unit in np.eye(len(x)):
        f = [function(x + k * h * unit) for k in (-3, -2, -1, 1, 2, 3)]
        out.append((-f[0] + 9 * f[1] - 45 * f[2] + 45 * f[3] - 9 * f[4] + f[5]) / (60 * h))
    return np.array(out)


@pytest.mark.parametrize("given_beta", [False, True])
@pytest.mark.parametrize("small", [1.0, 1e-3])
def test_the_gradient_is_that_of_finite_differences(case, small, given_beta):
    p = case.design.X.shape[1]
    beta = np.linspace(0.5, 1.5, p) if given_beta else None
    sds = case.sds * small
    _, d_sds, d_partials, d_sigma, d_beta = case.density(sds=sds, beta=beta)
    # Rounding of the density (1e-13) over the step (2e-3) bounds these at some 1e-10; a step
    # relative to small sds is 1e-6, which leaves 1e-7.
    rtol, atol = 1e-7, 1e-7 if small == 1.0 else 1e-6
    compare = np.testing.assert_allclose
    numeric = derivative(lambda v: case.density(sds=v, beta=beta)[0], sds, 1e-3 * small)
    compare(d_sds, numeric, rtol=rtol, atol=atol)
    numeric = derivative(
        lambda v: case.density(sds=sds, partials=v, beta=beta)[0], case.partials, 1e-3
    )
    compare(d_partials, numeric, rtol=rtol, atol=atol)
    numeric = derivative(
        lambda v: case.density(sds=sds, sigma=v[0], beta=beta)[0], np.array([case.sigma]), 1e-3
    )
    compare(d_sigma, numeric[0], rtol=rtol, atol=atol)
    if given_beta and p:
        numeric = derivative(lambda v: case.density(sds=sds, beta=v)[0], beta, 1e-3)
        compare(d_beta, numeric, rtol=rtol, atol=atol)


def test_the_gradient_is_finite_where_sds_are_zero(case):
    value, *gradient = case.density(sds=np.zeros_like(case.sds))
    assert np.isfinite(value)
    assert all(np.isfinite(part).all() for part in gradient)


def test_marginal_times_conditional_is_the_joint_density(case):
    """p(y) p(beta, b | y) = p(y | beta, b) p(beta) p(b), at a random point of the effects."""
    rng = np.random.default_rng(5)
    X, Z, G = case.design.X, case.effects_matrix(), case.effects_covariance()
    W = np.concatenate([X, Z], axis=1)
    from scipy.linalg import block_diag

    prior_cov = block_diag(np.linalg.inv(case.precision), G)
    prior_mean = np.concatenate([case.mean, np.zeros(Z.shape[1])])
    effects = prior_mean + 0.1 * np.linalg.cholesky(prior_cov) @ rng.normal(size=len(prior_mean))
    R = case.residual_covariance()
    conditional_precision = np.linalg.inv(prior_cov) + W.T @ np.linalg.solve(R, W)
    conditional_cov = np.linalg.inv(conditional_precision)
    right = np.linalg.solve(prior_cov, prior_mean) + W.T @ np.linalg.solve(R, case.response())
    conditional = stats.multivariate_normal(conditional_cov @ right, conditional_cov)
    likelihood = stats.multivariate_normal(W @ effects, R).logpdf(case.response())
    prior = stats.multivariate_normal(prior_mean, prior_cov).logpdf(effects)
    joint = likelihood + prior
    assert case.density()[0] + conditional.logpdf(effects) == pytest.approx(joint, rel=1e-9)


def test_recovery_draws_from_the_dense_conditional(case):
    """The draws are a linear map of standard normals: its mean and covariance are exact."""
    X, Z, G = case.design.X, case.effects_matrix(), case.effects_covariance()
    W = np.concatenate([X, Z], axis=1)
    from scipy.linalg import block_diag

    prior_precision = block_diag(case.precision, np.linalg.inv(G))
    R_inverse = np.linalg.inv(case.residual_covariance())
    cov = np.linalg.inv(prior_precision + W.T @ R_inverse @ W)
    prior_part = np.concatenate([case.precision @ case.mean, np.zeros(Z.shape[1])])
    mean = cov @ (prior_part + W.T @ R_inverse @ case.response())

    class Normals:
        """Hands out given numbers in place of random ones."""

        def __init__(self, values):
            self.values = values

        def standard_normal(self, shape):
            count = int(np.prod(shape))
            taken, self.values = self.values[:count], self.values[count:]
            return taken.reshape(shape)

    packed = pack_factors(case.gram, [L / case.sigma for L in case.factors()])[None]

    def drawn(normals):
        beta, effects = draw_effects(
            case.gram, packed, np.array([case.sigma]), Normals(normals), case.precision, case.mean
        )
        return np.concatenate([beta[0], *(b[0].ravel() for b in effects)])

    size = W.shape[1]
    center = drawn(np.zeros(size))
    linear = np.stack([drawn(unit) - center for unit in np.eye(size)], axis=1)
    np.testing.assert_allclose(center, mean, rtol=1e-9, atol=1e-9)
    scale = np.sqrt(np.diag(cov))
    np.testing.assert_allclose(linear @ linear.T / scale[:, None] / scale, cov / scale[:, None] /
                               scale, atol=1e-9)  # fmt: skip


def test_given_fixed_effects_stay_and_random_effects_follow_them(table):
    case = Case("y ~ x + (x | g) + (1 | h)", table)
    rng = np.random.default_rng(0)
    beta = np.array([9.0, 0.5])
    packed = pack_factors(case.gram, [L / case.sigma for L in case.factors()])
    n = 20_000
    kept, effects = draw_effects(
        case.gram, np.tile(packed, (n, 1)), np.full(n, case.sigma), rng,
        fixed_effects=np.tile(beta, (n, 1)),
    )  # fmt: skip
    np.testing.assert_array_equal(kept, np.tile(beta, (n, 1)))
    Z, G = case.effects_matrix(), case.effects_covariance()
    cov = np.linalg.inv(np.linalg.inv(G) + Z.T @ Z / case.sigma**2)
    mean = cov @ Z.T @ (case.design.y - case.design.X @ beta) / case.sigma**2
    draws = np.concatenate([b.reshape(n, -1) for b in effects], axis=1)
    # 4.5 Monte Carlo standard errors over 13 effects.
    error = np.sqrt(np.diag(cov) / n)
    assert (np.abs(draws.mean(axis=0) - mean) < 4.5 * error).all()
    np.testing.assert_allclose(draws.std(axis=0), np.sqrt(np.diag(cov)), rtol=4.5 / np.sqrt(2 * n))


def test_the_marginal_model_is_the_density_plus_its_priors(table):
    from pytensor.compile.mode import Mode

    from bayeslmm.inference.nuts.compile import free_variables

    case = Case("y ~ x + (x + z | g) + (1 | h)", table)
    model = build_model(case.design, priors=at_zero(case.priors), parametrization="marginal")
    point = {"sd_g": case.sds[:3], "sd_h": case.sds[3:], "sigma": case.sigma}
    halves = (1 + case.partials) / 2
    # sd = s exp(sinh(c u) / c), with d sd / d u = sd cosh(c u); the residual's is exp(u).
    transforms = {name: model.rvs_to_transforms[model[name]] for name in ("sd_g", "sd_h")}
    scales = {name: (t.scale.get_value(), t.bend.get_value()) for name, t in transforms.items()}
    unconstrained = {
        name: np.arcsinh(c * np.log(point[name] / s)) / c for name, (s, c) in scales.items()
    }
    volumes = {
        name: np.cosh(c * unconstrained[name]) * point[name] for name, (_, c) in scales.items()
    }
    unconstrained["sigma"] = np.log(case.sigma)
    unconstrained["partial_corr_g"] = np.log(halves / (1 - halves))
    order = [variable.name for variable in free_variables(model)]
    evaluate = model.compile_logp(mode=Mode(linker="py", optimizer=None))
    values = {model.rvs_to_values[model[name]].name: unconstrained[name] for name in order}
    L = case.factors()[0] / case.sds[:3, None]
    expected = case.density()[0]
    listed = dict(case.priors.entries())
    for factor, sds in (("g", case.sds[:3]), ("h", case.sds[3:])):
        terms = {"g": ("Intercept", "x", "z"), "h": ("Intercept",)}[factor]
        expected += np.log(volumes[f"sd_{factor}"]).sum()
        for term, sd in zip(terms, sds, strict=True):
            expected += float(listed[f"sd_{factor}[{term}]"].log_density(sd))
    expected += float(listed["sigma"].log_density(case.sigma)) + np.log(case.sigma)
    shapes = np.array([2 + (3 - 2 - j) / 2 for i in range(3) for j in range(i)])
    expected += stats.beta(shapes, shapes).logpdf(halves).sum()
    expected += (np.log(halves) + np.log1p(-halves)).sum()
    assert np.allclose(np.linalg.norm(L, axis=1), 1)
    # PyTensor keeps some constants, such as log(2), in single precision.
    assert float(evaluate(values)) == pytest.approx(expected, abs=1e-6)


def test_a_pickled_operation_works_in_a_fresh_process(table, tmp_path):
    """Where its symbol is not registered, a call would end the process."""
    import pickle
    import subprocess
    import sys

    from bayeslmm.inference.graph.ops import MarginalDensity

    case = Case("y ~ x + (x | g)", table)
    plan, blocks = case.gram.plan, covariance_table(case.covariances)
    inputs = [case.sds, case.partials, np.array(case.sigma), np.zeros(0), plan.ints, plan.floats,
              blocks, case.mean, case.precision]  # fmt: skip
    (tmp_path / "op.pickle").write_bytes(pickle.dumps((MarginalDensity(), inputs)))
    code = (
        "import pickle, sys; op, inputs = pickle.load(open(sys.argv[1], 'rb'));"
        "out = [[None] for _ in range(5)]; op.perform(None, inputs, out);"
        "print(repr(float(out[0][0])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "op.pickle")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert float(run.stdout) == case.density()[0]
