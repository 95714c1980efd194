"""What the command line prints: models, tables, warnings and errors."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bayeslmm.errors import BayesLMMError, BayesLMMWarning, FormulaError, PriorError
from bayeslmm.studies.model_files.toml_file import SpecFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pandas as pd
    from rich.console import ConsoleOptions, RenderResult

    from bayeslmm.design.design import Design
    from bayeslmm.studies.model_files.model_spec import ModelSpec

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@contextmanager
def plain_errors(spec: Path | None = None) -> Iterator[None]:
    """Print the package's errors and warnings as sentences, and end with a fitting exit code.

    What is wrong with the formula or a prior of the model file `spec` is told with the file and the
    line. Exit codes: 2 for what the user can mend, 130 after Ctrl-C. Anything else is a mistake of
    this package and keeps its traceback.
    """
    console = Console(stderr=True)
    with warnings.catch_warnings():
        warnings.showwarning = _shown_on(console)
        try:
            yield
        except BayesLMMError as error:
            sentence = Text(_located(error, spec))
            console.print(Text("Error: ", style="bold red") + sentence, soft_wrap=True)
            raise typer.Exit(USER_ERROR) from error
        except KeyboardInterrupt as interrupt:
            console.print("Interrupted: nothing was written.")
            raise typer.Exit(INTERRUPTED) from interrupt


def _located(error: BayesLMMError, spec: Path | None) -> str:
    if spec is None or not isinstance(error, FormulaError | PriorError):
        return str(error)
    file = SpecFile.open(spec)
    if isinstance(error, FormulaError):
        return f"{file.where(key='formula')}: {error}"
    stated = file.content.get("priors", {})
    key = next((name for name in stated if repr(name) in str(error)), None)
    return f"{file.where('priors', key)}: {error}" if stated else str(error)


def _shown_on(console: Console) -> Any:
    usual = warnings.showwarning
    # The command line builds the design to show it, and the fit builds it again.
    seen: set[str] = set()

    def show(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, BayesLMMWarning):
            if str(message) in seen:
                return
            seen.add(str(message))
            console.print(Text("Warning: ", style="yellow") + Text(str(message)), soft_wrap=True)
        else:
            usual(message, category, *where, **more)

    return show


def print_line(console: Console, text: str) -> None:
    """Print text as it is: brackets are no markup, and no line is broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_spec(console: Console, spec: ModelSpec, design: Design) -> None:
    """Print what a study fits: its model and the sizes of its data."""
    console.print(Text(spec.title or spec.name, style="bold"))
    if spec.source:
        console.print(Text(spec.source, style="dim"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("Model", Text(spec.formula))
    facts.add_row("Data", Text(f"{spec.data.describe()}, {len(design.y)} rows used"))
    facts.add_row("Fixed effects", Text(", ".join(design.coef) or "none"))
    for factor in design.factors:
        blocks = (" + ".join(factor.terms[i] for i in block) for block in factor.blocks)
        effects = "; ".join(blocks)
        facts.add_row(
            "Random effects",
            Text(f"{factor.name}: {len(factor.levels)} levels, each with {effects}"),
        )
    console.print(facts)


def print_frame(console: Console, frame: pd.DataFrame, title: str) -> None:
    """Print a table with four significant digits.

    Where the terminal is narrow, descriptions wrap between words; where even that is not enough,
    the table is wider than the terminal: names and numbers stay whole.
    """
    names = [name for name in frame.index.names if name is not None]
    frame = frame.reset_index() if names else frame
    shown = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        collapse_padding=True,
        pad_edge=False,
    )
    numeric = {column for column in frame if frame[column].dtype.kind in "fiu"}
    for column in frame:
        shown.add_column(
            str(column),
            justify="right" if column in numeric else "left",
            no_wrap=column in numeric or column in names,
            overflow="fold",
        )
    for row in frame.itertuples(index=False):
        shown.add_row(*_cells(row))
    console.print(_Whole(shown), crop=False)


class _Whole:
    """A table in the terminal's width, or in the width that its longest words need."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = Measurement.get(console, options.update(width=10_000), self.table).minimum
        yield from console.render(
            self.table, options.update(width=max(least, options.max_width), no_wrap=False)
        )


def _cells(row: Iterable[Any]) -> Iterator[Text]:
    for value in row:
        # Text, so that brackets as in Sector[T.Public] are not read as markup.
        yield Text(f"{value:.4g}" if isinstance(value, float) else str(value))
