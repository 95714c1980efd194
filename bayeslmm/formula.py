"""lme4-style formulas as values: text in, a frozen `MixedFormula` out; no data involved."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RandomTerm:
    """One ``(columns | factor)`` of a formula, nesting already expanded.

    Attributes
    ----------
    columns : str
        Right-hand-side text of the columns in canonical form, e.g. ``"1 + Days"``.
    variables : tuple of str
        The variables whose combinations are the levels: ``("Subject",)``, or ``("a", "b")`` for
        the factor ``a:b``.
    correlated : bool
        False for ``||``: every column then has a variance of its own and no correlations.
    span : tuple of int
        Where the term stands in the formula's text; not part of the value.
    """

    columns: str
    variables: tuple[str, ...]
    correlated: bool = True
    span: tuple[int, int] = field(default=(0, 0), compare=False, repr=False)

    @property
    def factor(self) -> str:
        """Name of the grouping factor, e.g. ``"Subject"`` or ``"a:b"``."""
        return ":".join(self.variables)


@dataclass(frozen=True, slots=True)
class MixedFormula:
    """A parsed mixed-model formula.

    Attributes
    ----------
    response : str
        Text of the response, e.g. ``"Reaction"`` or ``"log(Reaction)"``.
    fixed : str
        Right-hand side of the fixed part in canonical form, without offsets.
    offsets : tuple of str
        Expressions inside ``offset()``; their sum is added to the linear predictor.
    random : tuple of RandomTerm
        The random-effects terms in the order in which they were written.
    text : str
        The formula as the user wrote it; not part of the value.
    """

    response: str
    fixed: str
    offsets: tuple[str, ...]
    random: tuple[RandomTerm, ...]
    text: str = field(default="", compare=False, repr=False)
