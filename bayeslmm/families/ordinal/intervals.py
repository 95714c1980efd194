"""Probabilities of intervals of a latent response, by their logarithms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr

from bayeslmm.families.links import CLOGLOG, LOGIT

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


def log_between(link: str, low: Floats, high: Floats) -> Floats:
    """Compute log[F(high) - F(low)] for low < high, F the inverse of a link by its name."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if link == LOGIT.name:
            gap = np.log(-np.expm1(low - high))
            return np.asarray(LOGIT.log_mean(high) + LOGIT.log_rest(low) + gap)
        if link == CLOGLOG.name:
            # The difference of hazards e^high - e^low, by its logarithm.
            gap = high + np.log(-np.expm1(low - high))
            return np.asarray(CLOGLOG.log_rest(low) + CLOGLOG.log_mean(gap))
        # Of the two tails the one in which the differences are between small numbers.
        flip = low + high > 0.0
        a, b = np.where(flip, -low, high), np.where(flip, -high, low)
        log_a = log_ndtr(a)
        return np.asarray(log_a + np.log(-np.expm1(log_ndtr(b) - log_a)))
