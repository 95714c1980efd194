"""What the command line prints: models, tables, warnings and errors."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bayeslmm.cli.layout import table_lines, wrapped
from bayeslmm.errors import BayesLMMError, BayesLMMWarning, FormulaError, PriorError
from bayeslmm.studies.model_files.toml_file import SpecFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd

    from bayeslmm.design.design import Design
    from bayeslmm.studies.model_files.model_spec import ModelSpec

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@contextmanager
def plain_errors(spec: Path | None = None, said: Callable[[str], str] = str) -> Iterator[None]:
    """Print the package's errors and warnings as sentences, and end with a fitting exit code.

    What is wrong with the formula or a prior of the model file `spec` is told with the file and the
    line; `said` puts messages in the words of a command. Exit codes: 2 for what the user can mend,
    130 after Ctrl-C. Anything else is a mistake of this package and keeps its traceback.
    """
    console = Console(stderr=True)
    with warnings.catch_warnings():
        warnings.showwarning = _shown_on(console)
        try:
            yield
        except BayesLMMError as error:
            _print_marked(console, "Error: ", "bold red", said(_located(error, spec)))
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
            _print_marked(console, "Warning: ", "yellow", str(message))
        else:
            usual(message, category, *where, **more)

    return show


def _print_marked(console: Console, mark: str, style: str, text: str) -> None:
    shown = Text(wrapped(mark + text, console.width))
    shown.stylize(style, 0, len(mark))
    console.print(shown, soft_wrap=True)


def print_line(console: Console, text: str) -> None:
    """Print text, broken between words: brackets are no markup, and tables stay as they are."""
    console.print(wrapped(text, console.width), markup=False, highlight=False, soft_wrap=True)


def print_spec(console: Console, spec: ModelSpec, design: Design) -> None:
    """Print what a study fits: its model and the sizes of its data."""
    console.print(Text(spec.title or spec.name, style="bold"))
    if spec.source:
        console.print(Text(spec.source, style="dim"))
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("Model", Text(spec.formula))
    if (family := spec.family).name != "gaussian":
        facts.add_row("Family", Text(f"{family.name}, {family.link.name} link"))
    facts.add_row("Data", Text(f"{spec.data.describe()}, {len(design.y)} rows used"))
    facts.add_row("Fixed effects", Text(", ".join(design.coef) or "none"))
    for factor in design.factors:
        blocks = [" + ".join(factor.terms[i] for i in block) for block in factor.blocks]
        if factor.structures:
            said = zip(factor.structures, blocks, strict=True)
            blocks = [text if at.kind == "us" else f"{at.kind}({text})" for at, text in said]
        effects = "; ".join(blocks)
        if factor.arms is not None:
            effects = f"those of its {factor.arms.by}: {effects}"
        facts.add_row(
            "Random effects",
            Text(f"{factor.name}: {len(factor.levels)} levels, each with {effects}"),
        )
    console.print(facts)


def print_frame(console: Console, frame: pd.DataFrame, title: str) -> None:
    """Print a table with four significant digits, in the terminal's width; see `table_lines`."""
    console.print(Text(title, style="bold"))
    text = "\n".join(table_lines(frame, console.width))
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    console.print()
