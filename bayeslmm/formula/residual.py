"""What stands beside a formula of the residuals: their correlation, and their standard deviation.

``residual="ar1(week | subject)"`` is R in the language of mmrm and SAS; a wrapper inside the
formula itself always means G, as in lme4 and glmmTMB. ``sigma="~ 0 + arm"`` is the logarithm of
the residual standard deviation, of which ``sigma="~ x + (1 | subject)"`` has random effects, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.errors import FormulaError, nearest
from bayeslmm.formula.predictor import EXPLAINS_ITSELF, PredictorTerms, parse_predictor
from bayeslmm.formula.tokens import Token, quote, tokenize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.formula.expand import TermSet
    from bayeslmm.formula.nodes import Atom
    from bayeslmm.formula.random_terms import RandomTerm

# Structures by name, and what each of them reads as time: labels of visits, whole numbers, reals.
KINDS: Mapping[str, str] = {
    "us": "visits",
    "cs": "any",
    "csh": "visits",
    "toep": "visits",
    "toeph": "visits",
    "ad": "visits",
    "adh": "visits",
    "ar1": "steps",
    "ar1h": "visits",
    "ou": "reals",
    "arma": "steps",
}
# Those with a standard deviation of each visit. As in mmrm, the others have one for all visits;
# ante-dependence of SAS, ANTE(1), is adh.
BY_VISIT = frozenset({"us", "csh", "toeph", "adh", "ar1h"})
# Other programs' names of the same structures.
_ALSO = {"un": "us", "unstr": "us", "unstructured": "us", "cosy": "cs", "car1": "ou",
         "sp_exp": "ou", "ar": "ar1", "ante": "adh"}  # fmt: skip
# nlme's classes, which are called in another way.
_OF_NLME = {"corar1": "ar1", "corcar1": "ou", "corexp": "ou", "corcompsymm": "cs", "corsymm": "us",
            "corarma": "arma"}  # fmt: skip
_OPTIONS = {"arma": ("p", "q")}


@dataclass(frozen=True, slots=True)
class Correlation:
    """A residual structure as it is written: ``kind(time | by/group, option=...)``.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    time : str or None
        Column of visits or times; None where the structure needs none, as ``cs(1 | subject)``.
    group : str
        Column within whose values residuals are correlated.
    by : str or None
        Column that has parameters of its own for each of its values, in which groups are nested.
    options : mapping of str to int
        Orders, such as p and q of ``arma``.
    """

    kind: str
    time: str | None
    group: str
    by: str | None = None
    options: Mapping[str, int] = field(default_factory=dict)

    @property
    def variables(self) -> tuple[str, ...]:
        """Columns that it reads."""
        named = (self.time, self.by, self.group)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def __str__(self) -> str:
        """Return the canonical spelling."""
        time = "1" if self.time is None else quote(self.time)
        nested = f"{quote(self.by)}/" if self.by is not None else ""
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return f"{self.kind}({time} | {nested}{quote(self.group)}{options})"


@dataclass(frozen=True, slots=True)
class ResidualTerms:
    """What is said of the residuals.

    Attributes
    ----------
    correlation : Correlation or None
        None where residuals are independent.
    sigma : TermSet or None
        Columns of the logarithm of their standard deviation; None where it is one number, random
        effects left aside.
    asked : bool
        Whether sigma was spoken of: beside known standard errors there is none otherwise.
    effects : tuple of (RandomTerm, TermSet)
        Terms in bars of the formula of sigma: random effects in its logarithm.
    text : str
        The formula of sigma as the user wrote it; not part of the value.
    """

    correlation: Correlation | None
    sigma: TermSet | None
    asked: bool = False
    effects: tuple[tuple[RandomTerm, TermSet], ...] = ()
    text: str = field(default="", compare=False, repr=False)

    @property
    def sigma_text(self) -> str | None:
        """Right-hand side of sigma's formula, canonically spelt; None where it is one number."""
        if self.sigma is None and not self.effects:
            return None
        fixed = "1" if self.sigma is None else str(self.sigma)
        return " + ".join([fixed, *(str(term) for term, _ in self.effects)])

    @property
    def texts(self) -> tuple[str, ...]:
        """What is said, each canonically spelt."""
        said = () if self.correlation is None else (str(self.correlation),)
        return said if self.sigma_text is None else (*said, f"~ {self.sigma_text}")

    @property
    def sigma_variables(self) -> tuple[str, ...]:
        """Columns that the formula of sigma reads as numbers or categories."""
        return tuple(dict.fromkeys(v for atom in self.sigma_atoms for v in atom.variables))

    @property
    def sigma_atoms(self) -> tuple[Atom, ...]:
        """Columns and calls of the formula of sigma, also those left of its bars."""
        sides = [] if self.sigma is None else [self.sigma]
        sides += [columns for _, columns in self.effects]
        return tuple(atom for side in sides for atom in side.atoms)

    @property
    def sigma_factors(self) -> tuple[str, ...]:
        """Grouping factors of the random effects in log(sigma), each once."""
        return tuple(dict.fromkeys(term.factor for term, _ in self.effects))

    @property
    def sigma_grouping(self) -> tuple[str, ...]:
        """Columns right of the bars of the formula of sigma."""
        return tuple(dict.fromkeys(v for term, _ in self.effects for v in term.variables))

    @property
    def correlation_variables(self) -> tuple[str, ...]:
        """Columns that the correlation reads."""
        return () if self.correlation is None else self.correlation.variables


def residual_terms(
    residual: str | None, sigma: str | None, response: Atom | None = None
) -> ResidualTerms | None:
    """Return what two arguments say of the residuals; None where they say nothing.

    Parameters
    ----------
    residual : str, optional
        Such as ``"ar1(week | subject)"``.
    sigma : str, optional
        Such as ``"~ 0 + arm"``.
    response : Variable or Expression, optional
        Of the model: neither of them may read it.

    Raises
    ------
    FormulaError
        With a caret.

    Examples
    --------
    >>> terms = residual_terms("toep(visit | arm/subject)", "sigma ~ x")
    >>> str(terms.correlation), str(terms.sigma)
    ('toep(visit | arm/subject)', '1 + x')
    >>> residual_terms(None, None) is None
    True
    """
    correlation = None if residual is None else parse_correlation(residual)
    said = None if sigma is None else parse_sigma(sigma, response)
    columns, effects = (None, ()) if said is None else (said.fixed, said.effects)
    if columns is not None and str(columns) == "1":
        columns = None
    of_sigma = columns is not None or bool(effects)
    if of_sigma and correlation is not None and correlation.kind in BY_VISIT:
        raise FormulaError(
            f"{correlation.kind}() has a standard deviation for each visit: leave sigma= out. A "
            "structure without the h, such as cs(), takes a formula of sigma; by arm, write "
            f"{correlation.kind}({correlation.time} | arm/{correlation.group}).",
            str(sigma),
            (0, len(str(sigma))),
        )
    if correlation is None and sigma is None:
        return None
    terms = ResidualTerms(correlation, columns, sigma is not None, effects, sigma or "")
    if response is not None:
        _refuse_response(correlation, response, residual)
    return terms


def _refuse_response(correlation: Correlation | None, response: Atom, residual: str | None) -> None:
    # As on the right of the formula: of several columns, each may explain the others.
    if correlation is None or residual is None or len(set(response.variables)) != 1:
        return
    (name,) = set(response.variables)
    if name in correlation.variables:
        named = [token.span for token in tokenize(residual)[2:] if token.value == name]
        raise FormulaError(EXPLAINS_ITSELF.format(name, "residual"), residual, named[0])


def parse_sigma(text: str, response: Atom | None = None) -> PredictorTerms:
    """Return what stands in ``"~ 0 + group"``, ``"sigma ~ x"`` or ``"~ x + (1 | subject)"``.

    Raises
    ------
    FormulaError
        If it is no such formula, or the response stands in it.

    Examples
    --------
    >>> terms = parse_sigma("~ x + (1 | subject)")
    >>> str(terms.fixed), terms.factors
    ('1 + x', ('subject',))
    """
    terms = parse_predictor(names.SIGMA, text, response)
    for term, _ in terms.effects:
        if term.label:
            raise FormulaError(
                f"The label {term.label} would correlate these effects with those of other terms, "
                "as of the mean; effects in the sigma of residuals are independent of them: write "
                "one bar, (1 | g).",
                text,
                term.span,
            )
    if terms.offsets:
        start, end = terms.offsets[0].span
        raise FormulaError(
            "An offset of log(sigma) is not fitted: give the column a slope, as in '~ x'; of "
            "known standard errors se= is the argument.",
            text,
            (text.rindex("offset", 0, start), text.index(")", end) + 1),
        )
    if not (terms.fixed.intercept or terms.fixed.terms):
        raise FormulaError(_without_columns(terms.effects), text, (0, len(text)))
    return terms


def _without_columns(effects: Sequence[tuple[RandomTerm, TermSet]]) -> str:
    """Say what a formula of sigma without an intercept and columns lacks."""
    if effects:
        return (
            "Without an intercept the levels' sigmas would scatter around one unit of the "
            f"response: leave the 0 out, '~ {effects[0][0]}'."
        )
    return (
        "The formula of sigma has no column: '~ 1' is one sigma for all rows. Beside se= leave "
        "sigma= out, and known standard errors are all there is."
    )


def parse_correlation(text: str) -> Correlation:
    """Return a residual structure from its text.

    Raises
    ------
    FormulaError
        If it is none; the message says what is known.

    Examples
    --------
    >>> parse_correlation("car1(day | id)")
    Correlation(kind='ou', time='day', group='id', by=None, options={})
    """
    if not isinstance(text, str) or not text.strip():
        raise FormulaError("residual is a structure such as 'ar1(week | subject)'.")
    tokens = tokenize(text)
    shape = len(tokens) >= 6 and tokens[1].is_operator("(") and tokens[-1].is_operator(")")
    if not shape:
        raise FormulaError(
            "A residual structure is written as 'ar1(week | subject)'.", text, tokens[0].span
        )
    name = tokens[0].value
    kind = _ALSO.get(name, name)
    if kind not in KINDS:
        known = ", ".join(KINDS)
        meant = _OF_NLME.get(name.casefold())
        hint = nearest(name, [*KINDS, *_ALSO])
        hint = hint if meant is None else f" nlme's {name} is {meant}(time | group) here."
        raise FormulaError(
            f"There is no residual structure {name!r}.{hint} There are {known}.",
            text,
            tokens[0].span,
        )
    inside = tokens[2:-1]
    commas = [i for i, token in enumerate(inside) if token.is_operator(",")]
    ends = [*commas, len(inside)]
    options = _options(
        kind, [inside[a + 1 : b] for a, b in zip(commas, ends[1:], strict=True)], text
    )
    if options and not any(options.values()):
        raise FormulaError("An order p= or q= of at least one is due here.", text, tokens[0].span)
    time, by, group = _bar(inside[: ends[0]], text)
    return Correlation(kind, time, group, by, options)


def _bar(tokens: Sequence[Token], text: str) -> tuple[str | None, str | None, str]:
    bars = [i for i, token in enumerate(tokens) if token.is_operator("|")]
    if len(bars) != 1:
        raise FormulaError(
            "Time, a bar and the group: 'ar1(week | subject)'.", text, tokens[0].span
        )
    left, right = tokens[: bars[0]], tokens[bars[0] + 1 :]
    time = None if len(left) == 1 and left[0].value == "1" else _name(left, text)
    slashes = [i for i, token in enumerate(right) if token.is_operator("/")]
    if slashes:
        return time, _name(right[: slashes[0]], text), _name(right[slashes[0] + 1 :], text)
    return time, None, _name(right, text)


def _name(tokens: Sequence[Token], text: str) -> str:
    if len(tokens) == 1 and tokens[0].kind == "name":
        return tokens[0].value
    span = (tokens[0].span[0], tokens[-1].span[1]) if tokens else (len(text) - 1, len(text))
    raise FormulaError("A column's name is due here; compute it in the table.", text, span)


def _options(kind: str, parts: Sequence[Sequence[Token]], text: str) -> dict[str, int]:
    found = {}
    for part in parts:
        known = _OPTIONS.get(kind, ())
        plain = len(part) == 3 and part[1].is_operator("=") and part[2].value.isdigit()
        if not plain or part[0].value not in known:
            expected = " and ".join(f"{name}=" for name in known) or "no options"
            raise FormulaError(
                f"{kind}() takes {expected}, whole numbers.", text, part[0].span if part else None
            )
        found[part[0].value] = int(part[2].value)
    return {name: found.get(name, 1) for name in _OPTIONS.get(kind, ())}
