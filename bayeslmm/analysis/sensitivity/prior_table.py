"""What priors say, in the response's unit: a table, of a fit or before anything is sampled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.analysis.reml_comparison.refit import tree_design
from bayeslmm.analysis.sensitivity.prior_implications import as_posterior
from bayeslmm.arguments import takes_formulas
from bayeslmm.errors import ArgumentError, TreeError, names_keywords
from bayeslmm.formula.mixed_formula import MixedFormula
from bayeslmm.gram.gram_design import design_of
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.priors.defaults import link_scale
from bayeslmm.model.priors.priors import Priors
from bayeslmm.model.priors.resolve import resolve_priors
from bayeslmm.model.residual.of_design import parameter_entries
from bayeslmm.results import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from bayeslmm.arguments import ParameterFormulas
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.scales import ColumnScale
    from bayeslmm.families.family import Family
    from bayeslmm.model.priors.resolve import PriorsLike
    from bayeslmm.relationships.known import KnownLike


@names_keywords
@takes_formulas
def describe_priors(
    formula: str | MixedFormula | ModelData | Priors | xr.DataTree,
    data: Any = None,
    priors: PriorsLike | None = None,
    *,
    weights: str | ArrayLike | None = None,
    missing: str = "drop",
    rank_deficient: str = "raise",
    family: str | Family = "gaussian",
    link: str | None = None,
    trials: str | ArrayLike | None = None,
    residual: str | None = None,
    sigma: str | None = None,
    se: str | ArrayLike | None = None,
    known: KnownLike | None = None,
    **formulas: Unpack[ParameterFormulas],
) -> pd.DataFrame:
    """Return a table of every prior of a model, also on the response's scale.

    Parameters
    ----------
    formula : str, MixedFormula, Design, DataTree or Priors
        The model, as in `fit_bayes`, or a design that is already built; the result of `fit_bayes`
        or `sample_prior`, whose priors are meant; or the priors themselves, of which nobody knows
        what a change of a column is.
    data : table or Gram, optional
        The rows, or their cross-products; with a formula only.
    priors : mapping, str, PriorScheme or Priors, optional
        See `resolve_priors`. With a tree, those that are to be shown for its data instead.
    weights : str or array-like, optional
        As in `fit_bayes`.
    missing : {"drop", "raise"}
        As in `fit_bayes`.
    rank_deficient : {"raise", "drop"}
        As in `fit_bayes`.
    family, link, trials, residual, sigma, se, known
        As in `fit_bayes`.
    phi, shape, nu, zi, hu, zoi, coi, disc, alpha : str, optional
        Formulas of the family's parameters, as in `fit_bayes`.
    likweights, cens, y2 : str or array-like, optional
        How often rows count, and how they are censored, as in `fit_bayes`.

    Returns
    -------
    DataFrame
        Indexed by parameter. ``distribution``; ``q5``, ``q50``, ``q95``: quantiles of the
        parameter, in response per column unit (of each single correlation, for a matrix);
        ``change``: a change of the column that people can picture, one standard deviation, or from
        its lower to its upper value where it has two; ``response_q5``, ``response_q50``,
        ``response_q95``: what the quantiles mean for the response under that change (missing for
        correlations); ``origin``: ``"user"``, a scheme's name, or ``"default"``. Under other links
        than the identity, a change of the response depends on where it starts: there these are
        mean responses (lognormal: medians), such as probabilities, after a change that starts at
        the response's own mean with the offset at zero; of the intercept, its own.

    Raises
    ------
    FormulaError, DataError, PriorError
        As `fit_bayes` does.
    ArgumentError
        If something is given that the first argument has already.
    TreeError
        If the tree is not of this package, or does not hold its priors.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> table = bl.describe_priors(
    ...     "Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy")
    ... )
    >>> table.loc["Days", "change"], round(table.loc["Days", "response_q95"])
    ('+2.88', 232)
    """
    if not isinstance(formula, str):
        other = None if family == "gaussian" else family
        _refuse_twice(
            formula, data=data, weights=weights, family=other, link=link, trials=trials,
            residual=residual, sigma=sigma, se=se, known=known, **formulas,
        )  # fmt: skip
    if isinstance(formula, Priors):
        _refuse_twice(formula, priors=priors)
        alone = [names.SIGMA, names.INTERCEPT] if names.SIGMA in formula.parameters else []
        return _table(formula, dict.fromkeys(alone, ("", 1.0)))
    if isinstance(formula, xr.DataTree):
        design, of_fit = tree_design(_with_posterior(formula)), _tree_priors(formula)
        chosen = of_fit if priors is None else resolve_priors(design, priors)
        return _table(chosen, _changes(design), _response(design))
    design = design_of(
        formula,
        data,
        weights=weights,
        missing=missing,
        rank_deficient=rank_deficient,
        family=family,
        link=link,
        trials=trials,
        residual=residual,
        sigma=sigma,
        se=se,
        known=known,
        **formulas,
    )
    return _table(resolve_priors(design, priors), _changes(design), _response(design))


def _refuse_twice(model: Any, **given: Any) -> None:
    """Raise if rows, weights or priors are given beside a value that has its own."""
    if isinstance(model, MixedFormula):
        return
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(
                f"{name} is given, and the {type(model).__name__} has its own: leave {name} out, "
                "or give the formula and everything else."
            )


def _with_posterior(idata: xr.DataTree) -> xr.DataTree:
    """Return the tree; that of `sample_prior` with its draws in the posterior's place."""
    read.require_tree(idata)
    return idata if "posterior" in idata.children else as_posterior(idata, "prior")


def _tree_priors(idata: xr.DataTree) -> Priors:
    try:
        return Priors.from_json(str(idata.attrs["priors"]))
    except (KeyError, ValueError) as error:
        raise TreeError(
            "This tree lost the root attribute 'priors', which says with which it was fitted. Give "
            "what `fit_bayes` returned, or priors=."
        ) from error


type _Response = Callable[[str, NDArray[np.float64]], NDArray[np.float64]]


def _response(design: ModelData) -> _Response | None:
    """Return what a parameter and changes of eta make of the mean; None where that is not told."""
    scale = design.family.mean_scale
    if scale.name in {"identity", "none"} or design.family.response.ordered:
        return None
    level = link_scale(design).mean
    # Coefficients carry the level themselves where there is no intercept.
    own = design.coef if names.INTERCEPT not in design.coef else (names.INTERCEPT,)

    def mean(name: str, change: NDArray[np.float64]) -> NDArray[np.float64]:
        return scale.inverse(change if name in own else level + change)

    return mean


def _table(
    priors: Priors, changes: dict[str, tuple[str, float]], response: _Response | None = None
) -> pd.DataFrame:
    table = priors.describe()
    sizes = np.array([changes.get(name, ("", np.nan))[1] for name in table.index])
    table.insert(4, "change", [changes.get(name, ("", np.nan))[0] for name in table.index])
    for position, quantile in enumerate(("q5", "q50", "q95")):
        moved = np.asarray(table[quantile] * sizes)
        if response is not None:
            moved = np.array(
                [float(response(*each)) for each in zip(table.index, moved, strict=True)]
            )
        table.insert(5 + position, f"response_{quantile}", moved)
    return table


def _changes(design: ModelData) -> dict[str, tuple[str, float]]:
    """Return the change of a column behind each parameter, in words and as a number."""
    scales = design.scales
    changes = {name: _change(x, name) for x, name in zip(scales.fixed, design.coef, strict=True)}
    for factor, columns in zip(design.factors, scales.random, strict=True):
        covariance = covariance_of(factor)
        for lead, sd_name in zip(covariance.sd_leads, covariance.sd_names, strict=True):
            changes[sd_name] = _change(columns[lead], factor.terms[lead])
    if design.family.mean_scale.name == "identity":
        # Standard deviations of residuals, whatever stratum they are of, are in its unit.
        own = [e for e in parameter_entries(design) if names.SIGMA in e.all_keys]
        changes |= {entry.name: ("", 1.0) for entry in own}
    return changes


def _change(column: ColumnScale, name: str) -> tuple[str, float]:
    if name == names.INTERCEPT or column.constant:
        return "", 1.0
    if column.two_valued:
        return f"{column.low:g} -> {column.high:g}", column.high - column.low
    scale = column.scale()
    return f"+{scale:.3g}", scale
