"""Leave-one-out predictive accuracy: by row, or by whole group, through ArviZ's own estimators."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.checks.likelihood import group_log_likelihood, row_log_likelihood
from bayeslmm.analysis.variance.moments import tree_gram
from bayeslmm.errors import (
    ArgumentError,
    NumericalWarning,
    TreeError,
    check_choice,
    names_keywords,
    warn,
)
from bayeslmm.results import read
from bayeslmm.results.diagnostics import describe
from bayeslmm.results.family import family, family_blocks
from bayeslmm.results.parameters import parameter_blocks
from bayeslmm.results.residual import has_structure, residual_blocks

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

Unit = Literal["observation", "group"]
UNITS = ("observation", "group")
MIN_DRAWS = 25  # a fifth of them is the tail to which the Pareto is fitted: 5 points or more


@names_keywords
def loo(idata: xr.DataTree, *, unit: Unit = "observation", factor: str | None = None) -> Any:
    """Estimate the expected log predictive density of left-out rows or groups, by PSIS.

    By row, the density is p(y_i | eta_i) given all effects: how well are further rows of known
    groups predicted? By group, it is that of all its rows with the group's effects integrated out,
    N(y_i | X_i beta, Z_i G Z_i' + R_i) of Gaussian responses: how well is a new group predicted?
    Importance weights from conditional densities would fail there, since a left-out group's
    effects are unknown. Of other responses the integrals are computed by adaptive Gauss-Hermite
    quadrature, for one factor with at most two random-effect columns.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`; log-likelihoods are computed from its draws.
    unit : {"observation", "group"}
        What is left out.
    factor : str, optional
        With ``unit="group"``, the grouping factor, or what residuals correlate within; may be left
        out where there is one, and where there are no random effects. Factors nested in it are
        integrated out as well; a factor crossed with it, or above it, is given: its levels also
        occur elsewhere. The result's attribute ``elpd_i`` says so in its attrs,
        and with which ``nodes`` and ``node_error`` integrals were computed by quadrature.

    Returns
    -------
    ELPDData
        ArviZ's, with pointwise values and Pareto k; `arviz.compare` takes it.

    Raises
    ------
    ArgumentError
        When `unit` is unknown, or `factor` is named without ``unit="group"``.
    TreeError
        When the factor is unknown, or not named where there are several, or there are no groups of
        rows at all, or `idata` is no tree of this package; by group of a response that is not
        Gaussian, when the factor has more than two columns, or others nested in it.

    Warns
    -----
    NumericalWarning
        When quadrature is not settled with its largest number of nodes; or when Pareto k says that
        the importance weights of some units cannot be trusted.

    References
    ----------
    Vehtari, Gelman & Gabry (2017), Statistics and Computing 27:1413-1432,
    doi 10.1007/s11222-016-9696-4; by group: Merkle, Furr & Rabe-Hesketh (2019), Psychometrika
    84:802-829, doi 10.1007/s11336-019-09679-0.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("Reaction ~ Days + (Days | Subject)", table)  # doctest: +SKIP
    >>> round(bl.loo(idata, unit="group").elpd, 1)  # doctest: +SKIP
    -885.4
    """
    check_choice("unit", unit, UNITS)
    if unit == "observation":
        if factor is not None:
            raise ArgumentError(
                f"factor={factor!r} says whose levels are left out: add unit='group'. Single rows "
                "are left out whatever group they are of."
            )
        values = row_log_likelihood(idata)
        labels = read.row_labels(idata)
        return _estimate(idata, values, (names.OBS, labels), unit, {"unit": unit})
    density = group_log_likelihood(idata, factor)
    about: dict[str, Any] = {
        "unit": unit,
        "integrated": ", ".join(density.integrated),
        "conditional_on": ", ".join(density.conditional),
        **density.about,
    }
    labels = np.array(density.levels, dtype=object)
    dim = names.level_dim(density.name)
    return _estimate(idata, density.values, (dim, labels), unit, about)


@names_keywords
def compare_models(
    fits: Mapping[str, xr.DataTree],
    *,
    unit: Unit = "observation",
    factor: str | None = None,
    method: str = "stacking",
) -> pd.DataFrame:
    """Compare models of the same response by their leave-one-out predictive accuracy.

    Parameters
    ----------
    fits : mapping from name to DataTree
        Results of `fit_bayes` on the same rows.
    unit, factor
        As in `loo`.
    method : str
        How `arviz.compare` weighs the models.

    Returns
    -------
    DataFrame
        `arviz.compare`'s: the best model first, differences with their standard errors.

    Raises
    ------
    ArgumentError
        When fewer than two models are given, or their responses, rows or trials differ.

    Warns
    -----
    NumericalWarning
        As `loo`; and where densities are compared with probabilities of whole numbers.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> table = bl.compare_models({"slopes": idata, "intercepts": other})  # doctest: +SKIP
    """
    _check_mapping(fits)
    if len(fits) < 2:
        msg = f"Comparing takes two models or more; fits holds {len(fits)}."
        raise ArgumentError(msg)
    _check_same_data(fits)
    import arviz as az  # noqa: PLC0415 - slow to import

    estimates = {name: _loo_of(name, idata, unit, factor) for name, idata in fits.items()}
    with warnings.catch_warnings():
        # `loo` has said it already, for each model and with what to do.
        warnings.simplefilter("ignore")
        table: pd.DataFrame = az.compare(estimates, method=method, round_to="none")
    return table


def _check_mapping(fits: object) -> None:
    if not isinstance(fits, Mapping):
        kind = type(fits).__name__
        msg = f"fits maps names to trees, as in {{'a': one, 'b': other}}; it was a {kind}."
        raise ArgumentError(msg)


def _loo_of(name: str, idata: xr.DataTree, unit: Unit, factor: str | None) -> Any:
    """Estimate one model's, with its name in front of what is warned about it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimate = loo(idata, unit=unit, factor=factor)
    for warning in caught:
        message = f"Model {name!r}: {warning.message}"
        warn(message, warning.category)
    return estimate


def _check_same_data(fits: Mapping[str, xr.DataTree]) -> None:
    for name, idata in fits.items():
        try:
            read.require_tree(idata)
        except TreeError as error:
            raise TreeError(f"Model {name!r}: {error}") from None
    first_name, *others = fits
    first = _data_of(fits[first_name])
    for name in others:
        response = fits[name].attrs["response"]
        if response != fits[first_name].attrs["response"]:
            msg = (
                f"{name!r} predicts {response!r} and {first_name!r} predicts "
                f"{fits[first_name].attrs['response']!r}: densities of different scales do not "
                "compare."
            )
            raise ArgumentError(msg)
        _check_same_measure(fits, first_name, name)
        if not np.array_equal(_data_of(fits[name]), first):
            msg = (
                f"{name!r} and {first_name!r} were not fitted to the same rows in the same order; "
                "drop the rows with missing values first."
            )
            raise ArgumentError(msg)


def _check_same_measure(fits: Mapping[str, xr.DataTree], one: str, other: str) -> None:
    """Raise where trials differ; warn where probabilities of counts meet densities."""
    members = [family(fits[name]) for name in (one, other)]
    if not np.array_equal(_trials(fits[one]), _trials(fits[other])):
        raise ArgumentError(
            f"{other!r} and {one!r} count successes among different numbers of trials: their "
            "probabilities do not compare. Fit both with the same trials=."
        )
    words = [f"{n!r} ({m.name})" for n, m in zip((one, other), members, strict=True)]
    y = _data_of(fits[one])
    if any(np.isin(y, [*set(a.atoms) - set(b.atoms)]).any() for a, b in (members, members[::-1])):
        raise ArgumentError(
            f"{' and '.join(words)}: one has probabilities of responses that are exactly "
            "0 or 1, where the other has a density. They do not compare."
        )
    if members[0].discrete != members[1].discrete:
        warn(
            f"{' and '.join(words)}: one has probabilities of whole numbers, the other densities. "
            "They compare only as far as a density over a unit stands for a probability.",
            NumericalWarning,
        )


def _trials(idata: xr.DataTree) -> NDArray[np.float64]:
    found = None if read.from_cross_products(idata) else read.constant(idata, "trials")
    return np.empty(0) if found is None else found


def _data_of(idata: xr.DataTree) -> NDArray[np.float64]:
    """Return what two fits to the same data share: the response, or all that sums tell of it."""
    gram = tree_gram(idata)
    if gram is None or gram.scales is None:
        return read.response(idata)
    seen = gram.scales.observed
    # Sums in another order differ in their last digits; other rows differ in the first ones.
    moments = [float(f"{value:.9g}") for value in (seen.mean, seen.squares)]
    return np.array([seen.n, *moments, seen.low, seen.high])


def _estimate(
    idata: xr.DataTree,
    values: NDArray[np.float64],
    unit_labels: tuple[str, NDArray[Any]],
    unit: str,
    about: dict[str, Any],
) -> Any:
    import arviz as az  # noqa: PLC0415 - slow to import
    import xarray as xr  # noqa: PLC0415 - slow to import

    dim, labels = unit_labels
    shape = read.sample_shape(idata)
    if shape[0] * shape[1] < MIN_DRAWS:
        msg = (
            f"The tree holds {shape[0] * shape[1]} draws; smoothing importance weights takes "
            f"{MIN_DRAWS} or more. Fit again with more draws."
        )
        raise TreeError(msg)
    if np.any(np.ptp(values, axis=0) == 0):
        msg = "The draws do not move, so they hold no posterior to weigh. Fit again."
        raise TreeError(msg)
    name = str(idata.attrs["response"])
    density = xr.DataArray(
        values.reshape(*shape, -1), dims=("chain", "draw", dim), coords={dim: labels}, name=name
    )
    data = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({names.BETA: read.variable(idata, names.BETA)}),
            "log_likelihood": density.to_dataset(),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = az.loo(data, pointwise=True, var_name=name, reff=_efficiency(idata))
    bad = int(np.sum(result.pareto_k.to_numpy() > result.good_k))
    if bad:
        alone = bool(read.in_parameters(idata))
        _warn_pareto(bad, len(labels), float(result.good_k), unit, alone=alone)
    result.elpd_i.attrs.update(about)
    return result


def _efficiency(idata: xr.DataTree) -> float:
    """Return the mean relative effective sample size of the parameters, at most 1."""
    shape = read.sample_shape(idata)
    blocks = [read.draws(idata, names.BETA)]
    if has_structure(idata):
        blocks += [block.drawn for block in residual_blocks(idata)]
    blocks += [block.drawn for block in parameter_blocks(idata)]
    blocks += [drawn for _, _, drawn in family_blocks(idata)]
    blocks += [read.draws(idata, names.sd(name)) for name in read.factor_names(idata)]
    bulk = describe(np.concatenate(blocks, axis=-1))["ess_bulk"]
    if not np.any(np.isfinite(bulk)):
        return 1.0
    return float(min(np.nanmean(bulk) / (shape[0] * shape[1]), 1.0))


def _warn_pareto(bad: int, count: int, limit: float, unit: str, *, alone: bool) -> None:
    """Warn of units whose weights are bad; `alone` says that whole groups cannot be left out."""
    groups = "unit='group' asks a question that these draws can answer, or " * (not alone)
    advice = (
        f"Rows that few others inform: {groups}refit without those rows."
        if unit == "observation"
        else "Refit without those groups to be sure of their contribution, or take more draws."
    )
    warn(
        f"Pareto k exceeds {limit:.2f} for {bad} of {count} {unit}s: their share of the estimate "
        f"is unreliable. {advice}",
        NumericalWarning,
    )
