"""Predictions of rows by a REML fit: estimates, their standard errors, and Wald's limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri

from bayeslmm import names
from bayeslmm.analysis.prediction.estimated.reml_rows import RemlRows, reml_design, reml_rows
from bayeslmm.analysis.prediction.fit_rows import included
from bayeslmm.analysis.prediction.grouping_columns import (
    require_grouping_columns,
    terms_of_mean,
    without_level,
)
from bayeslmm.analysis.prediction.new_levels import level_policies
from bayeslmm.errors import ArgumentError, TreeError
from bayeslmm.model.residual.drawn import DrawnResiduals
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.reml.result import REMLFit

_KINDS = ("mean", "link", "response")


class Asked(NamedTuple):
    """The arguments of `predictions.predict` by these names."""

    kind: str
    random_effects: str | Sequence[str]
    new_levels: str | Mapping[str, str]
    draws: int | None
    weights: Any
    trials: Any
    se: Any
    residual: str


def predicted(fit: REMLFit, data: Any, asked: Asked) -> pd.Series[float]:
    """Return what a REML fit expects of rows, by their labels; see `predictions.predict`.

    Raises
    ------
    ArgumentError
        If draws would be needed.
    """
    if asked.kind == "response":
        raise ArgumentError(
            "A REML fit has no draws of new observations: predict_table(fit, kind='response') has "
            "their limits; or fit by fit_bayes."
        )
    rows = _rows(fit, data, asked)
    index = pd.Index(rows.design.obs, name=names.OBS)
    return pd.Series(rows.eta(), index, name=fit.data.response)


def predicted_table(fit: REMLFit, data: Any, asked: Asked, ci_prob: float) -> pd.DataFrame:
    """Return estimates of rows with standard errors and limits; see `predictions.predict_table`."""
    rows = _rows(fit, data, asked)
    errors, value = rows.errors(), rows.eta()
    if asked.kind == "response":
        errors = np.hypot(errors, _residual_sd(rows))
    half = float(ndtri(0.5 + 0.5 * ci_prob)) * errors
    return pd.DataFrame(
        {"estimate": value, "std_error": errors, "lower": value - half, "upper": value + half},
        pd.Index(rows.design.obs, name=names.OBS),
    )


def _rows(fit: REMLFit, data: Any, asked: Asked) -> RemlRows:
    _require(fit, data, asked)
    factors = included(fit, asked.random_effects)
    policies = level_policies(asked.new_levels, factors)
    terms, structured = terms_of_mean(fit.formula), fit.residual is not None
    if data is not None:
        require_grouping_columns(terms, data, factors)
    drawn = asked.kind == "response"
    options: dict[str, Any] = {}
    if drawn and structured and data is not None:
        column = fit.data.state.se
        held = column if column in read_table(data).names else None
        options = {"residual": True, "se": held if asked.se is None else asked.se}
    design = reml_design(
        fit, data, factors, weights=asked.weights, weighted=drawn and not structured,
        no_level=without_level(terms, policies), **options,
    )  # fmt: skip
    return reml_rows(fit, design, policies)


def _residual_sd(rows: RemlRows) -> Floats:
    fit, design = rows.fit, rows.design
    if fit.residual is None:
        n = design.X.shape[0]
        weights = np.ones(n) if design.weights is None else design.weights
        return np.asarray(fit.scale / np.sqrt(weights))
    if design.residual is None:
        raise TreeError("These rows do not say how their residuals scatter: give rows as data=.")
    drawn = DrawnResiduals(fit.residual.structure, design.residual, fit.residual.phi[None])
    return np.asarray(drawn.sd(slice(None))[:, 0])


def _require(fit: REMLFit, data: Any, asked: Asked) -> None:
    kind = asked.kind
    if kind not in _KINDS:
        raise ArgumentError(
            f"kind={kind!r} is of ordered categories, and the response of a REML fit is Gaussian: "
            "give kind='mean' or 'response'."
        )
    for name, given in (("draws", asked.draws), ("trials", asked.trials)):
        if given is not None:
            raise ArgumentError(f"A REML fit has no {name}: leave {name} out, or fit by fit_bayes.")
    if asked.residual == "conditional":
        raise ArgumentError(
            "residual='conditional' is of a posterior's residuals: leave it out, or fit by "
            "fit_bayes."
        )
    if asked.se is not None and fit.data.state.se is None:
        raise ArgumentError(
            "se= gives known standard errors, and the rows of the fit had none: leave it out."
        )
    if asked.weights is not None and (data is None or fit.residual is not None):
        raise ArgumentError(
            "weights= are those of data=, of a fit whose residuals have no structure: leave them "
            "out."
        )
