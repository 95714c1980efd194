"""One row of the census: a model that somebody fits, in the package's grammar, and its table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from census.tables import Column


@dataclass(frozen=True)
class Row:
    """A model of the census.

    Attributes
    ----------
    number : int
        As in the census's own list, 1 to 212.
    formula : str
        The model in this package's grammar.
    n : int
        Rows of the table.
    columns : mapping from str to Column
        The table but for the response.
    family, software, source : str
        Family as `fit_bayes` takes it; where the model was found.
    own_family : callable or None
        What makes the family, where it is not one of the package.
    known : callable or None
        Of the table, what ``known=`` takes.
    coding : mapping
        Further arguments of the fit.
    intercept : float or None
        Of the linear predictor, where the family's usual one would not do.
    changed : str
        Where the table or the model is not quite the one that was found: in which way.
    refused : str
        What the package says instead of fitting it, as a pattern; empty where it fits it.
    """

    number: int
    formula: str
    n: int
    columns: Mapping[str, Column]
    family: str = "gaussian"
    software: str = ""
    source: str = "public code"
    own_family: object = None
    known: object = None
    coding: Mapping[str, object] = field(default_factory=dict)
    intercept: float | None = None
    changed: str = ""
    refused: str = ""


def _row(number, formula, n, columns, family="gaussian", *, software, source="public code",
         own_family=None, known=None, intercept=None, changed="", refused="",
         **coding):  # fmt: skip
    return Row(number, formula, n, columns, family, software, source, own_family, known, coding,
               intercept, changed, refused)  # fmt: skip


def found_in(software):
    """Return what writes rows of models that were found as code of this software."""
    return partial(_row, software=software)
