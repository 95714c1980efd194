"""Variance components as pictures: shares of the variance, and G's sds and correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.summaries.tables import correlated_pairs
from bayeslmm.analysis.variance.parts import variance_parts
from bayeslmm.errors import names_keywords
from bayeslmm.plots.style import DATA, GRID, INK, LEVEL, POPULATION, interval_words, style
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, density, interval
from bayeslmm.results.family import family, is_additive

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

PALETTE = (LEVEL, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


@names_keywords
def plot_variance_partition(
    idata: xr.DataTree, *, ci_prob: float = CI_PROB, ci_kind: str = CI_KIND, ax: Any = None
) -> Any:
    """Draw the shares of the response's variance: fixed effects, each factor, residual.

    Of other than Gaussian and Student-t responses the variance is that on the latent scale, as
    `icc` has it.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    ci_prob : float
        Probability of the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density intervals.
    ax : matplotlib Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Figure
        Bars are posterior means of the shares (they add up to 1), lines their intervals. Random
        slopes are averaged over the data, as in `icc`.

    Raises
    ------
    TreeError
        When `idata` is no tree of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.plot_variance_partition(idata).axes[0].get_xlabel()
    'share of the variance (95 % interval)'
    """
    parts = variance_parts(idata)
    pieces = {"fixed effects": parts.fixed, **parts.factors, "residual": parts.residual}
    if not np.any(parts.fixed > 0):
        del pieces["fixed effects"]  # only an intercept: it explains no variance
    whole = np.sum(list(pieces.values()), axis=0)
    colors = [POPULATION, *_colors(len(parts.factors)), DATA][-len(pieces) :]
    with style() as plt:
        if ax is None:
            _, ax = plt.subplots(figsize=(6.6, 0.55 * len(pieces) + 1.1), layout="constrained")
        for row, (values, color) in enumerate(zip(pieces.values(), colors, strict=True)):
            share = values / whole
            low, high = interval(share, ci_prob, ci_kind)
            ax.barh(row, share.mean(), height=0.62, color=color, alpha=0.35)
            ax.hlines(row, low, high, color=color, linewidth=2.4)
            ax.plot(share.mean(), row, marker="o", color=color, markersize=6)
            ax.annotate(
                f"{share.mean():.0%}", (float(high), row), (6, 0), textcoords="offset points",
                va="center", fontsize=9, color=INK,
            )  # fmt: skip
        ax.set_yticks(range(len(pieces)), list(pieces))
        ax.tick_params(axis="y", length=0)
        ax.invert_yaxis()
        ax.set_xlim(0, 1)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        ax.grid(color=GRID, linewidth=0.6, axis="x")
        scale = "" if is_additive(family(idata)) else " on the latent scale"
        ax.set_xlabel(f"share of the variance{scale} ({interval_words(ci_prob, ci_kind)})")
    return ax.figure


@names_keywords
def plot_covariance(
    idata: xr.DataTree,
    factor: str | None = None,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> Any:
    """Draw the posterior of a factor's G: standard deviations and correlations.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    factor : str, optional
        The grouping factor; may be left out where there is one.
    ci_prob : float
        Probability of the intervals under the densities.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density intervals.

    Returns
    -------
    matplotlib Figure
        Standard deviations on the diagonal, correlations below it.

    Raises
    ------
    TreeError
        When the factor is unknown or `idata` is no tree of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> len(bl.plot_covariance(idata).axes)
    4
    """
    info = read.factor(idata, factor)
    q = len(info.terms)
    sd = read.flat_draws(idata, names.sd(info.name))
    corr = read.correlation_draws(idata, info).reshape(-1, q, q)
    drawn = correlated_pairs(idata, info)
    with style() as plt:
        size = (2.9 * q + 0.4, 2.2 * q + 0.4)
        figure, grid = plt.subplots(q, q, figsize=size, squeeze=False, layout="constrained")
        for i in range(q):
            for j in range(q):
                panel = grid[i, j]
                if i == j:
                    _density(panel, sd[:, i], (0, None), LEVEL, (ci_prob, ci_kind))
                    panel.set_title(f"sd {info.terms[i]}")
                    panel.set_xlim(left=0)
                elif (i, j) in drawn:
                    _density(panel, corr[:, i, j], (-1, 1), POPULATION, (ci_prob, ci_kind))
                    panel.axvline(0, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
                    panel.set_title(f"corr {info.terms[j]}, {info.terms[i]}")
                    panel.set_xlim(-1, 1)
                else:
                    panel.set_visible(False)
        if q > 1:
            figure.suptitle(f"Covariance of {info.name}", x=0.99, ha="right", fontsize=11)
    return figure


def _density(
    panel: Any,
    values: NDArray[np.float64],
    bounds: tuple[float | None, float | None],
    color: str,
    ci: tuple[float, str],
) -> None:
    x, height = density(values, bounds)
    panel.fill_between(x, height, color=color, alpha=0.25, linewidth=0)
    panel.plot(x, height, color=color, linewidth=1.4)
    low, high = interval(values, *ci)
    panel.hlines(0, low, high, color=color, linewidth=5)
    panel.plot(values.mean(), 0, marker="o", color="white", markeredgecolor=color, clip_on=False)
    panel.set_ylim(bottom=-0.04 * height.max())
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)


def _colors(count: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(count)]
