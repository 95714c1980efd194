"""The exceptions and warnings of the package, split by who must act."""

from __future__ import annotations

import difflib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


# The whole package, whatever the depth of the file that warns.
_PACKAGE = (str(Path(__file__).parent),)


class BayesLMMError(Exception):
    """Root of every error that this package raises on purpose."""


class FormulaError(BayesLMMError, ValueError):
    """The formula's text must be changed.

    Parameters
    ----------
    message : str
        What is wrong and what to write instead.
    text : str, optional
        The formula; shown under the message.
    span : tuple of int, optional
        Start and end (exclusive) of the culprit in `text`; carets are drawn under it.
    """

    def __init__(
        self, message: str, text: str | None = None, span: tuple[int, int] | None = None
    ) -> None:
        self.message = message
        self.text = text
        self.span = span
        super().__init__(message + _caret(text, span))


class DataError(BayesLMMError, ValueError):
    """The table must be changed, or another one given."""


class PriorError(BayesLMMError, ValueError):
    """A prior must be stated differently."""


class NumericalError(BayesLMMError, ArithmeticError):
    """The computation left the range of floating-point numbers; rescale the data."""


class SamplingError(BayesLMMError, ValueError):
    """The sampler's settings must be changed."""


class ArgumentError(BayesLMMError, ValueError):
    """An argument of the call must be changed: an unknown choice, or a value out of range."""


class TreeError(BayesLMMError, ValueError):
    """A result tree lacks what the question needs, or was not made by this package."""


class SpecError(BayesLMMError, ValueError):
    """A model file (TOML) or a command-line argument must be changed."""


class BayesLMMWarning(UserWarning):
    """Root of every warning that this package issues."""


class DataWarning(BayesLMMWarning):
    """The data were used in a way that the user may not expect (rows or categories dropped)."""


class RankDeficiencyWarning(DataWarning):
    """Columns of the fixed effects were dropped because others already span them."""


class SingularFitWarning(BayesLMMWarning):
    """A variance component was estimated on the boundary of its space."""


class IdentificationWarning(BayesLMMWarning):
    """The data say nothing about a parameter: other values of it fit as well."""


class NumericalWarning(BayesLMMWarning):
    """A result was reached, but with less accuracy than asked for."""


class SamplingWarning(BayesLMMWarning):
    """The draws should not be trusted as they are; the message says what to try."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the caller's own line, however many of the package's functions lie between.

    Parameters
    ----------
    message : str
        What was done or found, and what can be done about it.
    category : type
        One of the warnings of this module.

    Examples
    --------
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn("Dropped 3 rows.", DataWarning)
    >>> print(caught[0].message)
    Dropped 3 rows.
    """
    warnings.warn(message, category, stacklevel=2, skip_file_prefixes=_PACKAGE)


def check_choice(argument: str, value: object, choices: Sequence[str]) -> None:
    """Raise unless an argument is one of its choices.

    Parameters
    ----------
    argument : str
        Its name.
    value : object
        What was given.
    choices : sequence of str
        What can be given.

    Raises
    ------
    ArgumentError
        If it is none of them; names the nearest.

    Examples
    --------
    >>> check_choice("missing", "dorp", ("drop", "raise"))
    Traceback (most recent call last):
    bayeslmm.errors.ArgumentError: missing is 'drop' or 'raise'; it was 'dorp'. Did you mean 'drop'?
    """
    if value not in choices:
        *others, last = map(repr, choices)
        listed = f"{', '.join(others)} or {last}" if others else last
        raise ArgumentError(
            f"{argument} is {listed}; it was {value!r}.{nearest(str(value), choices)}"
        )


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Return a hint such as ``" Did you mean 'Days'?"``, or an empty string.

    Parameters
    ----------
    name : str
        What was asked for.
    candidates : iterable of str
        What exists.

    Returns
    -------
    str
        The hint, with a leading space.

    Examples
    --------
    >>> nearest("Dyas", ["Reaction", "Days"])
    " Did you mean 'Days'?"
    """
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""


def _caret(text: str | None, span: tuple[int, int] | None) -> str:
    if text is None:
        return ""
    shown = text.replace("\n", " ").replace("\t", " ")
    if span is None:
        return f"\n    {shown}"
    start, end = span
    return f"\n    {shown}\n    {' ' * start}{'^' * max(end - start, 1)}"
