"""Weighted points on the scales that suit a posterior best, enough of them, and what is told."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr

from bayeslmm.inference.importance.algorithm import better, extend
from bayeslmm.inference.laplace import Target
from bayeslmm.inference.reweighting import MAX_PARETO_K, effective_draws
from bayeslmm.results.write import sample_coordinates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from bayeslmm.inference.importance.algorithm import WeightedPoints

# Points worth fewer equally weighted ones than so many for each draw are joined by more, until
# they are worth so many: draws are then worth 0.9 of independent ones.
_ENOUGH, _WORTH = 1.25, 1.5
# A posterior sd of log sd above this says that zero is not far.
_NEAR_ZERO = 0.4


class ScaledTarget(Target, Protocol):
    """A log-density whose standard deviations can have folded coordinates."""

    foldable: tuple[int, ...]

    def with_folded(self, folded: Sequence[int]) -> Self:
        """Return the same density with the coordinates of these sds folded, no others."""


def weigh_on_best_scales[T: ScaledTarget](
    target: T, weigh: Callable[[T], WeightedPoints]
) -> tuple[T, WeightedPoints]:
    """Weigh points of a target, and where sds may be zero also with these folded.

    Parameters
    ----------
    target : ScaledTarget
        The log-density.
    weigh : callable
        From a target to its weighted points.

    Returns
    -------
    target : ScaledTarget
        With the scales that were chosen.
    found : WeightedPoints
        The better ones; usable or not.
    """
    found = weigh(target)
    if not found.good and (folded := _near_zero(target, found)):
        other = target.with_folded(folded)
        again = weigh(other)
        spent = found.n_evaluations + again.n_evaluations
        if better(again, found):
            target, found = other, again
        found = dataclasses.replace(found, n_evaluations=spent)
    return target, found


def extend_to(
    target: Target, found: WeightedPoints, draws: int, count: int, rng: np.random.Generator
) -> WeightedPoints:
    """Add points where those at hand are worth too few for so many draws, at most 3 `count`."""
    if not found.usable or found.effective_size >= _ENOUGH * draws:
        return found
    more = len(found.points) * (_WORTH * draws / found.effective_size - 1.0)
    return extend(target, found, min(int(np.ceil(more)), 3 * count), rng)


def _near_zero(target: ScaledTarget, found: WeightedPoints) -> tuple[int, ...]:
    """List the standard deviations whose posterior reaches towards zero."""
    if not len(found.points):
        return target.foldable
    columns = found.points[:, list(target.foldable)]
    mean = found.weights @ columns
    spread = np.sqrt(found.weights @ np.square(columns - mean))
    return tuple(k for k, sd in zip(target.foldable, spread, strict=True) if sd > _NEAR_ZERO)


def sample_stats(coordinates: Sequence[str], found: WeightedPoints, places: Any) -> xr.Dataset:
    """Return the statistics of resampled points, for a result tree.

    Parameters
    ----------
    coordinates : sequence of str
        What a point's coordinates are.
    found : WeightedPoints
        The points.
    places : ndarray of int, shape (chain, draw)
        Which point each draw is a copy of.

    Returns
    -------
    Dataset
        ``lp``, ``log_weight`` and ``point`` by draw, and attributes.
    """
    with np.errstate(divide="ignore"):
        log_weights = np.log(found.weights)
    per_draw = {"lp": found.log_density[places], "log_weight": log_weights[places], "point": places}
    stats = xr.Dataset(
        {name: (("chain", "draw"), values) for name, values in per_draw.items()},
        coords=sample_coordinates(places.shape),
    )
    stats.attrs = {
        "pareto_k": found.pareto_k,
        "ess_weights": found.effective_size,
        "ess_draws": effective_draws(found.weights, places.size),
        "log_evidence": found.log_evidence,
        "coordinates": list(coordinates),
        "proposal": found.how,
        "n_points": len(found.points),
        "n_evaluations": found.n_evaluations,
    }
    return stats


def why_unusable(found: WeightedPoints) -> str:
    """Say why weighted points are not usable, as the end of a sentence."""
    k = found.pareto_k
    if not np.isfinite(k):
        return "importance sampling found no mode that its draws could stand for"
    if k < MAX_PARETO_K:
        return f"importance sampling left most of the weight to {found.raw_size:.0f} points"
    return f"importance sampling had k-hat {k:.2f}, and weights can be used below {MAX_PARETO_K}"
