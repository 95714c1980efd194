"""Correlation of residuals within groups, beside what their structure says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.checks.residual_correlation import (
    ResidualCorrelations,
    residual_correlations,
)
from bayeslmm.analysis.prediction.fit_rows import Fit, fit_rows
from bayeslmm.analysis.prediction.linear_predictor import check_seed
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.plots.style import (
    DATA,
    GRID,
    INK,
    LEVEL,
    POPULATION,
    interval_words,
    legend_above,
    style,
    with_unit,
)
from bayeslmm.reml.result import REMLFit
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval, interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats

HALF = 0.32  # of a pair's place on the axis
MOST_CHARACTERS = 40  # of labels side by side


@names_keywords
def plot_residual_correlation(
    fit: Fit,
    *,
    max_lag: float | None = None,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    random_seed: int | None = 0,
    axes: Any = None,
) -> Any:
    r"""Draw how residuals of a group correlate, beside what their structure says.

    Of few visits each pair stands by itself; of structures that depend on the lag alone, and of
    many visits, lags do. Where times are real numbers, a variogram is drawn: half the mean squared
    difference of two standardized residuals, 1 - correlation, by the gap between them.

    .. math:: z_i = e_i / sd(e_i), \qquad
              r = \frac{\sum z_a z_b}{\sqrt{\sum z_a^2 \sum z_b^2}}, \qquad
              \gamma = \frac{1}{2m} \sum (z_a - z_b)^2

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`, with ``residual=``.
    max_lag : float, optional
        The longest lag or gap, in the column's unit; 20 lags, and all gaps, without it.
    ci_prob : float
        Probability of the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density intervals.
    random_seed : int, optional
        Seed of the simulated residuals.
    axes : matplotlib Axes or sequence of them, optional
        Where to draw, one for each stratum with parameters of its own; a new figure without it.

    Returns
    -------
    matplotlib Figure
        Points are of the residuals e = y - X beta - Z b, averaged over 200 draws of the effects
        given the data: those from posterior means would scatter less than the model says. The blue
        line is the structure's correlation with its interval (a REML fit has none), the grey band
        holds what as many residuals drawn from the structure show. Points outside are vermilion.

    Raises
    ------
    ArgumentError
        When the residuals are independent, `axes` are too few, or no two rows are that near.
    TreeError
        When `fit` is neither, or was fitted to cross-products.

    References
    ----------
    Diggle, Heagerty, Liang & Zeger (2002), Analysis of Longitudinal Data, 2nd edition, Oxford
    University Press, chapter 5, for variograms; Gelman, Meng & Stern (1996), Statistica Sinica
    6(4):733-807, for residuals that are drawn.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> orthodont = bl.load_dataset("orthodont")
    >>> fit = bl.fit_reml("distance ~ age * Sex", orthodont, residual="us(age | Subject)")
    >>> (panel,) = bl.plot_residual_correlation(fit).axes
    >>> [label.get_text() for label in panel.get_xticklabels()]
    ['8, 10', '10, 12', '12, 14', '8, 12', '10, 14', '8, 14']
    """
    check_interval(ci_prob, ci_kind)
    found = residual_correlations(fit, max_lag=max_lag, random_seed=check_seed(random_seed))
    interval_of_model = not isinstance(fit, REMLFit)
    with style() as plt:
        panels = _panels(plt, axes, found)
        for panel, one in zip(panels, found, strict=True):
            _draw(panel, one, (ci_prob, ci_kind), with_interval=interval_of_model)
            panel.set_xlabel(_x_label(fit, one))
            panel.set_title(_title(one))
        panels[0].set_ylabel(_y_label(found[0]))
        words = interval_words(ci_prob, ci_kind)
        legend_above(panels[0], _legend(words, with_interval=interval_of_model))
        if len(found) > 1 or found[0].stratum is not None:
            _room_for_titles(panels)
    return panels[0].figure


def _panels(plt: Any, axes: Any, found: Sequence[ResidualCorrelations]) -> list[Any]:
    count = len(found)
    if axes is None:
        widest = max(len(one.labels) for one in found)
        width = min(max(6.0 if count == 1 else 4.2, 0.42 * widest + 1.5) * count, 15.0)
        _, axes = plt.subplots(
            1, count, figsize=(width, 4.2), sharey=True, squeeze=False, layout="constrained"
        )
    panels = list(np.ravel(np.asarray(axes, dtype=object)))
    if len(panels) < count:
        raise ArgumentError(f"axes holds {len(panels)} panels; {count} strata need one each.")
    return panels[:count]


def _draw(
    ax: Any, found: ResidualCorrelations, ci: tuple[float, str], *, with_interval: bool
) -> None:
    observed, x = found.observed.mean(axis=0), found.x
    low, high = interval(found.replicated, *ci)
    inner_low, inner_high = interval(found.model, *ci)
    centre = found.model.mean(axis=0)
    outside = (observed < low) | (observed > high)
    ax.grid(color=GRID, linewidth=0.6, axis="y")
    ax.axhline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    if found.what == "pair" or len(x) == 1:
        _bars(ax, x, (low, high), DATA, 0.18)
        if with_interval:
            _bars(ax, x, (inner_low, inner_high), LEVEL, 0.3)
        ax.hlines(centre, x - HALF, x + HALF, color=LEVEL, linewidth=2.0)
    else:
        ax.fill_between(x, low, high, color=DATA, alpha=0.18, linewidth=0)
        if with_interval:
            ax.fill_between(x, inner_low, inner_high, color=LEVEL, alpha=0.3, linewidth=0)
        ax.plot(x, centre, color=LEVEL, linewidth=2.0)
    if found.labels:
        turned = sum(map(len, found.labels)) > MOST_CHARACTERS
        ax.set_xticks(
            x, found.labels, rotation=45 if turned else 0, ha="right" if turned else "center",
            rotation_mode="anchor",
        )  # fmt: skip
    elif found.what == "lag":
        ax.xaxis.get_major_locator().set_params(integer=True)
    for chosen, color in ((~outside, INK), (outside, POPULATION)):
        ax.scatter(x[chosen], observed[chosen], s=26, color=color, edgecolor="white", zorder=4)


def _bars(ax: Any, x: Floats, ends: tuple[Floats, Floats], color: str, alpha: float) -> None:
    low, high = ends
    ax.bar(x, high - low, 2 * HALF, low, color=color, alpha=alpha, linewidth=0)


def _x_label(fit: Fit, found: ResidualCorrelations) -> str:
    time = found.correlation.time
    if time is None:
        return f"rows of one {found.correlation.group}"
    of = "pair of" if found.what == "pair" else f"{found.what} in"
    return f"{of} {with_unit(time, fit_rows(fit).units)}"


def _y_label(found: ResidualCorrelations) -> str:
    of = "of standardized residuals"
    return f"semivariance {of}" if found.what == "gap" else f"correlation {of}"


def _title(found: ResidualCorrelations) -> str:
    looked, total = found.groups
    parts = []
    if found.stratum is not None:
        parts.append(f"{found.correlation.by}: {found.stratum}")
    if looked < total:
        parts.append(f"{looked:,} of {total:,} levels of {found.correlation.group}")
    return ", ".join(parts)


def _legend(words: str, *, with_interval: bool) -> list[Any]:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import
    from matplotlib.patches import Patch  # noqa: PLC0415

    band = f", {words}" if with_interval else ""
    return [
        Line2D([], [], marker="o", linestyle="", color=INK, label="residuals"),
        Line2D([], [], color=LEVEL, linewidth=2.0, label=f"structure{band}"),
        Patch(color=DATA, alpha=0.3, linewidth=0, label=f"simulated, {words}"),
    ]


def _room_for_titles(panels: Sequence[Any]) -> None:
    """Put the legend into the figure, since titles stand where it would."""
    legend = panels[0].get_legend()
    handles = list(legend.legend_handles)
    labels = [text.get_text() for text in legend.get_texts()]
    legend.remove()
    panels[0].figure.legend(handles, labels, loc="outside upper left", ncols=len(handles))
