"""Whether draws may be trusted: one judgement, with its reasons and what to try next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.results import read
from bayeslmm.results.diagnostics import (
    MIN_DRAWS,
    blocks,
    diagnostics_table,
    energy_information,
    r_hat_by_chance,
)
from bayeslmm.results.record import recorded
from bayeslmm.results.weights import draw_weights, probe_chance

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MAX_RHAT = 1.01
MIN_ESS_PER_CHAIN = 100
MIN_BFMI = 0.3
MAX_PARETO_K = 0.7
# Chance of random probes, in posterior standard deviations.
MAX_PROBE_ERROR = 0.05
# Of fits whose chains agree, so many at most are said to disagree.
_FALSE_ALARMS = 0.01
# Acceptance rates to try in turn where draws diverge.
_TARGET_ACCEPTS = (0.9, 0.95, 0.98, 0.99)
# The marginal form is advised where so many levels at most could be left in its border.
_FEW_LEVELS = 200
# Families of which it can be advised at all: effects are integrated out in closed form.
_CLOSED = ("gaussian", "lognormal")


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason not to trust the draws, and what to try next.

    Attributes
    ----------
    name : str
        ``"r_hat"``, ``"ess"``, ``"divergences"``, ``"bfmi"``, ``"tree_depth"``, ``"pareto_k"``,
        ``"probe_error"`` or ``"draws"``.
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


def assess(idata: xr.DataTree, *, max_effects: int | None = 60) -> list[Problem]:
    """List the reasons, if any, not to trust the draws of a tree; fast enough for every fit.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    max_effects : int, optional
        How many random effects of each factor to look at, evenly spaced over its levels; None for
        all of them.

    Returns
    -------
    list of Problem
        Empty when R-hat is at most 1.01 or what chance gives (`r_hat_by_chance`), bulk and tail
        effective sample sizes are at least 100 per chain, no draw diverged, E-BFMI is 0.3 or more
        and no trajectory was cut short; after importance sampling, when k-hat is below 0.7 and
        the weighted points are worth as many draws.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Analysis 16(2):667-718,
    doi 10.1214/20-BA1221; Betancourt (2016), arXiv:1604.00695, for E-BFMI.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> assess(idata)
    []
    """
    _, count = read.sample_shape(idata)
    if count < MIN_DRAWS or draw_weights(idata) is not None:
        return problems_of(idata, None)
    return problems_of(idata, diagnostics_table(idata, max_effects=max_effects))


def problems_of(idata: xr.DataTree, table: pd.DataFrame | None) -> list[Problem]:
    """Judge the draws of a tree by its diagnostics table; see `assess`."""
    _, count = read.sample_shape(idata)
    if count < MIN_DRAWS:
        message = f"Only {count} draws per chain: R-hat and effective sample sizes need 4 or more."
        return [Problem("draws", message, "Ask for more draws, such as draws=1000.")]
    if table is None or draw_weights(idata) is not None:
        return _weight_problems(idata)
    return [
        *_mixing_problems(idata, table),
        *_size_problems(idata, table),
        *_divergence_problems(idata),
        *_energy_problems(idata),
        *_depth_problems(idata),
    ]


def checks(idata: xr.DataTree) -> list[str]:
    """Say what `assess` looks at, in words."""
    limit = f"{_smallest_size(idata)} or more"
    weights = draw_weights(idata)
    if weights is not None:
        return [
            f"k-hat of the importance weights below {MAX_PARETO_K} ({weights})",
            f"weights worth {limit} draws",
            *_probe_checks(idata),
        ]
    said = [f"R-hat at most {MAX_RHAT}, or what chance gives", f"effective sample sizes of {limit}"]
    words = {
        "diverging": "no divergences",
        "energy": f"E-BFMI of {MIN_BFMI} or more",
        "maxdepth_reached": "no trajectory cut short",
    }
    return said + [text for name, text in words.items() if _has_statistic(idata, name)]


def _probe_checks(idata: xr.DataTree) -> list[str]:
    chance = probe_chance(idata)
    if not chance:
        return []
    limit = f"at most {MAX_PROBE_ERROR} posterior standard deviations"
    return [f"chance of random probes {limit} ({max(chance.values()):.1g})"]


def _mixing_problems(idata: xr.DataTree, table: pd.DataFrame) -> list[Problem]:
    """Return what R-hat says beyond chance: of hundreds of quantities some exceed any limit.

    Chance excuses only what has moved enough: a drift makes effective sizes small.
    """
    above = table[table["r_hat"] > MAX_RHAT]
    if not len(above):
        return []
    by_chance = _chance_limits(idata, set(above.index), len(table))
    moved = above[["ess_bulk", "ess_tail"]].min(axis=1) >= _smallest_size(idata)
    excused = moved.to_numpy() & (above["r_hat"].to_numpy() <= [by_chance[k] for k in above.index])
    found = above["r_hat"][~excused]
    if not len(found):
        return []
    worst = float(found.max())
    message = (
        f"R-hat is {_beyond(worst, MAX_RHAT)} for {found.idxmax()} ({_count(len(found))} above "
        f"{MAX_RHAT} by more than chance): the chains have not mixed."
    )
    return [Problem("r_hat", message, _more_draws(idata, 2.0, tune=True))]


def _chance_limits(idata: xr.DataTree, wanted: set[str], count: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for _, labels, draws in blocks(idata):
        places = [place for place, label in enumerate(labels) if label in wanted]
        if places:
            limits = r_hat_by_chance(draws[..., places], _FALSE_ALARMS / count)
            found |= dict(zip([labels[place] for place in places], limits, strict=True))
    return found


def _size_problems(idata: xr.DataTree, table: pd.DataFrame) -> list[Problem]:
    limit = _smallest_size(idata)
    sizes = table[["ess_bulk", "ess_tail"]]
    smallest = sizes.min(axis=1)
    if not smallest.min() < limit:
        return []
    worst, name = float(smallest.min()), str(smallest.idxmin())
    kind = "bulk" if sizes.loc[name, "ess_bulk"] == worst else "tail"
    noisy = "mean is" if kind == "bulk" else "interval's ends are"
    below = int((smallest < limit).sum())
    message = (
        f"The {kind} effective sample size is {worst:.0f} for {name} "
        f"({_count(below)} below {limit}): its {noisy} still noisy."
    )
    return [Problem("ess", message, _more_draws(idata, limit / max(worst, 1.0)))]


def _weight_problems(idata: xr.DataTree) -> list[Problem]:
    """Return what importance weights say; nothing for a tree of Markov chains."""
    weights, limit = draw_weights(idata), _smallest_size(idata)
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
    chance = probe_chance(idata)
    worst = max(chance, key=lambda name: chance[name], default="")
    if worst and not chance[worst] <= MAX_PROBE_ERROR:
        message = (
            f"The chance of random probes in the mean of {worst} is {chance[worst]:.2g} posterior "
            f"standard deviations (above {MAX_PROBE_ERROR})."
        )
        found.append(Problem("probe_error", message, "Take more probes, such as probes=512."))
    return found


def _divergence_problems(idata: xr.DataTree) -> list[Problem]:
    """Return what the count of diverging draws says."""
    if not _has_statistic(idata, "diverging"):
        return []
    count = int(read.variable(idata, "diverging", "sample_stats").to_numpy().sum())
    if not count:
        return []
    chains, draws = read.sample_shape(idata)
    message = f"{count} of {chains * draws} draws diverged: a region of the posterior was left out."
    used = recorded(idata, "settings").get("target_accept") or 0.0
    higher = next((rate for rate in _TARGET_ACCEPTS if rate > used), None)
    advice = [f"target_accept={higher}"] if higher else []
    if form := _other_form(idata):
        advice.append(f"parametrization={form!r}")
    narrower = "a prior that keeps standard deviations from zero (plot_prior_posterior shows it)"
    return [Problem("divergences", message, f"Try {' or '.join(advice) or narrower}.")]


def _energy_problems(idata: xr.DataTree) -> list[Problem]:
    """Return what the energies of NUTS say."""
    if not _has_statistic(idata, "energy"):
        return []
    values = energy_information(idata)
    if not np.any(values < MIN_BFMI):
        return []
    worst = int(np.argmin(values))
    message = (
        f"E-BFMI is {_beyond(float(values[worst]), MIN_BFMI)} in chain {worst} (below {MIN_BFMI}): "
        "momentum is resampled too timidly for the posterior's tails."
    )
    return [Problem("bfmi", message, _more_draws(idata, 2.0, tune=True))]


def _depth_problems(idata: xr.DataTree) -> list[Problem]:
    """Return what the depths of NUTS's trees say."""
    if not _has_statistic(idata, "maxdepth_reached"):
        return []
    reached = read.variable(idata, "maxdepth_reached", "sample_stats").to_numpy()
    count = int(reached.sum())
    if not count:
        return []
    message = f"{count} of {reached.size} trajectories reached the greatest tree depth."
    form = _other_form(idata)
    other = f", or parametrization={form!r}" if form else ""
    advice = f"The draws are right but slow: bring predictors to similar scales{other}."
    return [Problem("tree_depth", message, advice)]


def _smallest_size(idata: xr.DataTree) -> int:
    """Return the effective sample size that all draws together should have."""
    return MIN_ESS_PER_CHAIN * read.sample_shape(idata)[0]


def _has_statistic(idata: xr.DataTree, name: str) -> bool:
    return "sample_stats" in idata.children and name in idata["sample_stats"]


def _more_draws(idata: xr.DataTree, factor: float, *, tune: bool = False) -> str:
    """Name draws that suffice by today's efficiency, and another form where one is better."""
    used, (_, draws) = recorded(idata, "settings"), read.sample_shape(idata)
    values = [f"draws={_round_up(draws * factor)}"]
    if tune and used.get("tune"):
        values.insert(0, f"tune={_round_up(2 * used['tune'])}")
    form = _other_form(idata)
    return f"Take {' and '.join(values)}{f', or parametrization={form!r}' if form else ''}."


def _round_up(count: float) -> int:
    """Round up to two digits: nobody asks for 1,237 draws."""
    unit = 10 ** max(math.floor(math.log10(count)) - 1, 0)
    return int(unit * math.ceil(count / unit))


def _other_form(idata: xr.DataTree) -> str:
    """Name a parametrization that is better than the one in use, where there surely is one."""
    used = idata.attrs.get("parametrization")
    levels = sorted(recorded(idata, "n_levels").values())
    terms = max((len(info.terms) for info in read.factors(idata)), default=1)
    closed = idata.attrs.get("family", _CLOSED[0]) in _CLOSED
    few = bool(levels) and terms * sum(levels[:-1]) <= _FEW_LEVELS
    if used in ("noncentered", "centered") and closed and few and not read.in_sigma(idata):
        return "marginal"
    return "noncentered" if used == "centered" else ""


def _beyond(value: float, limit: float) -> str:
    """Print a number with as many digits as tell it from a limit, two or more."""
    digits = 2
    while float(f"{value:.{digits}f}") == limit and value != limit:
        digits += 1
    return f"{value:.{digits}f}"


def _count(number: int) -> str:
    return "1 quantity" if number == 1 else f"{number} quantities"
