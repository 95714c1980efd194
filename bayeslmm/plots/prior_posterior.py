"""What each parameter's prior said, and what the data made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from bayeslmm import names
from bayeslmm.arguments import as_names
from bayeslmm.errors import ArgumentError, TreeError, names_keywords, nearest
from bayeslmm.model.covariance.of_matrix import OfMatrix
from bayeslmm.model.priors.of_variables import by_variable
from bayeslmm.model.priors.priors import Priors
from bayeslmm.plots.style import DATA, GRID, LEVEL, panel_grid, style
from bayeslmm.results import read
from bayeslmm.results.diagnostics import density
from bayeslmm.results.family import own_parameters
from bayeslmm.results.parameters import parameter_blocks
from bayeslmm.results.residual import all_factors, has_structure, residual_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from bayeslmm.arrays import Floats
    from bayeslmm.model.priors.factor_priors import FactorPriors
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.results.factor_info import FactorInfo


POINTS = 400
# The prior's middle 90 % is shown as far as it reaches within so many widths of the posterior.
WIDTHS = 2.0
AT_MEANS = ", at means"


@names_keywords
def plot_prior_posterior(idata: xr.DataTree, show: Sequence[str] | None = None) -> Any:
    r"""Draw every parameter's prior density with its posterior's.

    Where both are alike, the data said nothing; where the posterior lies in the prior's tail, they
    disagree. The prior's density is exact, the posterior's a kernel estimate. The intercept is
    shown where its prior stands, at the predictors' means: :math:`\beta_0 + \bar{x}'\beta`.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    show : sequence of str, optional
        Which parameters, by their names in `describe_priors` (``"Days"``,
        ``"sd_Subject[Days]"``); of a factor's correlations, ``"corr_Subject"`` shows all. All
        parameters without it.

    Returns
    -------
    matplotlib Figure
        One panel per parameter, on the parameter's own scale. Panels hold the posterior, and the
        prior's middle 90 %, or all from a bound such as zero, as far as it reaches within two
        widths of the posterior.

    Raises
    ------
    TreeError
        If `idata` is no result of `fit_bayes`.
    ArgumentError
        If `show` names no parameter with a prior.

    References
    ----------
    Gabry, Simpson, Vehtari, Betancourt & Gelman (2019), Visualization in Bayesian workflow,
    doi 10.1111/rssa.12378.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> figure = bl.plot_prior_posterior(idata, ["x", "sd_g[x]"])
    >>> [panel.get_title() for panel in figure.axes]
    ['x', 'sd_g[x]']
    """
    read.require_tree(idata)
    if "priors" not in idata.attrs:
        raise TreeError(
            "The tree does not say its priors; take the tree that `fit_bayes` returned."
        )
    priors = Priors.from_json(str(idata.attrs["priors"]))
    pairs = _pairs(idata, priors, _chosen(priors, show))
    rows, columns = panel_grid(len(pairs), most_columns=4)
    size = (2.5 * columns, 2.0 * rows + 0.4)
    with style() as plt:
        figure, axes = plt.subplots(
            rows, columns, figsize=size, squeeze=False, layout="constrained"
        )
        for panel in axes.ravel()[len(pairs) :]:
            panel.remove()
        for panel, pair in zip(axes.ravel(), pairs, strict=False):
            _panel(panel, pair)
        _legend(figure)
    return figure


@dataclass(frozen=True, eq=False, slots=True)
class _Pair:
    """A parameter's posterior draws, and its prior's density, middle 90 % and bounds."""

    name: str
    draws: Floats
    density: Callable[[Floats], Floats]
    middle: tuple[float, float]
    bounds: tuple[float, float]


def _chosen(priors: Priors, show: Sequence[str] | None) -> list[str]:
    known = [name for name, _ in priors.entries()]
    asked = None if show is None else as_names("show", show)
    for name in asked or ():
        if name not in known:
            raise ArgumentError(
                f"There is no parameter {name!r} with a prior.{nearest(name, known)} This "
                f"fit has {', '.join(known)}."
            )
    return asked or known


def _pairs(idata: xr.DataTree, priors: Priors, chosen: list[str]) -> list[_Pair]:
    listed = dict(priors.entries())
    draws = _draws(idata, priors)
    pairs = []
    for name in chosen:
        if name in draws:
            moved = name in _moved(priors)
            pairs.append(_scalar(f"{name}{AT_MEANS}" if moved else name, draws[name], listed[name]))
        elif name.partition("[")[0] == names.CORR_RESIDUAL:
            pairs += _residual_correlations(idata, name, listed[name].numbers[0])
        else:
            info = next(i for i in all_factors(idata) if names.corr(i.name) == name)
            pairs += _correlations(idata, priors, info, listed[name].numbers[0])
    return pairs


def _moved(priors: Priors) -> set[str]:
    """Return the parameters whose priors stand at the columns' means."""
    found = {names.INTERCEPT} if any(priors.centers) and priors.has_intercept else set()
    return found | {
        factor.covariance.sd_names[factor.covariance.sd_columns[columns[0]]]
        for factor in priors.all_factors
        for columns, _ in factor.shift.sets
    }


def _draws(idata: xr.DataTree, priors: Priors) -> dict[str, Floats]:
    draws: dict[str, Floats] = {}
    if priors.coef:
        centered = priors.centered_beta(read.flat_draws(idata, names.BETA))
        draws |= dict(zip(priors.coef, centered.T, strict=True))
    if has_structure(idata):
        for block in residual_blocks(idata):
            flat = block.drawn.reshape(-1, len(block.labels))
            draws |= dict(zip(block.names, flat.T, strict=True))
    for block in parameter_blocks(idata):
        if block.variable == names.beta_of(block.factor):
            flat = block.drawn.reshape(-1, len(block.labels))
            centered = priors.centered_predictor(block.variable, flat)
            draws |= dict(zip(block.names, centered.T, strict=True))
    for factor in priors.all_factors:
        values, _ = _at_means(idata, factor)
        leads = values[:, factor.covariance.sd_leads]
        draws |= dict(zip(factor.covariance.sd_names, leads.T, strict=True))
    for name, own in by_variable(priors.parameters).items():
        if not has_structure(idata) or name in own_parameters(idata):
            flat = read.flat_draws(idata, name).reshape(-1, len(own))
            labels = [name] if name in priors.parameters else _entries(priors, name)
            draws |= dict(zip(labels, flat.T, strict=True))
    return draws


def _entries(priors: Priors, variable: str) -> list[str]:
    return [name for name in priors.parameters if name.startswith(f"{variable}[")]


def _at_means(idata: xr.DataTree, factor: FactorPriors) -> tuple[Floats, Floats | None]:
    covariance = factor.covariance
    corr = None
    if covariance.has_correlations:
        corr = read.flat_draws(idata, covariance.corr_name)
    return factor.shift.to_means(read.flat_draws(idata, covariance.sd_name), corr)


def _scalar(name: str, draws: Floats, prior: Prior) -> _Pair:
    low, high = (float(end) for end in prior.quantile([0.05, 0.95]))
    if np.isfinite(prior.support[0]):
        low = prior.support[0]
    return _Pair(name, draws, lambda x: np.exp(prior.log_density(x)), (low, high), prior.support)


def _correlations(idata: xr.DataTree, priors: Priors, info: FactorInfo, eta: float) -> list[_Pair]:
    factor = next(f for f in priors.factors if f.name == info.name)
    covariance = factor.covariance
    _, corr = _at_means(idata, factor)
    assert corr is not None  # noqa: S101 - there is a prior of it
    pairs, ends = [], (-1.0, 1.0)
    own = iter(covariance.parameter_names)
    for structure, columns in covariance.correlated:
        a, b = structure.correlation_shapes(eta)
        if isinstance(structure, OfMatrix):
            block = corr[(..., *np.ix_(columns, columns))]
            for _ in structure.parameters:
                low, high = (float(structure.values(np.array([end]))[0]) for end in (0.0, 1.0))
                marginal = scipy.stats.beta(a, b, loc=low, scale=high - low)
                values = structure.values(structure.near(block))[..., 0]
                pairs.append(_Pair(next(own)[0], values, marginal.pdf, (low, high), ends))
            continue
        marginal = scipy.stats.beta(a, b, loc=-1, scale=2)
        for i, j in structure.pairs:
            first, second = columns[i], columns[j]
            label = f"{covariance.corr_name}[{info.terms[first]},{info.terms[second]}]"
            pairs.append(_Pair(label, corr[:, first, second], marginal.pdf, ends, ends))
    return pairs


def _residual_correlations(idata: xr.DataTree, name: str, eta: float) -> list[_Pair]:
    """Return the correlations of a matrix of visits, of one stratum where there are several."""
    block = next(b for b in residual_blocks(idata) if b.variable == names.CORR_RESIDUAL)
    stratum = name.partition("[")[2].rstrip("]")
    own = [k for k, label in enumerate(block.labels) if not stratum or label[0] == stratum]
    # Of an LKJ matrix of n visits, with n (n - 1) / 2 correlations, each has a Beta distribution.
    visits = 0.5 + 0.5 * np.sqrt(1.0 + 8.0 * len(own))
    a, ends = eta + 0.5 * visits - 1.0, (-1.0, 1.0)
    marginal = scipy.stats.beta(a, a, loc=-1, scale=2)
    flat = block.drawn.reshape(-1, len(block.labels))
    return [_Pair(block.names[k], flat[:, k], marginal.pdf, ends, ends) for k in own]


def _limits(pair: _Pair) -> tuple[float, float]:
    low, high = np.quantile(pair.draws, [0.001, 0.999])
    width = (high - low) or max(abs(low), 1.0)
    low = min(low - 0.05 * width, max(pair.middle[0], low - WIDTHS * width))
    high = max(high + 0.05 * width, min(pair.middle[1], high + WIDTHS * width))
    return max(float(low), pair.bounds[0]), min(float(high), pair.bounds[1])


def _panel(panel: Any, pair: _Pair) -> None:
    low, high = _limits(pair)
    # Not at the ends: a density may be infinite on its bound.
    grid = low + (high - low) * (np.arange(POINTS) + 0.5) / POINTS
    x, heights = density(pair.draws, _finite(pair.bounds))
    prior = pair.density(grid)
    panel.grid(color=GRID, linewidth=0.6, axis="x")
    panel.fill_between(grid, prior, color=DATA, alpha=0.35, linewidth=0)
    panel.plot(grid, prior, color=DATA, linewidth=1.2)
    panel.fill_between(x, heights, color=LEVEL, alpha=0.15, linewidth=0)
    panel.plot(x, heights, color=LEVEL, linewidth=1.8)
    # A prior with a spike at zero would flatten the posterior.
    panel.set_ylim(0, 1.08 * max(heights.max(), min(prior.max(), 1.5 * heights.max())))
    panel.set_xlim(low, high)
    panel.set_yticks([])
    panel.spines["left"].set_visible(False)
    panel.set_title(pair.name)


def _finite(bounds: tuple[float, float]) -> tuple[float | None, float | None]:
    low, high = (bound if np.isfinite(bound) else None for bound in bounds)
    return low, high


def _legend(figure: Any) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - slow to import

    handles = [
        Line2D([], [], color=DATA, linewidth=4, alpha=0.6, label="prior"),
        Line2D([], [], color=LEVEL, linewidth=1.8, label="posterior"),
    ]
    figure.legend(handles=handles, loc="outside lower right", ncols=2)
