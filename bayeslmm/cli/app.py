"""The command line: fit the studies that model files describe."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import bayeslmm
from bayeslmm.cli.compare import report_comparison, require_reml, standing_results
from bayeslmm.cli.console import INTERRUPTED, plain_errors, print_frame, print_line, print_spec
from bayeslmm.cli.new import write_new
from bayeslmm.cli.pictures import draw_all, factor_pictures
from bayeslmm.cli.predict import in_options, write_predictions
from bayeslmm.cli.prior_study import report_priors, report_sensitivity, report_study
from bayeslmm.cli.results_folder import PictureFormat, results_folder, write_results
from bayeslmm.errors import ArgumentError, SpecError
from bayeslmm.results.read import sample_shape
from bayeslmm.studies.model_files.model_spec import read_spec
from bayeslmm.studies.model_files.toml_file import find_specs
from bayeslmm.studies.sources import FileTable, nearest_file

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayeslmm.studies.model_files.model_spec import ModelSpec

app = typer.Typer(
    help="Bayesian mixed models from model files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

SpecPath = Annotated[Path, typer.Argument(help="A model file, such as models/sleepstudy.toml.")]
Pictures = Annotated[PictureFormat, typer.Option(help="Format of the pictures.")]


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bayeslmm {bayeslmm.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("list")
def list_(
    models: Annotated[Path, typer.Option(help="Folder with model files.")] = Path("models"),
) -> None:
    """List the model files of a folder and the bundled tables."""
    with plain_errors():
        console = Console()
        found = find_specs(models)
        if not found:
            lacking = "no model files in" if models.is_dir() else "no folder"
            print_line(
                console, f"There is {lacking} {str(models)!r}; name another one with --models."
            )
        for path in found:
            try:
                spec = read_spec(path)
            except SpecError as error:
                print_line(console, f"{path}: cannot be read ({error})")
                continue
            print_line(console, f"{path}  {spec.title}")
            print_line(console, f"    {spec.formula}")
        print_frame(console, bayeslmm.list_datasets(), "Bundled tables (load_dataset)")


@app.command()
def new(
    data: Annotated[Path, typer.Argument(help="A data file: .csv, .tsv or other separated text.")],
    *,
    to: Annotated[
        Path | None, typer.Option(help="The model file to write; beside the data without it.")
    ] = None,
    response: Annotated[str | None, typer.Option(help="Column of the response.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of the grouping factor, or two: clinic/patient.")
    ] = None,
) -> None:
    """Write a model file to start from: it looks at a data file, and says what it guesses."""
    with plain_errors():
        write_new(data, to, Console(), response=response, group=group)


@app.command()
def predict(
    results: Annotated[Path, typer.Argument(help="A results folder, such as results/sleepstudy.")],
    rows: Annotated[Path, typer.Argument(help="New rows: a .csv or .tsv file.")],
    *,
    to: Annotated[Path, typer.Option(help="CSV to write.")] = Path("predictions.csv"),
    kind: Annotated[
        str,
        typer.Option(
            help="mean (the expected value), link (the linear predictor) or response (a new "
            "observation)."
        ),
    ] = "mean",
    new_levels: Annotated[
        str,
        typer.Option(help="Levels that the fit did not see: error, population, sample or average."),
    ] = "error",
    population: Annotated[
        bool, typer.Option("--population", help="Leave all random effects out.")
    ] = False,
    ci_prob: Annotated[float, typer.Option(help="Probability of the intervals.")] = 0.95,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    sep: Annotated[str | None, typer.Option(help="What separates columns.")] = None,
    decimal: Annotated[str, typer.Option(help="Decimal point.")] = ".",
    missing_word: Annotated[
        list[str] | None, typer.Option(help="A word for a missing value; may be repeated.")
    ] = None,
    trials: Annotated[
        str | None,
        typer.Option(help="Trials of a binomial response: a column or a number."),
    ] = None,
) -> None:
    """Predict the rows of a file from a fit's results, and write both as a CSV."""
    with plain_errors(said=in_options):
        if not rows.is_file():
            raise SpecError(f"There is no data file {str(rows)!r}.{nearest_file(rows)}")
        source = FileTable(rows, sep=sep, decimal=decimal, missing_words=tuple(missing_word or ()))
        write_predictions(
            results,
            source,
            to,
            Console(),
            kind=kind,
            new_levels=new_levels,
            random_effects="none" if population else "all",
            ci_prob=ci_prob,
            random_seed=seed,
            trials=int(trials) if trials is not None and trials.isdigit() else trials,
        )


@app.command()
def fit(
    spec: SpecPath,
    *,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("results"),
    draws: Annotated[int | None, typer.Option(help="Draws per chain.")] = None,
    tune: Annotated[int | None, typer.Option(help="Tuning steps per chain.")] = None,
    chains: Annotated[int | None, typer.Option(help="Number of chains.")] = None,
    cores: Annotated[int | None, typer.Option(help="Chains that run at a time.")] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed.")] = None,
    target_accept: Annotated[
        float | None, typer.Option(help="Acceptance rate that NUTS aims for.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="nutpie, pymc, importance or auto.")] = None,
    parametrization: Annotated[
        str | None, typer.Option(help="noncentered, centered, marginal or auto.")
    ] = None,
    pictures: Pictures = PictureFormat.PNG,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")
    ] = False,
) -> None:
    """Fit a model file and write OUT/NAME/: the draws, tables and pictures."""
    given = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "cores": cores,
        "random_seed": seed,
        "target_accept": target_accept,
        "sampler": sampler,
        "parametrization": parametrization,
    }
    with plain_errors(spec):
        study = read_spec(spec)
        settings = {
            **study.sampler,
            **{name: value for name, value in given.items() if value is not None},
        }
        _fit(study, out, settings, Console(quiet=quiet), pictures)


@app.command()
def reml(
    spec: SpecPath,
    *,
    ml: Annotated[
        bool, typer.Option("--ml", help="Full instead of restricted likelihood.")
    ] = False,
) -> None:
    """Fit a model file by (restricted) maximum likelihood and print the fit."""
    with plain_errors(spec):
        study = read_spec(spec)
        require_reml(study)
        fitted = bayeslmm.fit_reml(
            study.formula,
            study.data.load(),
            method="ML" if ml else "REML",
            weights=study.weights,
            missing=study.missing,
            residual=study.residual,
            sigma=study.sigma,
            se=study.se,
            known=study.coding["known"],
        )
        console = Console()
        print_line(console, str(fitted))
        known = study.reference
        if known is not None and known.criterion is not None and known.method == fitted.method:
            print_line(
                console,
                f"Reference criterion {known.criterion:.4f} ({known.program}); "
                f"difference {fitted.criterion - known.criterion:.1e}.",
            )


@app.command()
def compare(
    spec: SpecPath,
    *,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("results"),
    pictures: Pictures = PictureFormat.PNG,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")
    ] = False,
) -> None:
    """Compare a model file's posterior with its REML fit; fit first if OUT/NAME/ is not of it."""
    with plain_errors(spec):
        study, console = read_spec(spec), Console(quiet=quiet)
        require_reml(study)
        if not standing_results(study, out, console):
            _fit(study, out, dict(study.sampler), console, pictures)
        files = report_comparison(study, out, console, pictures)
        _print_written(console, out / study.name, files)


@app.command()
def plots(
    spec: SpecPath,
    *,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("results"),
    pictures: Pictures = PictureFormat.PNG,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")
    ] = False,
) -> None:
    """Draw every picture of a model file's results; fit it first if OUT/NAME/ is not of it."""
    with plain_errors(spec):
        study, console = read_spec(spec), Console(quiet=quiet)
        if not standing_results(study, out, console):
            _fit(study, out, dict(study.sampler), console, pictures)
        _print_written(console, out / study.name, draw_all(study, out, pictures))


@app.command()
def priors(spec: SpecPath) -> None:
    """Print a model file's priors, on the response's scale, and what they imply; no sampling."""
    with plain_errors(spec):
        report_priors(read_spec(spec), Console())


@app.command()
def sensitivity(
    spec: SpecPath,
    *,
    out: Annotated[Path, typer.Option(help="Folder for results.")] = Path("results"),
    study_: Annotated[
        bool,
        typer.Option("--study", help="Run the file's table 'study' instead: other priors."),
    ] = False,
    jobs: Annotated[int, typer.Option(help="Scenarios of a study fitted at a time.")] = 1,
    pictures: Pictures = PictureFormat.PNG,
) -> None:
    """Print which conclusions hang on the priors; fit first if OUT/NAME/ is not of this study.

    With --study, scenario by scenario: tables, picture and draws go to OUT/NAME.study/, and a study
    that was interrupted goes on there.
    """
    with plain_errors(spec):
        study, console = read_spec(spec), Console()
        if study_:
            files = report_study(study, out, console, n_jobs=jobs, form=pictures)
            _print_written(console, files[0].parent, files)
            return
        if jobs != 1:
            raise ArgumentError("--jobs goes with --study: without it there is one fit at most.")
        if not standing_results(study, out, console):
            _fit(study, out, dict(study.sampler), console)
        report_sensitivity(out / study.name, console)


def _fit(
    spec: ModelSpec,
    out: Path,
    settings: dict[str, Any],
    console: Console,
    pictures: PictureFormat = PictureFormat.PNG,
) -> None:
    _check_settings(settings)
    data = spec.data.load()
    design = bayeslmm.build_design(spec.formula, data, **spec.coding)
    priors = bayeslmm.resolve_priors(design, dict(spec.priors))
    with results_folder(out, spec.name) as folder:
        print_spec(console, spec, design)
        print_frame(console, priors.describe(), "Priors")
        idata = bayeslmm.fit_bayes(
            spec.formula,
            data,
            priors=dict(spec.priors),
            **spec.coding,
            progressbar=not console.quiet,
            **settings,
        )
        if _interrupted(idata):
            _save_interrupted(idata, out, spec.name, console)
            raise typer.Exit(INTERRUPTED)
        print_line(console, str(bayeslmm.summary(idata)))
        drawn = factor_pictures([factor.name for factor in design.factors])
        files = write_results(folder, idata, _tables(idata), drawn, pictures)
    _print_written(console, out / spec.name, files)


def _check_settings(settings: dict[str, Any]) -> None:
    """Raise unless the settings can be sampled with, before anything is printed."""
    from bayeslmm.inference.method import check_combination  # noqa: PLC0415 -- slow to load
    from bayeslmm.inference.parametrization import AUTO, check_parametrization  # noqa: PLC0415 -- slow to load
    from bayeslmm.inference.settings import SamplerSettings  # noqa: PLC0415 -- slow to load

    known = {field.name for field in fields(SamplerSettings)}
    chosen = SamplerSettings(**{name: value for name, value in settings.items() if name in known})
    written = chosen.parametrization
    if written != AUTO:
        check_parametrization(written)
    check_combination(chosen.sampler, written)


def _interrupted(idata: xr.DataTree) -> bool:
    asked = json.loads(idata.attrs["settings"])
    return sample_shape(idata) != (asked["chains"], asked["draws"])


def _save_interrupted(idata: xr.DataTree, out: Path, name: str, console: Console) -> None:
    # Under another name: what stands at out/name is always a finished fit.
    with results_folder(out, f"{name}.interrupted") as folder:
        files = write_results(folder, idata, {}, {})
    _print_written(console, out / f"{name}.interrupted", files)


def _print_written(console: Console, folder: Path, files: list[Path]) -> None:
    print_line(console, f"Wrote {folder}: {', '.join(file.name for file in files)}")


def _tables(idata: xr.DataTree) -> dict[str, pd.DataFrame]:
    return {
        "fixed_effects": bayeslmm.fixed_effects(idata),
        "variance_components": bayeslmm.variance_components(idata),
        "random_effects": bayeslmm.random_effects(idata),
    }
