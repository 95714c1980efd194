"""The curve of a smooth with its bands, or its derivative, by level where there is one for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.prediction.fit_rows import fit_rows
from bayeslmm.analysis.smooths.curves import (
    checked_values,
    curves_of,
    drawn_smooth,
    training_values,
)
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.plots.style import CATEGORIES, DATA, GRID, LEVEL, legend_above, style, with_unit
from bayeslmm.results.diagnostics import CI_KIND, check_interval, interval

if TYPE_CHECKING:
    import xarray as xr

    from bayeslmm.analysis.prediction.fit_rows import FitRows
    from bayeslmm.analysis.smooths.curves import DrawnSmooth

BANDS = (0.5, 0.95)
_ORDERS = ("", "first derivative of ", "second derivative of ")


@names_keywords
def plot_smooth(
    idata: xr.DataTree,
    smooth: str | None = None,
    *,
    at: Any = None,
    derivative: int = 0,
    contrasts: Any = None,
    reference: Any = None,
    probs: Sequence[float] = BANDS,
    ci_kind: str = CI_KIND,
    rug: bool = True,
    ax: Any = None,
) -> Any:
    """Draw a smooth's curve with its bands, as `smooth_curves` describes it.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    smooth : str, optional
        Its name, such as ``"s(x)"``; the only one without it.
    at, derivative, contrasts, reference
        As in `smooth_curves`.
    probs : sequence of float
        Probabilities of the bands, which hold point by point.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density bands.
    rug : bool
        Whether to mark the training rows' values at the bottom, those of each level's curve in
        its colour.
    ax : matplotlib Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ArgumentError, TreeError
        As in `smooth_curves`.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> x = np.linspace(0.0, 6.0, 60)
    >>> noise = np.random.default_rng(1).normal(0.0, 0.3, 60)
    >>> idata = bl.fit_bayes("y ~ s(x)", {"y": np.sin(x) + noise, "x": x}, random_seed=1,
    ...                      parametrization="marginal", sampler="importance")
    >>> axes = bl.plot_smooth(idata, "s(x)").axes[0]
    >>> axes.get_xlabel(), axes.get_ylabel()
    ('x', 's(x)')
    """
    if not isinstance(probs, Sequence | np.ndarray) or not len(probs):
        raise ArgumentError(f"probs is a list of probabilities, such as [0.95]; it was {probs!r}.")
    for prob in probs:
        check_interval(prob, ci_kind)
    drawn = drawn_smooth(idata, smooth)
    x = drawn.grid() if at is None else np.sort(checked_values(at))
    labels, values = curves_of(drawn, x, derivative, contrasts, reference)
    if len(labels) > len(CATEGORIES):
        raise ArgumentError(
            f"{len(labels)} curves are more than colours can tell apart: choose some by "
            "contrasts=, or take the numbers of smooth_curves."
        )
    rows = fit_rows(idata)
    colors = [LEVEL] if len(labels) == 1 else list(CATEGORIES[: len(labels)])
    with style() as plt:
        if ax is None:
            _, ax = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
        ax.grid(color=GRID, linewidth=0.6)
        if derivative or contrasts is not None or drawn.fixed.shape[-1] > 1:
            ax.axhline(0.0, color=DATA, linewidth=0.8, zorder=2)
        for place, color in enumerate(colors):
            own = values[:, :, place].reshape(-1, len(x))
            for prob in sorted(probs, reverse=True):
                low, high = interval(own, prob, ci_kind)
                ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0, zorder=3)
            ax.plot(x, own.mean(axis=0), color=color, linewidth=1.8, zorder=4)
        if rug:
            _draw_rug(ax, drawn, rows, colors if contrasts is None else None)
        ax.set_xlabel(with_unit(drawn.term.variable, rows.units))
        of = f"{_ORDERS[derivative]}{drawn.term.name}"
        ax.set_ylabel(of if contrasts is None else f"difference of {of}")
        shown = ", ".join(f"{100 * prob:g}" for prob in sorted(probs))
        said = f"bands: {shown} %{'' if ci_kind == 'eti' else f' {ci_kind.upper()}'}"
        if labels == [""]:
            ax.set_title(said)
        else:
            legend_above(ax, _handles(drawn, labels, colors, compared=contrasts is not None), said)
    return ax.figure


def _draw_rug(ax: Any, drawn: DrawnSmooth, rows: FitRows, colors: Sequence[str] | None) -> None:
    x = training_values(drawn, rows)
    if x is None or rows.columns is None:
        return
    by, n = drawn.term.by, len(x)
    options = {"alpha": float(np.clip(200 / n, 0.05, 0.6)), "linewidth": 0.8, "zorder": 2}
    across = ax.get_xaxis_transform()
    for place, level in enumerate(drawn.curves):
        here = np.ones(n, dtype=bool) if not level else rows.columns[str(by)].astype(str) == level
        color = DATA if colors is None or not level else colors[place]
        base = 0.0 if colors is None else 0.018 * place
        ax.vlines(x[here], base, base + 0.016, color=color, transform=across, **options)


def _handles(
    drawn: DrawnSmooth, labels: Sequence[str], colors: Sequence[str], *, compared: bool
) -> list[Any]:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import

    head = "" if compared else f"{drawn.term.by}: "
    return [
        Line2D([], [], color=color, linewidth=2.4, label=f"{head}{label}")
        for label, color in zip(labels, colors, strict=True)
    ]
