"""Numbers about draws: location, intervals, Monte Carlo error, and whether they may be trusted.

R-hat, effective sample sizes and intervals are ArviZ's; this file only lays them out.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.errors import ArgumentError
from bayeslmm.results import read
from bayeslmm.results.weights import draw_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

CI_PROB = 0.95
CI_KIND = "eti"
MAX_RHAT = 1.01
MIN_ESS_PER_CHAIN = 100
MIN_BFMI = 0.3
MAX_PARETO_K = 0.7
MIN_DRAWS = 4  # fewer draws per chain cannot be split into halves with a variance each


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to trust the draws, and what to try next.

    Attributes
    ----------
    name : str
        ``"r_hat"``, ``"ess"``, ``"divergences"``, ``"bfmi"``, ``"tree_depth"``, ``"pareto_k"`` or
        ``"draws"``.
    message : str
        What was found, with the value and the limit.
    advice : str
        The next thing to try.
    """

    name: str
    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.message} {self.advice}"


def _array_stats() -> Any:
    from arviz_stats.base import (  # type: ignore[attr-defined]  # noqa: PLC0415 - slow to import
        array_stats,
    )

    return array_stats


def check_interval(ci_prob: float, ci_kind: str) -> None:
    """Raise unless an interval of this probability and kind exists.

    Raises
    ------
    ArgumentError
        When `ci_prob` is outside (0, 1) or `ci_kind` is neither ``"eti"`` nor ``"hdi"``.
    """
    if not isinstance(ci_prob, (int, float)) or not 0 < ci_prob < 1:
        msg = f"ci_prob is a probability between 0 and 1, such as 0.95; it was {ci_prob!r}."
        raise ArgumentError(msg)
    if ci_kind not in ("eti", "hdi"):
        msg = f"ci_kind is 'eti' (equal-tailed) or 'hdi' (highest density); it was {ci_kind!r}."
        raise ArgumentError(msg)


def interval_names(ci_prob: float, ci_kind: str) -> tuple[str, str]:
    """Name an interval's columns after its kind and probability, as ArviZ does.

    Examples
    --------
    >>> interval_names(0.95, "eti")
    ('eti95_lb', 'eti95_ub')
    """
    percent = f"{100 * ci_prob:g}"
    return f"{ci_kind}{percent}_lb", f"{ci_kind}{percent}_ub"


def interval(
    draws: NDArray[np.float64], ci_prob: float, ci_kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bounds of credible intervals.

    Parameters
    ----------
    draws : ndarray, shape (draw, ...)
    ci_prob : float
    ci_kind : {"eti", "hdi"}

    Returns
    -------
    tuple of ndarray, each of shape (...)
        Lower and upper bounds.
    """
    check_interval(ci_prob, ci_kind)
    if ci_kind == "eti":
        tail = (1 - ci_prob) / 2
        low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
        return low, high
    bounds = np.asarray(_array_stats().hdi(draws, prob=ci_prob, axis=0))
    return bounds[..., 0], bounds[..., 1]


def density(
    draws: NDArray[np.float64], bounds: tuple[float | None, float | None] = (None, None)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ArviZ's kernel density estimate of draws, shape (s,): grid and heights."""
    if np.ptp(draws) == 0:
        # A point mass has no density; a thin spike says so.
        width = 1e-3 * max(abs(float(draws[0])), 1.0)
        return draws[0] + width * np.array([-1.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])
    grid, height, _ = _array_stats().kde(draws, custom_lims=bounds, bound_correction=True)
    return np.asarray(grid), np.asarray(height)


def describe(
    draws: NDArray[np.float64],
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
    *,
    diagnostics: bool = True,
    mixing: bool = True,
) -> dict[str, NDArray[np.float64]]:
    """Describe columns of draws.

    Parameters
    ----------
    draws : ndarray, shape (chain, draw, m)
    ci_prob : float
    ci_kind : {"eti", "hdi"}
    diagnostics : bool
        Whether to add Monte Carlo errors, effective sample sizes and R-hat, some 5 ms a column.
    mixing : bool
        False where draws are no Markov chains: R-hat would say nothing, and is missing.

    Returns
    -------
    dict of ndarray, each of shape (m,)
        Mean, sd, median, interval bounds; then ``mcse_mean``, ``ess_bulk``, ``ess_tail``,
        ``r_hat``.
    """
    flat = draws.reshape(draws.shape[0] * draws.shape[1], draws.shape[-1])
    low, high = interval(flat, ci_prob, ci_kind)
    low_name, high_name = interval_names(ci_prob, ci_kind)
    spread = flat.std(axis=0, ddof=1) if len(flat) > 1 else np.full(flat.shape[1], np.nan)
    table = {
        "mean": flat.mean(axis=0),
        "sd": spread,
        "median": np.median(flat, axis=0),
        low_name: low,
        high_name: high,
    }
    if diagnostics:
        table.update(_diagnostics(draws))
    if "r_hat" in table and not mixing:
        table["r_hat"] = np.full(draws.shape[-1], np.nan)
    return table


def _diagnostics(draws: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Monte Carlo error, effective sample sizes and R-hat of draws (chain, draw, m)."""
    if draws.shape[1] < MIN_DRAWS:
        missing = np.full(draws.shape[-1], np.nan)
        return dict.fromkeys(("mcse_mean", "ess_bulk", "ess_tail", "r_hat"), missing)
    axes: dict[str, Any] = {"chain_axis": 0, "draw_axis": 1}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Columns that never move have no R-hat; they come back as NaN, which the caller shows.
        warnings.simplefilter("ignore")
        bulk = np.asarray(_array_stats().ess(draws, method="bulk", **axes), dtype=np.float64)
        tail = np.asarray(
            _array_stats().ess(draws, method="tail", prob=(0.05, 0.95), **axes), dtype=np.float64
        )
        error = np.asarray(_array_stats().mcse(draws, method="mean", **axes), dtype=np.float64)
        r_hat = _r_hat(draws)
    return {"mcse_mean": error, "ess_bulk": bulk, "ess_tail": tail, "r_hat": r_hat}


def _r_hat(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    if draws.shape[0] == 1:
        # ArviZ wants two chains; the halves of a single one still show a drift.
        half = draws.shape[1] // 2
        draws = np.concatenate([draws[:, :half], draws[:, -half:]])
        if half < MIN_DRAWS:
            return np.full(draws.shape[-1], np.nan)
    return np.asarray(
        _array_stats().rhat(draws, method="rank", chain_axis=0, draw_axis=1), dtype=np.float64
    )


def blocks(
    idata: xr.DataTree, *, effects: bool = True
) -> Iterator[tuple[str, list[str], NDArray[np.float64]]]:
    """Yield each posterior variable's name, its columns' labels, and draws (chain, draw, m).

    Correlations come as the free elements below the diagonal only.
    """
    yield (
        names.BETA,
        [f"{names.BETA}[{coef}]" for coef in read.coefficients(idata)],
        read.draws(idata, names.BETA),
    )
    for info in read.factors(idata):
        name = names.sd(info.name)
        yield name, [f"{name}[{term}]" for term in info.terms], read.draws(idata, name)
        if info.correlated:
            yield _correlations(idata, info)
    yield names.SIGMA, [names.SIGMA], read.draws(idata, names.SIGMA)[..., None]
    if not effects:
        return
    for info in read.factors(idata):
        name = names.effects(info.name)
        if read.has_moments(idata, info.name):
            continue
        values = read.effect_draws(idata, info)
        labels = [f"{name}[{level},{term}]" for level in info.levels for term in info.terms]
        yield name, labels, values.reshape(*values.shape[:2], -1)


def _correlations(
    idata: xr.DataTree, info: read.FactorInfo
) -> tuple[str, list[str], NDArray[np.float64]]:
    name = names.corr(info.name)
    values = read.correlation_draws(idata, info)
    rows, columns = np.tril_indices(len(info.terms), k=-1)
    labels = [
        f"{name}[{info.terms[column]},{info.terms[row]}]"
        for row, column in zip(rows, columns, strict=True)
    ]
    free = values[..., rows, columns]
    # Columns of different blocks are uncorrelated by the model: nothing was drawn there.
    moves = np.ptp(free.reshape(-1, len(labels)), axis=0) > 0
    kept = [label for label, keep in zip(labels, moves, strict=True) if keep]
    return name, kept, free[..., moves]


def diagnostics_table(idata: xr.DataTree, *, max_effects: int | None = None) -> pd.DataFrame:
    """Compute R-hat and effective sample sizes of every scalar of the posterior.

    Parameters
    ----------
    idata : DataTree
    max_effects : int, optional
        At most so many random effects of each factor, evenly spaced; all without it.

    Returns
    -------
    DataFrame
        Indexed by the scalar's name, with ``ess_bulk``, ``ess_tail``, ``r_hat``, ``mcse_mean``.
    """
    tables = []
    for name, labels, values in blocks(idata):
        kept = np.arange(len(labels))
        if name.startswith(names.EFFECTS_PREFIX) and max_effects is not None:
            kept = _evenly_spaced(len(labels), max_effects)
        chosen = [labels[position] for position in kept]
        tables.append(pd.DataFrame(_diagnostics(values[..., kept]), index=chosen))
    table = pd.concat(tables)
    if draw_weights(idata) is not None:
        table["r_hat"] = np.nan
    table.index.name = "parameter"
    return table


def assess(idata: xr.DataTree, *, max_effects: int = 60) -> list[Problem]:
    """List the reasons, if any, not to trust the draws of a tree; fast enough for every fit.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    max_effects : int
        How many random effects of each factor to look at, evenly spaced over its levels.

    Returns
    -------
    list of Problem
        Empty when R-hat is at most 1.01, bulk and tail effective sample sizes are at least 100
        per chain, and no draw diverged; after importance sampling, when k-hat is below 0.7 and
        the weighted points are worth as many draws.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Analysis 16(2):667-718,
    doi 10.1214/20-BA1221.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> assess(idata)
    []
    """
    chains, count = read.sample_shape(idata)
    if count < MIN_DRAWS:
        message = f"Only {count} draws per chain: R-hat and effective sample sizes need 4 or more."
        return [Problem("draws", message, "Ask for more draws, such as draws=1000.")]
    if draw_weights(idata) is not None:
        return weight_problems(idata)
    table = diagnostics_table(idata, max_effects=max_effects)
    return [*chain_problems(table, chains), *divergence_problems(idata)]


def chain_problems(table: pd.DataFrame, chains: int) -> list[Problem]:
    """Return what R-hat and the effective sample sizes of a diagnostics table say."""
    found = []
    r_hat = table["r_hat"].dropna()
    if len(r_hat) and r_hat.max() > MAX_RHAT:
        message = (
            f"R-hat is {r_hat.max():.3f} for {r_hat.idxmax()} ({_count(r_hat > MAX_RHAT)} above "
            f"{MAX_RHAT}): the chains have not mixed."
        )
        found.append(
            Problem("r_hat", message, "Take more tune and draws, or another parametrization.")
        )
    ess = table[["ess_bulk", "ess_tail"]].min(axis=1).dropna()
    limit = MIN_ESS_PER_CHAIN * chains
    if len(ess) and ess.min() < limit:
        message = (
            f"The effective sample size is {ess.min():.0f} for {ess.idxmin()} "
            f"({_count(ess < limit)} below {limit}): its mean and interval are still noisy."
        )
        found.append(Problem("ess", message, "Take more draws."))
    return found


def weight_problems(idata: xr.DataTree) -> list[Problem]:
    """Return what importance weights say; nothing for a tree of Markov chains."""
    weights, limit = draw_weights(idata), MIN_ESS_PER_CHAIN * read.sample_shape(idata)[0]
    found: list[Problem] = []
    if weights is None:
        return found
    if not weights.pareto_k < MAX_PARETO_K:
        message = (
            f"k-hat of the importance weights is {weights.pareto_k:.2f} ({MAX_PARETO_K} or more)."
        )
        found.append(Problem("pareto_k", message, "Sample with NUTS: sampler='nutpie'."))
    if weights.effective_size < limit:
        message = (
            f"The weighted points are worth {weights.effective_size:.0f} draws (below {limit})."
        )
        found.append(Problem("ess", message, "Take more draws, or sampler='nutpie'."))
    return found


def divergence_problems(idata: xr.DataTree) -> list[Problem]:
    """Return what the count of diverging draws says."""
    count = divergences(idata)
    if not count:
        return []
    chains, draws = read.sample_shape(idata)
    message = f"{count} of {chains * draws} draws diverged: a region of the posterior was left out."
    how = str(idata.attrs.get("parametrization", ""))
    other = "centered" if how == "noncentered" else "noncentered"
    advice = f"Raise target_accept (0.95, 0.99), or try parametrization={other!r}."
    return [Problem("divergences", message, advice)]


def divergences(idata: xr.DataTree) -> int:
    """Return how many draws diverged; 0 for a sampler that knows no divergences."""
    if "sample_stats" not in idata.children or "diverging" not in idata["sample_stats"]:
        return 0
    return int(np.asarray(idata["sample_stats"]["diverging"].values).sum())


def energy_information(idata: xr.DataTree) -> NDArray[np.float64]:
    """Return each chain's E-BFMI, the energy's mean squared step over its variance."""
    energy = read.draws(idata, "energy", "sample_stats")
    if energy.shape[1] < MIN_DRAWS:
        return np.full(len(energy), np.nan)
    return np.asarray(
        [_array_stats().bfmi(chain[None], chain_axis=0, draw_axis=1)[0] for chain in energy]
    )


def _evenly_spaced(count: int, at_most: int) -> NDArray[np.intp]:
    if count <= at_most:
        return np.arange(count)
    return np.linspace(0, count - 1, at_most).round().astype(np.intp)


def _count(flags: pd.Series[bool]) -> str:
    number = int(np.asarray(flags).sum())
    return "1 quantity" if number == 1 else f"{number} quantities"
