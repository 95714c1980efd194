"""Numbers about draws: location, intervals, Monte Carlo error, and whether they may be trusted.

R-hat, effective sample sizes and intervals are ArviZ's; this file only lays them out.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import chdtri

from bayeslmm import names
from bayeslmm.arguments import check_probability
from bayeslmm.errors import ArgumentError
from bayeslmm.model.priors.priors import Priors
from bayeslmm.results import read
from bayeslmm.results.family import family_blocks, labelled
from bayeslmm.results.parameters import parameter_blocks
from bayeslmm.results.residual import all_factors, has_structure, residual_blocks
from bayeslmm.results.weights import draw_weights, probe_chance

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.model.covariance.block_covariance import BlockCovariance
    from bayeslmm.results.factor_info import FactorInfo

CI_PROB = 0.95
CI_KIND = "eti"
MIN_DRAWS = 4  # fewer draws per chain cannot be split into halves with a variance each


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
    check_probability("ci_prob", ci_prob)
    if not isinstance(ci_kind, str) or ci_kind not in ("eti", "hdi"):
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
    draws = _several_chains(draws)
    if draws.shape[1] < MIN_DRAWS:
        return np.full(draws.shape[-1], np.nan)
    return np.asarray(
        _array_stats().rhat(draws, method="rank", chain_axis=0, draw_axis=1), dtype=np.float64
    )


def _several_chains(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return draws of two chains or more: the halves of a single one still show a drift."""
    if draws.shape[0] > 1:
        return draws
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def r_hat_by_chance(draws: NDArray[np.float64], probability: float) -> NDArray[np.float64]:
    r"""Return what R-hat exceeds with a probability although all chains draw from one posterior.

    With M half chains whose own effective sample sizes add up to S, the variance between their
    means is :math:`M / S` of that within, times a chi-squared variable over its M - 1 degrees of
    freedom, so that

    .. math:: \hat R^2 \approx 1 + \frac{M}{S} \frac{\chi^2_{M - 1}}{M - 1}

    Parameters
    ----------
    draws : ndarray, shape (chain, draw, m)
    probability : float
        For each quantity. R-hat is the larger one of two, of the draws' ranks and of their folded
        ranks; each gets half of it.

    Returns
    -------
    ndarray, shape (m,)
        Effective sizes are those of each chain alone: chains that disagree do not lower them.

    References
    ----------
    Vats & Knudson (2021), Revisiting the Gelman-Rubin diagnostic, Statistical Science 36(4):
    518-529, doi 10.1214/20-STS812.

    Examples
    --------
    >>> import numpy as np
    >>> chains = np.random.default_rng(1).normal(size=(4, 1000, 1))
    >>> r_hat_by_chance(chains, 0.01).round(3)
    array([1.003])
    """
    draws = _several_chains(draws)
    axes: dict[str, Any] = {"chain_axis": 0, "draw_axis": 1}
    ways: tuple[dict[str, Any], ...] = (
        {"method": "bulk"},
        {"method": "tail", "prob": (0.05, 0.95)},
    )
    sizes = [
        np.sum([_array_stats().ess(chain[None], **how, **axes) for chain in draws], axis=0)
        for how in ways
    ]
    halves = 2 * len(draws)
    spread = chdtri(halves - 1, probability / 2) / (halves - 1)
    return np.asarray(np.sqrt(1.0 + halves * spread / np.minimum(sizes[0], sizes[1])))


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
        covariance = said_covariance(idata, info.name)
        yield standard_deviations(idata, info, covariance)
        if info.correlated:
            yield _correlations(idata, info, covariance)
        for name, _ in () if covariance is None else covariance.parameter_names:
            yield name, [name], read.draws(idata, name)[..., None]
    residuals = residual_blocks(idata) if has_structure(idata) else []
    for block in (*residuals, *parameter_blocks(idata)):
        yield block.variable, block.names, block.drawn
    for name, of_name, drawn in family_blocks(idata):
        yield name, [labelled(name, label) for label in of_name], drawn
    if not effects:
        return
    for info in all_factors(idata):
        name = names.effects(info.name)
        if read.has_moments(idata, info.name):
            continue
        values = read.effect_draws(idata, info)
        labels = [f"{name}[{level},{term}]" for level in info.levels for term in info.terms]
        there = info.holds.ravel()
        kept = [label for label, has in zip(labels, there, strict=True) if has]
        yield name, kept, values.reshape(*values.shape[:2], -1)[..., there]


def said_covariance(idata: xr.DataTree, factor: str) -> BlockCovariance | None:
    """Return a factor's covariance where its formula gives it a structure; None elsewhere.

    Parameters
    ----------
    idata : DataTree
        From `fit_bayes`.
    factor : str
        A grouping factor.

    Returns
    -------
    BlockCovariance or None
    """
    if '"structures"' not in str(idata.attrs.get("priors", "")):
        return None
    priors = Priors.from_json(str(idata.attrs["priors"]))
    found = [f.covariance for f in priors.factors if f.name == factor and f.covariance.said]
    return found[0] if found else None


def standard_deviations(
    idata: xr.DataTree, info: FactorInfo, covariance: BlockCovariance | None
) -> tuple[str, list[str], NDArray[np.float64]]:
    """Return the variable of a factor's sds, their labels and draws, one where columns share it."""
    name = names.sd(info.name)
    values = read.draws(idata, name)
    if covariance is None:
        return name, [f"{name}[{term}]" for term in info.terms], values
    return name, list(covariance.sd_names), values[..., covariance.sd_leads]


def _correlations(
    idata: xr.DataTree, info: FactorInfo, covariance: BlockCovariance | None
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
    if covariance is not None:  # one number stands for all correlations of some sets
        alone = {j for j, _ in enumerate(info.terms)} - set(covariance.of_one_number)
        moves &= [row in alone for row in rows]
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
        Indexed by the scalar's name, with ``ess_bulk``, ``ess_tail``, ``r_hat``, ``mcse_mean``,
        which the chance of random probes is a part of.
    """
    tables, chance = [], probe_chance(idata)
    for name, labels, values in blocks(idata):
        kept = np.arange(len(labels))
        if name.startswith(names.EFFECTS_PREFIX) and max_effects is not None:
            kept = _evenly_spaced(len(labels), max_effects)
        chosen = [labels[position] for position in kept]
        found = _diagnostics(values[..., kept])
        by_probes = np.array([chance.get(label, 0.0) for label in chosen])
        if by_probes.any():
            spread = values[..., kept].std(axis=(0, 1))
            found["mcse_mean"] = np.hypot(found["mcse_mean"], by_probes * spread)
        tables.append(pd.DataFrame(found, index=chosen))
    table = pd.concat(tables)
    if draw_weights(idata) is not None:
        table["r_hat"] = np.nan
    table.index.name = "parameter"
    return table


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
