"""`bayeslmm new`: a model file to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.cli.console import print_line
from bayeslmm.errors import SpecError
from bayeslmm.studies.model_files.new_file import new_model_file

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def write_new(
    data: Path, to: Path | None, console: Console, *, response: str | None, group: str | None
) -> None:
    """Write a model file for a data file, and say what was guessed.

    Raises
    ------
    SpecError
        If a file stands there already, or cannot be written.
    """
    name = data.name.removesuffix(".gz").rpartition(".")[0] or data.name
    path = to if to is not None else data.parent / f"{name}.toml"
    if path.suffix != ".toml":
        raise SpecError(f"A model file ends in .toml: {str(path)!r} does not.")
    new = new_model_file(data, path.parent, response=response, group=group)
    try:
        # Never over a file that someone wrote.
        with path.open("x", encoding="utf-8") as file:
            file.write(new.text)
    except FileExistsError as error:
        raise SpecError(f"{str(path)!r} exists; choose another one with --to.") from error
    except OSError as error:
        raise SpecError(f"{str(path)!r} cannot be written: {error.strerror}.") from error
    print_line(console, f"Wrote {path}. Look at it, then run: bayeslmm fit {path}")
    for guess in new.guesses:
        print_line(console, f"Guessed: {guess}")
