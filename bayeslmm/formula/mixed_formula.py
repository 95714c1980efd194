"""lme4-style formulas as values: text in, a frozen `MixedFormula` out; no data involved.

The fixed part is formulaic's language. What formulaic lacks, the bars, is read here:

=================  =============================================================================
``(1 | g)``        an intercept that varies over the levels of `g`
``(x | g)``        intercept and slope, correlated; the intercept is implicit, as in lme4
``(0 + x | g)``    a slope alone
``(x || g)``       every column with a variance of its own and no correlation
``(f | g)``        a categorical `f`: intercept and treatment contrasts, correlated
``(0 + f | g)``    one column for each category
``(1 | a/b)``      nested: ``(1 | a) + (1 | a:b)``
``(1 | a:b)``      the combinations of `a` and `b`
``s(x)``           a smooth curve, ``s(x, by=f)`` one for each level of `f`
``(1 |p| g)``      terms of one label and factor: their columns are those of one term
``mvbind(y, z)``   left of the tilde: several responses, one formula; or ``y ~ x; z ~ w``
=================  =============================================================================

``(f || g)`` with a categorical `f` has uncorrelated columns here. lme4 (Bates et al., 2015) splits
``||`` by terms of the formula, not by columns, so there the columns of one categorical stay
correlated.

References
----------
Bates, D., Maechler, M., Bolker, B. & Walker, S. (2015). Fitting linear mixed-effects models using
lme4. Journal of Statistical Software 67(1). https://doi.org/10.18637/jss.v067.i01
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from bayeslmm.errors import FormulaError, names_keywords
from bayeslmm.formula.calls import Expression
from bayeslmm.formula.expand import TermSet, expand
from bayeslmm.formula.grammar import parse_side
from bayeslmm.formula.labels import Barred, merge_labelled
from bayeslmm.formula.nodes import Bars, Node, Number, Offset, Smooth, Sum, Variable, unwrap, walk
from bayeslmm.formula.random_terms import RandomTerm, columns_of, flatten, random_terms
from bayeslmm.formula.responses import JOIN, SEPARATOR, responses_apart
from bayeslmm.formula.smooth_terms import SmoothTerm, smooth_term
from bayeslmm.formula.tokens import tokenize

if TYPE_CHECKING:
    from bayeslmm.formula.nodes import Atom
    from bayeslmm.formula.tokens import Token

_WRAPPERS = ("bf", "brmsformula", "formula", "as.formula")


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
    smooths : tuple of SmoothTerm
        The smooths, likewise.
    text : str
        The formula as the user wrote it; not part of the value.
    atoms, sides : mapping from str
        What `parse_formula` read, by its canonical text: response, offsets and what smooths are
        functions of; the columns of the
        fixed part and of each random-effects term. Not part of the value: what is not here is
        parsed when it is needed.
    """

    response: str
    fixed: str
    offsets: tuple[str, ...]
    random: tuple[RandomTerm, ...]
    smooths: tuple[SmoothTerm, ...] = ()
    text: str = field(default="", compare=False, repr=False)
    atoms: Mapping[str, Atom] = field(default_factory=dict, compare=False, repr=False)
    sides: Mapping[str, TermSet] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.response} ~ {self.spelt([str(term) for term in self.random])}"

    def spelt(self, random: Sequence[str]) -> str:
        """Return the right-hand side with these terms in bars, canonically spelt."""
        offsets = [f"offset({inside})" for inside in self.offsets]
        return " + ".join([self.fixed, *offsets, *map(str, self.smooths), *random])


@dataclass(frozen=True, slots=True)
class StackedFormula(MixedFormula):
    """Formulas of several responses, or the one of all categories of a response.

    What it has of a `MixedFormula` is of all responses together: their names, and their terms in
    bars.

    Attributes
    ----------
    parts : tuple of MixedFormula
        One for each response.
    """

    parts: tuple[MixedFormula, ...] = ()

    @classmethod
    def of(cls, parts: Sequence[MixedFormula], text: str) -> StackedFormula:
        """Return the formulas of several responses as one value.

        Raises
        ------
        FormulaError
            If a response stands twice, or a part has a smooth.
        """
        for part in parts:
            if part.smooths:
                raise FormulaError(
                    f"{part.smooths[0]} stands beside several responses or categories, and smooths "
                    "are of one: a curve of few columns is poly(x, 2).",
                    part.text or str(part),
                    part.smooths[0].span if part.text else None,
                )
        named = [part.response for part in parts]
        if twice := [name for k, name in enumerate(named) if name in named[:k]]:
            raise FormulaError(f"The response {twice[0]!r} stands twice.", text)
        return cls(
            response=named[0] if len(named) == 1 else f"{JOIN}({', '.join(named)})",
            fixed=parts[0].fixed,
            offsets=(),
            random=tuple(term for part in parts for term in part.random),
            text=text,
            parts=tuple(parts),
        )

    def __str__(self) -> str:
        rights = [part.spelt([term.labelled for term in part.random]) for part in self.parts]
        if len(set(rights)) == 1:
            return f"{self.response} ~ {rights[0]}"
        pairs = zip(self.parts, rights, strict=True)
        return f"{SEPARATOR} ".join(f"{part.response} ~ {right}" for part, right in pairs)


@names_keywords
def parse_formula(text: str | Sequence[str]) -> MixedFormula:
    """Return an lme4-style formula as a value.

    Parameters
    ----------
    text : str or sequence of str
        For example ``"Reaction ~ Days + (Days | Subject)"``. Left of ``~`` a column or a call such
        as ``log(y)``; right of it the fixed part, ``offset()`` and terms in bars. Of several
        responses ``"mvbind(y, z) ~ x + (1 |p| g)"``, or a formula for each: a list of them, or one
        text with semicolons between them.

    Returns
    -------
    MixedFormula
        ``str()`` of it is the canonical formula; parsing that gives an equal value. Of several
        responses a `StackedFormula`.

    Raises
    ------
    FormulaError
        With a caret under the culprit, if the text is not a formula.

    References
    ----------
    Bates et al. (2015), section 2. https://doi.org/10.18637/jss.v067.i01

    Examples
    --------
    >>> print(parse_formula("Reaction ~ Days + (Days | Subject)"))
    Reaction ~ 1 + Days + (1 + Days | Subject)
    >>> [term.factor for term in parse_formula("y ~ x + (1 | a/b)").random]
    ['a', 'a:b']
    >>> print(parse_formula(["y ~ x + (1 |p| g)", "log(z) ~ 1 + (1 |p| g)"]))
    y ~ 1 + x + (1 |p| g); log(z) ~ 1 + (1 |p| g)
    """
    if isinstance(text, Sequence) and not isinstance(text, str) and len(text) > 1:
        text = f"{SEPARATOR} ".join(_one_text(one) for one in text)
    if not isinstance(text, str):
        raise FormulaError(_no_text(text))
    if not text.strip():
        raise FormulaError("The formula is empty; write for example 'y ~ x + (1 | g)'.")
    try:
        apart = responses_apart(text)
        parts = [_parse(one) for one in apart]
        return parts[0] if len(parts) == 1 else StackedFormula.of(parts, text)
    except RecursionError:
        raise FormulaError("The formula is nested too deeply to read.", text) from None


def _one_text(given: object) -> str:
    if not isinstance(given, str):
        raise FormulaError(_no_text(given))
    return given


def _no_text(given: object) -> str:
    swapped = isinstance(given, Mapping) or hasattr(given, "columns")
    order = " The formula comes first, then the data: f('y ~ x + (1 | g)', data)." * swapped
    return f"A formula is text, not {type(given).__name__}.{order}"


def _parse(text: str) -> MixedFormula:
    if not text.strip():
        raise FormulaError("Nothing stands beside a semicolon: a formula for each response.", text)
    left, right = _sides(tokenize(text), text)
    parts: list[tuple[str, Node]] = []
    offsets: list[Atom] = []
    barred: list[Barred] = []
    smooths: list[tuple[SmoothTerm, Atom]] = []
    side, response = parse_side(right, text), _response(left, text)
    _refuse_response_as_predictor(response, side, text)
    for sign, part in flatten(side, text):
        if isinstance(part, Bars):
            barred.append(Barred(part, columns_of(part, text)))
        elif isinstance(part, Offset):
            offsets.append(part.inside)
        elif isinstance(part, Smooth):
            smooths.append(smooth_term(part, text))
        else:
            parts.append((sign, part))
    _refuse_twice([term for term, _ in smooths], text)
    barred = merge_labelled(barred, text)
    random = [term for one in barred for term in random_terms(one.bars, str(one.columns), text)]
    span = (right[0].span[0], right[-1].span[1])
    fixed = expand(Sum(tuple(parts) or (("+", Number(1, span)),), span), text)
    return MixedFormula(
        response=response.text,
        fixed=str(fixed),
        offsets=tuple(offset.text for offset in offsets),
        random=tuple(random),
        smooths=tuple(term for term, _ in smooths),
        text=text,
        atoms={atom.text: atom for atom in (response, *offsets, *(x for _, x in smooths))},
        sides={str(side): side for side in (fixed, *(one.columns for one in barred))},
    )


def _refuse_twice(smooths: list[SmoothTerm], text: str) -> None:
    seen: set[str] = set()
    for term in smooths:
        if term.name in seen:
            message = f"{term.name} stands twice: the two curves cannot be told apart."
            raise FormulaError(message, text, term.span)
        seen.add(term.name)


def _sides(tokens: list[Token], text: str) -> tuple[list[Token], list[Token]]:
    wrapped = tokens[0].value in _WRAPPERS and tokens[1:2] and tokens[1].is_operator("(")
    if wrapped:
        name = tokens[0].value
        # brms's, of formulas whose coefficients stand inside functions.
        if curved := next((token.span for token in tokens if token.value == "nl"), None):
            raise FormulaError(
                "Formulas are linear in their coefficients. A curve of a column is s(x), or "
                "poly(x, 2), or a function without coefficients inside, as log(x); for asymptotes, "
                "rates and the like as parameters use brms, or nlme in R.",
                text,
                curved,
            )
        raise FormulaError(
            f"The formula stands here by itself, without {name}() around it.", text, tokens[0].span
        )
    tildes = [i for i, token in enumerate(tokens) if token.is_operator("~")]
    if not tildes:
        equals = next((token.span for token in tokens if token.is_operator("=")), None)
        raise FormulaError("No '~' between response and predictors, as in 'y ~ x'.", text, equals)
    if len(tildes) > 1:
        raise FormulaError("A formula has one '~'.", text, tokens[tildes[1]].span)
    left, right = tokens[: tildes[0]], tokens[tildes[0] + 1 :]
    span = tokens[tildes[0]].span
    if not left:
        raise FormulaError("No response stands before the '~'.", text, span)
    if not right:
        raise FormulaError("Nothing stands after the '~'; write 1 for an intercept.", text, span)
    return left, right


# What brms says behind the response's bar, and where it is said here.
BESIDE = {
    "se": "Known standard errors are an argument of the fit, beside the formula: se=, their "
    "column; with sigma='~ 1' there is a sigma besides.",
    "cens": "Censoring is an argument of the fit, beside the formula: cens=, the column, with 1 or "
    "'right' where the response is larger than what was seen; ends of intervals are y2=.",
    "mi": "A missing response takes no word: of several responses, mvbind(a, b) ~ ..., rows count "
    "with those that they have.",
    "rate": "An exposure is a part of the linear predictor: 'count ~ x + offset(log(exposure))'.",
    "trunc": "Truncated counts that are never zero are a family, family='truncated_poisson' or "
    "'truncated_negbinomial', without trunc(); other bounds are not there.",
}
OF_WEIGHTS = (
    "The response stands left of the '~' by itself. Precisions of rows are an argument of the fit, "
    "weights='w', with Var(e) = sigma^2 / w. brms's weights(w) counts a row w times instead: that "
    "is likweights='w'."
)
OF_SURV = (
    "Times stand left of the '~' by themselves, 'time ~ ...', with family='weibull' and cens=, a "
    "column that is 1 where a time is censored: table['censored'] = table['status'] == 0 of "
    "Surv(time, status)."
)


def _response(tokens: list[Token], text: str) -> Atom:
    if tokens[0].value == "cbind":
        raise FormulaError(_of_cbind(tokens, text), text, tokens[0].span)
    if tokens[0].value == "Surv":
        raise FormulaError(OF_SURV, text, tokens[0].span)
    bar = next((token for token in tokens if token.is_operator("|")), None)
    if bar is not None and not tokens[0].is_operator("("):
        if (trials := _trials(tokens, text)) is not None:
            left = text[tokens[0].span[0] : bar.span[0]].strip()
            raise FormulaError(
                "Numbers of trials are an argument of the fit, beside the formula: write "
                f"'{left} ~ ...' with family='binomial', trials={trials}.",
                text,
                bar.span,
            )
        called = [a.value for a, b in pairwise(tokens) if b.is_operator("(")]
        word = next((name for name in called if name in BESIDE), "")
        raise FormulaError(BESIDE.get(word, OF_WEIGHTS), text, bar.span)
    side = parse_side(tokens, text)
    match unwrap(side):
        case Variable() | Expression() as response:
            return response
        case _ if any(isinstance(node, (Bars, Offset, Smooth)) for node in walk(side)):
            message = "Random effects, smooths and offsets stand right of the '~'."
        case _ if len({v for n in walk(side) if isinstance(n, Variable) for v in n.variables}) > 1:
            message = (
                "Two columns: for a response computed from them write I(a + b) ~ ...; of two "
                "responses, mvbind(a, b) ~ ..."
            )
        case _:
            message = "The response is a column or a call, as in log(y) or I(y / 100)."
    raise FormulaError(message, text, side.span)


def _of_cbind(tokens: list[Token], text: str) -> str:
    """Return what to write for R's cbind(successes, failures), or for several responses."""
    inside = text[tokens[1].span[1] : tokens[-1].span[0]] if len(tokens) > 2 else ""
    successes, _, failures = (part.strip() for part in inside.partition(","))
    total, _, less = (part.strip() for part in failures.partition("-"))
    if less == successes and total.isidentifier():
        given = f"trials={total!r}"
    else:
        given = "trials='n' and the column n = successes + failures in the table"
    return (
        "R's cbind(successes, failures) is the successes alone here, "
        f"'{successes or 'successes'} ~ ...', with family='binomial', {given}; two measurements "
        "are mvbind(a, b)."
    )


def _trials(tokens: list[Token], text: str) -> str | None:
    """Return brms's trials(n) on the left-hand side as the argument that stands for it here."""
    place = next((i for i, token in enumerate(tokens) if token.value == "trials"), None)
    if place is None or not tokens[place + 1 : place + 2] or len(tokens) < place + 4:
        return None
    closing = next(token for token in tokens[place:] if token.is_operator(")"))
    inside = text[tokens[place + 1].span[1] : closing.span[0]].strip()
    return inside if inside.isdigit() else repr(inside.strip("`"))


def _refuse_response_as_predictor(response: Atom, side: Sum, text: str) -> None:
    # A response of several columns may depend on one of them: a change, on where it began.
    if len(set(response.variables)) != 1:
        return
    name = response.variables[0]
    for node in walk(side):
        atom = node.inside if isinstance(node, Offset) else node
        if isinstance(node, Smooth):
            by = [value for option, value in node.options if option.value == "by"]
            atom = Variable(by[0][0].value, node.span) if by else node
        if isinstance(atom, (Variable, Expression)) and name in atom.variables:
            where = "stands on the right of the '~' too"
            if isinstance(response, Expression):
                where = f"is computed from {name!r}, which {where}"
            raise FormulaError(
                f"The response {response.text!r} {where}: it would explain itself.", text, node.span
            )
