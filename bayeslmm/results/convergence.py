"""Whether draws may be trusted: one judgement, with its reasons and what to try next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.results import read
from bayeslmm.results.diagnostics import MIN_DRAWS, diagnostics_table, energy_information
from bayeslmm.results.weights import draw_weights

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MAX_RHAT = 1.01
MIN_ESS_PER_CHAIN = 100
MIN_BFMI = 0.3
MAX_PARETO_K = 0.7


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


def energy_problems(idata: xr.DataTree) -> list[Problem]:
    """Return what the energies of NUTS say."""
    values = energy_information(idata)
    if not np.any(values < MIN_BFMI):
        return []
    worst = int(np.argmin(values))
    message = (
        f"E-BFMI is {values[worst]:.2f} in chain {worst} (below {MIN_BFMI}): momentum is resampled "
        "too timidly for the posterior's tails."
    )
    advice = "Take more tune, another parametrization, or a prior that keeps sds from zero."
    return [Problem("bfmi", message, advice)]


def depth_problems(idata: xr.DataTree) -> list[Problem]:
    """Return what the depths of NUTS's trees say."""
    reached = read.variable(idata, "maxdepth_reached", "sample_stats").to_numpy()
    count = int(reached.sum())
    if not count:
        return []
    message = f"{count} of {reached.size} trajectories reached the greatest tree depth."
    advice = "The draws are right but dear: scale predictors or try another parametrization."
    return [Problem("tree_depth", message, advice)]


def _count(flags: pd.Series[bool]) -> str:
    number = int(np.asarray(flags).sum())
    return "1 quantity" if number == 1 else f"{number} quantities"
