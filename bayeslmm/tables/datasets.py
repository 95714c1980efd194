"""Small public tables bundled with the package, with their source, units and level order."""

from __future__ import annotations

import gzip
import io
import json
import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.errors import DataError, names_keywords, nearest

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from numpy.typing import NDArray


@names_keywords
def list_datasets() -> pd.DataFrame:
    """Return the list of the bundled tables.

    Returns
    -------
    DataFrame
        One row per table, indexed by its name, with the columns ``title`` and ``source``.

    Examples
    --------
    >>> list_datasets().loc["sleepstudy", "source"]
    'Belenky et al. (2003), Journal of Sleep Research 12(1):1-12'
    """
    about = _about()
    return pd.DataFrame(
        {key: [entry[key] for entry in about.values()] for key in ("title", "source")},
        index=pd.Index(about, name="name"),
    )


@names_keywords
def load_dataset(name: str) -> pd.DataFrame:
    """Return a bundled table.

    Labels, also those that look like numbers, come as categoricals in the level order of the
    original data; the first level is the reference under treatment coding.

    Parameters
    ----------
    name : str
        One of the names that `list_datasets` gives.

    Returns
    -------
    DataFrame
        A fresh copy. Its ``attrs`` hold ``name``, ``title``, ``source``, ``doi`` (None where the
        source has none), ``units`` (a dict from each numeric column to its unit; ``"1"`` for a
        number without one) and, of species, ``phylogeny`` (their tree in Newick's format).

    Raises
    ------
    DataError
        If there is no table of that name.

    Examples
    --------
    >>> sleepstudy = load_dataset("sleepstudy")
    >>> sleepstudy.shape
    (180, 3)
    >>> sleepstudy.attrs["units"]["Reaction"]
    'ms'
    >>> load_dataset("machines")["Worker"].cat.categories.tolist()
    ['6', '2', '4', '1', '3', '5']
    """
    about = _about()
    if not isinstance(name, str) or name not in about:
        raise DataError(
            f"There is no bundled table {name!r}.{nearest(str(name), about)} "
            f"The tables are {', '.join(about)}."
        )
    levels = _levels()[name]
    text = pd.read_csv(io.BytesIO(_read(name)), dtype=str, keep_default_na=False)
    table = pd.DataFrame(
        {
            column: pd.Categorical(text[column], categories=levels[column])
            if column in levels
            else _numbers(text[column])
            for column in text
        }
    )
    entry = about[name]
    table.attrs = {
        "name": name,
        "title": entry["title"],
        "source": entry["source"],
        "doi": entry.get("doi"),
        "units": dict(entry["units"]),
    }
    tree = _folder() / f"{name}.nwk"
    if tree.is_file():
        table.attrs["phylogeny"] = tree.read_text("utf-8").strip()
    return table


def _folder() -> Traversable:
    return files("bayeslmm") / "data"


@cache
def _about() -> dict[str, dict[str, Any]]:
    return tomllib.loads((_folder() / "tables.toml").read_text("utf-8"))


@cache
def _levels() -> dict[str, dict[str, list[str]]]:
    levels: dict[str, dict[str, list[str]]] = json.loads(
        (_folder() / "levels.json").read_text("utf-8")
    )
    return levels


def _numbers(text: pd.Series[str]) -> NDArray[np.int64] | NDArray[np.float64]:
    # NumPy reads to the last bit; older versions of pandas' CSV reader are one unit off.
    values = text.to_numpy(dtype=str)
    try:
        return values.astype(np.int64)
    except ValueError:
        return values.astype(np.float64)


def _read(name: str) -> bytes:
    plain = _folder() / f"{name}.csv"
    if plain.is_file():
        return plain.read_bytes()
    return gzip.decompress((_folder() / f"{name}.csv.gz").read_bytes())
