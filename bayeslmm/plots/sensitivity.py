"""Each quantity's interval by scenario, the reference marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.sensitivity.power_scaling import (
    check_alphas,
    prior_groups,
    sensitivity_tree,
)
from bayeslmm.arguments import as_names
from bayeslmm.errors import ArgumentError, names_keywords, nearest
from bayeslmm.plots.style import GRID, LEVEL, POPULATION, interval_words, style
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, interval
from bayeslmm.studies.scenario_run import REWEIGHTED
from bayeslmm.studies.scenarios import REFERENCE
from bayeslmm.studies.summary import require_study

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from bayeslmm.analysis.summaries.quantities import Quantity

MOST_COLUMNS = 4


@names_keywords
def plot_prior_study(
    study: xr.DataTree,
    show: Sequence[str] | None = None,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> Any:
    """Draw every quantity's posterior interval under every scenario.

    Parameters
    ----------
    study : DataTree
        Result of `prior_study`.
    show : sequence of str, optional
        Which quantities; all without it.
    ci_prob : float
        Probability of the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density intervals.

    Returns
    -------
    matplotlib Figure
        One panel per quantity, one row per scenario: mean and interval. The band is the
        reference's interval; hollow dots were reweighted, filled ones refitted.

    Raises
    ------
    TreeError
        If `study` is no prior study.
    ArgumentError
        If `show` names no quantity of the study.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> bl.plot_prior_study(study)  # doctest: +SKIP
    """
    require_study(study)
    posterior = study["posterior"].to_dataset()
    known = [str(name) for name in posterior.data_vars]
    asked = None if show is None else as_names("show", show)
    for name in asked or ():
        if name not in known:
            raise ArgumentError(
                f"There is no quantity {name!r}.{nearest(name, known)} This study has "
                f"{', '.join(known)}."
            )
    chosen = asked or known
    labels = [str(label) for label in posterior["scenario"].to_numpy()]
    methods = [str(method) for method in study["scenarios"]["method"].to_numpy()]
    columns = min(len(chosen), MOST_COLUMNS)
    rows = -(-len(chosen) // columns)
    longest = min(max(len(label) for label in labels), 50)
    size = (2.3 * columns + 0.08 * longest, (0.24 * len(labels) + 0.9) * rows)
    with style() as plt:
        figure, axes = plt.subplots(
            rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained"
        )
        for panel in axes.ravel()[len(chosen) :]:
            panel.set_visible(False)
        for panel, name in zip(axes.ravel(), chosen, strict=False):
            draws = posterior[name].transpose("scenario", "chain", "draw").to_numpy()
            _panel(panel, draws.reshape(len(labels), -1), labels, methods, (ci_prob, ci_kind))
            panel.set_title(name)
        for row in axes:
            row[0].set_yticks(range(len(labels)), labels)
        axes[0, 0].invert_yaxis()
        figure.supxlabel(
            f"mean and {interval_words(ci_prob, ci_kind)}; hollow: reweighted", fontsize=9
        )
    return figure


def _panel(
    panel: Any, draws: Any, labels: list[str], methods: list[str], ci: tuple[float, str]
) -> None:
    panel.grid(color=GRID, linewidth=0.6, axis="x")
    for row, (values, label, method) in enumerate(zip(draws, labels, methods, strict=True)):
        low, high = interval(values, *ci)
        color = POPULATION if label == REFERENCE else LEVEL
        if label == REFERENCE:
            panel.axvspan(float(low), float(high), color=color, alpha=0.10, linewidth=0)
            panel.axvline(float(values.mean()), color=color, linewidth=0.8, linestyle=(0, (4, 2)))
        panel.hlines(row, low, high, color=color, linewidth=1.8)
        face = "white" if method == REWEIGHTED else color
        panel.plot(values.mean(), row, "o", color=color, markersize=5, markerfacecolor=face)
        if np.sign(low) != np.sign(high):
            panel.axvline(0, color=GRID, linewidth=1.0, zorder=0)
    panel.tick_params(axis="y", length=0)


@names_keywords
def plot_prior_sensitivity(
    idata: xr.DataTree,
    quantities: Mapping[str, Quantity] | None = None,
    *,
    show: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    alphas: tuple[float, float] = (0.8, 1.25),
) -> Any:
    """Draw each quantity's density with the priors, and the likelihood, raised to powers.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    quantities : mapping of str to str or callable, optional
        Further quantities, as in `prior_sensitivity`.
    show : sequence of str, optional
        Which rows of `prior_sensitivity` to draw; standard deviations and ICCs, on which priors
        bear most, without it.
    groups : sequence of str, optional
        Which priors to scale, such as ``["sd_Subject"]``; all of them together without it.
    alphas : tuple of float
        The powers below and above 1.

    Returns
    -------
    arviz_plots.PlotCollection
        One row per quantity; left the priors' powers, right the likelihood's.

    Raises
    ------
    TreeError, ArgumentError
        As `prior_sensitivity` does, and when `show` names no quantity.

    References
    ----------
    Kallioinen, Paananen, Bürkner & Vehtari (2024), Statistics and Computing 34:57,
    doi 10.1007/s11222-023-10366-5.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.plot_prior_sensitivity(idata, show=["x"])  # doctest: +SKIP
    """
    import arviz as az  # noqa: PLC0415 - slow to import

    check_alphas(alphas)
    scaled = sensitivity_tree(idata, quantities)
    chosen = None if groups is None else prior_groups(scaled, groups)
    known = [str(name) for name in scaled["posterior"].data_vars]
    if show is None:
        heads = tuple(f"{names.sd(name)}[" for name in read.factor_names(idata))
        show = [name for name in known if name.startswith((*heads, names.SIGMA, "icc["))]
    shown = as_names("show", show)
    for name in shown:
        if name not in known:
            raise ArgumentError(
                f"There is no quantity {name!r}.{nearest(name, known)} This fit has "
                f"{', '.join(known)}."
            )
    return az.plot_psense_dist(
        scaled,
        var_names=shown,
        alphas=alphas,
        prior_var_names=chosen,
        backend="matplotlib",
        # ArviZ stacks the intervals in the units of the tallest density of all rows, which leaves
        # no room for the others; `prior_sensitivity` has the numbers.
        visuals={"credible_interval": False, "point_estimate": False},
        # A row of its own scale per quantity: densities of a share and of milliseconds differ.
        figure_kwargs={
            "figsize": (9.0, 2.1 * len(shown) + 0.6),
            "sharex": "row",
            "sharey": "row",
            "layout": "constrained",
        },
    )
