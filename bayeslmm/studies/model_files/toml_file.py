"""The text of a model file: parsed, checked key by key, and able to say where it is wrong."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import SpecError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

NUMBER = (int, float)
_TYPE_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


def find_specs(folder: str | Path = "models") -> list[Path]:
    """List the model files of a folder, by name; none where the folder does not exist."""
    return sorted(Path(folder).glob("*.toml"))


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A parsed file that can say where in its text something is wrong."""

    path: Path
    text: str
    content: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> SpecFile:
        """Read and parse a file; SpecError with the line if it is no valid TOML."""
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            _refuse_data(path)
            raise SpecError(f"{path} is not a text file in UTF-8: {error.reason}.") from error
        except OSError as error:
            raise SpecError(_unreadable(path, error)) from error
        try:
            return cls(path, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            _refuse_data(path)
            # Its message ends in "(at line 3, column 5)" or "(at end of document)".
            at = re.search(r"\(at line (\d+)", str(error))
            line = int(at[1]) if at else text.count("\n") + 1
            raise SpecError(f"{path}:{line}: not valid TOML. {error}.") from error
        except RecursionError:
            raise SpecError(
                f"{path}: lists or tables are nested too deeply to be read; no key of a model file "
                "takes more than two levels."
            ) from None

    def error(self, message: str, table: str = "", key: str | None = None) -> SpecError:
        """Return the error of a key of a table, with the file and line where it stands."""
        stop = "" if message.endswith((".", "?")) else "."
        return SpecError(f"{self.where(table, key)}: {message}{stop}")

    def where(self, table: str = "", key: str | None = None) -> str:
        """Return the file, and the line where a key stands if that can be told."""
        line = _line(self.text, table, key)
        return f"{self.path}:{line}" if line else str(self.path)

    def table(
        self,
        name: str,
        content: Any,
        schema: Mapping[str, tuple[type, ...]],
        required: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Check a table of known keys."""
        where = f" in [{name}]" if name else ""
        if not isinstance(content, dict):
            raise self.error(f"[{name}] must be a table")
        for key, value in content.items():
            if key not in schema:
                hint = nearest(key, schema) or f" The keys are {', '.join(schema)}."
                raise self.error(f"there is no key {key!r}{where}.{hint}", name, key)
            self._check(name, key, value, schema[key])
        for key in required:
            if key not in content:
                raise self.error(f"the key {key!r} is missing{where}", name)
        return content

    def values(self, name: str, content: Any, types: tuple[type, ...]) -> Mapping[str, Any]:
        """Check a table of free keys whose values share a type."""
        for key, value in content.items():
            self._check(name, key, value, types)
        return MappingProxyType(content)

    def _check(self, table: str, key: str, value: Any, types: tuple[type, ...]) -> None:
        # Not isinstance: true is no whole number here.
        if type(value) not in types:
            wanted = _TYPE_NAMES[types[-1]]
            raise self.error(f"{key!r} must be {wanted}, not {value!r}", table, key)


def _refuse_data(path: Path) -> None:
    if {".csv", ".tsv", ".txt"} & {suffix.lower() for suffix in path.suffixes}:
        raise SpecError(
            f"{path} is a data file, not a model file: bayeslmm new {path} writes a model file for "
            "it."
        ) from None


def _unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder, not a model file."
    if isinstance(error, FileNotFoundError):
        named = {
            spec.stem: spec for folder in (path.parent, "models") for spec in find_specs(folder)
        }
        hint = nearest(path.stem, named)
        for stem, spec in named.items():
            hint = hint.replace(f"'{stem}'", f"'{spec}'")
        return f"There is no model file {str(path)!r}.{hint}"
    return f"{path} cannot be read: {error.strerror}."


def _line(text: str, table: str, key: str | None) -> int | None:
    """Find the line of a key, or of its table's header; None where it stands in neither form."""
    current, header = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$", line):
            current = re.sub("[\"']", "", heading[1])  # [study.scenarios."my own"]
        if current == table and header is None and (table or key is None):
            header = number
        if key is not None and current == table:
            name = re.match(r"""\s*(["']?)(.+?)\1\s*=""", line)
            if name and name[2] == key:
                return number
    if header is None and table:
        # An inline table: `Days = { ... }` under [reference.fixed_effects].
        parent, _, last = table.rpartition(".")
        return _line(text, parent, last)
    return header
