"""A model file to start from: what a data file seems to hold, with every guess said in it."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bayeslmm.design.build import build_design
from bayeslmm.errors import BayesLMMError, BayesLMMWarning, DataError
from bayeslmm.formula.tokens import quote
from bayeslmm.studies.model_files.guesses import (
    family,
    groups,
    names_of,
    responses,
    varying_within,
)
from bayeslmm.studies.sources import SEPARATORS, FileTable, columns_by, first_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Words that stand for nothing in a column of numbers; pandas knows NA, NaN, null and the like.
_NOTHING = (".", "?", "-", "--", "-9", "-99", "-999", "-9999", "missing", "unknown")
# So few other words in a column, and so few cells with them, are slips or stand for nothing.
_STRAY_WORDS = 3
_STRAY_SHARE = 0.1
# What a guessed family does, and what to write where it is the wrong one.
_FAMILIES = {
    "bernoulli": (
        "models the probability of the second. Of counts of successes write family = "
        '"binomial" and trials = "their column".'
    ),
    "poisson": (
        'takes them for counts; "negbinomial" where they vary more than that. Of scores and other '
        "measurements leave the family out."
    ),
}


@dataclass(frozen=True, slots=True)
class NewFile:
    """A model file's text, and what was guessed to write it.

    Attributes
    ----------
    text : str
        TOML.
    guesses : tuple of str
        One sentence each; they stand in the text as well.
    """

    text: str
    guesses: tuple[str, ...]


def new_model_file(
    data: Path, folder: Path, *, response: str | None = None, group: str | None = None
) -> NewFile:
    """Look at a data file and write a model file that runs.

    Parameters
    ----------
    data : Path
        A delimited text file.
    folder : Path
        Where the model file will stand; its path to the data starts there.
    response, group : str, optional
        Column of the response, and of the grouping factor, or two as in ``clinic/patient``;
        guessed without.

    Returns
    -------
    NewFile

    Raises
    ------
    DataError
        If the file cannot be read as a table, or has no column that can be a response.
    """
    source, guesses = _look(data)
    table = source.load()
    given = _group_given(group, table)
    for name in (*([response] if response is not None else []), *given):
        if name not in table:
            raise DataError(f"{str(data)!r} has no column {name!r}: {', '.join(names_of(table))}.")
    formula = _formula(table, response, given, str(data))
    if response is None:
        guesses.append(f"The response is {formula.response!r}, a number.")
    guesses.extend(formula.about_family())
    if group is None:
        guesses.append(f"The groups are {_described(formula.group)}.")
    where = Path(os.path.relpath(data.resolve(), folder.resolve())).as_posix()
    return NewFile(_text(where, source, table, formula, guesses), tuple(guesses))


@dataclass(frozen=True, slots=True)
class _Formula:
    response: str
    group: tuple[str, ...]  # outer first
    family: tuple[str, str] | None = None  # its name, and what shows it

    def about_family(self) -> Iterator[str]:
        """Say what family was guessed, and what else to take."""
        if self.family is None:
            return
        name, shows = self.family
        yield f"{self.response!r} is {shows}: family = {_quoted(name)} {_FAMILIES[name]}"

    def __str__(self) -> str:
        return self.written("1", "1")

    def written(self, predictor: str, slope: str) -> str:
        bars = f" + ({slope} | {'/'.join(map(quote, self.group))})" if self.group else ""
        return f"{quote(self.response)} ~ {predictor}{bars}"


def _group_given(group: str | None, table: pd.DataFrame) -> tuple[str, ...]:
    if group is None:
        return ()
    return (group,) if group in table else tuple(name.strip() for name in group.split("/"))


def _described(group: tuple[str, ...]) -> str:
    if not group:
        return "none that show"
    return f"the levels of {', within each one of '.join(map(repr, reversed(group)))}"


def _look(path: Path) -> tuple[FileTable, list[str]]:
    """Find out how a file is written."""
    guesses = []
    lines = first_lines(path)
    if not any(line.strip() for line in lines):
        raise DataError(f"{str(path)!r} is empty.")
    sep = max(SEPARATORS, key=lambda one: columns_by(lines, one))
    usual = {".csv": ",", ".tsv": "\t"}.get(Path(path.name.removesuffix(".gz")).suffix.lower())
    if sep != usual:
        guesses.append(f"Columns are separated by {sep!r}.")
    given = None if sep == usual else sep
    text = FileTable(path, sep=sep)
    decimal = "."
    if sep != "," and _comma_numbers(text.load()):
        decimal = ","
        guesses.append("Numbers have a decimal comma.")
    table = FileTable(path, sep=sep, decimal=decimal).load()
    words = _missing_words(table, decimal)
    guesses.extend(f"{word!r} in a column of numbers is a missing value." for word in words)
    strays = _stray_words(table, decimal, words)
    guesses.extend(strays.values())
    words = (*words, *(word for word in strays if word not in words))
    return FileTable(path, sep=given, decimal=decimal, missing_words=words), guesses


def _comma_numbers(table: pd.DataFrame) -> bool:
    """Whether a column reads as numbers with a decimal comma, and not otherwise."""
    for column in _texts(table):
        values = table[column].dropna().astype(str).str.strip()
        values = values[~values.isin(_NOTHING)]
        if values.str.contains(",").any() and values.str.fullmatch(r"[-+]?\d+(,\d+)?").all():
            return True
    return False


def _missing_words(table: pd.DataFrame, decimal: str) -> tuple[str, ...]:
    """Return the one word of each column that keeps it from being numbers, or a code like -99."""
    found: dict[str, None] = {}
    for column in _texts(table):
        values, numbers = _read_as_numbers(table[column], decimal)
        others = set(values[numbers.isna()])
        if numbers.notna().sum() > 1 and others <= set(_NOTHING):
            found |= dict.fromkeys(sorted(others))
    for column in names_of(table):
        values = table[column].dropna()
        if values.dtype.kind not in "if" or len(values) < 3:
            continue
        for code in (word for word in _NOTHING if word.startswith("-9")):
            rest = values[values != float(code)]
            # A negative code where every other number is at or above zero.
            if len(rest) < len(values) and len(rest) and rest.to_numpy().min() >= 0:
                found[code] = None
    return tuple(found)


def _stray_words(table: pd.DataFrame, decimal: str, known: Sequence[str]) -> dict[str, str]:
    """Return other words that keep a column from being numbers, and what to say of each."""
    found: dict[str, str] = {}
    for column in _texts(table):
        values, numbers = _read_as_numbers(table[column], decimal)
        others = values[numbers.isna() & ~values.isin(known)]
        counts = others.value_counts(sort=False)
        few = len(others) <= max(1, _STRAY_SHARE * len(values)) and numbers.notna().sum() > 2
        if not (few and 0 < len(counts) <= _STRAY_WORDS):
            continue
        # House numbers such as 12b are labels; among numbers with fractions it is a slip.
        if others.str.contains(r"\d").any() and not (numbers.dropna() % 1 != 0).any():
            continue
        for word, count in counts.items():
            row = int(others.index[others == word][0]) + 1
            cells = "1 cell" if count == 1 else f"{count:,} cells"
            first = "row" if count == 1 else "first in row"
            found[str(word)] = (
                f"{column!r} holds numbers, but for {cells}: {word!r} ({first} {row:,}); "
                "missing_words takes it for a missing value. Mend the data if it is a number."
            )
    return found


def _read_as_numbers(column: pd.Series, decimal: str) -> tuple[pd.Series, pd.Series]:
    """Return the cells that are not empty as text, and as numbers where they are."""
    values = column.dropna().astype(str).str.strip()
    return values, pd.to_numeric(values.str.replace(decimal, "."), errors="coerce")


def _texts(table: pd.DataFrame) -> Iterator[str]:
    for name in names_of(table):
        if not pd.api.types.is_numeric_dtype(table[name]):
            yield name


def _formula(
    table: pd.DataFrame, response: str | None, group: tuple[str, ...], path: str
) -> _Formula:
    """Take the first response and groups of which a design can be built."""
    trouble = "it has no column of numbers that vary"
    for one in [response] if response is not None else responses(table):
        for factor in [group] if group else [*groups(table, one), ()]:
            if one in factor:
                trouble = f"{one!r} is both its response and a grouping factor."
                continue
            formula = _Formula(one, factor, family(table[one]))
            of = "gaussian" if formula.family is None else formula.family[0]
            try:
                with warnings.catch_warnings():
                    # What there is to say of the rows, the fit says.
                    warnings.simplefilter("ignore", BayesLMMWarning)
                    build_design(str(formula), table[[one, *factor]], family=of)
            except BayesLMMError as error:
                trouble = str(error)
                continue
            return formula
    raise DataError(f"No model could be written for {path!r}: {trouble}")


def _text(
    where: str, source: FileTable, table: pd.DataFrame, formula: _Formula, guesses: Sequence[str]
) -> str:
    lines = [
        f"# A model file for {where}, to be changed: bayeslmm fit FILE runs it as it stands.",
        *(["#", "# Guessed, from the first look at the data:"] if guesses else []),
        *(f"# - {guess}" for guess in guesses),
        "",
        f"title = {_quoted(f'{formula.response} of {Path(where).name}')}",
        "",
        "# lme4's language: predictors, and in bars what varies between groups, such as",
        f"# formula = {_quoted(_example(table, formula))}",
        f"formula = {_quoted(str(formula))}",
        *([] if formula.family is None else [f"family = {_quoted(formula.family[0])}"]),
        "",
        "[data]",
        f"path = {_quoted(where)}",
    ]
    if source.sep is not None:
        lines.append(f"sep = {_quoted(source.sep)}")
    if source.decimal != ".":
        lines.append(f"decimal = {_quoted(source.decimal)}")
    if source.missing_words:
        words = ", ".join(map(_quoted, source.missing_words))
        lines.append(f"missing_words = [{words}]")
    lines += [
        '# missing = "raise"            # refuse incomplete rows; "drop" leaves them out',
        '# labels = ["id"]              # numbers that are labels',
        '# levels = { dose = ["low", "high"] }   # the order of labels; the first is the reference',
        "#",
        f"# Its {len(table):,} rows have these columns:",
        *(f"#   {line}" for line in _columns(table)),
        "",
        "# Empty: default priors, which follow the scales of the data (bayeslmm priors FILE).",
        "[priors]",
        '# sigma = "HalfNormal(10)"' if formula.family is None else '# sd = "HalfNormal(1)"',
        "",
        "[sampler]",
        "random_seed = 1   # any; the same seed gives the same draws",
        "# draws = 1000",
        "# chains = 4",
        "",
    ]
    return "\n".join(lines)


def _example(table: pd.DataFrame, formula: _Formula) -> str:
    others = [name for name in names_of(table) if name not in {formula.response, *formula.group}]
    # What is constant within groups can have no slope there.
    slopes = varying_within(table, formula.group, others) if formula.group else []
    predictor = quote([*slopes, *others, "x"][0])
    return formula.written(predictor, predictor if slopes or not others else "1")


def _columns(table: pd.DataFrame) -> Iterator[str]:
    """Describe each column in a line."""
    width = max(map(len, names_of(table)))
    for name in names_of(table):
        values = table[name].dropna()
        lacking = f", {len(table) - len(values):,} missing" if len(values) < len(table) else ""
        if values.empty:
            what = "empty"
        elif values.dtype.kind in "fiu":
            kind = "whole numbers" if values.dtype.kind in "iu" else "numbers"
            what = (
                f"{kind} from {values.min():g} to {values.max():g}, {values.nunique():,} distinct"
            )
        else:
            labels = values.astype(str).unique()
            shown = [label[:20] for label in labels[:3]] + ["..."] * (len(labels) > 3)
            what = f"{len(labels):,} label{'s' * (len(labels) > 1)}: {', '.join(shown)}"
        yield f"{' '.join(name.split()):{width}}  {' '.join(what.split())}{lacking}"


def _quoted(text: str) -> str:
    """Return a string as TOML writes it, which is as JSON does."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
