"""The same model under many priors: refitted, or reweighted where that is as good as a refit."""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names, tree
from bayeslmm.design import build_design
from bayeslmm.diagnostics import assess
from bayeslmm.errors import ArgumentError, SamplingWarning
from bayeslmm.fit import fit_bayes
from bayeslmm.quantities import quantity_draws
from bayeslmm.reweighting import MAX_PARETO_K, covers, log_ratios, resample, smoothed_weights
from bayeslmm.scenarios import REFERENCE, read_scenarios
from bayeslmm.study_files import StudyFolder, scenario_seed, study_key
from bayeslmm.tree_layout import root_attributes, sample_coordinates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from bayeslmm.design import Design
    from bayeslmm.formula import MixedFormula
    from bayeslmm.prior_set import Priors
    from bayeslmm.priors import PriorsLike
    from bayeslmm.quantities import Quantity
    from bayeslmm.scenarios import Scenarios

REFIT, REWEIGHTED = "refit", "reweighted"
PARAMETERS = "parameters"


@dataclass(frozen=True)
class _Job:
    """Everything that a refit needs, so that it can run in another process."""

    formula: str | MixedFormula
    data: Any
    weights: Any
    missing: str
    quantities: Mapping[str, Quantity] | None
    settings: Mapping[str, Any]


def prior_study(
    formula: str | MixedFormula,
    data: Any,
    scenarios: Scenarios,
    *,
    priors: PriorsLike | None = None,
    quantities: Mapping[str, Quantity] | None = None,
    reweight: bool = True,
    folder: str | Path | None = None,
    n_jobs: int = 1,
    parametrization: str = "marginal",
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    random_seed: int = 0,
    target_accept: float | None = None,
    progressbar: bool = True,
    weights: str | ArrayLike | None = None,
    missing: str = "drop",
) -> xr.DataTree:
    r"""Fit one model under many priors and lay the conclusions side by side.

    A scenario's posterior is the reference's, reweighted by :math:`p_s(\theta) / p_r(\theta)`.
    Where Pareto smoothing finds those weights reliable (k-hat < 0.7) and the reference's priors
    cover the scenario's support, the reference's draws are resampled; elsewhere the model is
    refitted, with the compiled model of an earlier fit where only hyperparameters differ.

    Parameters
    ----------
    formula, data, weights, missing
        As in `fit_bayes`.
    scenarios : mapping or sequence
        Names -> priors (``{"tight": {"sd": "HalfNormal(5)"}, "brms": "brms"}``), a list of schemes
        (``["brms", "flat"]``), or a grid (``{"sd": ["HalfNormal(5)", "HalfNormal(50)"], "corr":
        ["LKJ(1)", "LKJ(4)"]}``: every combination, over the reference's priors).
    priors : mapping, str or PriorScheme, optional
        The reference, the default priors without it.
    quantities : mapping of str to callable, optional
        Further quantities: name -> function of the posterior Dataset, one number per draw.
    reweight : bool
        False refits every scenario.
    folder : path, optional
        Where finished scenarios are kept, one file each. A study that was interrupted picks up
        there; files of another model, other data, priors, settings or names of quantities are not
        taken.
    n_jobs : int
        Scenarios that are refitted at a time, in processes of their own, through joblib and
        whatever backend `joblib.parallel_config` sets (Dask, Ray). Chains already run in parallel,
        so 1 is best on one machine with few cores.
    parametrization, draws, tune, chains, cores, target_accept
        As in `fit_bayes`, for every fit.
    random_seed : int
        Every scenario draws its own seed from this one and its name: neither the order nor an
        interruption changes a result.
    progressbar : bool
        Whether to show progress.

    Returns
    -------
    xarray.DataTree
        ``posterior``: every quantity (scenario, chain, draw), the reference first. ``scenarios``:
        per scenario ``method`` ("refit" or "reweighted"), ``pareto_k`` (missing where no weights
        were tried), ``priors`` (JSON), ``random_seed``, ``problems`` (what the diagnostics say
        about its draws).

    Raises
    ------
    PriorError
        If a scenario cannot be resolved.
    ArgumentError, FormulaError, DataError, SamplingError
        As in `fit_bayes` and `prior_sensitivity`.

    Warns
    -----
    SamplingWarning
        Once, naming the scenarios whose draws should not be trusted.

    References
    ----------
    .. [1] Vehtari, Simpson, Gelman, Yao & Gabry (2024). Pareto smoothed importance sampling. JMLR
       25(72):1-58.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> study = bl.prior_study(
    ...     "Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), ["brms", "half_cauchy"]
    ... )  # doctest: +SKIP
    >>> bl.summarise_study(study)  # doctest: +SKIP
    """
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise ArgumentError(f"n_jobs must be a whole number other than 0, not {n_jobs!r}.")
    design = build_design(formula, data, weights=weights, missing=missing)
    resolved = read_scenarios(design, scenarios, priors)
    settings: dict[str, Any] = {
        "parametrization": parametrization, "draws": draws, "tune": tune, "chains": chains,
        "cores": cores, "target_accept": target_accept,
    }  # fmt: skip
    job = _Job(formula, data, weights, missing, quantities, settings)
    key = study_key(design, settings, random_seed, tuple(quantities or ()), reweight)
    store = StudyFolder(None if folder is None else Path(folder), key)
    with _progress(len(resolved), progressbar) as advance:
        done = _run(resolved, job, store, (random_seed, n_jobs, reweight), advance)
    study = _gather(design, resolved, done)
    study.attrs["random_seed"] = random_seed
    study.attrs["settings"] = json.dumps(settings)
    _warn(study)
    return study


def _run(
    resolved: Mapping[str, Priors],
    job: _Job,
    store: StudyFolder,
    how: tuple[int, int, bool],
    advance: Callable[[], None],
) -> dict[str, xr.DataTree]:
    random_seed, n_jobs, reweight = how
    seeds = {name: scenario_seed(random_seed, name) for name in resolved}
    done: dict[str, xr.DataTree] = {}

    def keep(name: str, result: xr.DataTree) -> None:
        store.write(name, resolved[name], result)
        done[name] = result
        advance()

    for name, priors in resolved.items():
        found = store.read(name, priors)
        if found is not None:
            done[name] = found
            advance()
    reference = resolved[REFERENCE]
    if REFERENCE not in done:
        keep(REFERENCE, _refit(job, reference, seeds[REFERENCE]))
    left = []
    for name in [name for name in resolved if name not in done]:
        result, pareto_k = None, np.nan
        if reweight and covers(reference, resolved[name]):
            pair = (reference, resolved[name])
            result, pareto_k = _reweighted(done[REFERENCE], pair, seeds[name])
        if result is None:
            left.append((name, resolved[name], seeds[name], pareto_k))
        else:
            keep(name, result)
    for name, result in _refits(job, left, n_jobs):
        keep(name, result)
    return done


def _refits(
    job: _Job, left: list[tuple[str, Priors, int, float]], n_jobs: int
) -> Iterator[tuple[str, xr.DataTree]]:
    if n_jobs == 1 or len(left) < 2:
        for each in left:
            yield _named_refit(job, *each)
        return
    from joblib import (  # noqa: PLC0415 - only parallel studies need it
        Parallel,
        delayed,
    )

    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    yield from parallel(delayed(_named_refit)(job, *each) for each in left)


def _named_refit(
    job: _Job, name: str, priors: Priors, seed: int, pareto_k: float
) -> tuple[str, xr.DataTree]:
    return name, _refit(job, priors, seed, pareto_k)


def _refit(job: _Job, priors: Priors, seed: int, pareto_k: float = np.nan) -> xr.DataTree:
    with warnings.catch_warnings():
        # One warning at the end names every doubtful scenario.
        warnings.simplefilter("ignore", SamplingWarning)
        idata = fit_bayes(
            job.formula,
            job.data,
            priors=priors,
            random_seed=seed,
            progressbar=False,
            weights=job.weights,
            missing=job.missing,
            **job.settings,
        )
    asked = (job.settings["chains"], job.settings["draws"])
    if tree.sample_shape(idata) != asked:
        # The sampler was interrupted and returned what it had: a study keeps whole fits only.
        raise KeyboardInterrupt
    values = quantity_draws(idata, job.quantities)
    effects = [names.effects(factor.name) for factor in tree.factors(idata)]
    result = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {name: (("chain", "draw"), draws) for name, draws in values.items()},
                coords=sample_coordinates(asked),
            ),
            PARAMETERS: tree.group(idata, "posterior").drop_vars(effects, errors="ignore"),
        }
    )
    problems = "; ".join(problem.message for problem in assess(idata))
    return _labelled(result, REFIT, pareto_k, seed, problems)


def _reweighted(
    reference: xr.DataTree, priors: tuple[Priors, Priors], seed: int
) -> tuple[xr.DataTree | None, float]:
    """Resample the reference's draws where the weights allow it; return k-hat in any case."""
    parameters = {
        str(name): array.to_numpy()
        for name, array in reference[PARAMETERS].to_dataset().data_vars.items()
    }
    weights, pareto_k = smoothed_weights(log_ratios(parameters, *priors))
    if not pareto_k < MAX_PARETO_K:
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


def _gather(
    design: Design, resolved: Mapping[str, Priors], done: Mapping[str, xr.DataTree]
) -> xr.DataTree:
    labels = list(resolved)
    posterior = xr.concat(
        [done[name]["posterior"].to_dataset() for name in labels], dim="scenario"
    ).assign_coords(scenario=labels)
    about = xr.Dataset(
        {
            key: ("scenario", [done[name].attrs[key] for name in labels])
            for key in ("method", "pareto_k", "random_seed", "problems")
        }
        | {"priors": ("scenario", [resolved[name].to_json() for name in labels])},
        coords={"scenario": labels},
    )
    study = xr.DataTree.from_dict({"posterior": posterior, "scenarios": about})
    study.attrs = root_attributes(design, resolved[REFERENCE])
    return study


def _warn(study: xr.DataTree) -> None:
    about = study["scenarios"].to_dataset()
    doubtful = [
        f"- {name}: {problems}"
        for name, problems, method in zip(
            about["scenario"].to_numpy(),
            about["problems"].to_numpy(),
            about["method"].to_numpy(),
            strict=True,
        )
        if problems and method == REFIT
    ]
    if doubtful:
        warnings.warn(
            "The draws of these scenarios should not be trusted as they are; take more draws, or "
            "leave the scenario out:\n" + "\n".join(doubtful),
            SamplingWarning,
            stacklevel=3,
        )


@contextmanager
def _progress(total: int, wanted: bool) -> Iterator[Callable[[], None]]:
    if not wanted:
        yield lambda: None
        return
    from rich.progress import (  # noqa: PLC0415 - only who looks needs it
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns) as progress:
        task = progress.add_task("prior study", total=total)
        yield lambda: progress.advance(task)
