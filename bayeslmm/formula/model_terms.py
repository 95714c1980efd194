"""The terms of a `MixedFormula`: the columns and calls that have to be evaluated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.errors import FormulaError
from bayeslmm.formula.calls import Expression
from bayeslmm.formula.expand import TermSet, expand
from bayeslmm.formula.grammar import parse_side
from bayeslmm.formula.mixed_formula import StackedFormula
from bayeslmm.formula.nodes import Atom, Variable
from bayeslmm.formula.tokens import find_variable, tokenize

if TYPE_CHECKING:
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.formula.predictor import PredictorTerms
    from bayeslmm.formula.random_terms import RandomTerm
    from bayeslmm.formula.residual import ResidualTerms
    from bayeslmm.formula.smooth_terms import SmoothTerm


@dataclass(frozen=True, slots=True)
class ModelTerms:
    """The terms of a formula, and the columns of a table that they read.

    Attributes
    ----------
    formula : MixedFormula
        Where it came from.
    response : Variable or Expression
        Left of the tilde.
    fixed : TermSet
        The fixed part.
    offsets : tuple of Variable or Expression
        To be added up.
    random : tuple of (RandomTerm, TermSet)
        The terms in bars.
    smooths : tuple of (SmoothTerm, Variable or Expression)
        Smooths, and what they are functions of.
    residual : ResidualTerms or None
        What is said of the residuals beside the formula.
    parameters : tuple of PredictorTerms
        What is said of the family's parameters beside it.
    """

    formula: MixedFormula
    response: Atom
    fixed: TermSet
    offsets: tuple[Atom, ...]
    random: tuple[tuple[RandomTerm, TermSet], ...]
    smooths: tuple[tuple[SmoothTerm, Atom], ...] = ()
    residual: ResidualTerms | None = None
    parameters: tuple[PredictorTerms, ...] = ()

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names of the columns that are read as predictors, parameters' among them, in order."""
        of_sigma = () if self.residual is None else self.residual.sigma_variables
        others = [name for one in self.parameters for name in one.variables]
        return _unique([*self.fixed_variables, *self.random_variables, *of_sigma, *others])

    @property
    def correlation_columns(self) -> tuple[str, ...]:
        """Names of the columns that the residuals' correlation reads."""
        return () if self.residual is None else self.residual.correlation_variables

    @property
    def parameter_grouping(self) -> tuple[str, ...]:
        """Names of the columns that stand right of the bars of parameters' formulas."""
        of_sigma = () if self.residual is None else self.residual.sigma_grouping
        return _unique([*of_sigma, *(name for one in self.parameters for name in one.grouping)])

    @property
    def fixed_variables(self) -> tuple[str, ...]:
        """Names of the columns that the fixed part, the offsets and the smooths read."""
        atoms = (*self.fixed.atoms, *self.offsets)
        return _unique([*(v for atom in atoms for v in atom.variables), *self.smooth_variables])

    @property
    def smooth_variables(self) -> tuple[str, ...]:
        """Names of the columns that the smooths read."""
        read = [
            (*x.variables, *(() if term.by is None else (term.by,))) for term, x in self.smooths
        ]
        return _unique([name for several in read for name in several])

    @property
    def random_variables(self) -> tuple[str, ...]:
        """Names of the columns that stand left of the bars."""
        return _unique(
            [v for _, columns in self.random for atom in columns.atoms for v in atom.variables]
        )

    @property
    def grouping(self) -> tuple[str, ...]:
        """Names of the columns that stand right of the bars."""
        return _unique([v for term, _ in self.random for v in term.grouping])

    @property
    def shares(self) -> tuple[str, ...]:
        """Names of the columns that weigh a row's several levels."""
        return _unique([v for term, _ in self.random for v in term.weights])

    def only(self, factors: tuple[str, ...] | None) -> ModelTerms:
        """Return the terms without random effects of other factors."""
        if factors is None:
            return self
        kept = tuple(pair for pair in self.random if pair[0].factor in factors)
        others = tuple(one.only(shared=factors) for one in self.parameters)
        return replace(self, random=kept, parameters=others)

    def only_in_parameters(self, factors: tuple[str, ...]) -> ModelTerms:
        """Return the terms without other effects in parameters than these, by their names."""

        def kept(parameter: str) -> tuple[str, ...]:
            lead = names.in_parameter(parameter, "")
            return tuple(f.removeprefix(lead) for f in factors if f.startswith(lead))

        residual = self.residual
        if residual is not None:
            wanted = kept(names.SIGMA)
            effects = tuple(pair for pair in residual.effects if pair[0].factor in wanted)
            residual = replace(residual, effects=effects)
        others = tuple(one.only(kept(one.parameter)) for one in self.parameters)
        return replace(self, residual=residual, parameters=others)

    def error(self, message: str, name: str) -> FormulaError:
        """Return an error with the caret under a column's name."""
        text = self.formula.text or str(self.formula)
        beside = () if self.residual is None else self.residual.texts
        for said in (text, *beside, *(one.text for one in self.parameters)):
            if (span := find_variable(said, name)) is not None:
                return FormulaError(message, said, span)
        return FormulaError(message, text)


def model_terms(formula: MixedFormula, residual: ResidualTerms | None = None) -> ModelTerms:
    """Return the terms of a formula.

    Parameters
    ----------
    formula : MixedFormula
        Parsed, or put together from text, which is parsed here.
    residual : ResidualTerms, optional
        What is said of the residuals beside it.

    Returns
    -------
    ModelTerms

    Examples
    --------
    >>> from bayeslmm.formula.mixed_formula import parse_formula
    >>> terms = model_terms(parse_formula("log(y) ~ x * z + (poly(t, 2) | g)"))
    >>> terms.predictors, terms.grouping
    (('x', 'z', 't'), ('g',))
    """
    if isinstance(formula, StackedFormula):
        raise FormulaError(
            f"This reads a formula of one response, and {formula.response} has several.",
            formula.text or str(formula),
        )
    _require_built(formula)
    _require_one_by(formula)
    return ModelTerms(
        formula=formula,
        response=_atom(formula, formula.response),
        fixed=_side(formula, formula.fixed),
        offsets=tuple(_atom(formula, text) for text in formula.offsets),
        random=tuple((term, _side(formula, term.columns)) for term in formula.random),
        smooths=tuple((term, _atom(formula, term.variable)) for term in formula.smooths),
        residual=residual,
    )


def require_independent_levels(terms: ModelTerms) -> None:
    """Raise where rows are to be summed batch by batch, and effects ask for the rows themselves.

    Those are of levels that are related or meet in rows, at positions, and effects in sigma.

    Parameters
    ----------
    terms : ModelTerms
        Of the formula.

    Raises
    ------
    FormulaError
        With the caret under the term.
    """
    for term, _ in terms.random:
        if term.cov is not None or term.several:
            which = "several of which a row has" if term.several else "with a known covariance"
            raise FormulaError(
                f"Sums over batches, or in an engine, are by levels of {term.factor!r}, and those "
                f"{which} need all rows in memory: read them into a table.",
                terms.formula.text or str(terms.formula),
                term.span if terms.formula.text else None,
            )
    if (said := terms.residual) is not None and said.effects:
        raise FormulaError(
            "Random effects in sigma are fitted to rows, and sums over batches, or in an engine, "
            "hold none: read the rows into a table.",
            said.text,
            said.effects[0][0].span,
        )


def _require_built(formula: MixedFormula) -> None:
    """Raise for what is read, and not fitted yet."""
    for term in formula.random:
        if term.by is None:
            continue
        group, kind = term.factor, term.structure
        unbuilt = {
            f"cov= beside by= is not there: (0 + {term.by} || gr({group}, cov={term.cov})) has a "
            f"variance for each level of {term.by!r}, and covariances within them.": term.cov,
            f"{kind}() of gr(by=) is not there: {kind}(... | {group}) has one covariance for all, "
            f"(... | gr({group}, by={term.by})) an unstructured one for each; or fit the rows of "
            f"each {term.by!r} by themselves.": kind != "us",
        }
        for message, there in unbuilt.items():
            if there:
                raise FormulaError(
                    message,
                    formula.text or str(formula),
                    term.span if formula.text else None,
                )


def _require_one_by(formula: MixedFormula) -> None:
    """Raise where two terms part the levels of one factor in two ways."""
    found: dict[str, str] = {}
    for term in formula.random:
        if term.by is not None and found.setdefault(term.factor, term.by) != term.by:
            raise FormulaError(
                f"The levels of {term.factor!r} are parted by {found[term.factor]!r} in one term "
                f"and by {term.by!r} in another: make a column of their combinations, and give "
                "that as by= in both.",
                formula.text or str(formula),
                term.span if formula.text else None,
            )


def _atom(formula: MixedFormula, text: str) -> Atom:
    if text in formula.atoms:
        return formula.atoms[text]
    ((_, part),) = parse_side(tokenize(text), text).parts
    if isinstance(part, (Variable, Expression)):
        return part
    raise FormulaError("Expected one column or one call.", text)


def _side(formula: MixedFormula, text: str) -> TermSet:
    if text in formula.sides:
        return formula.sides[text]
    return expand(parse_side(tokenize(text), text), text)


def _unique(listed: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(listed))
