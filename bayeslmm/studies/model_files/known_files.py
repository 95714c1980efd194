"""The [known] table: covariances of levels, in files beside the model file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayeslmm.errors import DataError
from bayeslmm.relationships.matrix import known_covariance
from bayeslmm.relationships.pedigree import pedigree
from bayeslmm.relationships.phylogeny import phylogeny
from bayeslmm.relationships.precision import precision
from bayeslmm.studies.sources import nearest_file
from bayeslmm.tables.datasets import list_datasets, load_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bayeslmm.relationships.relationship import Relationship
    from bayeslmm.studies.model_files.toml_file import SpecFile

_KINDS = ("phylogeny", "pedigree", "covariance", "precision")
_SOURCES = (*_KINDS, "bundled")
_KEYS = dict.fromkeys((*_SOURCES, "id", "sire", "dam"), (str,)) | {"scale": (bool,)}
_OF_PEDIGREES = ("id", "sire", "dam")
_TREES = (".nwk", ".newick", ".tre", ".tree")


@dataclass(frozen=True)
class KnownFile:
    """Where a known covariance stands.

    Attributes
    ----------
    kind : str
        ``"phylogeny"``, ``"pedigree"``, ``"covariance"``, ``"precision"``, or ``"bundled"`` for
        the phylogeny of a bundled table.
    place : Path or str
        The file, or the table's name.
    options : mapping of str
        Arguments of the function that reads it.
    """

    kind: str
    place: Path | str
    options: Mapping[str, Any]

    def load(self) -> Relationship:
        """Read it.

        Raises
        ------
        DataError
            If the file holds no such thing; the message names it.
        """
        if self.kind == "bundled":
            return phylogeny(load_dataset(str(self.place)).attrs["phylogeny"], **self.options)
        try:
            return self._read()
        except DataError as error:
            raise DataError(f"{self.place}: {error}") from None

    def _read(self) -> Relationship:
        if self.kind == "phylogeny":
            return phylogeny(self.place, **self.options)
        try:
            # Labels as they are written, of pedigrees words for unknown parents among them.
            table = pd.read_csv(self.place, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise DataError(f"the file cannot be read as a table: {error}.") from None
        if self.kind == "pedigree":
            return pedigree(table, **self.options)
        labelled = table.set_index(table.columns[0])
        return {"covariance": known_covariance, "precision": precision}[self.kind](labelled)


def read_known_files(file: SpecFile, given: dict[str, Any]) -> dict[str, KnownFile]:
    """Turn a [known] table into places of covariances, by their names in the formula.

    Parameters
    ----------
    file : SpecFile
        Where it stands, for errors that name the line.
    given : dict
        Its content: a path each, or a table that says what the file holds.

    Returns
    -------
    dict of str to KnownFile

    Raises
    ------
    SpecError
        If a file is not there, or nothing says what it holds.
    """
    return {name: _read(file, name, entry) for name, entry in given.items()}


def _read(file: SpecFile, name: str, entry: Any) -> KnownFile:
    if isinstance(entry, str):
        kind = "phylogeny" if entry.lower().endswith(_TREES) else "covariance"
        if kind == "covariance" and not entry.lower().endswith((".csv", ".csv.gz")):
            raise file.error(
                f"nothing says what {entry!r} holds: write {name} = {{ pedigree = {entry!r} }}, or "
                f"one of {', '.join(_KINDS)} in its place",
                "known",
                name,
            )
        return KnownFile(kind, _path(file, name, entry), {})
    table = dict(file.table(f"known.{name}", entry, _KEYS))
    kinds = [kind for kind in _SOURCES if kind in table]
    if len(kinds) != 1:
        raise file.error(
            f"{name} needs exactly one of {', '.join(_SOURCES)}, with the file that holds it",
            "known",
            name,
        )
    (kind,) = kinds
    place = table.pop(kind)
    allowed = {"pedigree": _OF_PEDIGREES, "phylogeny": ("scale",), "bundled": ("scale",)}
    if surplus := [key for key in table if key not in allowed.get(kind, ())]:
        raise file.error(f"{surplus[0]!r} is nothing that a {kind} takes", "known", name)
    if kind != "bundled":
        return KnownFile(kind, _path(file, name, place), table)
    if place not in list_datasets().index or "phylogeny" not in load_dataset(place).attrs:
        raise file.error(f"no bundled table {place!r} has a phylogeny", "known", name)
    return KnownFile(kind, place, table)


def _path(file: SpecFile, name: str, given: str) -> Path:
    path = (file.path.parent / given).resolve()
    if not path.is_file():
        raise file.error(f"there is no file {str(path)!r}.{nearest_file(path)}", "known", name)
    return path
