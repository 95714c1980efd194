"""The reference fits by lme4, and the tables that they were made from."""

import gzip
import io
import json
from pathlib import Path

import pandas as pd

from bayeslmm.tables.datasets import list_datasets, load_dataset

FOLDER = Path(__file__).parent / "reference"
NAMES = sorted(path.stem for path in (FOLDER / "reml").glob("*.json"))


def read_reference(name):
    return json.loads((FOLDER / "reml" / f"{name}.json").read_text("utf-8"))


def read_table(reference):
    """The table of a reference fit: bundled with the package, or beside the tests."""
    name = reference["dataset"]
    if name.lower() in list_datasets().index:
        return load_dataset(name.lower())
    path = next((FOLDER / "data").glob(f"{name}.csv*"))
    content = path.read_bytes()
    text = gzip.decompress(content) if path.suffix == ".gz" else content
    table = pd.read_csv(io.BytesIO(text))
    for column, levels in reference["factor_levels"].items():
        if column in table:
            table[column] = pd.Categorical(table[column].astype(str), levels)
    return table


def match_terms(fit, parts):
    """Pair lme4's terms (varcorr or ranef) with a factor's place and columns in the fit.

    lme4 names `b:a` what is `a:b` here, lists terms by decreasing number of levels, and keeps the
    terms of one factor apart; the order of columns within a factor is the same.
    """
    places = {tuple(sorted(f.name.split(":"))): k for k, f in enumerate(fit.gram.factors)}
    used = dict.fromkeys(places.values(), 0)
    for part in parts:
        k = places[tuple(sorted(part["group"].split(":")))]
        columns = range(used[k], used[k] + len(part["terms"]))
        used[k] += len(columns)
        yield part, fit.gram.factors[k], k, list(columns)


def level_places(part, factor):
    """Where lme4's levels of a term are among the factor's; `a:A` there is `A:a` here."""
    known = {label: place for place, label in enumerate(factor.levels.tolist())}
    swapped = part["group"] != factor.name
    labels = [":".join(reversed(x.split(":"))) if swapped else x for x in part["levels"]]
    return [known[label] for label in labels]
