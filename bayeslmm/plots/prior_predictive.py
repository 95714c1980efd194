"""What the priors expect to see, beside the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.prediction.level_grid import level_grid, running_covariate
from bayeslmm.analysis.prediction.linear_predictor import (
    check_seed,
    linear_predictor,
    training_design,
)
from bayeslmm.analysis.sensitivity.prior_implications import as_posterior
from bayeslmm.errors import ArgumentError, names_keywords
from bayeslmm.plots.style import GRID, LEVEL, POPULATION, style
from bayeslmm.results import read
from bayeslmm.results.family import family, observed_means

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.families.family import Family

LEVELS_PER_DRAW = 4
GRID_POINTS = 200
MOST_BARS = 30
LINEAR_NEAR_ZERO = {"linthresh": 1.0}
PREDICTIVE = "prior_predictive"


@names_keywords
def plot_prior_predictive(
    idata: xr.DataTree,
    x: str | None = None,
    *,
    factor: str | None = None,
    draws: int = 30,
    random_seed: int = 0,
) -> Any:
    """Draw the priors' group trajectories and response densities against the data.

    Parameters
    ----------
    idata : DataTree
        Result of `sample_prior`.
    x : str, optional
        The covariate of the trajectories; without it one with a random slope, else the first
        numeric one. A model without any has no trajectories, only densities.
    factor : str, optional
        The grouping factor of the trajectories; may be left out where there is one at most.
    draws : int
        How many prior draws to show.
    random_seed : int
        Which draws and levels are shown.

    Returns
    -------
    matplotlib Figure
        Left: of each draw, the expected responses of a few levels; points are the data, of a
        binomial response shares of the trials. Right: the density of one data set per draw, of
        discrete and positive responses their frequencies; the thick line is the data's. Axes hold
        the data and the middle 90 % of the prior predictive responses, so that heavy tails do not
        squeeze the rest; they are logarithmic where means are exponentials.

    Raises
    ------
    TreeError
        When `idata` is no result of `sample_prior`, or the factor is unknown, or not
        named where there are several.
    ArgumentError
        When `x` is no numeric column of the formula or `draws` is not positive.

    References
    ----------
    Gabry, Simpson, Vehtari, Betancourt & Gelman (2019), Visualization in Bayesian workflow,
    doi 10.1111/rssa.12378.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> prior = bl.sample_prior(
    ...     "Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"), random_seed=1
    ... )
    >>> [axes.get_title() for axes in bl.plot_prior_predictive(prior).axes]
    ['levels of Subject', 'response']
    """
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
        raise ArgumentError(f"draws must be positive and whole; it was {draws!r}.")
    seed = check_seed(random_seed)
    view = as_posterior(idata, "prior")
    name = str(idata.attrs["response"])
    responses = observed_means(view, read.flat_draws(idata, name, PREDICTIVE))
    observed = observed_means(view, read.response(idata))
    label = f"share of {name}" if family(view).response.known == "trials" else name
    rng = np.random.default_rng(seed)
    shown = rng.permutation(len(responses))[:draws]
    axis = _axis(family(view))
    limits = _limits(observed, responses, axis)
    lines = _lines(view, x, factor, shown, rng)
    with style() as plt:
        panels = 1 if lines is None else 2
        figure, axes = plt.subplots(
            1, panels, figsize=(4.6 * panels, 3.9), layout="constrained", squeeze=False
        )
        if lines is not None:
            _draw_lines(axes[0, 0], lines, observed, limits, label)
            axes[0, 0].set_yscale(axis, **LINEAR_NEAR_ZERO if axis == "symlog" else {})
            axes[0, 0].set_ylim(*limits)
        if family(view).discrete or axis != "linear":
            edges = _edges(observed, limits, axis)
            _draw_frequencies(axes[0, -1], observed, responses[shown], edges, label)
            axes[0, -1].set_xscale(axis, **LINEAR_NEAR_ZERO if axis == "symlog" else {})
            axes[0, -1].set_xlim(*limits)
        else:
            _draw_densities(axes[0, -1], observed, responses[shown], limits, label)
        _legend(figure)
    return figure


@dataclass(frozen=True, eq=False, slots=True)
class _Lines:
    """Trajectories of a factor's levels, each of shape (points, 2), and the data's covariate."""

    factor: str
    label: str
    data_x: NDArray[np.float64]
    segments: list[NDArray[np.float64]]


def _lines(
    view: xr.DataTree,
    x: str | None,
    factor: str | None,
    shown: NDArray[np.intp],
    rng: np.random.Generator,
) -> _Lines | None:
    if factor is None and not read.factor_names(view):
        return None
    info = read.factor(view, factor)
    design = training_design(view)
    chosen = next(item for item in design.factors if item.name == info.name)
    running = running_covariate(view, design, chosen, x)
    if running is None or (factor is None and chosen.has_members):
        return None
    grid = level_grid(view, chosen, running)
    # Prior draws say what priors do, not what data determine.
    predictor = linear_predictor(view, grid.rows, random_effects=[info.name], any_rows=True)
    everything = slice(None)
    means = predictor.expected(everything, predictor.rows(everything))
    means = means.reshape(*grid.x.shape, -1)
    segments = [
        np.column_stack([grid.x[level], means[level, :, draw]])
        for draw in shown
        for level in rng.permutation(len(grid.x))[:LEVELS_PER_DRAW]
    ]
    data_x = np.asarray(read.columns(view)[running], dtype=np.float64)
    return _Lines(info.name, running, data_x, segments)


def _axis(member: Family) -> str:
    """Return the axis for responses: logarithmic where means are exponentials, but near zero."""
    if member.mean_scale.name != "log":
        return "linear"
    return "symlog" if member.discrete or 0.0 in member.atoms else "log"


def _limits(
    observed: NDArray[np.float64], responses: NDArray[np.float64], axis: str
) -> tuple[float, float]:
    low, high = np.quantile(responses, [0.05, 0.95])
    low, high = min(low, observed.min()), max(high, observed.max())
    if axis == "linear":
        margin = 0.05 * (high - low)
        return float(low - margin), float(high + margin)
    if axis == "symlog":
        return float(low) - 0.5, 1.2 * float(high) + 0.5
    return float(low) / 1.2, 1.2 * float(high)


def _edges(
    observed: NDArray[np.float64], limits: tuple[float, float], axis: str
) -> NDArray[np.float64]:
    """Return the edges of bars: of counts between whole numbers, ever wider for large ones."""
    low, high = limits
    if axis == "log":
        return np.asarray(np.geomspace(low, high, MOST_BARS + 1))
    if axis == "symlog":
        steps = np.sinh(np.linspace(np.arcsinh(low + 0.5), np.arcsinh(high), MOST_BARS + 1))
        return np.append(np.unique(np.floor(steps)), np.ceil(high) + 1.0) - 0.5
    if np.array_equal(observed, np.floor(observed)):
        return np.arange(np.floor(low), np.ceil(high) + 2.0) - 0.5
    return np.linspace(0.0, 1.0, 21)  # of trials shares


def _draw_lines(
    ax: Any,
    lines: _Lines,
    observed: NDArray[np.float64],
    limits: tuple[float, float],
    name: str,
) -> None:
    from matplotlib.collections import LineCollection  # noqa: PLC0415 - slow to import

    ax.grid(color=GRID, linewidth=0.6)
    ax.add_collection(LineCollection(lines.segments, colors=LEVEL, alpha=0.3, linewidths=0.9))
    size = float(np.clip(9000 / len(observed), 2.5, 14))
    ax.scatter(lines.data_x, observed, s=size, color=POPULATION, linewidth=0, zorder=3, alpha=0.8)
    low, high = lines.data_x.min(), lines.data_x.max()
    ax.set_xlim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    ax.set_ylim(*limits)
    ax.set_xlabel(lines.label)
    ax.set_ylabel(name)
    ax.set_title(f"levels of {lines.factor}")


def _draw_densities(
    ax: Any,
    observed: NDArray[np.float64],
    responses: NDArray[np.float64],
    limits: tuple[float, float],
    name: str,
) -> None:
    grid = np.linspace(*limits, GRID_POINTS)
    ax.grid(color=GRID, linewidth=0.6)
    drawn = [_density(response, grid) for response in responses]
    for heights in drawn:
        ax.plot(grid, heights, color=LEVEL, alpha=0.3, linewidth=0.9)
    heights = _density(observed, grid)
    ax.plot(grid, heights, color=POPULATION, linewidth=2.2, zorder=3)
    # A prior draw with a tiny variance would be a spike above everything else.
    ax.set_ylim(0, 1.08 * min(2.5 * heights.max(), max(h.max() for h in (heights, *drawn))))
    ax.set_xlim(*limits)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(name)
    ax.set_title("response")


def _draw_frequencies(
    ax: Any,
    observed: NDArray[np.float64],
    responses: NDArray[np.float64],
    edges: NDArray[np.float64],
    name: str,
) -> None:
    ax.grid(color=GRID, linewidth=0.6)
    for response in responses:
        ax.stairs(np.histogram(response, edges)[0], edges, color=LEVEL, alpha=0.3, linewidth=0.9)
    ax.stairs(np.histogram(observed, edges)[0], edges, color=POPULATION, linewidth=2.2, zorder=3)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(name)
    ax.set_title("response")


def _density(values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate a density on a fixed grid, the same rule for the data and for every draw."""
    low, high = np.quantile(values, [0.25, 0.75])
    spread = min(values.std(), (high - low) / 1.34) or values.std() or 1e-3 * (np.ptp(grid) or 1.0)
    width = 0.9 * spread * len(values) ** -0.2  # Silverman's rule
    # Of very many rows, quantiles have the same density.
    points = values if len(values) <= 500 else np.quantile(values, (np.arange(500) + 0.5) / 500)
    z = (grid[:, None] - points[None, :]) / width
    total = np.exp(-0.5 * z**2).sum(axis=1) / (len(points) * width * np.sqrt(2 * np.pi))
    return np.asarray(total)


def _legend(figure: Any) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import

    handles = [
        Line2D([], [], color=LEVEL, linewidth=1.4, label="prior draws"),
        Line2D([], [], color=POPULATION, linewidth=2.2, label="data"),
    ]
    figure.legend(handles=handles, loc="outside lower right", ncols=2)
