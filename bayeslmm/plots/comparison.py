"""Posterior intervals and REML estimates side by side, and random effects against modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from bayeslmm import names
from bayeslmm.analysis.reml_comparison.effects import compare_random_effects
from bayeslmm.analysis.reml_comparison.numbers import parameter_draws
from bayeslmm.analysis.reml_comparison.refit import given_or_refit
from bayeslmm.errors import names_keywords
from bayeslmm.plots.style import DATA, GRID, LEVEL, POPULATION, interval_words, panel_grid, style
from bayeslmm.reml.intervals import confidence_intervals, has_profile
from bayeslmm.reml.parameters import list_targets
from bayeslmm.resources import single_blas_thread
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, check_interval, interval

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeslmm.arrays import Floats
    from bayeslmm.reml.parameters import Target
    from bayeslmm.reml.result import REMLFit


INNER_PROB = 0.5
MOST_SCATTERS = 12
_GROUPS = {
    "fixed effects": (names.BETA, "slope"),
    "standard deviations": ("sd", names.SIGMA),
    "correlations": ("corr",),
}
# Profile limits refit the model some twenty times each: beyond this border, Wald's stand in.
_PROFILE_BORDER = 300


@names_keywords
def plot_comparison(
    idata: xr.DataTree,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    fit: REMLFit | None = None,
    check_data: bool = True,
) -> Any:
    """Draw posterior intervals beside REML estimates, and random effects against their modes.

    Fixed effects are shifted and scaled, to REML standard errors from REML's estimate, and
    standard deviations divided by their posterior medians, so that parameters of any unit share a
    readable axis; the numbers stand under the names. Correlations are as they are.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`, also read back from a file.
    ci_prob : float
        Probability of the thin lines, posterior and REML; thick ones hold 50 % of the posterior.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density posterior intervals.
    fit : REMLFit, optional
        The REML fit of these rows, where it is at hand.
    check_data : bool
        As in `refit_reml`.

    Returns
    -------
    matplotlib Figure
        Above, the posterior (filled point: mean) and REML (hollow diamond) of every parameter:
        Wald intervals for fixed effects and slopes of log(sigma), profile-likelihood ones for the
        others (Wald's, where hundreds of crossed levels make profiles expensive, and with a
        residual structure). Below, for each factor and term (up to
        12), posterior means against conditional modes; effects whose verdict is neither
        "agrees" nor "as expected" are marked.

    Raises
    ------
    TreeError
        As in `compare_reml`.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> [axes.get_title(loc="left") for axes in plot_comparison(idata).axes[:3]]
    ['fixed effects', 'standard deviations', 'correlations']
    """
    check_interval(ci_prob, ci_kind)
    fit = given_or_refit(idata, fit, check_data=check_data)
    targets = list_targets(fit.gram, fit.residual)
    draws = parameter_draws(idata, targets, fit)
    draws = draws.reshape(-1, len(targets))
    limits = _reml_limits(fit, targets, ci_prob)
    kinds = [target.kind for target in targets.values()]
    groups = {
        title: [j for j, kind in enumerate(kinds) if kind in wanted]
        for title, wanted in _GROUPS.items()
    }
    groups = {title: places for title, places in groups.items() if places}
    effects = _effects(idata, fit)
    with style() as plt:
        figure, panels, scatters = _layout(plt, groups, len(effects))
        for (title, places), panel in zip(groups.items(), panels, strict=True):
            _intervals(panel, title, draws[:, places], limits.iloc[places], (ci_prob, ci_kind))
            panel.set_ylim(max(map(len, groups.values())) - 0.45, -0.55)
        for (title, table), panel in zip(effects.items(), scatters, strict=False):
            _scatter(panel, title, table)
        _legend(figure, panels[0], (ci_prob, ci_kind))
    return figure


def _reml_limits(fit: REMLFit, targets: dict[str, Target], ci_prob: float) -> pd.DataFrame:
    with single_blas_thread():
        table = confidence_intervals(fit, "wald", ci_prob=ci_prob)
    border = fit.gram.n_border
    others = [name for name, target in targets.items() if target.kind != names.BETA]
    if border <= _PROFILE_BORDER and has_profile(fit):
        profile = confidence_intervals(fit, ci_prob=ci_prob, parameters=others)
        table.loc[others, ["lower", "upper"]] = profile[["lower", "upper"]]
    return table


def _effects(idata: xr.DataTree, fit: REMLFit) -> dict[str, pd.DataFrame]:
    if not fit.gram.factors:
        return {}
    table = compare_random_effects(idata, fit=fit)
    parts = {
        f"{factor}: {term}": part
        for (factor, term), part in table.groupby(["factor", "term"], sort=False)
    }
    return dict(list(parts.items())[:MOST_SCATTERS])


def _layout(
    plt: Any, groups: dict[str, list[int]], scatters: int
) -> tuple[Any, list[Any], list[Any]]:
    rows = max(map(len, groups.values()))
    above = float(np.clip(0.44 * rows + 1.1, 1.9, 12.0))
    down, across = panel_grid(scatters, 4) if scatters else (0, 0)
    across = max(across, 3)  # a lone square would float in the middle of an empty row
    below = 2.75 * down + (0.35 if down else 0.0)
    figure = plt.figure(figsize=(11.0, above + below + 0.4), layout="constrained")
    parts = figure.subfigures(2 if down else 1, 1, height_ratios=[above, below][: 1 + bool(down)])
    upper, lower = (parts[0], parts[1]) if down else (parts, None)
    panels = list(np.ravel(upper.subplots(1, len(groups), squeeze=False)))
    if lower is None:
        return figure, panels, []
    grid = np.ravel(lower.subplots(down, across, squeeze=False))
    for unused in grid[scatters:]:
        unused.set_visible(False)
    for panel in grid[:scatters]:
        panel.set_xlabel("conditional mode by REML", fontsize=9)
    for panel in grid[:scatters:across]:
        panel.set_ylabel("posterior mean", fontsize=9)
    return figure, panels, list(grid[:scatters])


def _intervals(
    panel: Any, title: str, draws: Floats, limits: pd.DataFrame, ci: tuple[float, str]
) -> None:
    estimate, lower, upper = limits.to_numpy().T
    center, unit, label = _scale(title, draws, estimate, (upper - lower) / 2.0, ci[0])
    bounds, inner = interval(draws, *ci), interval(draws, INNER_PROB, ci[1])
    low, high = ((bound - center) / unit for bound in bounds)
    inner_low, inner_high = ((bound - center) / unit for bound in inner)
    at = np.arange(len(estimate), dtype=float)
    panel.axvline({"fixed effects": 0, "standard deviations": 1}.get(title, 0), color=GRID, lw=1.2)
    panel.hlines(at - 0.13, low, high, color=LEVEL, linewidth=1.4)
    panel.hlines(at - 0.13, inner_low, inner_high, color=LEVEL, linewidth=4.0)
    panel.scatter((draws.mean(axis=0) - center) / unit, at - 0.13, s=26, color=LEVEL, zorder=3)
    panel.hlines(
        at + 0.17, *((x - center) / unit for x in (lower, upper)), color=POPULATION, lw=1.4
    )
    panel.scatter(
        (estimate - center) / unit, at + 0.17, s=26, marker="D", facecolor="white",
        edgecolor=POPULATION, linewidth=1.4, zorder=3, clip_on=False,
    )  # fmt: skip
    panel.set_yticks(at, _labels(limits, draws), fontsize=8.5)
    panel.tick_params(axis="y", length=0, pad=9)
    panel.set_title(title, loc="left", fontweight="bold")
    panel.set_xlabel(label, fontsize=9)
    panel.grid(axis="x", color=GRID, linewidth=0.6)
    panel.spines["left"].set_visible(False)
    if title == "correlations":
        panel.set_xlim(-1.05, 1.05)
    elif title == "standard deviations":
        # A profile limit far out says "not bounded by these data"; it need not be shown to the end.
        edge = 1.08 * max(float(high.max()), min(np.nanmax([1.0, *(upper / unit)]), 4.0))
        panel.set_xlim(0.0, edge)
        beyond = np.flatnonzero(estimate / unit > edge)
        panel.scatter(
            np.full(len(beyond), edge), at[beyond] + 0.17, s=30, marker=">", color=POPULATION,
            zorder=3, clip_on=False,
        )  # fmt: skip


def _scale(
    title: str, draws: Floats, estimate: Floats, half: Floats, ci_prob: float
) -> tuple[Floats, Floats, str]:
    nothing, one = np.zeros(len(estimate)), np.ones(len(estimate))
    if title == "fixed effects":
        errors = half / ndtri(0.5 + 0.5 * ci_prob)
        return estimate, errors, "REML standard errors from REML's estimate"
    if title == "standard deviations":
        return nothing, np.median(draws, axis=0), "relative to the posterior median"
    return nothing, one, "correlation"


def _labels(limits: pd.DataFrame, draws: Floats) -> list[str]:
    means = draws.mean(axis=0)
    return [
        f"{_short(str(name))}\n{mean:.4g}  |  {estimate:.4g}"
        for name, mean, estimate in zip(limits.index, means, limits["estimate"], strict=True)
    ]


def _short(name: str) -> str:
    for prefix in (names.SD_PREFIX, names.CORR_PREFIX):
        if name.startswith(prefix) and name.endswith("]"):
            return name.removeprefix(prefix).replace("[", ": ", 1)[:-1]
    return name


def _scatter(panel: Any, title: str, table: pd.DataFrame) -> None:
    mode, mean = table["reml"].to_numpy(), table["mean"].to_numpy()
    fine = table["verdict"].isin(["agrees", "as expected"]).to_numpy()
    ends = np.array([min(mode.min(), mean.min()), max(mode.max(), mean.max())])
    margin = 0.08 * float(np.ptp(ends)) or 1.0
    ends += np.array([-margin, margin])
    panel.plot(ends, ends, color=DATA, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    alpha = float(np.clip(80 / len(mode), 0.15, 0.9))
    panel.scatter(mode[fine], mean[fine], s=16, color=LEVEL, alpha=alpha, linewidth=0)
    if not fine.all():
        panel.scatter(mode[~fine], mean[~fine], s=24, marker="x", color=POPULATION)
        panel.annotate(
            f"{int((~fine).sum())} of {len(fine)} differ", (0.04, 0.96), xycoords="axes fraction",
            va="top", fontsize=8.5, color=POPULATION,
        )  # fmt: skip
    panel.set_xlim(ends)
    panel.set_ylim(ends)
    panel.set_aspect("equal", adjustable="box")
    panel.grid(color=GRID, linewidth=0.6)
    panel.set_title(title, loc="left", fontweight="bold")


def _legend(figure: Any, panel: Any, ci: tuple[float, str]) -> None:
    percent = f"{100 * ci[0]:g} %"
    posterior = panel.plot([], [], color=LEVEL, marker="o", markersize=5, linewidth=2)[0]
    reml = panel.plot(
        [], [], color=POPULATION, marker="D", markersize=5, markerfacecolor="white", linewidth=1.4
    )[0]
    words = [
        f"posterior mean, 50 and {interval_words(*ci)}{'s' * (ci[1] == 'eti')}",
        f"REML estimate, {percent} confidence interval  (numbers: posterior mean | REML)",
    ]
    figure.legend([posterior, reml], words, loc="outside upper center", ncols=2)
