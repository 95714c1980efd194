"""Rows of ordered categories, numbered from 1, with the thresholds c as the family's parameters.

In each a_j = c_j - eta. Log-densities are concave in eta, and have no constants.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bayeslmm.kernels.compiler.jit import inner_ieee
from bayeslmm.kernels.families.binary import (
    FARTHEST,
    cloglog_parts,
    cloglog_row,
    logit_row,
    probit_row,
)
from bayeslmm.kernels.families.codes import (
    ACAT,
    CUMULATIVE_LOGIT,
    SRATIO_LOGIT,
)
from bayeslmm.kernels.families.special import HALF_LOG_2PI, log_normal_cdf

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats


@inner_ieee
def _binary(link: int, a: float, y: float) -> tuple[float, float, float]:
    """Return log F(a) of y = 1 and log(1 - F(a)) of y = 0, its slope and minus its second."""
    if link == 0:
        return logit_row(a, y, 1.0)
    if link == 1:
        return probit_row(a, y, 1.0)
    return cloglog_row(a, y, 1.0)


@inner_ieee
def _between(link: int, low: float, high: float) -> tuple[float, float, float, float, float]:
    """Return log[F(high) - F(low)], its slope in eta, minus its second derivative.

    And its derivatives in high and in low.
    """
    gap = high - low
    if link == 0:
        up, at_high, w_high = logit_row(high, 1.0, 1.0)
        down, at_low, w_low = logit_row(low, 0.0, 1.0)
        steep = 1.0 / math.expm1(gap)
        value = up + down + math.log(-math.expm1(-gap))
        return value, -at_high - at_low, w_high + w_low, at_high + steep, at_low - steep
    if link == 1:
        flip = low + high > 0.0
        far = log_normal_cdf(-high if flip else low)[0]
        near = log_normal_cdf(-low if flip else high)[0]
        value = near + math.log(-math.expm1(far - near))
        at_high = math.exp(-0.5 * high * high - HALF_LOG_2PI - value)
        at_low = math.exp(-0.5 * low * low - HALF_LOG_2PI - value)
        slope = at_low - at_high
        curvature = max(slope * slope + high * at_high - low * at_low, 0.0)
        return value, slope, curvature, at_high, -at_low
    t = math.exp(min(low, FARTHEST))
    _, log_p, g, rest = cloglog_parts(high + math.log(-math.expm1(-gap)))
    at_high = g / -math.expm1(-gap)
    at_low = -t - g / math.expm1(gap)
    return log_p - t, t - g, t + g * rest, at_high, at_low


@inner_ieee
def _cumulative(link: int, eta: float, k: int, cuts: Floats) -> tuple[float, float, float]:
    last = len(cuts)
    if 1 < k <= last:
        value, slope, curvature, _, _ = _between(link, cuts[k - 2] - eta, cuts[k - 1] - eta)
        return value, slope, curvature
    lowest = k == 1
    a = cuts[0] - eta if lowest else cuts[last - 1] - eta
    value, slope, curvature = _binary(link, a, 1.0 if lowest else 0.0)
    return value, -slope, curvature


@inner_ieee
def _sratio(link: int, eta: float, k: int, cuts: Floats) -> tuple[float, float, float]:
    value, slope, curvature = 0.0, 0.0, 0.0
    for j in range(min(k, len(cuts))):
        own, steep, curved = _binary(link, cuts[j] - eta, 1.0 if j == k - 1 else 0.0)
        value += own
        slope -= steep
        curvature += curved
    return value, slope, curvature


@inner_ieee
def _largest_score(eta: float, cuts: Floats) -> float:
    """Return the largest of sum_{j < k} (eta - c_j), which stand before the exponentials."""
    score, largest = 0.0, 0.0
    for j in range(len(cuts)):
        score += eta - cuts[j]
        largest = max(largest, score)
    return largest


@inner_ieee
def _acat(eta: float, k: int, cuts: Floats) -> tuple[float, float, float]:
    largest, score, own = _largest_score(eta, cuts), 0.0, 0.0
    weight = math.exp(-largest)
    total, first, second = weight, weight, weight
    for j in range(len(cuts)):
        score += eta - cuts[j]
        weight = math.exp(score - largest)
        number = j + 2.0
        total += weight
        first += number * weight
        second += number * number * weight
        if j == k - 2:
            own = score
    mean = first / total
    return own - largest - math.log(total), k - mean, max(second / total - mean * mean, 0.0)


@inner_ieee
def ordered_row(code: int, eta: float, y: float, cuts: Floats) -> tuple[float, float, float]:
    """Return log P(Y = y), its slope in eta and minus its second derivative."""
    k = int(y)
    if code == ACAT:
        return _acat(eta, k, cuts)
    if code >= SRATIO_LOGIT:
        return _sratio(code - SRATIO_LOGIT, eta, k, cuts)
    return _cumulative(code - CUMULATIVE_LOGIT, eta, k, cuts)


@inner_ieee
def add_threshold_slopes(
    code: int, eta: float, y: float, cuts: Floats, weight: float, out: Floats
) -> None:
    """Add weight times the derivatives of `ordered_row` in the thresholds to `out`."""
    k, last = int(y), len(cuts)
    if code == ACAT:
        # P(Y > j) less whether y is, from the top down.
        largest, score = _largest_score(eta, cuts), 0.0
        total = math.exp(-largest)
        for j in range(last):
            score += eta - cuts[j]
            total += math.exp(score - largest)
        above = 0.0
        for j in range(last - 1, -1, -1):
            above += math.exp(score - largest) / total
            score -= eta - cuts[j]
            out[j] += weight * (above - (1.0 if k > j + 1 else 0.0))
        return
    if code >= SRATIO_LOGIT:
        for j in range(min(k, last)):
            steep = _binary(code - SRATIO_LOGIT, cuts[j] - eta, 1.0 if j == k - 1 else 0.0)[1]
            out[j] += weight * steep
        return
    link = code - CUMULATIVE_LOGIT
    if 1 < k <= last:
        _, _, _, at_high, at_low = _between(link, cuts[k - 2] - eta, cuts[k - 1] - eta)
        out[k - 1] += weight * at_high
        out[k - 2] += weight * at_low
    elif k == 1:
        out[0] += weight * _binary(link, cuts[0] - eta, 1.0)[1]
    else:
        out[last - 1] += weight * _binary(link, cuts[last - 1] - eta, 0.0)[1]
