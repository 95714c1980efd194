"""A study's posterior beside its REML fit, from results that may stand there already."""

from __future__ import annotations

import json
import shutil
from functools import partial
from typing import TYPE_CHECKING

import bayeslmm
from bayeslmm.analysis.reml_comparison.refit import refit_reml
from bayeslmm.cli.console import print_frame, print_line
from bayeslmm.cli.results_folder import MARKER, PictureFormat, results_folder, write_extras
from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.errors import SpecError, TreeError
from bayeslmm.results.read import require_tree

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import xarray as xr
    from rich.console import Console

    from bayeslmm.studies.model_files.model_spec import ModelSpec

GAUSSIAN = "gaussian"
# What fits into 80 columns; the CSV holds the rest.
SHOWN = ("reml", "mean", "sd", "diff_sd", "verdict")


def require_reml(spec: ModelSpec) -> None:
    """Raise unless a study's response is Gaussian, so that there is a REML fit of it.

    Raises
    ------
    SpecError
        With its family.
    """
    if spec.family.name != GAUSSIAN:
        raise SpecError(
            f"{spec.path} has family = {spec.family.name!r}, and REML is for Gaussian responses "
            "only. bayeslmm fit, priors, sensitivity, plots and predict take every family."
        )


def standing_results(spec: ModelSpec, out: Path, console: Console) -> bool:
    """Return whether finished results of this very study stand at ``out/name``.

    They do where the tree's formula, priors and data fingerprint are what the model file and its
    data give now. Results of anything else are named and not used.
    """
    path = out / spec.name / MARKER
    if not path.is_file():
        return False
    try:
        with opened(path) as idata:
            changed = _changed(spec, {str(k): v for k, v in idata.attrs.items()})
    except TreeError as error:
        changed = f"cannot be read ({error})"
    if changed:
        print_line(console, f"{path} {changed}; fitting anew.")
        return False
    print_line(console, f"Read {path}: same formula, priors and data.")
    return True


def report_comparison(
    spec: ModelSpec, out: Path, console: Console, pictures: PictureFormat = PictureFormat.PNG
) -> list[Path]:
    """Compare the results at ``out/name`` with REML: print, and add tables and a picture to them.

    The whole folder is replaced at once, as a fit does it.

    Returns
    -------
    list of Path
        The files that were added.
    """
    with opened(out / spec.name / MARKER) as tree:
        idata = tree.load()
    fit = refit_reml(idata)
    table = bayeslmm.compare_reml(idata, fit=fit)
    tables = {"compare_reml": table}
    if fit.gram.factors:
        tables["compare_random_effects"] = bayeslmm.compare_random_effects(idata, fit=fit)
    _print(console, tables, table)
    with results_folder(out, spec.name) as folder:
        shutil.copytree(out / spec.name, folder, dirs_exist_ok=True)
        picture = partial(bayeslmm.plot_comparison, fit=fit)
        files = write_extras(folder, idata, tables, {"comparison": picture}, pictures)
    return [out / spec.name / file.name for file in files]


def opened(path: Path) -> xr.DataTree:
    """Open a result tree; TreeError where the file holds none of this package."""
    import xarray  # noqa: PLC0415 -- slow to load

    try:
        idata = xarray.open_datatree(path)
    except (OSError, ValueError) as error:
        raise TreeError(f"{str(path)!r} cannot be read: {error}.") from error
    require_tree(idata)
    return idata


def _changed(spec: ModelSpec, attrs: dict[str, object]) -> str:
    data = spec.data.load()
    design = bayeslmm.build_design(spec.formula, data, **spec.coding)
    if attrs["formula"] != str(design.formula):
        return f"is of another formula ({attrs['formula']})"
    likelihood = (attrs.get("family", GAUSSIAN), attrs.get("link", "identity"))
    if likelihood != (spec.family.name, spec.family.link.name):
        return f"is of another family ({likelihood[0]}, link {likelihood[1]})"
    if attrs.get("data_fingerprint") != fingerprint(design):
        return "is of other data"
    priors = bayeslmm.resolve_priors(design, dict(spec.priors))
    try:
        same = json.loads(str(attrs.get("priors"))) == json.loads(priors.to_json())
    except json.JSONDecodeError:
        same = False
    return "" if same else "is of other priors"


def _print(console: Console, tables: dict[str, pd.DataFrame], table: pd.DataFrame) -> None:
    print_frame(console, table[list(SHOWN)], "Posterior beside REML")
    for parameter, reason in table["reason"].items():
        if reason:
            print_line(console, f"{parameter}: {reason}")
    print_line(console, table.attrs["deviance"]["words"])
    effects = tables.get("compare_random_effects")
    if effects is not None:
        counts = effects["verdict"].value_counts()
        words = ", ".join(f"{verdict} {count}" for verdict, count in counts.items())
        print_line(console, f"Random effects against conditional modes: {words}.")
