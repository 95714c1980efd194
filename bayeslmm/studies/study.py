"""The same model under many priors: refitted, or reweighted where that is as good as a refit."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm.analysis.sensitivity.prior_implications import as_posterior
from bayeslmm.analysis.summaries.hypotheses import parameters
from bayeslmm.analysis.summaries.quantities import (
    check_expressions,
    checked_quantities,
    quantity_draws,
)
from bayeslmm.arguments import takes_formulas
from bayeslmm.errors import ArgumentError, SamplingWarning, names_keywords, warn
from bayeslmm.gram.gram import gram_of
from bayeslmm.gram.gram_design import design_of, open_data
from bayeslmm.inference.parametrization import refuse_without_rows
from bayeslmm.inference.prior_draws import sample_prior
from bayeslmm.model.exact_fit import require_residuals
from bayeslmm.model.exact_means import require_dispersion
from bayeslmm.model.identification import warn_of_priors_alone
from bayeslmm.model.model import Model
from bayeslmm.results.write import root_attributes
from bayeslmm.studies.files import StudyFolder, scenario_seed, study_key
from bayeslmm.studies.scenario_run import REFIT, StudyJob, refit_scenario, reweight_scenario
from bayeslmm.studies.scenarios import REFERENCE, read_scenarios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Unpack

    from numpy.typing import ArrayLike

    from bayeslmm.analysis.summaries.quantities import Quantity
    from bayeslmm.arguments import ParameterFormulas
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.model.priors.resolve import PriorsLike
    from bayeslmm.relationships.known import KnownLike
    from bayeslmm.studies.scenarios import Scenarios


@names_keywords
@takes_formulas
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
    parametrization: str = "auto",
    sampler: str = "auto",
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    cores: int | None = None,
    random_seed: int = 0,
    target_accept: float | None = None,
    progressbar: bool = True,
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
) -> xr.DataTree:
    r"""Fit one model under many priors and lay the conclusions side by side.

    A scenario's posterior is the reference's, reweighted by :math:`p_s(\theta) / p_r(\theta)`.
    Where Pareto smoothing finds those weights reliable, by themselves and for every quantity's mean
    (k-hat < 0.7), and the reference's priors cover the scenario's support, the reference's draws
    are resampled; elsewhere the model is refitted, where a model is compiled at all with that of an
    earlier fit if only hyperparameters differ.

    Parameters
    ----------
    formula, data, weights, missing, rank_deficient, family, link, trials
        As in `fit_bayes`; cross-products serve as well as rows.
    residual, sigma, se, known
        As in `fit_bayes`.
    phi, shape, nu, zi, hu, zoi, coi, disc, alpha : str, optional
        Formulas of the family's parameters, as in `fit_bayes`.
    likweights, cens, y2 : str or array-like, optional
        How often rows count, and how they are censored, as in `fit_bayes`.
    scenarios : mapping or sequence
        Names -> priors (``{"tight": {"sd": "HalfNormal(5)"}, "brms": "brms"}``), a list of schemes
        (``["brms", "flat"]``), or a grid (``{"sd": ["HalfNormal(5)", "HalfNormal(50)"], "corr":
        ["LKJ(1)", "LKJ(4)"]}``: every combination). Single priors change what they name of the
        reference and nothing else; a scheme, or a mapping with a ``"scheme"``, replaces it.
    priors : mapping, str, PriorScheme or Priors, optional
        The reference, the default priors without it.
    quantities : mapping of str to str or callable, optional
        Further quantities: name -> an expression of parameters and quantities, as in `hypothesis`
        (``"sd_Subject[Days] / Days"``), or a function of the posterior Dataset that gives one
        number per draw.
    reweight : bool
        False refits every scenario.
    folder : path, optional
        Where finished scenarios are kept, one file each. A study that was interrupted picks up
        there; files of another model, other data, priors, settings or quantities are not taken.
        Functions among the quantities are compared by their bytecode and by the values that they
        refer to.
    n_jobs : int
        Scenarios that are refitted at a time, in processes of their own, through joblib and
        whatever backend `joblib.parallel_config` sets (Dask, Ray). Chains already run in parallel,
        so 1 is best on one machine with few cores.
    parametrization, sampler, draws, tune, chains, cores, target_accept
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
    ArgumentError
        As in `prior_sensitivity`; and, with a `folder`, if a function among the quantities refers
        to something that cannot be compared between sessions.
    FormulaError, DataError, SamplingError
        As in `fit_bayes`.

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
    source = open_data(data)
    refuse_without_rows(parametrization, source)
    coding: dict[str, Any] = {
        "weights": weights, "missing": missing, "rank_deficient": rank_deficient,
        "family": family, "link": link, "trials": trials,
        "residual": residual, "sigma": sigma, "se": se, "known": known,
        **formulas,
    }  # fmt: skip
    design = design_of(formula, source, **coding)
    if not design.has_rows:
        # Rows that are held elsewhere are summed once, not by every refit.
        data, coding = gram_of(design), coding | {"weights": None, "missing": "drop"}
    resolved = read_scenarios(design, scenarios, priors)
    if design.residual is None and design.family.gaussian_scale is not None:
        gram = gram_of(design)
        for stated in resolved.values():
            require_residuals(gram, stated.sigma)
        warn_of_priors_alone(gram)
    elif design.residual is None:
        for stated in resolved.values():
            require_dispersion(design.coded_rows, stated.parameters)
    settings: dict[str, Any] = {
        "parametrization": parametrization, "sampler": sampler, "draws": draws, "tune": tune,
        "chains": chains, "cores": cores, "target_accept": target_accept,
    }  # fmt: skip
    asked = checked_quantities(quantities)
    _check_expressions(design, asked)
    job = StudyJob(formula, data, coding, asked, settings)
    key = "" if folder is None else study_key(design, settings, random_seed, asked, reweight)
    store = StudyFolder(None if folder is None else Path(folder), key)
    store.prepare()
    with _progress(len(resolved), progressbar) as advance:
        done = _run(resolved, job, store, (random_seed, n_jobs, reweight), advance)
    study = _gather(design, resolved, done)
    study.attrs["random_seed"] = random_seed
    study.attrs["settings"] = json.dumps(settings)
    _warn(study)
    return study


def _check_expressions(design: ModelData, quantities: Mapping[str, Quantity]) -> None:
    if not any(isinstance(quantity, str) for quantity in quantities.values()):
        return
    # Two draws from the prior have all the names that a posterior will have.
    drawn = as_posterior(sample_prior(design, draws=2, random_seed=0), "prior")
    check_expressions(quantities, {**parameters(drawn), **quantity_draws(drawn)})


def _run(
    resolved: Mapping[str, Priors],
    job: StudyJob,
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
        keep(REFERENCE, refit_scenario(job, reference, seeds[REFERENCE]))
    left = []
    for name in [name for name in resolved if name not in done]:
        result, pareto_k = None, np.nan
        if reweight:
            pair = (reference, resolved[name])
            result, pareto_k = reweight_scenario(done[REFERENCE], pair, seeds[name])
        if result is None:
            left.append((name, resolved[name], seeds[name], pareto_k))
        else:
            keep(name, result)
    for name, result in _refits(job, left, n_jobs):
        keep(name, result)
    return done


def _refits(
    job: StudyJob, left: list[tuple[str, Priors, int, float]], n_jobs: int
) -> Iterator[tuple[str, xr.DataTree]]:
    if n_jobs == 1 or len(left) < 2:
        for each in left:
            yield _named(job, *each)
        return
    from joblib import (  # noqa: PLC0415 - only parallel studies need it
        Parallel,
        delayed,
    )

    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    yield from parallel(delayed(_named)(job, *each) for each in left)


def _named(
    job: StudyJob, name: str, priors: Priors, seed: int, pareto_k: float
) -> tuple[str, xr.DataTree]:
    return name, refit_scenario(job, priors, seed, pareto_k)


def _gather(
    design: ModelData, resolved: Mapping[str, Priors], done: Mapping[str, xr.DataTree]
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
    study.attrs = root_attributes(Model(design, resolved[REFERENCE]))
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
        warn(
            "The draws of these scenarios should not be trusted as they are; take more draws, or "
            "leave the scenario out:\n" + "\n".join(doubtful),
            SamplingWarning,
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
