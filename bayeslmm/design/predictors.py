"""`ParameterRows`: the rows' columns of a predictor that one of the family's parameters has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.arguments import given_formulas
from bayeslmm.design.factors.gather import gather_parameter_factors
from bayeslmm.design.grouping import GroupingFactor
from bayeslmm.design.rank.identifiability import check_columns, check_levels, full_rank
from bayeslmm.design.scales import ColumnScale
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.families.ordinal.discrimination import DISC
from bayeslmm.families.parameters import check_formulas, with_modelled
from bayeslmm.families.tails.student import StudentT
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.formula.predictor import parse_predictor
from bayeslmm.formula.residual import residual_terms
from bayeslmm.formula.sharing import share
from bayeslmm.names import SIGMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.coding import TableCoder
    from bayeslmm.design.factors.gather import Told
    from bayeslmm.design.state import DesignState
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.formula.model_terms import ModelTerms
    from bayeslmm.formula.nodes import Atom
    from bayeslmm.formula.predictor import PredictorTerms


@dataclass(frozen=True, eq=False)
class ParameterRows:
    r"""The predictor of a parameter, as columns of rows.

    .. math:: g(\phi_i) = x_i' \gamma + o_i + \sum_k z_{ki}' b_k

    with the link g of `families.parameters.parameter_link`.

    Attributes
    ----------
    parameter : str
        Whose it is.
    text : str
        Right-hand side of its formula, canonically.
    columns : ndarray, shape (n, r)
        Columns x with coefficients.
    coef : tuple of str, length r
        Their names.
    offset : ndarray, shape (n,), or None
        Known part.
    factors : tuple of GroupingFactor
        Of its own random effects, named by `names.in_parameter`.
    shared : tuple of GroupingFactor
        Factors of the mean's formula some of whose effects are here, with their columns here.
    """

    parameter: str
    text: str
    columns: Floats
    coef: tuple[str, ...]
    offset: Floats | None = None
    factors: tuple[GroupingFactor, ...] = ()
    shared: tuple[GroupingFactor, ...] = ()

    @cached_property
    def fixed_scales(self) -> tuple[ColumnScale, ...]:
        """Means and spreads of its columns."""
        return tuple(map(ColumnScale.of, self.columns.T))

    @cached_property
    def scales(self) -> tuple[tuple[ColumnScale, ...], ...]:
        """Means and spreads of the columns of its effects, factor by factor."""
        return tuple(tuple(map(ColumnScale.of, f.columns.T)) for f in self.factors)

    def take(self, some: Ints | slice) -> ParameterRows:
        """Return some of the rows."""

        def of(factors: tuple[GroupingFactor, ...]) -> tuple[GroupingFactor, ...]:
            return tuple(replace(f, index=f.index[some], columns=f.columns[some]) for f in factors)

        return replace(
            self,
            columns=self.columns[some],
            offset=None if self.offset is None else self.offset[some],
            factors=of(self.factors),
            shared=of(self.shared),
        )

    def arrays(self) -> list[NDArray[Any]]:
        """Return all that a fit sees of it, in one order."""
        given: list[NDArray[Any] | None] = [self.columns, self.offset]
        for factor in (*self.factors, *self.shared):
            given += [factor.index, factor.columns]
        return [array for array in given if array is not None]


def predictor_factors(predictors: Iterable[ParameterRows]) -> tuple[GroupingFactor, ...]:
    """Return the grouping factors of random effects in parameters."""
    return tuple(factor for rows in predictors for factor in rows.factors)


def parameter_terms(
    family: Family, formulas: Mapping[str, Any], response: Atom | None = None
) -> tuple[PredictorTerms, ...]:
    """Return what formulas say of a family's parameters; nothing of those that are one number.

    Parameters
    ----------
    family : Family
        Whose.
    formulas : mapping of str to str or None
        By the parameters' names.
    response : Variable or Expression, optional
        Of the model: formulas must not read it.

    Raises
    ------
    ArgumentError
        If the family has no such parameter.
    FormulaError
        If a formula is none, or that of discrimination leaves out an intercept.
    """
    given = given_formulas(formulas)
    check_formulas(family, given)
    found = [parse_predictor(name, text, response) for name, text in given.items()]
    for terms in found:
        if terms.parameter == DISC and not terms.fixed.intercept:
            raise FormulaError(
                f"The formula of {DISC} has the scale of the thresholds in the place of an "
                "intercept, and coefficients are of differences: leave the 0 + (or - 1) out of it.",
                terms.text,
            )
    order = [parameter.name for parameter in with_modelled(family, given).parameters]
    found.sort(key=lambda terms: order.index(terms.parameter))
    return tuple(terms for terms in found if not terms.is_constant)


def share_effects(
    coder: TableCoder, factors: tuple[GroupingFactor, ...], predictors: tuple[ParameterRows, ...]
) -> tuple[tuple[GroupingFactor, ...], tuple[ParameterRows, ...]]:
    """Return factors with the columns that parameters' predictors share, and those predictors.

    Parameters
    ----------
    coder : TableCoder
        Of the rows.
    factors : tuple of GroupingFactor
        Of the mean's formula.
    predictors : tuple of ParameterRows
        Of the parameters.
    """
    by_name = {factor.name: factor for factor in factors}
    placed: list[tuple[str, str, tuple[str, ...], Floats]] = []
    for terms in coder.terms.parameters:
        for term, wanted in terms.shared:
            (whole,) = [w for t, w in coder.terms.random
                        if (t.shared, t.factor) == (term.shared, term.factor)]  # fmt: skip
            columns, called = coder.random(wanted)
            named = tuple(names.in_parameter(terms.parameter, name) for name in called)
            first = coder.column_names(whole)[0]
            by_name[term.factor] = _extended(by_name[term.factor], first, named, columns)
            placed.append((terms.parameter, term.factor, named, columns))
    found = []
    for rows in predictors:
        of_rows: dict[str, Floats] = {}
        for parameter, name, named, columns in placed:
            if parameter == rows.parameter:
                factor = by_name[name]
                here = of_rows.setdefault(name, np.zeros((len(columns), len(factor.terms))))
                here[:, [factor.terms.index(term) for term in named]] = columns
        shared = tuple(replace(by_name[n], columns=here) for n, here in of_rows.items())
        found.append(replace(rows, shared=shared))
    return tuple(by_name.values()), tuple(found)


def _extended(
    factor: GroupingFactor, first: str, named: tuple[str, ...], columns: Floats
) -> GroupingFactor:
    """Return a factor with columns that are zero here, in the block that has a term of this name.

    Raises
    ------
    DataError
        If a column of that name is there.
    """
    if twice := [name for name in named if name in factor.terms]:
        raise DataError(
            f"Two random-effect columns of {factor.name!r} are called {twice[0]!r}: rename that "
            "column of the table."
        )
    q, k, block = len(factor.terms), len(named), _block_with(factor, first)
    end = factor.blocks[block][-1] + 1
    moved = [place if place < end else place + k for place in range(q)]
    blocks = [tuple(moved[place] for place in own) for own in factor.blocks]
    blocks[block] = (*blocks[block], *range(end, end + k))
    scales = {moved[place]: scale for place, scale in factor.elsewhere.items()}
    for at, column in enumerate(columns.T):
        own = ColumnScale.of(column)
        size = own.scale()
        # No shift of an intercept by the mean of a column that is not beside it.
        scales[end + at] = replace(own, mean=0.0, squares=size**2 * max(own.n - 1, 1), low=-size,
                                   high=size)  # fmt: skip
    return replace(
        factor,
        columns=np.insert(factor.columns, [end] * k, 0.0, axis=1),
        terms=(*factor.terms[:end], *named, *factor.terms[end:]),
        blocks=tuple(blocks),
        elsewhere=scales,
    )


def _block_with(factor: GroupingFactor, term: str) -> int:
    place = factor.terms.index(term)
    return next(k for k, block in enumerate(factor.blocks) if place in block)


def kept_of(predictors: Iterable[ParameterRows], texts: Mapping[str, str]) -> dict[str, Any]:
    """Return what a state keeps of predictors whose formulas are these, effects apart."""
    return {
        "formulas": {rows.parameter: texts[rows.parameter] for rows in predictors},
        "parameter_coef": {rows.parameter: rows.coef for rows in predictors},
    }


def all_terms(
    mixed: MixedFormula,
    family: Family,
    said: tuple[str | None, str | None],
    formulas: Mapping[str, str],
) -> ModelTerms:
    """Return the terms of all formulas; those of residuals are of their correlation and sigma.

    Raises
    ------
    ArgumentError, FormulaError
        As `parameter_terms`, `residual_terms` and `share` do.
    """
    terms = model_terms(mixed)
    beside = residual_terms(*said, terms.response)
    others = parameter_terms(family, formulas, terms.response)
    return share(replace(terms, residual=beside, parameters=others))


def of_residuals(family: Family) -> bool:
    """Return whether a family's sigma is that of residuals, which `residual=` may correlate."""
    return family.gaussian_scale is not None or family.name == StudentT.name


def split_sigma(
    family: Family, sigma: str | None, formulas: Mapping[str, Any]
) -> tuple[str | None, dict[str, Any]]:
    """Return the formula of the residuals' sigma, and those of other parameters.

    A sigma that is a parameter like others, as of a family that is no residual distribution, is
    among the latter.
    """
    own = SIGMA in {parameter.name for parameter in family.parameters}
    if sigma is None or of_residuals(family) or not own:
        return sigma, dict(formulas)
    return None, {SIGMA: sigma, **formulas}


def code_predictors(
    coder: TableCoder, learnt: DesignState | None = None
) -> tuple[ParameterRows, ...]:
    """Return the columns of parameters' predictors of a table's rows.

    Parameters
    ----------
    coder : TableCoder
        Of the rows.
    learnt : DesignState, optional
        Of the training rows; of training rows themselves not given.

    Raises
    ------
    DataError
        If columns are spanned by others, or not those of the training rows.
    """
    return tuple(_code(coder, terms, learnt) for terms in coder.terms.parameters)


def _code(coder: TableCoder, terms: PredictorTerms, learnt: DesignState | None) -> ParameterRows:
    columns, coef = coder.columns_of_parameter(terms.fixed, terms.parameter)
    if learnt is None:
        _require_rank(columns, coef, coder.rows.n, terms.parameter)
    elif coef != learnt.parameter_coef[terms.parameter]:
        raise DataError(
            f"The state does not belong to this formula of {terms.parameter}: its columns differ."
        )
    told = (terms.parameter, terms.own, terms.text)
    factors = code_effects(coder, told, learnt)
    for factor in () if learnt is not None else factors:
        # By the name that the column has in the table.
        own = replace(factor, name=":".join(factor.variables))
        check_columns(own)
        check_levels(own)
    offset = coder.sum_of(terms.offsets) if terms.offsets else None
    return ParameterRows(terms.parameter, str(terms), columns, coef, offset, factors)


def _require_rank(columns: Floats, coef: tuple[str, ...], n: int, parameter: str) -> None:
    try:
        full_rank(columns, coef, n, "raise")
    except DataError as error:
        raise DataError(f"In the formula of {parameter}: {error}") from None


def code_effects(
    coder: TableCoder, told: Told, learnt: DesignState | None
) -> tuple[GroupingFactor, ...]:
    """Return the factors of effects in a parameter: of new rows all that the fit had.

    Parameters
    ----------
    coder : TableCoder
        Of the rows.
    told : tuple
        The parameter, the terms in bars of its formula, and its text.
    learnt : DesignState or None
        Of the training rows.

    Raises
    ------
    DataError
        If columns are not those of the training rows.
    """
    if learnt is None:
        return gather_parameter_factors(coder, told, None)
    parameter = told[0]
    found = {f.name: f for f in gather_parameter_factors(coder, told, learnt.parameter_levels)}
    if any(learnt.parameter_terms[name] != factor.terms for name, factor in found.items()):
        raise DataError(
            f"The state does not belong to this formula of {parameter}: its columns differ."
        )
    return tuple(
        found[name] if name in found else _left_out(name, learnt, coder.rows.n)
        for name in learnt.effects_in(parameter)
    )


def _left_out(name: str, learnt: DesignState, n: int) -> GroupingFactor:
    """Return a factor whose effects have no part in any of n rows."""
    terms = learnt.parameter_terms[name]
    levels = np.array(learnt.parameter_levels[name], dtype=str)
    return GroupingFactor(
        name=name, variables=(), levels=levels, n_known=len(levels),
        index=np.zeros(n, np.int64), columns=np.zeros((n, len(terms))), terms=terms,
        blocks=(tuple(range(len(terms))),),
    )  # fmt: skip
