"""Smoothed weights and k-hat are ArviZ's."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayeslmm.inference.pareto import smoothed_tail


def ratios(size):
    """Log importance ratios whose tails are light, normal, heavy, bounded, and of equal values."""
    rng = np.random.default_rng(size)
    for spread in (0.1, 0.7, 2.0):
        yield rng.normal(size=size) * spread + 1
        yield rng.standard_t(2, size=size) * spread
        yield np.log1p(rng.pareto(1 / spread, size=size))
    yield np.log(rng.uniform(size=size))
    yield np.round(rng.normal(size=size), 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("size", [25, 26, 99, 225, 226, 1000, 8001])
def test_weights_and_k_hat_are_arviz_s(size):
    for log_ratios in ratios(size):
        weights, pareto_k = smoothed_tail(log_ratios)
        theirs, their_k = array_stats.psislw(-log_ratios)
        if np.isnan(theirs).any():
            # Ratios over more than all that numbers can tell, which ArviZ cannot smooth.
            assert np.isfinite(weights).all()
            assert pareto_k > 0.7
            continue
        # The same numbers up to the order of sums.
        np.testing.assert_allclose(weights, theirs, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(pareto_k, their_k, rtol=1e-9, atol=1e-10)


def test_a_tail_of_another_kind_is_left_alone():
    # More than a quarter of the exceedances equal the least: there is no shape to estimate.
    log_ratios = np.concatenate([np.zeros(20), np.full(3, 1.0), [1.5, 2.0]])
    weights, pareto_k = smoothed_tail(log_ratios)
    theirs, their_k = array_stats.psislw(-log_ratios)
    assert np.isnan(pareto_k)
    assert np.isnan(their_k)
    np.testing.assert_allclose(weights, theirs, atol=1e-12)
