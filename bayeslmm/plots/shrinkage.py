"""From no pooling to partial pooling, in the plane of two coefficients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.variance.pooling import PoolingEstimates, pooling_estimates
from bayeslmm.arguments import as_names
from bayeslmm.errors import ArgumentError, names_keywords, nearest
from bayeslmm.plots.style import DATA, GRID, LEVEL, POPULATION, style
from bayeslmm.results import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.results.factor_info import FactorInfo

MOST_LABELS = 40
CONTOURS = (0.5, 0.95)


@names_keywords
def plot_shrinkage(
    idata: xr.DataTree,
    factor: str | None = None,
    *,
    terms: Sequence[str] | None = None,
    ax: Any = None,
) -> Any:
    """Draw how each level's own estimate is pulled towards the population.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    factor : str, optional
        The grouping factor; may be left out where there is one.
    terms : sequence of two str, optional
        The random-effect columns of the axes; the first two without it, of ``gr(g, by=arm)`` those
        of the first arm.
    ax : matplotlib Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Figure
        Hollow points are least squares within a level, filled ones posterior means; ellipses hold
        50 % and 95 % of the levels that N(beta, G) describes, at the posterior mean of G. With one
        term, the two kinds of estimates stand on two lines.

    Raises
    ------
    ArgumentError
        When a term is unknown.
    TreeError
        When the factor is unknown, the response is not Gaussian, or `idata` is no tree of this
        package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.plot_shrinkage(idata).axes[0].get_xlabel()
    'Intercept of each g'
    """
    info = read.factor(idata, factor)
    chosen = _positions(info, terms)
    estimates = pooling_estimates(idata, info.name)
    with style() as plt:
        if ax is None:
            size = (6.4, 5.4) if len(chosen) == 2 else (7.2, 2.8)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        if len(chosen) == 2:
            cov = read.covariance_draws(idata, info).mean(axis=0)[np.ix_(chosen, chosen)]
            _plane(ax, info, estimates, chosen, cov)
        else:
            _lines(ax, info, estimates, chosen[0])
    return ax.figure


def _positions(info: FactorInfo, terms: Sequence[str] | None) -> list[int]:
    names = _first_terms(info) if terms is None else as_names("terms", terms)
    for name in names:
        if name not in info.terms:
            msg = f"{info.name!r} has no random effect {name!r}.{nearest(name, info.terms)}"
            raise ArgumentError(msg)
    if not 1 <= len(names) <= 2:
        msg = f"terms names one or two random effects of {info.name!r}; it names {len(names)}."
        raise ArgumentError(msg)
    places = [info.terms.index(name) for name in names]
    if info.levels and not info.holds[:, places].all(axis=1).any():
        raise ArgumentError(
            f"No level of {info.name!r} has both {names[0]!r} and {names[1]!r}: name two columns "
            "of one arm."
        )
    return places


def _first_terms(info: FactorInfo) -> list[str]:
    """Return the first two columns that the first level's arm has."""
    there = info.holds[0] if info.levels else np.ones(len(info.terms), dtype=bool)
    return [term for term, has in zip(info.terms, there, strict=True) if has][:2]


def _of_levels(info: FactorInfo, chosen: list[int]) -> NDArray[np.intp]:
    """Return the levels that have the chosen columns."""
    return np.flatnonzero(info.holds[:, chosen].all(axis=1))


def _plane(
    ax: Any,
    info: FactorInfo,
    estimates: PoolingEstimates,
    chosen: list[int],
    cov: NDArray[np.float64],
) -> None:
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - slow to import

    levels = _of_levels(info, chosen)
    none, partial = (e[np.ix_(levels, chosen)] for e in (estimates.none, estimates.partial))
    center = estimates.complete[chosen]
    alpha = float(np.clip(60 / len(none), 0.12, 1))
    ax.grid(color=GRID, linewidth=0.6)
    for probability in CONTOURS:
        x, y = _ellipse(center, cov, probability)
        ax.plot(x, y, color=POPULATION, linewidth=1.0, alpha=0.8)
    known = np.isfinite(none).all(axis=1)
    _limit(ax, none[known], np.vstack([partial, np.stack([x, y], axis=1)]))
    segments = list(np.stack([none[known], partial[known]], axis=1))
    ax.add_collection(LineCollection(segments, colors=DATA, linewidths=0.9, alpha=0.7 * alpha))
    ax.scatter(*none.T, s=22, facecolor="white", edgecolor=DATA, alpha=alpha, label="no pooling")
    ax.scatter(*partial.T, s=22, color=LEVEL, alpha=alpha, zorder=3, label="partial pooling")
    ax.scatter(*center, s=90, marker="X", color=POPULATION, zorder=4, label="population")
    if len(partial) <= MOST_LABELS:
        for level, (x, y) in zip(levels, partial, strict=True):
            ax.annotate(
                info.levels[level],
                (x, y),
                (4, 3),
                textcoords="offset points",
                fontsize=7,
                color="#57606A",
            )
    ax.set_xlabel(f"{info.terms[chosen[0]]} of each {info.name}")
    ax.set_ylabel(f"{info.terms[chosen[1]]} of each {info.name}")
    for handle in ax.legend(loc="best").legend_handles:
        handle.set_alpha(1)


def _limit(ax: Any, none: NDArray[np.float64], always: NDArray[np.float64]) -> None:
    """Keep one wild estimate from squeezing the rest: a level with two rows can be far off."""
    low, high = always.min(axis=0), always.max(axis=0)
    reach = np.maximum(high - low, np.finfo(float).tiny)
    inside = np.all((none >= low - 0.6 * reach) & (none <= high + 0.6 * reach), axis=1)
    shown = np.vstack([always, none[inside]])
    low, high = shown.min(axis=0), shown.max(axis=0)
    margin = 0.06 * (high - low)
    ax.set_xlim(low[0] - margin[0], high[0] + margin[0])
    ax.set_ylim(low[1] - margin[1], high[1] + margin[1])
    beyond = int((~inside).sum())
    if beyond:
        ax.annotate(
            f"{beyond} no-pooling estimate{'s' if beyond > 1 else ''} beyond the edges",
            (0.99, 0.02),
            xycoords="axes fraction",
            ha="right",
            fontsize=8,
            color="#57606A",
        )


def _ellipse(
    center: NDArray[np.float64], cov: NDArray[np.float64], probability: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the contour of N(center, cov) that holds a probability."""
    values, vectors = np.linalg.eigh(cov)
    # The squared radius of a bivariate normal is exponential with mean 2.
    radius = np.sqrt(-2 * np.log(1 - probability))
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    x, y = center[:, None] + radius * vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * circle)
    return x, y


def _lines(ax: Any, info: FactorInfo, estimates: PoolingEstimates, term: int) -> None:
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - slow to import

    levels = _of_levels(info, [term])
    none, partial = estimates.none[levels, term], estimates.partial[levels, term]
    alpha = float(np.clip(60 / len(none), 0.12, 1))
    known = np.isfinite(none)
    tops = np.stack([none[known], np.ones(known.sum())], axis=1)
    bottoms = np.stack([partial[known], np.zeros(known.sum())], axis=1)
    segments = list(np.stack([tops, bottoms], axis=1))
    ax.add_collection(LineCollection(segments, colors=DATA, linewidths=0.9, alpha=0.7 * alpha))
    ax.scatter(none, np.ones(len(none)), s=26, facecolor="white", edgecolor=DATA, alpha=alpha)
    ax.scatter(partial, np.zeros(len(partial)), s=26, color=LEVEL, alpha=alpha, zorder=3)
    ax.axvline(estimates.complete[term], color=POPULATION, linewidth=1.4)
    ax.set_yticks([0, 1], ["partial pooling", "no pooling"])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.35, 1.35)
    ax.set_xlabel(f"{info.terms[term]} of each {info.name}")
