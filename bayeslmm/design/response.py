"""The response as numbers, as its family asks, and what is known of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.columns.evaluate import boolean_categorical
from bayeslmm.errors import ArgumentError, DataError, DataWarning, FormulaError, warn
from bayeslmm.families.derived.censored import Censored, censored, uncensored
from bayeslmm.tables.column import categorical

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.tables.column import Column

_BOOLEANS = ("False", "True")
# Counts that are taken for counts: so many different ones, and such a share of zeros. Of fewer rows
# any may be whole numbers.
_FEW_COUNTS, _MANY_ZEROS, _FEWEST_ROWS = 10, 0.1, 20


def two_levels(column: Column, known: Sequence[str] | None) -> tuple[Floats, tuple[str, str]]:
    """Return a binary response of two categories, or of booleans, as 0 and 1, and the two labels.

    Parameters
    ----------
    column : Column
        Text, categories or booleans.
    known : sequence of str, or None
        Labels of 0 and 1 in the training rows; None on the training rows themselves, where the
        second category is 1: the later one in the column's order, or in that of the alphabet.

    Returns
    -------
    y : ndarray, shape (n,)
    levels : tuple of str
        Labels of 0 and 1.

    Raises
    ------
    DataError
        If there are not two categories, or one that the training rows did not have.

    Warns
    -----
    DataWarning
        Which category of text is 1.
    """
    if column.kind == "boolean":
        given = boolean_categorical(column.array)
    else:
        given = categorical(*column.levels())
    labels = [str(label) for label in given.categories]
    if known is None:
        known = _BOOLEANS if column.kind == "boolean" else labels
        if len(known) != 2:
            count = f"{len(known)} categories" if len(known) > 1 else "one category only"
            raise DataError(
                f"The response {column.name!r} has {count} ({_listed(known)}): "
                "family='bernoulli' takes two. Of more, family='categorical' compares each with "
                "the first, and family='cumulative' is for those that have an order; or make a "
                "column of booleans that says which of them counts."
            )
        if column.kind != "boolean":
            warn(
                f"The response {column.name!r} is 1 where it is {known[1]!r}, and 0 where it is "
                f"{known[0]!r}. To turn it round, order the categories in the table.",
                DataWarning,
            )
    if strange := [label for label in labels if label not in known]:
        raise DataError(
            f"The response {column.name!r} is {strange[0]!r} in some rows; in the training rows "
            f"it was {known[0]!r} or {known[1]!r}."
        )
    codes = np.array([float(known.index(label)) for label in labels])
    return codes[np.asarray(given.codes)], (known[0], known[1])


def ordered_levels(column: Column, known: Sequence[str] | None) -> tuple[Floats, tuple[str, ...]]:
    """Return a response of ordered categories as numbers from 1, and their labels.

    Parameters
    ----------
    column : Column
        Categories in an order.
    known : sequence of str, or None
        Labels of the model's categories, the lowest first; None on training rows of a family that
        was not given any, of which the categories that occur count.

    Returns
    -------
    y : ndarray, shape (n,)
    levels : tuple of str

    Raises
    ------
    DataError
        If the categories have no order, or there is one that the training rows did not have.
    """
    name = column.name
    if column.kind == "boolean":
        raise DataError(
            f"The response {name!r} holds booleans: family='bernoulli' models the probability of "
            "True; ordered categories are an ordered categorical column, or whole numbers from 1."
        )
    codes, labels = column.levels()
    texts = [str(label) for label in labels]
    if known is None:
        if not column.ordered:
            some = ", ".join(map(repr, texts[:3]))
            raise DataError(
                f"The categories of the response {name!r} ({_listed(texts)}) have no order: make "
                f"the column an ordered categorical, pandas.Categorical(table[{name!r}], "
                f"categories=[{some}, ...], ordered=True) with the lowest first, a polars Enum, or "
                "whole numbers from 1."
            )
        known = texts
    if strange := [label for label in texts if label not in known]:
        raise DataError(
            f"The response {name!r} is {strange[0]!r} in some rows, and the model's categories are "
            f"{_listed(known)}."
        )
    numbers = np.array([known.index(label) + 1.0 for label in texts])
    return numbers[np.asarray(codes)], tuple(known)


def categories_of_numbers(y: Floats, known: Sequence[str] | None, response: str) -> tuple[str, ...]:
    """Return the labels of categories that are numbered from 1, known or up to the largest.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Numbers of categories; NaN where a row has none.
    known : sequence of str, or None
        Labels of the training rows' categories; None on those rows themselves.
    response : str
        What it is called.

    Raises
    ------
    DataError
        If there is one category only, or more than the training rows had.
    """
    largest = int(np.nanmax(y))
    if known is None:
        known = tuple(str(k) for k in range(1, largest + 1))
    if largest > len(known):
        raise DataError(
            f"The response {response!r} is {largest} in some rows, and the model's categories are "
            f"1 to {len(known)}."
        )
    if len(known) < 2:
        raise DataError(
            f"The response {response!r} has one category only: there is nothing to model."
        )
    return tuple(known)


def require_same_kind(column: Column, known: Sequence[str] | None) -> None:
    """Raise unless a binary response of new rows is of labels where the training rows' was.

    Booleans stand for 0 and 1 in either.

    Raises
    ------
    DataError
        With what it was.
    """
    labels = known is not None and tuple(known) != _BOOLEANS
    if labels == (column.kind not in {"number", "boolean"}):
        return
    was = f"{known[0]!r} and {known[1]!r}" if known is not None and labels else "0 and 1"
    raise DataError(
        f"The response {column.name!r} was {was} in the training rows, and these rows hold "
        f"{'numbers or booleans' if labels else 'labels'}: give them in the same way."
    )


def told_family(
    family: Family, of_rows: Mapping[str, Any], weights: Any, of_residuals: Iterable[Any]
) -> Family:
    """Return the family that fits what is said of the rows: a censored one where `cens` is said.

    Raises
    ------
    ArgumentError
        If something does not go together.
    """
    if isinstance(family, Censored) and "cens" not in of_rows:
        raise ArgumentError(
            f"family={family.name!r} is what cens= makes of a family: give "
            f"family={family.base.name!r} and cens=, a column that says which rows are censored."
        )
    structured = any(one is not None for one in of_residuals)
    if of_rows and structured:
        said = next(iter(of_rows))
        raise ArgumentError(
            f"{said}= and residuals with a structure (residual=, sigma=, se=) do not go together "
            "here: leave one of them out."
        )
    if "cens" not in of_rows:
        if "y2" in of_rows:
            raise ArgumentError("y2= holds upper ends of intervals: say which rows are by cens=.")
        return family
    if weights is not None:
        raise ArgumentError(
            "weights= and cens= do not go together here: leave one of them out. A row that counts "
            "several times has likweights=."
        )
    return censored(uncensored(family))


def require_known(family: Family, weights: Any, trials: Any) -> None:
    """Raise unless a family takes what is given of weights and trials, and has what it needs.

    Raises
    ------
    ArgumentError
        With what to do.
    """
    takes = family.response.known
    if trials is not None and takes != "trials":
        raise ArgumentError(
            "trials= is for family='binomial', 'beta_binomial' and 'zero_inflated_binomial', and "
            f"the family is {family.name!r}."
        )
    if weights is not None and takes != "weights":
        raise ArgumentError(f"family={family.name!r} takes no weights: {_why_no_weights(family)}")


def require_intercept(family: Family, terms: ModelTerms) -> None:
    """Raise where a formula leaves out the intercept, in whose place thresholds stand.

    Without it a categorical predictor would have a column for each level, of which thresholds
    leave one undetermined.

    Raises
    ------
    FormulaError
        Saying so.
    """
    if family.response.ordered and not terms.fixed.intercept:
        raise FormulaError(
            f"family={family.name!r} has thresholds in the place of an intercept, and coefficients "
            "are of differences: leave the 0 + (or - 1) out of the formula.",
            terms.formula.text or str(terms.formula),
        )


def _why_no_weights(family: Family) -> str:
    if family.response.known == "trials":
        return (
            "its variance follows from its mean and trials. The number of trials of a row goes "
            "into trials=."
        )
    if family.gaussian_scale is not None:
        return "give them to the Gaussian model of the logarithm, log(y) ~ x, weights='w'."
    return (
        "its variance follows from its mean. A row that stands for several is written as several "
        "rows."
    )


def require_trials(family: Family, trials: Any) -> None:
    """Raise where a binomial response comes without its trials."""
    if family.response.known == "trials" and trials is None:
        raise ArgumentError(
            f"family={family.name!r} takes counts of successes and needs their numbers of trials: "
            "add trials='size' for a column called size, or trials=20 for one number. A response "
            "of 0 and 1 is family='bernoulli'."
        )


def warn_of_whole_numbers(response: str, y: Floats) -> None:
    """Warn where a Gaussian response is 0 and 1 alone, or looks like counts of something rare.

    Whole numbers are ordinary measurements. They are taken for counts where they are at most ten
    different ones from zero up, and zero is at least a tenth of them; in twenty rows and more.

    Parameters
    ----------
    response : str
        What it is called.
    y : ndarray, shape (n,)
        As the model has it.

    Warns
    -----
    DataWarning
        Naming the family that is meant for such a response.
    """
    if len(y) < _FEWEST_ROWS or not (y == np.round(y)).all():
        return
    values = np.unique(y)
    if values[0] != 0.0 or not 1 < len(values) <= _FEW_COUNTS:
        return
    if np.array_equal(values, [0.0, 1.0]):
        looks, family = "is 0 or 1 in every row", "'bernoulli'"
    elif np.mean(y == 0.0) >= _MANY_ZEROS:
        looks = f"is a whole number from 0 to {values[-1]:.0f} in every row, often 0"
        family = "'poisson' or 'negbinomial' (counts)"
    else:
        return
    warn(
        f"The response {response!r} {looks}, and the model takes it for normal: if it is "
        f"not a measurement, fit_bayes(..., family=...) with {family} describes it.",
        DataWarning,
    )


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(repr(label) for label in labels[:5])
    return f"{shown}, ..." if len(labels) > 5 else shown or "none"
