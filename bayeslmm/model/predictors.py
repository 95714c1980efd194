r"""Predictors of a family's parameters, evaluated, and what their priors are on.

.. math:: g(\phi_i) = x_i' \gamma + o_i + \sum_k z_{ki}' b_k, \quad b_k \sim N(0, G_k)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.arguments import as_numbers
from bayeslmm.design.predictors import predictor_factors
from bayeslmm.design.residual_rows import sigma_factors
from bayeslmm.errors import ArgumentError
from bayeslmm.families.parameters import parameter_link
from bayeslmm.model.priors.prior import Prior
from bayeslmm.model.residual.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.design.predictors import ParameterRows
    from bayeslmm.design.scales import ColumnScale
    from bayeslmm.families.family import FamilyParameter
    from bayeslmm.families.links import Link

# Sd of the prior of a coefficient per sd of its column, by link; of a logit as in the mean. One on
# the scale of a logarithm is a factor of three, either way.
_WIDTHS = {"log": 1.0, "logit": 2.5}
_QUARTILES = np.array([0.25, 0.5, 0.75])
# Of a normal distribution, per sd.
_INTERQUARTILE = 1.3489795003921634


@dataclass(frozen=True, eq=False)
class EffectsInParameter:
    """Effects of one grouping factor in a parameter's predictor, of rows or cells of rows.

    Attributes
    ----------
    name : str
        The factor's, by `names.in_parameter`.
    terms : tuple of str, length q
        Names of the columns.
    levels : tuple of str, length m
        Labels of the levels.
    correlated : bool
        Whether any two columns are correlated.
    index : ndarray of int64, shape (n_cells,)
        Each cell's level.
    columns : ndarray, shape (n_cells, q)
        Its columns.
    """

    name: str
    terms: tuple[str, ...]
    levels: tuple[str, ...]
    correlated: bool
    index: Ints
    columns: Floats

    @classmethod
    def of(cls, factor: GroupingFactor, index: Ints, columns: Floats) -> EffectsInParameter:
        """Return a factor's effects, of cells instead of rows."""
        correlated = max(map(len, factor.blocks)) > 1
        levels = tuple(map(str, factor.levels.tolist()))
        return cls(factor.name, factor.terms, levels, correlated, index, columns)

    @property
    def size(self) -> int:
        """How many effects there are."""
        return len(self.levels) * len(self.terms)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions of its variables in the result tree, after chain and draw."""
        level, term = names.level_dim(self.name), names.term_dim(self.name)
        both = {names.corr(self.name): (term, names.term_dim_bis(self.name))}
        return {
            names.sd(self.name): (term,),
            **(both if self.correlated else {}),
            names.effects(self.name): (level, term),
        }

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """Labels of those dimensions."""
        labels = {names.level_dim(self.name): self.levels, names.term_dim(self.name): self.terms}
        return labels | ({names.term_dim_bis(self.name): self.terms} if self.correlated else {})

    def added(self, effects: Floats) -> Floats:
        """Compute what is added to each predictor, (s, n_cells), by effects (s, m q)."""
        b = effects.reshape(len(effects), len(self.levels), len(self.terms))
        total = np.zeros((len(b), len(self.index)))
        for k, column in enumerate(self.columns.T):
            total += b[:, self.index, k] * column
        return total


@dataclass(frozen=True, eq=False)
class Predictor:
    """The predictor of one parameter.

    Attributes
    ----------
    rows : ParameterRows
        Its columns, of a design's rows.
    parameter : FamilyParameter
        Whose it is.
    """

    rows: ParameterRows
    parameter: FamilyParameter

    @property
    def variable(self) -> str:
        """The variable of its coefficients in result trees, such as ``"beta_zi"``."""
        return names.beta_of(self.parameter.name)

    @property
    def link(self) -> Link:
        """The link g from the parameter to its predictor."""
        return parameter_link(self.parameter)

    @cached_property
    def centers(self) -> tuple[float, ...]:
        """Means of the columns, behind an intercept: its prior is at these; zeros without."""
        means = tuple(scale.mean for scale in self.rows.fixed_scales)
        if self.rows.coef[:1] == (names.INTERCEPT,):
            return (0.0, *means[1:])
        return (0.0,) * len(means)

    @cached_property
    def effects(self) -> tuple[EffectsInParameter, ...]:
        """Its own random effects, factor by factor."""
        return tuple(
            EffectsInParameter.of(factor, factor.index, factor.columns)
            for factor in self.rows.factors
        )

    @cached_property
    def shared(self) -> tuple[EffectsInParameter, ...]:
        """Effects of factors of the mean's formula that are here: columns are zero of others."""
        return tuple(
            EffectsInParameter.of(factor, factor.index, factor.columns)
            for factor in self.rows.shared
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Its coefficients, as priors name them."""
        return tuple(
            Entry(self.variable, coef, -np.inf, np.inf, alone=coef == names.INTERCEPT)
            for coef in self.rows.coef
        )

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions of its variables in the result tree, after chain and draw."""
        found: dict[str, tuple[str, ...]] = {}
        if self.rows.coef:
            found[self.variable] = (names.coef_dim(self.parameter.name),)
        for one in self.effects:
            found |= one.dims
        return found

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """Labels of those dimensions."""
        found: dict[str, tuple[str, ...]] = {}
        if self.rows.coef:
            found[names.coef_dim(self.parameter.name)] = self.rows.coef
        for one in self.effects:
            found |= one.coords
        return found

    def take(self, some: Ints | slice) -> Predictor:
        """Return the predictor of some of the rows."""
        return Predictor(self.rows.take(some), self.parameter)

    def values(self, variables: Mapping[str, Floats]) -> Floats:
        """Compute draws of the parameter, of each row.

        Parameters
        ----------
        variables : mapping of str to ndarray
            Coefficients (s, r), if there are any, and of each factor ``b_<factor>`` (s, m, q).

        Returns
        -------
        ndarray, shape (s, n)
        """
        total = np.zeros((1, len(self.rows.columns)))
        if self.rows.coef:
            total = variables[self.variable] @ self.rows.columns.T
        if self.rows.offset is not None:
            total = total + self.rows.offset
        for one in (*self.effects, *self.shared):
            b = variables[names.effects(one.name)]
            total = total + one.added(b.reshape(len(b), -1))
        return self.link.inverse(total)

    def default_priors(self, default: Prior) -> dict[str, Prior]:
        """Return the default priors of its coefficients, by name.

        The intercept's, which is at the columns' means, says of the parameter what its prior would
        where it is one number: it is `moved`. Coefficients are normal around zero, with the sd 1
        per sd of the column on the scale of a logarithm, 2.5 on that of a logit. Without an
        intercept, columns that indicate groups have the intercept's prior each.

        Parameters
        ----------
        default : Prior
            Of the parameter where it is one number.
        """
        at_means = moved(default, self.link)
        width = _WIDTHS.get(self.link.name, _spread(at_means))
        found = {}
        constant = self._spans_constant()
        has_intercept = self.rows.coef[:1] == (names.INTERCEPT,)
        for entry, scale in zip(self.entries, self.rows.fixed_scales, strict=True):
            unit = scale.scale() if has_intercept else scale.rms
            normal = Prior.of("Normal", mu=0.0, sigma=width / unit if unit else width)
            level = entry.label == names.INTERCEPT or constant
            found[entry.name] = at_means if level else normal
        return found

    def _spans_constant(self) -> bool:
        """Return whether each row has a one in one column and zeros elsewhere."""
        columns = self.rows.columns
        zero_one = ((columns == 0.0) | (columns == 1.0)).all()
        return bool(zero_one and (columns.sum(axis=1) == 1.0).all())


def moved(prior: Prior, link: Link) -> Prior:
    """Return what a prior of a parameter says on the scale of its link.

    A flat one between 0 and 1 is the standard logistic of the logit; others become the normal
    distribution with their quartiles.

    Examples
    --------
    >>> from bayeslmm.families.links import LOG, LOGIT
    >>> moved(Prior.parse("Beta(1, 1)"), LOGIT), moved(Prior.parse("LogNormal(2, 0.5)"), LOG)
    (Prior('Logistic(mu=0, s=1)'), Prior('Normal(mu=2, sigma=0.5)'))
    """
    if link.name == "identity":
        return prior
    if link.name == "logit" and prior in (Prior.parse("Beta(1, 1)"), Prior.parse("Uniform(0, 1)")):
        return Prior.of("Logistic", mu=0.0, s=1.0)
    low, middle, high = map(float, link.link(np.asarray(prior.quantile(_QUARTILES))))
    return Prior.of("Normal", mu=middle, sigma=(high - low) / _INTERQUARTILE)


def _spread(prior: Prior) -> float:
    low, _, high = map(float, np.asarray(prior.quantile(_QUARTILES)))
    return (high - low) / _INTERQUARTILE


def predictors_of(design: ModelData) -> tuple[Predictor, ...]:
    """Return the predictors of a design's family's parameters, in the family's order."""
    known = {parameter.name: parameter for parameter in design.family.parameters}
    return tuple(Predictor(rows, known[rows.parameter]) for rows in design.predictors)


def parameter_factors(design: ModelData) -> tuple[GroupingFactor, ...]:
    """Return the grouping factors of effects in parameters, sigma's first."""
    return (*sigma_factors(design.residual), *predictor_factors(design.predictors))


def effect_scales(design: ModelData) -> tuple[tuple[ColumnScale, ...], ...]:
    """Return means and spreads of the columns of those factors."""
    of_sigma = () if design.residual is None else design.residual.scales
    return (*of_sigma, *(scales for rows in design.predictors for scales in rows.scales))


def parameters_of_rows(design: ModelData, variables: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return draws of a family's parameters, to go with predictors of shape (s, n).

    Parameters
    ----------
    design : ModelData
        The rows.
    variables : mapping of str to ndarray
        Draws of the variables of a result tree, draws along the first axis.

    Returns
    -------
    dict of str to ndarray, shape (s, n) or (s, 1), or (labels, s, 1)
        Of those parameters that the variables tell.
    """
    found = {p.parameter.name: p.values(variables) for p in predictors_of(design)}
    for parameter in design.family.parameters:
        if parameter.name not in found and parameter.name in variables:
            drawn = np.moveaxis(variables[parameter.name], 0, -1)
            found[parameter.name] = drawn[..., None]
    return found


def split_coefficients(
    predictors: Sequence[Predictor], given: Mapping[str, ArrayLike] | None
) -> tuple[dict[str, Floats], Mapping[str, ArrayLike] | None]:
    """Return given coefficients by variable, shape (1, r), and what else is given.

    Parameters
    ----------
    predictors : sequence of Predictor
        Of a design.
    given : mapping of str to array-like, or None
        Whole variables such as ``"beta_zi"``, or numbers such as ``"beta_zi[x]"``, and others.

    Raises
    ------
    ArgumentError
        If a coefficient is not given, or there are more or fewer than the formula has.
    """
    if not predictors or (given is not None and not isinstance(given, Mapping)):
        return {}, given
    rest = {str(name): value for name, value in (given or {}).items()}
    found: dict[str, Floats] = {}
    for one in predictors:
        listed = [entry.name for entry in one.entries]
        if not listed:
            continue
        if one.variable in rest:
            values = as_numbers(one.variable, rest.pop(one.variable)).ravel()
        else:
            if lacking := [name for name in listed if name not in rest]:
                raise ArgumentError(
                    f"{one.parameter.name} follows a formula, whose coefficients are "
                    f"{', '.join(one.rows.coef)}: give parameters={{{lacking[0]!r}: ...}}."
                )
            values = np.array([float(as_numbers(name, rest.pop(name))) for name in listed])
        if values.shape != (len(listed),):
            raise ArgumentError(
                f"{one.variable} has {len(values)} numbers; {len(listed)} are due: "
                f"{', '.join(one.rows.coef)}."
            )
        found[one.variable] = values[None]
    return found, rest
