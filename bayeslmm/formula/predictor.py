"""A formula of one of a family's parameters, such as ``zi="~ x + (1 | g)"``: its predictor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError
from bayeslmm.formula.expand import TermSet, expand
from bayeslmm.formula.grammar import parse_side
from bayeslmm.formula.nodes import Bars, Number, Offset, Smooth, Sum
from bayeslmm.formula.random_terms import RandomTerm, columns_of, flatten, random_terms
from bayeslmm.formula.tokens import tokenize

if TYPE_CHECKING:
    from bayeslmm.formula.nodes import Atom, Node

EXPLAINS_ITSELF = "The response's column {0!r} stands in {1}= too: it would explain itself."


@dataclass(frozen=True, slots=True)
class PredictorTerms:
    """What stands in the formula of a parameter.

    Attributes
    ----------
    parameter : str
        Whose predictor it is, e.g. ``"zi"``.
    fixed : TermSet
        Columns with coefficients.
    offsets : tuple of Variable or Expression
        To be added up.
    effects : tuple of (RandomTerm, TermSet)
        Terms in bars, nesting expanded.
    text : str
        The formula as the user wrote it; not part of the value.
    """

    parameter: str
    fixed: TermSet
    offsets: tuple[Atom, ...] = ()
    effects: tuple[tuple[RandomTerm, TermSet], ...] = ()
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        """Return the canonical right-hand side."""
        offsets = [f"offset({atom.text})" for atom in self.offsets]
        return " + ".join([str(self.fixed), *offsets, *(str(term) for term, _ in self.effects)])

    @property
    def is_constant(self) -> bool:
        """Whether it says no more than that the parameter is one number."""
        return str(self) == "1"

    @property
    def atoms(self) -> tuple[Atom, ...]:
        """Columns and calls that are read as numbers or categories, also left of bars."""
        sides = [self.fixed, *(columns for _, columns in self.effects)]
        return (*(atom for side in sides for atom in side.atoms), *self.offsets)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the columns that those read."""
        return tuple(dict.fromkeys(name for atom in self.atoms for name in atom.variables))

    @property
    def grouping(self) -> tuple[str, ...]:
        """Names of the columns right of the bars."""
        return tuple(dict.fromkeys(v for term, _ in self.effects for v in term.grouping))

    @property
    def factors(self) -> tuple[str, ...]:
        """Grouping factors of its random effects, each once."""
        return tuple(dict.fromkeys(term.factor for term, _ in self.effects))

    def only(self, factors: tuple[str, ...]) -> PredictorTerms:
        """Return the terms without effects of other grouping factors."""
        return replace(self, effects=tuple(p for p in self.effects if p[0].factor in factors))


def parse_predictor(parameter: str, text: str, response: Atom | None = None) -> PredictorTerms:
    """Return what stands in ``"~ 0 + group"``, ``"zi ~ x"`` or ``"~ x + (1 | subject)"``.

    Parameters
    ----------
    parameter : str
        Whose formula it is.
    text : str
        The formula.
    response : Variable or Expression, optional
        Of the model: the formula must not read it.

    Returns
    -------
    PredictorTerms

    Raises
    ------
    FormulaError
        If it is no such formula, or the response stands in it.

    Examples
    --------
    >>> terms = parse_predictor("zi", "~ x + (1 | subject)")
    >>> str(terms), terms.variables, terms.factors
    ('1 + x + (1 | subject)', ('x',), ('subject',))
    """
    if not isinstance(text, str) or not text.strip():
        raise FormulaError(f"{parameter}= is a formula such as '~ x + (1 | g)': its predictor.")
    tokens = tokenize(text)
    called = {parameter, *({"dispersion"} if parameter == "sigma" else set())}
    named = len(tokens) > 1 and tokens[0].value in called
    tokens = tokens[1:] if named and tokens[1].is_operator("~") else tokens
    if not tokens or not tokens[0].is_operator("~"):
        raise FormulaError(
            f"The formula of {parameter} begins with a tilde, as in '~ 0 + group'.",
            text,
            tokens[0].span,
        )
    side = parse_side(tokens[1:], text)
    parts: list[tuple[str, Node]] = []
    offsets: list[Atom] = []
    effects: list[tuple[RandomTerm, TermSet]] = []
    for sign, part in flatten(side, text):
        if isinstance(part, Bars):
            varying = columns_of(part, text)
            terms = random_terms(part, str(varying), text)
            _require_plain(terms[0], part, text, parameter)
            effects += [(term, varying) for term in terms]
        elif isinstance(part, Smooth):
            raise FormulaError(
                f"There is no smooth in {parameter}: a curve of few columns is poly(x, 2).",
                text,
                part.span,
            )
        elif isinstance(part, Offset):
            offsets.append(part.inside)
        else:
            parts.append((sign, part))
    fixed = expand(Sum(tuple(parts) or (("+", Number(1, side.span)),), side.span), text)
    found = PredictorTerms(parameter, fixed, tuple(offsets), tuple(effects), text)
    if response is not None:
        _refuse_response(found, response)
    return found


def _refuse_response(terms: PredictorTerms, response: Atom) -> None:
    # As on the right of the formula: of several columns, each may explain the others.
    if len(set(response.variables)) != 1:
        return
    (name,) = set(response.variables)
    for atom in terms.atoms:
        if name in atom.variables:
            message = EXPLAINS_ITSELF.format(name, terms.parameter)
            raise FormulaError(message, terms.text, atom.span)


def _require_plain(term: RandomTerm, bars: Bars, text: str, parameter: str) -> None:
    """Raise unless effects have a G of their own, unstructured or diagonal."""
    plain = replace(term, structure="us", by=None, cov=None, several=False, weights=())
    if bars.label:
        raise FormulaError(
            f"The label {bars.label} would correlate these effects with those of other terms, as "
            f"of the mean; effects in {parameter} are independent of them: write one bar, (1 | g).",
            text,
            bars.span,
        )
    if plain != term:
        raise FormulaError(
            f"Effects in {parameter} have a G that is unstructured, (x | g), or diagonal, "
            "(x || g): structures, gr() and mm() are of effects in the mean.",
            text,
            bars.span,
        )
