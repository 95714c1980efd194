"""Draws of the variances that effect sizes are made of: fixed part, each factor, residual."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import design_state, training_design
from bayeslmm.analysis.variance.moments import fixed_covariance, second_moments, tree_gram
from bayeslmm.analysis.variance.observation import mean_response, observation_parts
from bayeslmm.analysis.variance.population import population_draws, with_smooths_fixed
from bayeslmm.design.build import rebuild_design
from bayeslmm.errors import ArgumentError, TreeError, nearest
from bayeslmm.results import read
from bayeslmm.results.family import family, family_draws, is_additive
from bayeslmm.results.parameters import modelled, refuse_modelled
from bayeslmm.results.residual import (
    drawn_residuals,
    has_structure,
    residual_draws,
    residual_rows,
    residual_structure,
)
from bayeslmm.results.rows import training_table
from bayeslmm.results.smooths import grouping_factors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.gram.gram import Gram

TOTAL = "total"
LATENT, OBSERVATION = "latent", "observation"


@dataclass(frozen=True, eq=False, slots=True)
class VarianceParts:
    """Draws of the parts of Var(y), on the scale of the linear predictor or of the response.

    Attributes
    ----------
    fixed : ndarray, shape (s,)
        Sample variance (divisor n - 1) of the rows' X beta, curves of smooths in it.
    factors : dict of ndarray, each of shape (s,)
        Mean over the rows of z' G z, per grouping factor.
    random : ndarray, shape (s,)
        That of all factors together: their sum on the scale of the linear predictor.
    residual : ndarray, shape (s,)
        Mean over the rows of sigma^2 / w, or of the diagonal of R where the residuals have a
        structure; of other families `Family.latent_variance`.
    at : str
        Where the random slopes were evaluated, in words.
    scale : str
        ``"latent"``, or ``"observation"`` for the variances of `observation_parts`; empty where
        the response is eta + e and both are the same.
    """

    fixed: NDArray[np.float64]
    factors: dict[str, NDArray[np.float64]]
    random: NDArray[np.float64]
    residual: NDArray[np.float64]
    at: str
    scale: str


def variance_parts(
    idata: xr.DataTree, at: Mapping[str, Any] | None = None, scale: str = LATENT
) -> VarianceParts:
    """Compute the draws of the variance parts.

    Parameters
    ----------
    idata : DataTree
    at : mapping from covariate to value, optional
        Where random slopes are evaluated; over the training rows without it. Covariates that are
        not named keep the training rows' values.
    scale : {"latent", "observation"}
        Of what.

    Raises
    ------
    ArgumentError
        When `at` names a column that the formula does not use.
    NumericalError
        When a variance leaves the range of numbers.
    """
    gram = tree_gram(idata)
    if gram is not None and at is None:
        return _parts_of_gram(idata, gram)
    design = with_smooths_fixed(training_design(idata))
    where = design if at is None else design_at(idata, at)
    additive = is_additive(family(idata))
    if scale == OBSERVATION and not additive and design.residual is not None:
        raise TreeError(
            "Variances of lognormal responses themselves are computed for one sigma, and this fit "
            "has a residual structure: take scale='latent', that of their logarithms."
        )
    # A level for every row is overdispersion, as Nakagawa et al. have it: no likeness of rows.
    of_rows = [] if additive else [f.name for f in design.factors if f.counts.max() < 2]
    if scale == OBSERVATION and not additive:
        parts = observation_parts(idata, design, where)
        own = sum((parts.factors[name] for name in of_rows), np.zeros_like(parts.residual))
        return VarianceParts(
            fixed=parts.fixed,
            factors=parts.factors,
            random=parts.random - own,
            residual=parts.residual + own,
            at=_words(where, at),
            scale=scale,
        )
    factors = {}
    for item in where.factors:
        info = read.factor(idata, item.name)
        columns = item.scaled_columns
        moments = columns.T @ columns / len(columns)
        # z' G z averaged over rows is the trace of G with the second moments of z.
        cov = read.covariance_draws(idata, info)
        factors[item.name] = np.einsum("sij,ij->s", cov, moments)
    residual = latent_residual(idata, where if design.weights is None else design)
    none = np.zeros_like(residual)
    own = sum((factors[name] for name in of_rows), none)
    return VarianceParts(
        fixed=fixed_variance(idata, design),
        factors=factors,
        random=sum(factors.values(), none) - own,
        residual=residual + own,
        at=_words(where, at),
        scale="" if additive else LATENT,
    )


def _parts_of_gram(idata: xr.DataTree, gram: Gram) -> VarianceParts:
    beta, covariance = read.flat_draws(idata, names.BETA), fixed_covariance(gram)
    assert gram.scales is not None  # noqa: S101 - a fit's Gram has them
    factors, slopes = {}, False
    for place, item in enumerate(gram.factors):
        cov = read.covariance_draws(idata, read.factor(idata, item.name))
        factors[item.name] = np.einsum("sij,ij->s", cov, second_moments(gram, place))
        slopes |= any(not column.constant for column in gram.scales.random[place])
    # Rows may have a sigma of their own: the residual's variance is then a mean over them.
    slopes |= gram.strata is not None
    residual = residual_variance(idata)
    return VarianceParts(
        fixed=np.einsum("si,ij,sj->s", beta, covariance, beta),
        factors=factors,
        random=sum(factors.values(), np.zeros_like(residual)),
        residual=residual,
        at="averaged over the data" if slopes else "everywhere",
        scale="",
    )


def design_at(idata: xr.DataTree, at: Mapping[str, Any]) -> Design:
    """Return the training rows' design with some columns set to given values.

    Raises
    ------
    ArgumentError
        When a column is not in the formula.
    """
    if not hasattr(at, "items"):
        raise ArgumentError(f"at maps covariates to values, as in {{'x': 0}}; it was {at!r}.")
    columns = read.columns(idata)
    for name in at:
        if name not in columns:
            msg = (
                f"at names {name!r}, which the formula {idata.attrs['formula']!r} does not use."
                f"{nearest(str(name), columns)}"
            )
            raise ArgumentError(msg)
        if np.ndim(at[name]):
            raise ArgumentError(f"at takes one value of {name!r}; it was given {at[name]!r}.")
    table = training_table(idata) if has_structure(idata) else pd.DataFrame(columns)
    state, se = design_state(idata), read.constant(idata, "se")
    set_to = {name: np.full(len(table), value) for name, value in at.items()}
    design = rebuild_design(state, table.assign(**set_to), response="ignored")
    design = with_smooths_fixed(design)
    if not has_structure(idata):
        return design
    # A group has one row at each time: residuals keep their groups and times.
    rows = residual_rows(idata)
    kept = set() if rows is None or rows.correlation is None else set(rows.correlation.variables)
    moved = {name: column for name, column in set_to.items() if name not in kept}
    of_residuals = rebuild_design(
        state, table.assign(**moved), response="ignored", factors=(), residual=True, se=se
    )
    return replace(design, residual=of_residuals.residual)


def fixed_variance(idata: xr.DataTree, design: Design) -> NDArray[np.float64]:
    """Compute the sample variance over rows of X beta, smooths in it, shape (s,)."""
    beta = population_draws(idata)
    if len(design.X) < 2:
        return np.zeros(len(beta))
    centered = design.X - design.X.mean(axis=0)
    moments = centered.T @ centered / (len(centered) - 1)
    return np.asarray(np.einsum("si,ij,sj->s", beta, moments, beta))


def residual_variance(idata: xr.DataTree, design: Design | None = None) -> NDArray[np.float64]:
    """Compute the mean over rows of the variance of y - eta, shape (s,), of additive families.

    Without a design it is that of a row of weight one, or, of strata of cross-products, that over
    all rows.
    """
    drawn = None if design is None else drawn_residuals(idata, design)
    weights = None if design is None else design.weights
    refuse_modelled(idata, "The variance of residuals")
    phi = family_draws(idata)
    if drawn is not None:
        phi[names.SIGMA] = np.sqrt(drawn.mean_variance())
    elif design is None and (structure := residual_structure(idata)) is not None:
        phi[names.SIGMA] = np.sqrt(structure.mean_variance(residual_draws(idata, structure)))
    variance = family(idata).latent_variance(np.zeros_like(phi[names.SIGMA]), phi)
    return variance if weights is None else variance * float(np.mean(1 / weights))


def latent_residual(idata: xr.DataTree, design: Design) -> NDArray[np.float64]:
    """Compute the variance of a row on the scale of the linear predictor, shape (s,).

    That of a Poisson, negative binomial or beta response depends on its mean, which is taken where
    the rows' expected responses, random effects averaged over, have theirs.
    """
    member = family(idata)
    if design.residual is not None or names.SIGMA in {p.name for p in member.parameters}:
        return residual_variance(idata, design)
    refuse_modelled(idata, "The variance of a row on the scale of the link")
    mu = mean_response(idata, design) if member.latent_at_mean else np.ones(_size(idata))
    return member.latent_variance(mu, family_draws(idata))


def _size(idata: xr.DataTree) -> int:
    chains, draws = read.sample_shape(idata)
    return chains * draws


def _words(design: Design, at: Mapping[str, Any] | None) -> str:
    if at is not None:
        return ", ".join(f"{name}={value}" for name, value in at.items())
    slopes = any(np.ptp(item.columns, axis=0).any() for item in design.factors)
    # Rows may have a sigma of their own: the residual's variance is then a mean over them.
    slopes |= design.residual is not None
    return "averaged over the data" if slopes else "everywhere"


def intraclass_correlations(idata: xr.DataTree) -> dict[str, NDArray[np.float64]]:
    """Compute draws of each factor's (adjusted) ICC and, of several, of all together.

    There are none where sigma has random effects: see `icc`.
    """
    if not grouping_factors(idata) or read.in_sigma(idata) or modelled(idata):
        return {}
    parts = variance_parts(idata)
    whole = parts.random + parts.residual
    ratios = {f"icc[{name}]": value / whole for name, value in parts.factors.items()}
    return ratios if len(ratios) == 1 else {**ratios, f"icc[{TOTAL}]": parts.random / whole}
