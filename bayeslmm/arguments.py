"""What callers give as names, probabilities, numbers and paths, checked or refused by name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
