"""Residuals of every family: in the response's unit, in standard deviations, by quantiles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import LinearPredictor, linear_predictor
from bayeslmm.errors import ArgumentError
from bayeslmm.families.derived.censored import Censored
from bayeslmm.model.residual.drawn import DrawnResiduals
from bayeslmm.model.residual.independent import INDEPENDENT
from bayeslmm.results import read
from bayeslmm.results.family import family, is_additive

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats

HALF_UNIT = 2.0**-54  # as near to 1 as distribution functions come: quantiles of +-8.2


def require_kind(idata: xr.DataTree, kind: str) -> None:
    """Raise unless a fit's family has residuals of this kind.

    Raises
    ------
    ArgumentError
        If not, with one that it has.
    TreeError
        If `idata` is no tree of this package.
    """
    read.require_tree(idata)
    member = family(idata)
    if kind == "marginal" and not is_additive(member):
        raise ArgumentError(
            "kind='marginal' leaves the population's line out of the response, which has mean zero "
            f"only where the mean is the linear predictor; the family of this fit is "
            f"{member.name!r}. Take kind='quantile', or subtract "
            "fitted(fit, random_effects='none') from the response."
        )
    if isinstance(member, Censored) and kind != "quantile":
        raise ArgumentError(
            f"kind={kind!r} takes a response from what is expected of it, and of censored rows the "
            "response is not known: take kind='quantile', which draws a place in the interval."
        )
    if kind == "normalized" and member.gaussian_scale is None:
        raise ArgumentError(
            "kind='normalized' is for responses that are Gaussian, also after their logarithm; the "
            f"family of this fit is {member.name!r}. Take kind='quantile'."
        )


def residual_means(predictor: LinearPredictor, y: Floats, kind: str, seed: int) -> Floats:
    """Return one residual of each row, shape (n,).

    Parameters
    ----------
    predictor : LinearPredictor
        Of the rows.
    y : ndarray, shape (n,)
        Their responses.
    kind : str
        A kind of `residuals`.
    seed : int
        Of the places of discrete responses.

    Returns
    -------
    ndarray
        Means over the draws; normal quantiles of mean probabilities.
    """
    if kind != "quantile":
        if kind in {"response", "marginal"} and is_additive(predictor.family):
            return np.asarray(y - predictor.mean())
        means = np.empty(predictor.n)
        for rows, drawn in residual_draws(predictor, y, kind, seed):
            means[rows] = drawn.mean(axis=1)
        return means
    found = np.empty(predictor.n)
    for rows, probabilities in _probabilities(predictor, y, seed):
        found[rows] = probabilities.mean(axis=1)
    return _normal(found)


def residual_draws(
    predictor: LinearPredictor, y: Floats, kind: str, seed: int
) -> Iterator[tuple[slice | NDArray[np.intp], Floats]]:
    """Yield rows with the draws of their residuals, shape (rows, s).

    Raises
    ------
    ArgumentError
        If a draw has no variance to divide by.
    """
    if kind == "quantile":
        for rows, probabilities in _probabilities(predictor, y, seed):
            yield rows, _normal(probabilities)
        return
    if kind == "normalized":
        yield from _normalized(predictor, y)
        return
    for rows, eta in predictor.chunks():
        rest = _response(predictor, y, rows) - predictor.expected(rows, eta)
        yield rows, rest / _sd(predictor, rows, eta) if kind == "pearson" else rest


def _normalized(
    predictor: LinearPredictor, y: Floats
) -> Iterator[tuple[slice | NDArray[np.intp], Floats]]:
    """Yield R^(-1/2) (y - eta), by groups in the order of their times."""
    scale, drawn = predictor.family.gaussian_scale, predictor.residual
    assert scale is not None  # noqa: S101 - `require_kind` refused others
    for rows, eta in predictor.joint_chunks():
        rest = scale.link(y[rows, None]) - eta
        if drawn is None:
            weights = None if predictor.design.weights is None else predictor.design.weights[rows]
            yield rows, INDEPENDENT.whiten(rest.T, predictor.phi[names.SIGMA], weights).T
        else:
            yield rows, drawn.whiten(np.arange(predictor.n)[rows], rest.T)[0].T


def _response(predictor: LinearPredictor, y: Floats, rows: slice) -> Floats:
    """Return responses in the unit of their means, shape (rows, 1): of trials the shares."""
    trials = predictor.design.trials
    return np.asarray(y[rows, None] if trials is None else (y[rows] / trials[rows])[:, None])


def _sd(predictor: LinearPredictor, rows: slice, eta: Floats) -> Floats:
    """Return standard deviations of responses in the unit of their means."""
    known, trials = predictor.known(rows), predictor.design.trials
    variance = predictor.family.variance(eta, predictor.parameters(rows), known)
    infinite = float(np.mean(np.isinf(variance)))
    if infinite:
        raise ArgumentError(
            f"kind='pearson' divides by standard deviations, and {100 * infinite:.3g} % of the "
            f"draws of these rows have an infinite one (family {predictor.family.name!r}): take "
            "kind='quantile'."
        )
    # Zero is what rounding leaves of a variance: the rest is zero then, or out of all bounds.
    root = np.sqrt(np.maximum(variance, np.finfo(np.float64).tiny))
    return np.asarray(root if trials is None else root / trials[rows, None])


def _probabilities(
    predictor: LinearPredictor, y: Floats, seed: int
) -> Iterator[tuple[slice, Floats]]:
    """Yield F(y-) + v (F(y) - F(y-)) with v uniform, one of each row, shape (rows, s).

    Of censored rows the two ends of where they lie stand for y- and y.
    """
    member, generator = predictor.family, np.random.default_rng([seed, 4])
    for rows, eta in predictor.chunks():
        known, phi = predictor.known(rows), predictor.parameters(rows)
        found = member.cdf(y[rows, None], eta, phi, known)
        if isinstance(member, Censored) and known is not None:
            below, found = member.bounds(y[rows, None], eta, phi, known)
            found = below + generator.random((len(found), 1)) * (found - below)
        elif member.discrete or member.atoms:
            below = member.cdf_below(y[rows, None], eta, phi, known)
            place = generator.random((len(found), 1))
            found = below + place * (found - below)
        yield rows, found


def known_residuals(
    idata: xr.DataTree, predictor: LinearPredictor, draws: int | None
) -> tuple[DrawnResiduals, NDArray[np.float64]]:
    """Return the fit's own residuals in the groups of a predictor's rows: their R, and draws.

    Parameters
    ----------
    idata : DataTree
        The fit.
    predictor : LinearPredictor
        Of rows with correlated residuals.
    draws : int or None
        How many draws of each chain are kept.

    Returns
    -------
    known : DrawnResiduals
    rest : ndarray, shape (rows, s)
        y - eta, of the Gaussian response.
    """
    own = linear_predictor(idata, draws=draws, residual=True)
    assert own.residual is not None  # noqa: S101 - the same fit
    assert predictor.residual is not None  # noqa: S101 - the caller looked
    mine, theirs = own.residual.rows, predictor.residual.rows
    met = np.isin(mine.labels, theirs.labels[np.unique(theirs.group)])
    some = np.flatnonzero(met[mine.group])
    y = replace(own.design, y=read.response(idata)).gaussian_response[some]
    known = DrawnResiduals(own.residual.fit, mine.take(some), own.residual.phi)
    return known, y[:, None] - own.rows(some)


def _normal(probabilities: Floats) -> Floats:
    return np.asarray(ndtri(np.clip(probabilities, HALF_UNIT, 1.0 - 2 * HALF_UNIT)))
