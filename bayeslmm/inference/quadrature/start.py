"""Where searches of the posterior's mode begin, and how many nodes are enough around it."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.families.ordinal.sticks import observed_sticks
from bayeslmm.inference.laplace import Start, find_mode
from bayeslmm.model.family_numbers import number_units, parameters_at
from bayeslmm.model.quadrature.enough_nodes import LADDERS, NodeError, node_error
from bayeslmm.model.quadrature.start import fit_without_effects

if TYPE_CHECKING:
    from bayeslmm.inference.quadrature.target import QuadratureTarget
    from bayeslmm.model.model import Model

# Sds begin at the priors' medians, and where they hardly matter; other parameters that are positive
# numbers within a factor of a hundred of one.
_SMALL, _LARGEST = 0.1, 100.0
# A typical step of a positive parameter's logarithm.
_LOG_UNIT = 0.3
# Nodes must be enough so many standard deviations from the mode, along each axis.
_AWAY = 2.0


def starting_points(target: QuadratureTarget, model: Model) -> Start:
    """Return points to climb from: the fixed effects alone, with sds of two sizes.

    Parameters
    ----------
    target : QuadratureTarget
        The posterior.
    model : Model
        What it is the posterior of.

    Returns
    -------
    Start
    """
    design, priors = model.design.coded_rows, model.priors
    medians = target.prior_quantiles(0.5)
    widths = target.prior_quantiles(0.75) - target.prior_quantiles(0.25)
    a, b = target.n_sds, target.n_sds + target.n_partials
    c = b + target.n_phi
    first = medians.copy()
    of_predictor, steps = number_units(model)
    least = np.where(of_predictor, -np.inf, 1.0 / _LARGEST)
    first[b:c] = np.maximum(medians[b:c], least)
    if model.family.response.ordered:
        first[b:c] = observed_sticks(design.y, target.n_phi)
    known = parameters_at(model, first[b:c])
    X = design.X - np.asarray(priors.centers) if any(priors.centers) else design.X
    beta, errors = fit_without_effects(design, X, known, medians[c:], (1.35 / widths[c:]) ** 2)
    supports = np.array([prior.support for prior in priors.beta]).reshape(-1, 2)
    inside = (beta > supports[:, 0]) & (beta < supports[:, 1])
    first[c:] = np.where(inside, beta, medians[c:])
    units = np.full(target.size, _LOG_UNIT)
    units[c:] = np.where(np.isfinite(errors) & (errors > 0.0), errors, widths[c:])
    units[c:] = np.where(
        [coordinate.bounded for coordinate in target.coordinates[c:]], _LOG_UNIT, units[c:]
    )
    units[b:c] = steps
    for k in target.folded:
        units[k] = _LOG_UNIT * max(medians[k], 1e-12)
    points = []
    for share in (1.0, _SMALL):
        there = first.copy()
        there[:a] *= share
        points.append(target.point(there))
    return Start(points, units)


def with_enough_nodes(
    target: QuadratureTarget, start: Start
) -> tuple[QuadratureTarget, Start, NodeError]:
    """Take more nodes until their doubling changes the likelihood by less than 0.01.

    It is compared at the posterior's mode and two standard deviations to either side of it, along
    each axis of the posterior.

    Parameters
    ----------
    target : QuadratureTarget
        By any number of nodes.
    start : Start
        Where to begin.

    Returns
    -------
    target : QuadratureTarget
        With as many nodes.
    start : Start
        With the mode.
    error : NodeError
        The change that is left; infinite where there is no mode.
    """
    error = NodeError(target.likelihood.n_nodes, math.inf)
    for count in LADDERS[target.covariance.n_columns]:
        target = target.with_nodes(count)
        starts = [*(peak.point for peak in start.known), *start.points]
        peak = next(
            (p for s in starts if (p := find_mode(target, s, start.units)) is not None), None
        )
        start = dataclasses.replace(start, known=() if peak is None else (peak,))
        if peak is None:
            continue
        values, vectors = np.linalg.eigh(peak.covariance)
        away = _AWAY * (vectors * np.sqrt(np.maximum(values, 0.0))).T
        points = np.concatenate([peak.point[None], peak.point + away, peak.point - away])
        error = node_error(target.likelihood, target.given(points), threads=target.threads)
        if error.enough:
            break
    return target, start, error
