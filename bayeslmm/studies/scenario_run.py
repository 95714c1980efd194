"""One scenario of a prior study: a refit, or the reference's draws reweighted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.analysis.summaries.quantities import quantity_draws
from bayeslmm.errors import IdentificationWarning, RankDeficiencyWarning, SamplingWarning
from bayeslmm.inference.fit import fit_bayes
from bayeslmm.inference.reweighting import (
    log_ratios,
    quantities_pareto_k,
    resample,
    reweightable,
    smoothed_weights,
    support_contains,
)
from bayeslmm.results import read
from bayeslmm.results.convergence import assess
from bayeslmm.results.write import sample_coordinates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.analysis.summaries.quantities import Quantity
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.model.priors.priors import Priors

REFIT, REWEIGHTED = "refit", "reweighted"
PARAMETERS = "parameters"


@dataclass(frozen=True)
class StudyJob:
    """Everything but its priors that a refit needs, so that it can run in another process.

    Attributes
    ----------
    formula, data
        As in `fit_bayes`.
    coding : mapping
        How rows are read: `fit_bayes`'s arguments from ``weights`` to ``trials``.
    quantities : mapping or None
        What is to be described.
    settings : mapping
        How to sample.
    """

    formula: str | MixedFormula
    data: Any
    coding: Mapping[str, Any]
    quantities: Mapping[str, Quantity] | None
    settings: Mapping[str, Any]


def refit_scenario(
    job: StudyJob, priors: Priors, seed: int, pareto_k: float = np.nan
) -> xr.DataTree:
    """Fit a scenario and keep its quantities and parameters.

    Parameters
    ----------
    job : StudyJob
        The model and how to sample it.
    priors : Priors
        The scenario's.
    seed : int
        The scenario's.
    pareto_k : float
        k-hat of the weights that were tried before; missing where none were.

    Returns
    -------
    DataTree
        ``posterior``: the quantities; ``parameters``: what priors are on; attributes ``method``,
        ``pareto_k``, ``random_seed``, ``problems``.
    """
    with warnings.catch_warnings():
        # One warning at the end names every doubtful scenario.
        warnings.simplefilter("ignore", SamplingWarning)
        # What the data are like was said when the study began.
        warnings.simplefilter("ignore", IdentificationWarning)
        warnings.simplefilter("ignore", RankDeficiencyWarning)
        idata = fit_bayes(
            job.formula,
            job.data,
            priors=priors,
            random_seed=seed,
            progressbar=False,
            **job.coding,
            **job.settings,
        )
    asked = (job.settings["chains"], job.settings["draws"])
    if read.sample_shape(idata) != asked:
        # The sampler was interrupted and returned what it had: a study keeps whole fits only.
        raise KeyboardInterrupt
    values = quantity_draws(idata, job.quantities)
    factors = (*read.factor_names(idata), *read.in_parameters(idata))
    effects = [names.effects(name) for name in factors]
    result = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {name: (("chain", "draw"), draws) for name, draws in values.items()},
                coords=sample_coordinates(asked),
            ),
            PARAMETERS: read.group(idata, "posterior").drop_vars(effects, errors="ignore"),
        }
    )
    problems = "; ".join(problem.message for problem in assess(idata))
    return _labelled(result, REFIT, pareto_k, seed, problems)


def reweight_scenario(
    reference: xr.DataTree, priors: tuple[Priors, Priors], seed: int
) -> tuple[xr.DataTree | None, float]:
    """Resample the reference's draws where the weights allow it.

    Parameters
    ----------
    reference : DataTree
        Result of `refit_scenario`.
    priors : tuple of Priors
        The reference's and the scenario's.
    seed : int
        The scenario's.

    Returns
    -------
    DataTree or None
        As `refit_scenario` returns it; None where only a refit will do.
    float
        k-hat of the weights, or of weights times a quantity's distance from its mean, whichever is
        largest; missing where the supports forbid trying.
    """
    if not support_contains(*priors):
        return None, np.nan
    parameters = {
        str(name): array.to_numpy()
        for name, array in reference[PARAMETERS].to_dataset().data_vars.items()
    }
    ratios = log_ratios(parameters, *priors)
    weights, pareto_k = smoothed_weights(ratios)
    if reweightable(weights, pareto_k):
        quantities = {
            str(name): array.to_numpy()
            for name, array in reference["posterior"].to_dataset().data_vars.items()
        }
        pareto_k = max(pareto_k, quantities_pareto_k(ratios, weights, quantities))
    if not reweightable(weights, pareto_k):
        return None, pareto_k
    kept = resample(weights, np.random.default_rng(seed))
    groups = {
        name: _taken(reference[name].to_dataset(), kept) for name in ("posterior", PARAMETERS)
    }
    problems = str(reference.attrs["problems"])
    result = _labelled(xr.DataTree.from_dict(groups), REWEIGHTED, pareto_k, seed, problems)
    return result, pareto_k


def _taken(dataset: xr.Dataset, kept: NDArray[np.intp]) -> xr.Dataset:
    """Take draws by their position in all chains laid end to end."""
    shape = (dataset.sizes["chain"], dataset.sizes["draw"])
    variables = {}
    for name, array in dataset.data_vars.items():
        values = array.to_numpy()
        flat = values.reshape(-1, *values.shape[2:])
        variables[name] = (array.dims, flat[kept].reshape(*shape, *values.shape[2:]))
    return xr.Dataset(variables, coords=dataset.coords)


def _labelled(
    result: xr.DataTree, method: str, pareto_k: float, seed: int, problems: str
) -> xr.DataTree:
    result.attrs = {
        "method": method, "pareto_k": pareto_k, "random_seed": seed, "problems": problems,
    }  # fmt: skip
    return result
