"""Four pictures of whether the model fits: the data, the residuals, the random effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from scipy.special import betaincinv, ndtri

from bayeslmm import names
from bayeslmm.analysis.checks.standardized_effects import standardized_effects
from bayeslmm.analysis.prediction.fit_rows import Fit, FitRows, fit_rows
from bayeslmm.analysis.prediction.linear_predictor import (
    check_seed,
    design_state,
    training_design,
)
from bayeslmm.analysis.prediction.predictions import predict
from bayeslmm.analysis.prediction.residuals import ResidualKind, fitted, residuals
from bayeslmm.errors import ArgumentError, TreeError, names_keywords
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.plots.censored_check import draw_survival
from bayeslmm.plots.discrete_check import draw_calibration, draw_rootogram
from bayeslmm.plots.style import (
    CATEGORIES,
    DATA,
    GRID,
    INK,
    LEVEL,
    POPULATION,
    name_categories,
    style,
    with_unit,
)
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read

if TYPE_CHECKING:
    import pandas as pd

    from bayeslmm.arrays import Floats

REPLICATIONS = 30
DISCRETE_REPLICATIONS = 400  # of which quantiles are shown
FAR = 3.5  # of 1000 normal residuals, one in two lies farther out
MOST_NAMED = 5
MOST_TERMS = 7
QUESTIONS = (
    "Does the model reproduce the data?",
    "Residuals: no pattern, equal width?",
    "Residuals normal?",
    "Random effects normal?",
)


@names_keywords
def plot_check(fit: Fit, *, random_seed: int | None = 0, axes: Any = None) -> Any:
    """Draw a panel of checks, each under the question that it answers.

    Data simulated from the fit over the data; Pearson residuals against fitted values, with their
    mean in each tenth of these; normal quantiles of the residuals, and of the random effects in
    their own standard deviations. Residuals of other than Gaussian responses are randomised
    quantile residuals, standard normal whatever the family where groups have many rows. Counts are
    shown as a hanging rootogram: bars of the data hang, by the roots of their frequencies, from
    what is expected, and end at zero but for chance. Binary responses are shown by their
    calibration: the share of ones in each tenth of the predicted probabilities, those of groups
    that the fit has not seen.

    Parameters
    ----------
    fit : DataTree or REMLFit
        Result of `fit_bayes` or `fit_reml`, with its rows.
    random_seed : int, optional
        Seed of the simulated data, and of the residuals of discrete responses.
    axes : sequence of 4 matplotlib Axes, optional
        Where to draw, one for each question; a new figure without it.

    Returns
    -------
    matplotlib Figure
        Residuals beyond 3.5 standard deviations are vermilion, the farthest named by their row's
        label. Bands hold each point of a normal sample with 95 %. With few rows or groups, look
        for gross departures only.

    Raises
    ------
    ArgumentError
        When `axes` are too few.
    TreeError
        When `fit` is neither, or was fitted to cross-products, which hold no rows.

    References
    ----------
    Gabry, Simpson, Vehtari, Betancourt & Gelman (2019), Journal of the Royal Statistical Society A
    182(2):389-402, doi 10.1111/rssa.12378, for simulated data; Kleiber & Zeileis (2016), The
    American Statistician 70(3):296-303, doi 10.1080/00031305.2016.1173590, for rootograms; Dunn &
    Smyth (1996), Journal of Computational and Graphical Statistics 5(3):236-244,
    doi 10.1080/10618600.1996.10474708, for quantile residuals; Lange & Ryan (1989), The Annals of
    Statistics 17(2):624-642, doi 10.1214/aos/1176347130, for random effects.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit_reml("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    >>> [axes.get_title() for axes in bl.plot_check(fit).axes][1]
    'Residuals: no pattern, equal width?'
    """
    rows = fit_rows(fit)
    if rows.y is None:
        raise TreeError(
            "This fit saw cross-products (a Gram), which hold no rows to check it by. "
            "residuals(fit, data) takes them batch by batch."
        )
    kind: ResidualKind = "pearson" if rows.family.name == GAUSSIAN.name else "quantile"
    rest = cast("pd.Series[float]", residuals(fit, kind=kind, random_seed=random_seed))
    expected = np.asarray(fitted(fit), dtype=np.float64)
    effects = standardized_effects(fit)
    count = len(QUESTIONS) if effects else len(QUESTIONS) - 1
    with style() as plt:
        if axes is None:
            two_rows = (2, 2) if count == 4 else (1, count)
            size = (8.4, 6.8) if count == 4 else (4.0 * count, 3.4)
            _, axes = plt.subplots(*two_rows, figsize=size, layout="constrained")
        panels = list(np.ravel(np.asarray(axes, dtype=object)))
        if len(panels) < count:
            raise ArgumentError(
                f"axes holds {len(panels)} panels; {count} questions need one each."
            )
        _draw_data(panels[0], fit, rows, expected, random_seed)
        label = "residual / sigma" if kind == "pearson" else "quantile residual"
        _draw_residuals(panels[1], expected, rest, (with_unit("fitted", _unit(rows)), label))
        # Within a decade a logarithmic axis has no room for its ticks, and no use.
        if rows.family.mean_scale.name == "log" and 0 < 10 * expected.min() < expected.max():
            panels[1].set_xscale("log")
        _draw_quantiles(panels[2], rest, label, known=kind == "quantile")
        if effects:
            _draw_effects(panels[3], effects)
        for panel, question in zip(panels, QUESTIONS, strict=False):
            panel.set_title(question)
    return panels[0].figure


def _draw_data(ax: Any, fit: Fit, rows: FitRows, expected: Floats, random_seed: int | None) -> None:
    """Draw the data beside simulated ones, as the kind of response asks."""
    assert rows.y is not None  # noqa: S101 - checked before
    label = with_unit(rows.response, rows.units)
    many = DISCRETE_REPLICATIONS if rows.family.discrete else REPLICATIONS
    replicated = _replicated(fit, expected, random_seed, many)
    ends = None if isinstance(fit, REMLFit) else read.constant(fit, "ends")
    if ends is not None:
        draw_survival(ax, rows.y, ends, replicated, label)
    elif rows.family.response.binary:
        draw_calibration(ax, rows.y, *_of_new_groups(fit, expected, replicated), rows.response)
    elif rows.family.discrete:
        draw_rootogram(ax, rows.y, replicated, label)
        name_categories(ax.xaxis, rows.family)
    else:
        far = rows.family.name != GAUSSIAN.name
        _draw_replications(ax, rows.y, replicated, label, cut=far)


def _of_new_groups(fit: Fit, expected: Floats, replicated: Floats) -> tuple[Floats, Floats]:
    """Return probabilities and simulated rows as of groups that the fit did not see.

    A group's own effect has followed its few zeros and ones: beside probabilities that hold it
    the same data would look steeper than they should. As they are where a grouping column is a
    predictor, too.
    """
    assert not isinstance(fit, REMLFit)  # noqa: S101 - their responses are Gaussian
    grouping = {name for item in training_design(fit).factors for name in item.variables}
    if not grouping or grouping & set(design_state(fit).columns):
        return expected, replicated
    rows = {
        name: np.char.add(values.astype(str), " (new)") if name in grouping else values
        for name, values in read.columns(fit).items()
    }
    kept = len(replicated) // read.sample_shape(fit)[0]
    averaged = predict(fit, rows, new_levels="average", draws=kept)
    drawn = predict(fit, rows, kind="response", new_levels="sample", draws=kept, random_seed=0)
    simulated = np.asarray(drawn.to_numpy().reshape(len(replicated), -1))
    return averaged.to_numpy().mean(axis=(0, 1)), simulated


def _unit(rows: Any) -> dict[str, str]:
    share = rows.family.response.known == "trials"
    return {"fitted": "1" if share else rows.units.get(rows.response, "1")}


def _replicated(
    fit: Fit, expected: Floats, random_seed: int | None, many: int = REPLICATIONS
) -> Floats:
    """Draw new data for the same rows and groups, shape (replication, n)."""
    if not isinstance(fit, REMLFit):
        chains, total = read.sample_shape(fit)
        kept = min(total, -(-many // chains))
        drawn = predict(fit, kind="response", draws=kept, random_seed=random_seed)
        return np.asarray(drawn.to_numpy().reshape(chains * kept, -1))
    generator = np.random.default_rng([check_seed(random_seed), 3])
    if fit.residual is not None:
        return expected + fit.residual.draw(many, generator)
    eta = np.repeat(expected[:, None], many, axis=1)
    weights = fit.data.weights
    sigma = np.full(many, fit.sigma, dtype=np.float64)
    shared = None if weights is None else weights[:, None]
    return np.asarray(GAUSSIAN.draw(eta, {names.SIGMA: sigma}, shared, generator).T)


def _draw_replications(ax: Any, y: Floats, replicated: Floats, label: str, *, cut: bool) -> None:
    # Of families with long tails a single far replicate would squeeze the rest.
    ends = np.quantile(replicated, [0.005, 0.995] if cut else [0.0, 1.0])
    low, high = min(y.min(), ends[0]), max(y.max(), ends[1])
    bins = np.linspace(low, high, int(np.clip(2 * len(y) ** (1 / 3), 8, 40)) + 1)
    for one in replicated:
        ax.stairs(np.histogram(one, bins)[0], bins, color=LEVEL, alpha=0.25, linewidth=1.0)
    ax.stairs(np.histogram(y, bins)[0], bins, color=POPULATION, linewidth=2.0)
    ax.set_yticks([])
    ax.set_xlabel(label)
    ax.plot([], [], color=POPULATION, linewidth=2.0, label="data")
    ax.plot([], [], color=LEVEL, alpha=0.6, label="simulated from the fit")
    ax.margins(y=0.3)  # room for the legend
    ax.legend(loc="upper left", ncols=2)


def _draw_residuals(
    ax: Any, expected: Floats, rest: pd.Series[float], labels: tuple[str, str]
) -> None:
    x, z = expected, _values(rest)
    far = np.abs(z) > FAR
    ax.grid(color=GRID, linewidth=0.6)
    _scatter(ax, x[~far], z[~far], DATA, n=len(z))
    ax.scatter(x[far], z[far], s=16, color=POPULATION, zorder=4)
    order = np.argsort(-np.abs(z), kind="stable")
    for place in order[: min(MOST_NAMED, int(far.sum()))]:
        ax.annotate(
            f"row {rest.index[place]}", (x[place], z[place]), xytext=(4, 3),
            textcoords="offset points", fontsize=8, color=INK,
        )  # fmt: skip
    ax.axhline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    if len(z) >= 50 and np.ptp(x) > 0:
        parts = np.array_split(np.argsort(x, kind="stable"), 10)
        middles = [x[part].mean() for part in parts]
        ax.plot(middles, [z[part].mean() for part in parts], color=LEVEL, linewidth=1.6, zorder=3)
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])


def _draw_quantiles(ax: Any, rest: pd.Series[float], label: str, *, known: bool) -> None:
    z = np.sort(_values(rest))
    at = _normal_quantiles(len(z))
    centre, slope = 0.0, 1.0  # of quantile residuals, which are standard normal
    if not known:
        # As in R's qqline: outliers do not move the quartiles.
        quartiles, normal = np.quantile(z, [0.25, 0.75]), ndtri([0.25, 0.75])
        slope = float(np.ptp(quartiles) / np.ptp(normal))
        centre = float(quartiles.mean())
    _draw_band(ax, at, centre, slope)
    far = np.abs(z) > FAR
    _scatter(ax, at[~far], z[~far], DATA, n=len(z))
    ax.scatter(at[far], z[far], s=16, color=POPULATION, zorder=4)
    ax.set_xlabel("normal quantile")
    ax.set_ylabel(label)


def _draw_effects(ax: Any, effects: dict[tuple[str, str], Floats]) -> None:
    several = len({factor for factor, _ in effects}) > 1
    longest = max(effects.values(), key=len)
    _draw_band(ax, _normal_quantiles(len(longest)), 0.0, 1.0)
    for place, ((factor, term), values) in enumerate(effects.items()):
        color = CATEGORIES[place % len(CATEGORIES)]
        label = f"{factor}: {term}" if several else term
        at = _normal_quantiles(len(values))
        shown = label if place < MOST_TERMS else None
        _scatter(ax, at, np.sort(values), color, n=len(values), label=shown)
    ax.legend(loc="upper left", title=None if several else next(iter(effects))[0])
    ax.set_xlabel("normal quantile")
    ax.set_ylabel("effect / its sd")


def _values(series: pd.Series[float]) -> Floats:
    return np.asarray(series, dtype=np.float64)


def _normal_quantiles(n: int) -> Floats:
    return np.asarray(ndtri((np.arange(1, n + 1) - 0.5) / n))


def _draw_band(ax: Any, at: Floats, centre: float, slope: float) -> None:
    """Draw the line of a normal sample, and where each of its order statistics lies with 95 %."""
    n = len(at)
    rank = np.arange(1, n + 1)
    low, high = (ndtri(betaincinv(rank, n + 1 - rank, p)) for p in (0.025, 0.975))
    ax.grid(color=GRID, linewidth=0.6)
    ax.fill_between(
        at, centre + slope * low, centre + slope * high, color=DATA, alpha=0.15, linewidth=0
    )
    ax.plot(at, centre + slope * at, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))


def _scatter(
    ax: Any, x: Floats, y: Floats, color: str, *, n: int, label: str | None = None
) -> None:
    ax.scatter(
        x, y, color=color, label=label, linewidth=0, zorder=3, rasterized=n > 5000,
        s=float(np.clip(4000 / n, 3, 16)), alpha=float(np.clip(2000 / n, 0.15, 0.8)),
    )  # fmt: skip
