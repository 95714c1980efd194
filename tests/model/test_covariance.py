"""theta, factors, standard deviations and correlations: conversions by hand, and inverses."""

import numpy as np
import pytest

from bayeslmm.errors import NumericalError
from bayeslmm.model.covariance.factors import (
    factor_from_covariance,
    factor_from_sd_corr,
    lower_factor,
    sd_corr_from_factor,
    theta_from_factor,
)

THREE = np.array([[4.2, 0.0, 0.0], [7.2, 5.3, 0.0], [2.8, 2.1, 2.9]])
# Identities between a few products of numbers near one.
ROUNDING = 1e-12


def test_theta_is_column_major_where_it_differs_from_row_major():
    theta = theta_from_factor(THREE)
    assert theta.tolist() == [4.2, 7.2, 2.8, 5.3, 2.1, 2.9]


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
