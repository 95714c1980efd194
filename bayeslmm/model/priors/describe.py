"""What priors say, in the response's unit: a table before anything is sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.errors import names_keywords
from bayeslmm.gram.gram_design import design_of
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.priors.resolve import resolve_priors

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.scales import ColumnScale
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.model.priors.resolve import PriorsLike


@names_keywords
def describe_priors(
    formula: str | MixedFormula | ModelData,
    data: Any = None,
    priors: PriorsLike | None = None,
    *,
    weights: str | ArrayLike | None = None,
    missing: str = "drop",
) -> pd.DataFrame:
    """Return a table of every prior of a model, also on the response's scale.

    Parameters
    ----------
    formula : str, MixedFormula or Design
        The model, as in `fit_bayes`, or a design that is already built.
    data : table or Gram, optional
        The rows, or their cross-products; not with a `Design`.
    priors : mapping, str, PriorScheme or Priors, optional
        See `resolve_priors`.
    weights : str or array-like, optional
        As in `fit_bayes`.
    missing : {"drop", "raise"}
        As in `fit_bayes`.

    Returns
    -------
    DataFrame
        Indexed by parameter. ``distribution``; ``q5``, ``q50``, ``q95``: quantiles of the
        parameter, in response per column unit (of each single correlation, for a matrix);
        ``change``: a change of the column that people can picture, one standard deviation, or from
        its lower to its upper value where it has two; ``response_q5``, ``response_q50``,
        ``response_q95``: what the quantiles mean for the response under that change (missing for
        correlations); ``origin``: ``"user"``, a scheme's name, or ``"default"``.

    Raises
    ------
    FormulaError, DataError, PriorError
        As `fit_bayes` does.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> table = bl.describe_priors(
    ...     "Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy")
    ... )
    >>> table.loc["Days", "change"], round(table.loc["Days", "response_q95"])
    ('+2.88', 232)
    """
    design = design_of(formula, data, weights=weights, missing=missing)
    table = resolve_priors(design, priors).describe()
    changes = _changes(design)
    sizes = np.array([changes.get(name, ("", np.nan))[1] for name in table.index])
    table.insert(4, "change", [changes.get(name, ("", np.nan))[0] for name in table.index])
    for position, quantile in enumerate(("q5", "q50", "q95")):
        table.insert(5 + position, f"response_{quantile}", table[quantile] * sizes)
    return table


def _changes(design: ModelData) -> dict[str, tuple[str, float]]:
    """Return the change of a column behind each parameter, in words and as a number."""
    scales = design.scales
    changes = {name: _change(x, name) for x, name in zip(scales.fixed, design.coef, strict=True)}
    for factor, columns in zip(design.factors, scales.random, strict=True):
        sd_names = covariance_of(factor).sd_names
        for column, term, sd_name in zip(columns, factor.terms, sd_names, strict=True):
            changes[sd_name] = _change(column, term)
    changes[names.SIGMA] = ("", 1.0)
    return changes


def _change(column: ColumnScale, name: str) -> tuple[str, float]:
    if name == names.INTERCEPT or column.constant:
        return "", 1.0
    if column.two_valued:
        return f"{column.low:g} -> {column.high:g}", column.high - column.low
    scale = column.scale()
    return f"+{scale:.3g}", scale
