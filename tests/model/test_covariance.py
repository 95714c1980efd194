"""theta, factors, standard deviations and correlations: conversions by hand, and inverses."""

import numpy as np
import pytest

from bayeslmm.errors import NumericalError
from bayeslmm.model.covariance.factors import (
    factor_from_covariance,
    factor_from_sd_corr,
    factor_from_theta,
    free_entries,
    is_singular,
    lower_factor,
    pull_back_sd_corr,
    sd_corr_from_factor,
    theta_from_factor,
    theta_names,
)

THREE = np.array([[4.2, 0.0, 0.0], [7.2, 5.3, 0.0], [2.8, 2.1, 2.9]])
# Identities between a few products of numbers near one.
ROUNDING = 1e-12


def test_theta_is_column_major_where_it_differs_from_row_major():
    theta = theta_from_factor(THREE, ((0, 1, 2),))
    assert theta.tolist() == [4.2, 7.2, 2.8, 5.3, 2.1, 2.9]
    assert np.array_equal(factor_from_theta(theta, ((0, 1, 2),)), THREE)


def test_blocks_follow_each_other_in_theta():
    blocks = ((0,), (1, 2), (3,))
    factor = factor_from_theta([1.0, 2.0, 3.0, 4.0, 5.0], blocks)
    expected = np.array(
        [[1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 3.0, 4.0, 0], [0, 0, 0, 5.0]], dtype=float
    )
    assert np.array_equal(factor, expected)
    assert theta_names("g", ("a", "b", "c", "d"), blocks) == ["g.a", "g.b", "g.c.b", "g.c", "g.d"]
    assert len(free_entries(blocks)[0]) == 5


def test_a_theta_of_another_length_is_refused():
    with pytest.raises(ValueError, match="3 free entries"):
        factor_from_theta([1.0, 2.0], ((0, 1),))


def test_sds_and_correlations_by_hand():
    sd, corr = sd_corr_from_factor([[3.0, 0.0], [4.0, 3.0]])
    assert sd.tolist() == [3.0, 5.0]
    assert corr.tolist() == [[1.0, 0.8], [0.8, 1.0]]


def test_sds_and_correlations_give_the_factor_back():
    assert np.allclose(factor_from_sd_corr(*sd_corr_from_factor(THREE)), THREE, rtol=ROUNDING)


def test_no_correlation_is_claimed_beside_a_zero_sd():
    sd, corr = sd_corr_from_factor([[0.0, 0.0], [0.0, 2.0]])
    assert sd.tolist() == [0.0, 2.0]
    assert np.isnan(corr[0, 1])
    assert np.isnan(corr[1, 0])
    assert corr[1, 1] == 1.0


def test_lower_factor_undoes_any_rotation():
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    assert np.allclose(lower_factor(THREE @ rotation), THREE, rtol=ROUNDING, atol=ROUNDING)


def test_lower_factor_keeps_a_tiny_conditional_sd_that_squaring_would_lose():
    factor = np.array([[1.0, 0.0], [1.0, 1e-9]])
    # 1 + 1e-18 rounds to 1, so a Cholesky factor of G has a zero here.
    assert factor_from_covariance(factor @ factor.T)[1, 1] == 0.0
    assert lower_factor(factor)[1, 1] == pytest.approx(1e-9, rel=1e-6)


def test_a_covariance_of_lower_rank_has_a_factor():
    G = np.array([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    L = factor_from_covariance(G)
    assert np.allclose(L @ L.T, G, atol=ROUNDING)


def test_an_indefinite_matrix_is_refused():
    with pytest.raises(NumericalError, match="not positive semi-definite"):
        factor_from_covariance([[1.0, 2.0], [2.0, 1.0]])


def test_gradient_in_log_sds_and_correlation_factor():
    weights = np.arange(9.0).reshape(3, 3) + 1.0
    sd, corr = sd_corr_from_factor(THREE)
    C = factor_from_covariance(corr)

    def value(log_sd, factor):
        return np.sum(weights * (np.exp(log_sd)[:, None] * factor))

    d_log_sd, d_factor = pull_back_sd_corr(THREE, weights)
    step = 1e-6
    for j, axis in enumerate(step * np.eye(3)):
        slope = (value(np.log(sd) + axis, C) - value(np.log(sd) - axis, C)) / (2 * step)
        assert d_log_sd[j] == pytest.approx(slope, rel=1e-8)  # error of a central difference
    assert np.allclose(d_factor, np.tril(weights) * sd[:, None], rtol=ROUNDING)


def test_singularity_is_judged_on_the_diagonal():
    assert not is_singular(THREE)
    assert is_singular([[1.0, 0.0], [0.5, 0.9e-4]])
    assert not is_singular([[1.0, 0.0], [0.5, 1.1e-4]])
