"""Shares above values, of rows censored in any way: the most likely ones."""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import CensoredData, ecdf, norm

from bayeslmm.plots.censored_check import draw_survival, shares_above


def censored(n, seed):
    """Whole responses, and rows of them seen, above, below and between."""
    rng = np.random.default_rng(seed)
    whole, limit = rng.weibull(1.5, n), rng.exponential(1.0, n)
    kind = rng.choice(4, n, p=[0.5, 0.2, 0.1, 0.2])
    y, ends = whole.copy(), whole.copy()
    above, below, between = (kind == 1) & (whole > limit), (kind == 2) & (whole < limit), kind == 3
    y[above | below] = limit[above | below]
    ends[above], ends[below] = np.inf, -np.inf
    y[between] = np.floor(2.0 * whole[between]) / 2.0
    ends[between] = y[between] + 0.5
    return whole, y, ends


def test_shares_of_rows_censored_in_any_way_are_the_most_likely_ones():
    """No shift of weight raises the likelihood: Gentleman & Geyer 1994, Biometrika 81:618."""
    _, y, ends = censored(300, seed=2)
    at = np.unique(np.concatenate([y, ends[np.isfinite(ends)]]))
    S = np.concatenate([[1.0], shares_above(y, ends, at), [0.0]])
    p, every = -np.diff(S), np.append(at, np.inf)
    inside = (every > y[:, None]) & (every <= ends[:, None])
    inside[ends == y] = every == y[ends == y, None]
    inside[np.isneginf(ends)] = every <= y[np.isneginf(ends), None]
    slopes = (inside / (inside @ p)[:, None]).mean(axis=0)
    assert slopes.max() < 1.0 + 1e-4
    assert p.min() > -1e-12


def test_shares_of_rows_that_are_seen_or_above_are_kaplan_and_meier_s():
    _, y, ends = censored(200, seed=3)
    y, ends = y[some := (ends == y) | np.isposinf(ends)], ends[some]
    curve = ecdf(CensoredData(uncensored=y[ends == y], right=y[ends != y])).sf
    values = np.linspace(0.0, y.max(), 50)
    np.testing.assert_allclose(shares_above(y, ends, values), curve.evaluate(values), atol=1e-5)


def test_data_between_two_limits_lie_where_a_true_model_does():
    rng = np.random.default_rng(1)
    whole = rng.standard_normal(4000)
    y = np.clip(whole, -0.7, 0.7)
    ends = np.where(whole < -0.7, -np.inf, np.where(whole > 0.7, np.inf, y))
    figure, ax = plt.subplots()
    draw_survival(ax, y, ends, rng.standard_normal((20, 4000)), "y")
    simulated, *_, data = ax.get_lines()
    plt.close(figure)
    inside = slice(1, -1)
    for line in (simulated, data):
        expected = norm.sf(line.get_xdata()[inside])
        # Five standard errors of a share of 4,000 rows.
        np.testing.assert_allclose(line.get_ydata()[inside], expected, atol=0.04)
