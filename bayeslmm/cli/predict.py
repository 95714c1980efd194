"""`bayeslmm predict`: a results folder and new rows in, predictions out."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bayeslmm
from bayeslmm.cli.compare import opened
from bayeslmm.cli.console import print_line
from bayeslmm.cli.results_folder import MARKER
from bayeslmm.design.state import state_content
from bayeslmm.errors import DataError, SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from rich.console import Console

    from bayeslmm.studies.sources import FileTable


# What the package says of Python's arguments and of model files, and how the command line says it.
_IN_OPTIONS = (
    (r"leave the effects of .* out: random_effects=(\[[^\]]*\]|'none')",
     "leave all random effects out: --population"),
    (r"`predict` and `compare_predictions` take them with", "Take them with"),
    (r"give trials=, a column or a number; or take kind='mean'",
     "give --trials, a column or a number; or take --kind mean"),
    (r"new_levels='(\w+)'", r"--new-levels \1"),
    (r"kind='(\w+)'", r"--kind \1"),
    (r'sep = "\\t"( under \[data\])?', r"--sep $'\\t'"),
    (r'sep = ("[^"]*")( under \[data\])?', r"--sep \1"),
)  # fmt: skip


def in_options(message: str) -> str:
    """Return a message with the options of `bayeslmm predict` for Python's arguments."""
    for python, option in _IN_OPTIONS:
        message = re.sub(python, option, message)
    return message


def write_predictions(
    results: Path,
    rows: FileTable,
    to: Path,
    console: Console,
    **options: Any,
) -> None:
    """Predict the rows of a file from the draws in a results folder, and write a CSV of both.

    Parameters
    ----------
    results : Path
        A folder that a fit wrote, or a file with its tree.
    rows : FileTable
        The new rows; columns that were labels in the fit are read as labels.
    to : Path
        The CSV to write; the rows' columns come first.
    console : Console
        Where to say so.
    **options
        Of `predict_table`.

    Raises
    ------
    SpecError
        If there are no results, or the file cannot be written.
    DataError
        If the rows cannot be predicted, or have a column with the name of a prediction's.
    """
    path = results / MARKER if results.is_dir() else results
    if not path.is_file():
        raise SpecError(
            f"There are no results at {str(results)!r}: give the folder that bayeslmm fit wrote."
        )
    if to.resolve() == rows.path.resolve():
        raise SpecError(f"{str(to)!r} is the file of the rows: choose another one with --to.")
    with opened(path) as tree:
        idata = tree.load()
    table = _read(rows, _labels(idata))
    predicted = bayeslmm.predict_table(idata, table, **options)
    _refuse_taken(table, list(predicted.columns), str(rows.path))
    together = table.join(predicted.set_axis(table.index))
    try:
        together.to_csv(to, index=False)
    except OSError as error:
        raise SpecError(f"{str(to)!r} cannot be written: {error.strerror}.") from error
    print_line(console, f"Wrote {to}: {len(together):,} rows, {', '.join(predicted.columns)}.")


def _labels(idata: Any) -> list[str]:
    """Return the columns that the fit read as labels, so that numbers in them are labels too."""
    columns = state_content(str(idata.attrs["design"]))["columns"]
    labels = [name for name, column in columns.items() if column["kind"] == "label"]
    terms = bayeslmm.parse_formula(str(idata.attrs["formula"])).random
    grouping = [name for term in terms for name in term.grouping if name not in columns]
    return [*labels, *grouping]


def _read(rows: FileTable, labels: Sequence[str]) -> pd.DataFrame:
    present = rows.load().columns
    return replace(rows, labels=tuple(name for name in labels if name in present)).load()


def _refuse_taken(table: pd.DataFrame, names: Sequence[str], path: str) -> None:
    if taken := [name for name in names if name in table]:
        raise DataError(
            f"{path!r} has a column {taken[0]!r}, and so have predictions: rename that column."
        )
