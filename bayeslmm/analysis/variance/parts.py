"""Draws of the variances that effect sizes are made of: fixed part, each factor, residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import design_state, training_design
from bayeslmm.analysis.variance.moments import fixed_covariance, second_moments, tree_gram
from bayeslmm.design.design import rebuild_design
from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.model.residual.independent import INDEPENDENT
from bayeslmm.results import read

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.gram.gram import Gram

TOTAL = "total"


@dataclass(frozen=True, eq=False, slots=True)
class VarianceParts:
    """Draws of the parts of Var(y).

    Attributes
    ----------
    fixed : ndarray, shape (s,)
        Sample variance (divisor n - 1) of the rows' X beta.
    factors : dict of ndarray, each of shape (s,)
        Mean over the rows of z' G z, per grouping factor.
    residual : ndarray, shape (s,)
        Mean over the rows of sigma^2 / w.
    at : str
        Where the random slopes were evaluated, in words.
    """

    fixed: NDArray[np.float64]
    factors: dict[str, NDArray[np.float64]]
    residual: NDArray[np.float64]
    at: str

    @property
    def random(self) -> NDArray[np.float64]:
        """Draws of all factors' variances together."""
        return sum(self.factors.values(), np.zeros_like(self.residual))


def variance_parts(idata: xr.DataTree, at: Mapping[str, Any] | None = None) -> VarianceParts:
    """Compute the draws of the variance parts.

    Parameters
    ----------
    idata : DataTree
    at : mapping from covariate to value, optional
        Where random slopes are evaluated; over the training rows without it. Covariates that are
        not named keep the training rows' values.

    Raises
    ------
    ArgumentError
        When `at` names a column that the formula does not use.
    """
    gram = tree_gram(idata)
    if gram is not None and at is None:
        return _parts_of_gram(idata, gram)
    design = training_design(idata)
    where = design if at is None else design_at(idata, at)
    factors = {}
    for item in where.factors:
        info = read.factor(idata, item.name)
        moments = item.columns.T @ item.columns / len(item.columns)
        # z' G z averaged over rows is the trace of G with the second moments of z.
        cov = read.covariance_draws(idata, info)
        factors[item.name] = np.einsum("sij,ij->s", cov, moments)
    return VarianceParts(
        fixed=fixed_variance(idata, design),
        factors=factors,
        residual=residual_variance(idata, design.weights),
        at=_words(where, at),
    )


def _parts_of_gram(idata: xr.DataTree, gram: Gram) -> VarianceParts:
    beta, covariance = read.flat_draws(idata, names.BETA), fixed_covariance(gram)
    assert gram.scales is not None  # noqa: S101 - a fit's Gram has them
    factors, slopes = {}, False
    for place, item in enumerate(gram.factors):
        cov = read.covariance_draws(idata, read.factor(idata, item.name))
        factors[item.name] = np.einsum("sij,ij->s", cov, second_moments(gram, place))
        slopes |= any(not column.constant for column in gram.scales.random[place])
    return VarianceParts(
        fixed=np.einsum("si,ij,sj->s", beta, covariance, beta),
        factors=factors,
        residual=residual_variance(idata, None),
        at="averaged over the data" if slopes else "everywhere",
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
    n = len(read.response(idata))
    fixed = {name: np.full(n, value) for name, value in at.items()}
    return rebuild_design(design_state(idata), {**columns, **fixed})


def fixed_variance(idata: xr.DataTree, design: Design) -> NDArray[np.float64]:
    """Compute the sample variance over rows of X beta, shape (s,)."""
    beta = read.flat_draws(idata, names.BETA)
    if len(design.X) < 2:
        return np.zeros(len(beta))
    centered = design.X - design.X.mean(axis=0)
    moments = centered.T @ centered / (len(centered) - 1)
    return np.asarray(np.einsum("si,ij,sj->s", beta, moments, beta))


def residual_variance(
    idata: xr.DataTree, weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Compute the mean over rows of the residuals' variance, shape (s,)."""
    return INDEPENDENT.mean_variance(read.flat_draws(idata, names.SIGMA), weights)


def _words(design: Design, at: Mapping[str, Any] | None) -> str:
    if at is not None:
        return ", ".join(f"{name}={value}" for name, value in at.items())
    slopes = any(np.ptp(item.columns, axis=0).any() for item in design.factors)
    return "averaged over the data" if slopes else "everywhere"


def intraclass_correlations(idata: xr.DataTree) -> dict[str, NDArray[np.float64]]:
    """Compute draws of each factor's (adjusted) ICC and, of several, of all together."""
    if not read.factor_names(idata):
        return {}
    parts = variance_parts(idata)
    whole = parts.random + parts.residual
    ratios = {f"icc[{name}]": value / whole for name, value in parts.factors.items()}
    return ratios if len(ratios) == 1 else {**ratios, f"icc[{TOTAL}]": parts.random / whole}
