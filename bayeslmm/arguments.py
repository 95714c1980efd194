"""What callers give as names, probabilities, numbers and paths, checked or refused by name."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import numpy as np

from bayeslmm.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray


class RowStatements(TypedDict, total=False):
    """What public functions take of the rows beside the response: columns, or a value for each.

    They travel beside the formulas of family parameters.
    """

    likweights: str | ArrayLike | None
    cens: str | ArrayLike | None
    y2: str | ArrayLike | None


class ParameterFormulas(RowStatements, total=False):
    """Formulas of family parameters that public functions take as keywords, such as ``zi=``.

    Inside the package they travel as one mapping. `sigma` has an argument of its own, since the
    residuals of Gaussian responses have more to be said of.
    """

    phi: str | None
    shape: str | None
    nu: str | None
    zi: str | None
    hu: str | None
    zoi: str | None
    coi: str | None
    disc: str | None
    alpha: str | None


def takes_formulas[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Show what a function gathers as ``**formulas`` in its signature, one by one.

    Parameters
    ----------
    function : callable
        With the last parameter ``**formulas: Unpack[ParameterFormulas]``.

    Returns
    -------
    callable
        The same, of which help and `inspect.signature` name each.

    Examples
    --------
    >>> @takes_formulas
    ... def fit(formula, **formulas):
    ...     return formulas
    >>> list(inspect.signature(fit).parameters)[:3], fit("y ~ x", phi="~ x")
    (['formula', 'likweights', 'cens'], {'phi': '~ x'})
    """
    signature, of_rows = inspect.signature(function), RowStatements.__annotations__
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    formulas = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation="str | ArrayLike | None" if name in of_rows else "str | None",
        )
        for name in ParameterFormulas.__annotations__
    ]
    cast("Any", function).__signature__ = signature.replace(parameters=[*own, *formulas])
    return function


def given_formulas(formulas: Mapping[str, Any]) -> dict[str, str]:
    """Return the formulas that are there: those of family parameters that are not None.

    Examples
    --------
    >>> given_formulas({"phi": "~ x", "shape": None})
    {'phi': '~ x'}
    """
    of_rows = RowStatements.__annotations__
    return {
        name: text for name, text in formulas.items() if text is not None and name not in of_rows
    }


def row_statements(formulas: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of the rows beside formulas of family parameters, as far as it is.

    Examples
    --------
    >>> row_statements({"phi": "~ x", "cens": "status", "y2": None})
    {'cens': 'status'}
    """
    of_rows = RowStatements.__annotations__
    return {name: said for name, said in formulas.items() if said is not None and name in of_rows}


def as_names(argument: str, given: Any) -> list[str]:
    """Return one name or several as a list.

    Parameters
    ----------
    argument : str
        What they were given as.
    given : object
        A text, which is one name, or texts.

    Returns
    -------
    list of str
        The names, in their order.

    Raises
    ------
    ArgumentError
        If it is anything else.

    Examples
    --------
    >>> as_names("show", "Days"), as_names("show", ("Days", "sigma"))
    (['Days'], ['Days', 'sigma'])
    """
    if isinstance(given, str):
        return [given]
    several = isinstance(given, Iterable) and not isinstance(given, bytes | Mapping)
    found = list(given) if several and np.ndim(given) == 1 else [None]
    if not all(isinstance(name, str) for name in found):
        raise ArgumentError(f"{argument} is a name or a list of names; it was {given!r}.")
    return [str(name) for name in found]


def as_numbers(argument: str, given: Any) -> NDArray[np.float64]:
    """Return numbers as an array of float64, whatever its shape.

    Raises
    ------
    ArgumentError
        If something in it is no finite real number.

    Examples
    --------
    >>> as_numbers("beta", [1, 2])
    array([1., 2.])
    """
    try:
        found = np.asarray(given)
    except ValueError:  # rows of different lengths
        found = np.asarray(None)
    if found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        raise ArgumentError(f"{argument} takes finite numbers only; it was {given!r}.")
    return found.astype(np.float64)


def as_path(argument: str, given: Any) -> Path:
    """Return the path of a file or folder.

    Raises
    ------
    ArgumentError
        If it is none that a system could have.

    Examples
    --------
    >>> as_path("path", "models/rail.toml").name
    'rail.toml'
    """
    if not isinstance(given, str | os.PathLike):
        raise ArgumentError(f"{argument} is the path of a file; it was {given!r}.")
    text = os.fspath(given)
    if not isinstance(text, str) or "\0" in text:
        raise ArgumentError(f"{argument} is the path of a file; no file is called {text!r}.")
    return Path(text)


def check_probability(argument: str, value: object) -> None:
    """Raise unless an argument is a number between 0 and 1, both excluded.

    Raises
    ------
    ArgumentError
        If it is anything else.

    Examples
    --------
    >>> check_probability("ci_prob", 95)
    Traceback (most recent call last):
    bayeslmm.errors.ArgumentError: ci_prob is a probability between 0 and 1, as is 0.95; it was 95.
    """
    if not isinstance(value, int | float | np.floating) or not 0 < value < 1:
        raise ArgumentError(
            f"{argument} is a probability between 0 and 1, as is 0.95; it was {value!r}."
        )


def label(value: object) -> str:
    """Return a value as a level's label: whole numbers without a decimal point.

    Examples
    --------
    >>> label(3.0), label("3"), label(True)
    ('3', '3', 'True')
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)
