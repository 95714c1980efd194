"""A model file's prior study: run, resumed, printed and written."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import typer

import bayeslmm
from bayeslmm.analysis.sensitivity.prior_implications import implied_priors
from bayeslmm.cli.console import INTERRUPTED, print_frame, print_line
from bayeslmm.cli.results_folder import MARKER, PictureFormat, write_extras
from bayeslmm.errors import ArgumentError, PriorError, SpecError
from bayeslmm.studies.model_files.toml_file import SpecFile
from bayeslmm.studies.scenarios import REFERENCE

if TYPE_CHECKING:
    import xarray as xr
    from rich.console import Console

    from bayeslmm.studies.model_files.model_spec import ModelSpec
    from bayeslmm.studies.model_files.study_plan import StudyPlan

SCENARIOS, TREE = "scenarios", "study.nc"


def report_study(
    spec: ModelSpec,
    out: Path,
    console: Console,
    *,
    n_jobs: int = 1,
    form: PictureFormat = PictureFormat.PNG,
) -> list[Path]:
    """Run the study of a model file, or what is left of it; print it and write it.

    Parameters
    ----------
    spec : ModelSpec
        With a [study].
    out : Path
        Parent of results: the study's folder is ``out/<name>.study``, finished scenarios are kept
        in ``scenarios`` inside.
    console : Console
        Where to print; a quiet one has no progress bar either.
    n_jobs : int
        Scenarios that are fitted at a time.
    form : PictureFormat
        Of the picture.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    SpecError
        If the file has no [study], or its folder cannot be used.
    """
    plan = _plan(spec)
    folder = _study_folder(out, spec)
    try:
        study = _run(spec, plan, folder, n_jobs, progressbar=not console.quiet)
    except (PriorError, ArgumentError) as error:
        if (where := _where(spec, plan, str(error))) is None:
            raise
        raise SpecError(f"{where}: {error}") from error
    except KeyboardInterrupt:
        kept = len(list((folder / SCENARIOS).glob("*.nc")))
        print_line(
            console,
            f"Interrupted. Finished scenarios are kept in {folder / SCENARIOS} ({kept} files): "
            "the same command goes on from there.",
        )
        raise typer.Exit(INTERRUPTED) from None
    table = bayeslmm.summarise_study(study)
    scenarios = _scenarios(study, table)
    print_frame(console, _largest_moves(table), "How far the priors move each conclusion")
    shown = scenarios.drop(columns="problems")
    print_frame(console, shown, "Scenarios")
    return _write(folder, study, {"study": table, SCENARIOS: scenarios}, form)


def _plan(spec: ModelSpec) -> StudyPlan:
    if spec.study is None:
        raise SpecError(
            f"{spec.path} has no [study]. Add one, such as:\n\n[study]\n"
            'scenarios = ["brms", "half_cauchy"]'
        )
    return spec.study


def _where(spec: ModelSpec, plan: StudyPlan, message: str) -> str | None:
    """Find the line of the scenario or quantity that an error speaks of."""
    file = SpecFile.open(spec.path)
    for name in plan.quantities:
        if f"quantity {name!r}" in message:
            return file.where("study.quantities", name)
    for name in plan.scenarios:
        spoken = (f"parameter {name!r}", f"varies {name!r}", f"Scenario {name!r}")
        if any(words in message for words in spoken) or f"Scenario '{name}=" in message:
            return file.where("study.scenarios", name)
    if message.startswith(("Scenario ", "The grid ")):
        return file.where("study.scenarios")
    if not plan.reference or isinstance(plan.reference, str):
        return None
    key = next((name for name in plan.reference if f"{name!r}" in message), None)
    return None if key is None else file.where("study.reference", key)


def _study_folder(out: Path, spec: ModelSpec) -> Path:
    folder = out / f"{spec.name}.study"
    ours = (SCENARIOS, TREE)
    if folder.is_dir() and any(folder.iterdir()) and not any((folder / n).exists() for n in ours):
        raise SpecError(
            f"{str(folder)!r} exists and is not a study of bayeslmm, so nothing is written there. "
            "Choose another folder with --out."
        )
    try:
        (folder / SCENARIOS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError(
            f"The study cannot be written to {str(folder)!r}: {error.strerror}. "
            "Choose another folder with --out."
        ) from error
    return folder


def _run(
    spec: ModelSpec, plan: StudyPlan, folder: Path, n_jobs: int, *, progressbar: bool
) -> xr.DataTree:
    reference: Any = plan.reference if plan.reference is not None else spec.priors
    return bayeslmm.prior_study(
        spec.formula,
        spec.data.load(),
        plan.scenarios,
        priors=reference if isinstance(reference, str) else dict(reference),
        quantities=plan.quantities,
        folder=folder / SCENARIOS,
        n_jobs=n_jobs,
        progressbar=progressbar,
        **spec.coding,
        **dict(spec.sampler),  # type: ignore[arg-type]  # checked when the file was read
    )


def _largest_moves(table: pd.DataFrame) -> pd.DataFrame:
    """Take from each quantity's scenarios the one that moves it most."""
    rows = {}
    for quantity, part in table.groupby(level="quantity", sort=False):
        moves = part.droplevel("quantity")
        before = moves.loc[REFERENCE]
        moves = moves.drop(index=REFERENCE)
        most = str(moves["moved"].abs().idxmax())
        flips = moves.index[moves["sign_flips"] | moves["verdict_flips"]]
        rows[str(quantity)] = {
            "mean": before["mean"],
            "sd": before["sd"],
            "moved": moves.loc[most, "moved"],
            "mcse": moves.loc[most, "mcse"],
            "by": most,
            "flips": ", ".join(map(str, flips)) or "none",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("quantity")


def _scenarios(study: xr.DataTree, table: pd.DataFrame) -> pd.DataFrame:
    """Print of each scenario how it was made and what it moves most."""
    about = study["scenarios"].to_dataset()
    rows = {}
    for name, part in table["moved"].abs().groupby(level="scenario", sort=False):
        moves = part.droplevel("scenario")
        k = float(about["pareto_k"].sel(scenario=name))
        rows[str(name)] = {
            "method": str(about["method"].sel(scenario=name).item()),
            "pareto_k": f"{k:.2f}" if np.isfinite(k) else "",
            "most moved": "" if name == REFERENCE else str(moves.idxmax()),
            "by": float(moves.max()),
            "problems": str(about["problems"].sel(scenario=name).item()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("scenario")


def _write(
    folder: Path, study: xr.DataTree, tables: dict[str, pd.DataFrame], form: PictureFormat
) -> list[Path]:
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as place:
        study.to_netcdf(Path(place, TREE))
        pictures = {"study": bayeslmm.plot_prior_study}
        extras = write_extras(Path(place), study, tables, pictures, form)
        # Each file is there whole, or as it was before.
        return [file.replace(folder / file.name) for file in (Path(place, TREE), *extras)]


PRIOR_DRAWS = 4000


def report_priors(spec: ModelSpec, console: Console) -> None:
    """Print a study's priors, their meaning for the response, and what they imply."""
    design = bayeslmm.build_design(spec.formula, spec.data.load(), **spec.coding)
    chosen = dict(spec.priors)
    table = bayeslmm.describe_priors(design, priors=chosen)
    print_frame(console, table[["distribution", "q5", "q50", "q95", "origin"]], "Priors")
    response = ["change", "response_q5", "response_q50", "response_q95"]
    print_frame(console, table[response].dropna(), f"What they mean for {design.response}")
    drawn = bayeslmm.sample_prior(design, priors=chosen, draws=PRIOR_DRAWS, random_seed=0)
    implied = implied_priors(drawn)
    if len(implied):
        print_frame(console, implied[["q5", "q50", "q95"]], "What they imply")


def report_sensitivity(folder: Path, console: Console) -> None:
    """Print the power-scaling table of the fit in a results folder."""
    import xarray as xr  # noqa: PLC0415 - slow to import

    with xr.open_datatree(folder / MARKER) as idata:
        table = bayeslmm.prior_sensitivity(idata.load())
    print_frame(
        console, table[["prior", "likelihood", "shift", "diagnosis"]], "Sensitivity to the priors"
    )
