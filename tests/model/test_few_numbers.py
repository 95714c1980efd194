"""Structures of G with few numbers: factors, gradients and priors, against definitions."""

import numpy as np
import pytest

from bayeslmm.design.grouping import BlockStructure
from bayeslmm.model.covariance.block_covariance import BlockCovariance
from bayeslmm.model.covariance.compiled import compiled_form, pull_back_compiled
from bayeslmm.model.covariance.compound_symmetry import CompoundSymmetry
from bayeslmm.model.covariance.stationary import Autoregressive, OrnsteinUhlenbeck, Toeplitz
from bayeslmm.model.covariance.unstructured import Unstructured

# Identities between a few products of numbers near one.
ROUNDING = 1e-12


def numerical_gradient(structure, sd, partials, weights):
    """Central differences of sum(weights * L)."""
    flat, step = np.concatenate([sd, partials]), 1e-6
    slopes = []
    for axis in step * np.eye(len(flat)):
        ends = [structure.factor(x[: len(sd)], x[len(sd) :]) for x in (flat + axis, flat - axis)]
        slopes.append(np.sum(weights * (ends[0] - ends[1])) / (2 * step))
    return np.array(slopes)


FEW = [
    CompoundSymmetry(2),
    CompoundSymmetry(4),
    Autoregressive((0.0, 1.0, 2.0, 3.0)),
    Autoregressive((-1.0, 0.0, 4.0)),
    OrnsteinUhlenbeck((0.5, 1.0, 4.0)),
    Toeplitz(2),
    Toeplitz(5),
]


def correlations_written_out(structure, u):
    """The correlation matrix of a structure by its definition."""
    q = structure.n_columns
    i, j = np.indices((q, q))
    match structure:
        case CompoundSymmetry():
            lowest = -1 / (q - 1)
            return np.where(i == j, 1.0, lowest + (1 - lowest) * u[0])
        case Autoregressive():
            lags = np.abs(np.subtract.outer(structure.positions, structure.positions)).astype(int)
            return (2 * u[0] - 1) ** lags
        case OrnsteinUhlenbeck():
            times = np.abs(np.subtract.outer(structure.positions, structure.positions))
            return u[0] ** (times / np.median(np.diff(structure.positions)))
        case Toeplitz():
            # By the definition of a partial autocorrelation: given all that stands between.
            r = np.ones(q)
            for k in range(1, q):
                z = 2 * u[k - 1] - 1
                between = r[np.abs(np.subtract.outer(np.arange(1, k), np.arange(1, k)))]
                to_first, to_last = r[1:k], r[1:k][::-1]
                solved = np.linalg.solve(between, to_last) if k > 1 else np.zeros(0)
                left = 1.0 - to_last @ solved
                r[k] = to_first @ solved + z * left
            return r[np.abs(i - j)]


@pytest.mark.parametrize("structure", FEW, ids=str)
def test_a_structure_of_few_numbers_has_the_matrix_of_its_definition(structure):
    rng = np.random.default_rng(10)
    u = rng.uniform(0.05, 0.95, size=(6, structure.n_partials))
    C = structure.correlation_factor(u)
    assert np.array_equal(C, np.tril(C))
    for one, factor in zip(u, C, strict=True):
        expected = correlations_written_out(structure, one)
        assert np.allclose(factor @ factor.T, expected, rtol=ROUNDING, atol=ROUNDING)
    assert np.allclose(structure.near(C @ np.swapaxes(C, -1, -2)), u, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("structure", FEW, ids=str)
def test_a_structure_of_few_numbers_has_the_gradient_of_its_factor(structure):
    rng = np.random.default_rng(11)
    q = structure.n_columns
    sd, u = np.exp(rng.normal(size=q)), rng.uniform(0.2, 0.9, size=structure.n_partials)
    weights = rng.normal(size=(q, q))
    gradient = np.concatenate(structure.pull_back(sd, u, weights))
    expected = numerical_gradient(structure, sd, u, np.tril(weights))
    # Error of a central difference.
    assert np.allclose(gradient, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("structure", FEW, ids=str)
def test_compiled_code_sees_the_same_matrix(structure):
    rng = np.random.default_rng(12)
    q = structure.n_columns
    u = rng.uniform(0.2, 0.9, size=structure.n_partials)
    canonical = structure.canonical(u)
    same = Unstructured(q).correlation_factor(canonical)
    assert np.allclose(same, structure.correlation_factor(u), rtol=ROUNDING, atol=ROUNDING)
    weights = rng.normal(size=len(canonical))
    gradient = structure.pull_back_canonical(u, weights)
    step = 1e-6
    for k, axis in enumerate(step * np.eye(len(u))):
        rise = weights @ (structure.canonical(u + axis) - structure.canonical(u - axis))
        # Error of a central difference.
        assert gradient[k] == pytest.approx(rise / (2 * step), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("structure", FEW, ids=str)
def test_at_the_ends_of_the_interval_nothing_breaks(structure):
    q = structure.n_columns
    for end in (0.0, 1.0):
        u = np.full(structure.n_partials, end)
        d_sd, d_u = structure.pull_back(np.ones(q), u, np.ones((q, q)))
        assert np.isfinite([*d_sd, *d_u]).all()
        assert np.isfinite(structure.canonical(u)).all()


@pytest.mark.parametrize("eta", [0.7, 1.0, 2.5])
@pytest.mark.parametrize(
    "structure", [CompoundSymmetry(2), Autoregressive((3.0, 4.0)), Toeplitz(2)], ids=str
)
def test_with_two_columns_the_prior_is_lkj(structure, eta):
    grid = np.linspace(-0.9, 0.9, 7)
    corr = np.stack([np.array([[1.0, r], [r, 1.0]]) for r in grid])
    # Densities in u = (1 + r) / 2 and in r differ by a factor of two.
    expected = Unstructured(2).log_prior(corr, eta) + np.log(2.0)
    assert np.allclose(structure.log_prior(corr, eta), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "structure", [CompoundSymmetry(4), Autoregressive((0.0, 1.0, 2.0))], ids=str
)
def test_the_prior_of_one_correlation_is_a_power_of_the_determinant(structure):
    u, eta = np.linspace(0.1, 0.9, 5), 2.3
    corr = np.stack([correlations_written_out(structure, [each]) for each in u])
    expected = (eta - 1.0) * np.linalg.slogdet(corr)[1]
    rest = structure.log_prior(corr, eta) - expected
    assert np.allclose(rest, rest[0], rtol=0.0, atol=1e-9)


def test_the_prior_of_correlations_by_lag_is_a_power_of_the_determinant():
    structure, eta = Toeplitz(4), 1.8
    rng = np.random.default_rng(13)
    found = []
    for u in rng.uniform(0.2, 0.8, size=(4, 3)):
        corr = correlations_written_out(structure, u)
        step = 1e-6
        slopes = [
            (correlations_written_out(structure, u + axis)[0, 1:]
             - correlations_written_out(structure, u - axis)[0, 1:]) / (2 * step)
            for axis in step * np.eye(3)
        ]  # fmt: skip
        density = structure.log_prior(corr[None], eta)[0] - np.linalg.slogdet(np.array(slopes))[1]
        found.append(density - (eta - 1.0) * np.linalg.slogdet(corr)[1])
    assert np.allclose(found, found[0], rtol=0.0, atol=1e-7)  # differences of correlations


def of_structures(*kinds):
    blocks, said = [], []
    for at, (kind, width, *positions) in enumerate(kinds):
        start = sum(k[1] for k in kinds[:at])
        blocks.append(tuple(range(start, start + width)))
        said.append(BlockStructure(kind, *positions))
    terms = [f"{kind}[{k}]" for kind, width, *_ in kinds for k in range(width)]
    return BlockCovariance.of_blocks("g", tuple(terms), tuple(blocks), tuple(said))


def test_columns_that_share_a_standard_deviation():
    G = of_structures(("ar1", 3, (0.0, 1.0, 2.0)), ("us", 1), ("cs", 2))
    assert (G.n_sds, G.sd_columns, G.sd_leads) == (4, (0, 0, 0, 1, 2, 3), (0, 3, 4, 5))
    assert G.sd_names == ("sd_g[ar1]", "sd_g[us[0]]", "sd_g[cs[0]]", "sd_g[cs[1]]")
    assert G.parameter_names == (("rho_g_ar1", 0), ("rho_g_cs", 1))
    sd, partials = np.array([2.0, 3.0, 4.0, 5.0]), np.array([0.75, 0.8])
    covariance = G.factor(sd, partials) @ G.factor(sd, partials).T
    assert np.allclose(np.sqrt(covariance.diagonal()), [2, 2, 2, 3, 4, 5], rtol=ROUNDING)
    assert covariance[0, 2] == pytest.approx(2.0 * 2.0 * 0.25, rel=ROUNDING)
    assert covariance[4, 5] == pytest.approx(4.0 * 5.0 * 0.6, rel=ROUNDING)
    assert not covariance[3, [0, 1, 2, 4, 5]].any()
    values = G.parameter_values(partials)
    assert {name: round(float(v), 12) for name, v in values.items()} == {
        "rho_g_ar1": 0.5, "rho_g_cs": 0.6,
    }  # fmt: skip
    assert {k: float(v) for k, v in G.parameters_of(G.correlation(partials)).items()} == (
        pytest.approx({k: float(v) for k, v in values.items()}, rel=1e-9)
    )


def test_the_gradient_in_shared_numbers_is_that_of_the_factor():
    G = of_structures(("homtoep", 3), ("us", 2), ("homdiag", 2))
    rng = np.random.default_rng(14)
    sd, partials = np.exp(rng.normal(size=G.n_sds)), rng.uniform(0.2, 0.8, size=G.n_partials)
    weights = np.tril(rng.normal(size=(7, 7)))
    gradient = np.concatenate(G.pull_back(sd, partials, weights))
    expected = numerical_gradient(G, sd, partials, weights)
    assert np.allclose(gradient, expected, rtol=1e-6, atol=1e-7)
    full, canonical = compiled_form(G, sd, partials)
    assert canonical.shape == (G.n_canonical,)
    free = BlockCovariance.of_blocks("g", G.terms, G.independent)
    assert np.allclose(free.factor(full, canonical), G.factor(sd, partials), rtol=ROUNDING)
    d_full, d_canonical = free.pull_back(full, canonical, weights)
    again = np.concatenate(pull_back_compiled(G, partials, d_full, d_canonical))
    assert np.allclose(again, gradient, rtol=1e-9, atol=1e-12)
