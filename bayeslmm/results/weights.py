"""How good the importance weights behind a tree's draws were, from the tree alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, slots=True)
class DrawWeights:
    """What importance sampling left in ``sample_stats``.

    Attributes
    ----------
    pareto_k : float
        k-hat of the weights' tail; they can be used below 0.7. Minus infinity where the largest
        weights are equal, as without any coordinate all are.
    effective_size : float
        How many equally weighted points the points were worth.
    n_points, n_evaluations : int
        Points that were weighted, and evaluations of the density in all.
    scales : tuple of str
        The coordinates that were drawn.
    """

    pareto_k: float
    effective_size: float
    n_points: int
    n_evaluations: int
    scales: tuple[str, ...]

    def __str__(self) -> str:
        tail = f"k-hat {self.pareto_k:.2f}"
        if self.pareto_k == -math.inf:
            tail = "the largest weights are equal"
        return f"{tail}, {self.n_points} points worth {self.effective_size:.0f}"


def draw_weights(idata: xr.DataTree) -> DrawWeights | None:
    """Read the weights' record; None for a tree whose draws come from Markov chains.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.

    Returns
    -------
    DrawWeights or None

    Examples
    --------
    >>> draw_weights(idata) is None  # sampled by NUTS
    True
    """
    # What is no tree at all is refused by whoever reads its draws.
    if "sample_stats" not in getattr(idata, "children", ()):
        return None
    attrs = idata["sample_stats"].attrs
    if "pareto_k" not in attrs:
        return None
    # Of one word, a file's attribute of this name is taken for that of the CF conventions and goes;
    # one coordinate alone is that of a model without random effects.
    coordinates = attrs.get("coordinates", names.SIGMA)
    # A file gives a list of one as the one.
    scales = (coordinates,) if isinstance(coordinates, str) else tuple(map(str, coordinates))
    return DrawWeights(
        float(attrs["pareto_k"]),
        float(attrs["ess_weights"]),
        int(attrs["n_points"]),
        int(attrs["n_evaluations"]),
        scales,
    )


def probe_chance(idata: xr.DataTree) -> dict[str, float]:
    """Read what chance random probes leave in posterior means, in posterior standard deviations.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.

    Returns
    -------
    dict of str to float
        By parameter; empty for a tree without probes.

    Examples
    --------
    >>> probe_chance(idata)
    {}
    """
    if "sample_stats" not in getattr(idata, "children", ()):
        return {}
    attrs = idata["sample_stats"].attrs
    if "probe_error" not in attrs:
        return {}
    # A file gives a list of one as the one.
    listed = np.atleast_1d(np.asarray(attrs["probe_error"], dtype=float))
    labels = np.atleast_1d(np.asarray(attrs["probe_parameters"], dtype=str))
    return dict(zip(labels.tolist(), listed.tolist(), strict=True))
