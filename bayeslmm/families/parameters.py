"""A family's parameters by name, as columns for kernels, and what formulas of them are of."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError
from bayeslmm.families.links import IDENTITY, LOG, LOGIT
from bayeslmm.families.ordinal.discrimination import DISC
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.families.ordinal.sticks import STICK, THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family, FamilyParameter, Parameters
    from bayeslmm.families.links import Link


# Families with a parameter, for those who ask it of another one.
_WHO_HAS = {
    "zi": ", such as 'zero_inflated_poisson' or 'zero_inflated_negbinomial'",
    "hu": ", such as 'hurdle_poisson' or 'hurdle_gamma'",
    "zoi": ": 'zero_one_inflated_beta'",
    "coi": ": 'zero_one_inflated_beta'",
    "phi": ": 'beta', its inflated forms or 'beta_binomial'",
    "shape": ", such as 'negbinomial', 'gamma' or 'weibull'",
    "nu": ": 'student'",
    "alpha": ": 'skew_normal'",
}


def columns_of(family: Family, phi: Parameters, size: int) -> Floats:
    """Return draws of a family's parameters, one column for each number.

    Parameters
    ----------
    family : Family
        Whose.
    phi : mapping of str to ndarray, shape (s,) or (labels, s)
        Draws by name.
    size : int
        s, for families without parameters.

    Returns
    -------
    ndarray, shape (s, number of entries)
    """
    rows = [np.atleast_2d(phi[parameter.name]) for parameter in family.parameters]
    return np.ascontiguousarray(np.concatenate(rows).T) if rows else np.empty((size, 0))


def parameter_link(parameter: FamilyParameter) -> Link:
    """Return the link from a parameter to its predictor, by the parameter's bounds.

    The logarithm of positive numbers, the logit of those between 0 and 1, and the identity.

    Examples
    --------
    >>> from bayeslmm.families.negbinomial import NegativeBinomial
    >>> parameter_link(NegativeBinomial().parameters[0]).name
    'log'
    """
    bounds = parameter.lower, parameter.upper
    return {(0.0, math.inf): LOG, (0.0, 1.0): LOGIT}.get(bounds, IDENTITY)


# Two values of a parameter, in its bounds.
_TWO_VALUES = {"log": (3.0, 5.0), "logit": (0.3, 0.6), "identity": (0.5, 1.5)}


def mean_depends_on(family: Family, name: str) -> bool:
    """Return whether E(y | eta, phi) depends on a parameter, of those that formulas can be of.

    Examples
    --------
    >>> from bayeslmm.families.lognormal import LogNormal
    >>> from bayeslmm.families.negbinomial import NegativeBinomial
    >>> mean_depends_on(NegativeBinomial(), "shape"), mean_depends_on(LogNormal(), "sigma")
    (False, True)
    """
    values = {p.name: _TWO_VALUES[parameter_link(p).name] for p in family.parameters}
    first = {
        p.name: np.array(values[p.name][:1] if p.labels else values[p.name][0])
        for p in family.parameters
    }
    eta = np.array(0.25)
    before = family.mean(eta, first)
    return not np.array_equal(before, family.mean(eta, {**first, name: np.array(values[name][1])}))


def with_modelled(family: Family, names: Container[str]) -> Family:
    """Return the family whose parameters of these names have formulas.

    Mostly it is the family as it is: only the discrimination of ordered categories is there where
    it has one, and not otherwise.

    Parameters
    ----------
    family : Family
        Any.
    names : container of str
        Parameters that have formulas.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> [one.name for one in with_modelled(bl.Cumulative(), ["disc"]).parameters]
    ['threshold', 'disc']
    """
    return family.discriminating if isinstance(family, Ordered) and DISC in names else family


def check_formulas(family: Family, formulas: Mapping[str, str]) -> None:
    """Raise unless a family has the parameters that formulas are given of, each one number.

    Parameters
    ----------
    family : Family
        Whose.
    formulas : mapping of str to str
        By the parameters' names.

    Raises
    ------
    ArgumentError
        Naming the parameters that the family has.
    """
    known = {parameter.name: parameter for parameter in with_modelled(family, formulas).parameters}
    for name in formulas:
        if name not in known:
            there = f"it has {', '.join(known)}" if known else "it has none beside the mean"
            raise ArgumentError(
                f"{name}= is the formula of a parameter that the family {family.name!r} does not "
                f"have: {there}. Leave {name}= out, or give a family that has it"
                f"{_WHO_HAS.get(name, '')}."
            )
        if "_" in name:
            raise ArgumentError(
                f"{name} has no formula, for its name has a '_', which tells parameters from "
                "grouping factors in result trees: call it by one word in custom_family(...)."
            )
        parameter = known[name]
        linked = parameter_link(parameter) is not IDENTITY
        open_ended = math.isinf(parameter.lower) and math.isinf(parameter.upper)
        if parameter.labels or parameter.below_response or not (linked or open_ended):
            raise ArgumentError(
                f"{name} of the family {family.name!r} has no formula: it is not one number that "
                "is positive, between 0 and 1, or any. "
                f"Leave {name}= out."
            )


def free_parameters(family: Family) -> tuple[FamilyParameter, ...]:
    """Return what priors are on, from which a family's parameters follow: mostly they themselves.

    Parameters
    ----------
    family : Family
        Whose.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> [one.name for one in free_parameters(bl.StudentT())]
    ['sigma', 'nu']
    >>> [one.entries for one in free_parameters(bl.Cumulative(categories=("a", "b", "c")))]
    [('stick[a|b]',), ('stick[b|c]',)]
    """
    return family.free if isinstance(family, Ordered) else family.parameters


def variables_of(family: Family) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return a family's variables in a result tree: their dimension and its labels, if any.

    Parameters
    ----------
    family : Family
        Whose.

    Returns
    -------
    dict of str to (str, tuple of str)
        Its parameters, and what is drawn in their place.
    """
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for parameter in (*family.parameters, *free_parameters(family)):
        _, labels = found.get(parameter.name, ("", ()))
        more = tuple(label for label in parameter.labels if label not in labels)
        found[parameter.name] = (parameter.dim, (*labels, *more))
    return found


def with_parameters(
    family: Family, drawn: Mapping[str, Floats], level: Floats | float
) -> dict[str, Floats]:
    """Return draws with the parameters that follow from them: thresholds, of ordered categories.

    Parameters
    ----------
    family : Family
        Whose.
    drawn : mapping of str to ndarray, shape (...) or (..., labels)
        What is drawn, by name; labels stand last here, as in result trees.
    level : ndarray, shape (...), or float
        X beta at the predictors' means, of which the priors speak.

    Returns
    -------
    dict of str to ndarray
    """
    if not isinstance(family, Ordered):
        return dict(drawn)
    thresholds = np.moveaxis(family.thresholds(np.moveaxis(drawn[STICK], -1, 0)), 0, -1)
    return {**drawn, THRESHOLD: thresholds + np.asarray(level)[..., None]}


def free_columns_to_kernels(family: Family, columns: Floats) -> Floats:
    """Return the columns that compiled code takes, shape (s, k), from those that are drawn."""
    if not isinstance(family, Ordered):
        return columns
    return np.ascontiguousarray(family.thresholds(np.ascontiguousarray(columns.T)).T)


def pull_back(family: Family, columns: Floats, slopes: Floats) -> Floats:
    """Carry a gradient in what compiled code takes to what is drawn, shapes (k,)."""
    return family.pull_back(columns, slopes) if isinstance(family, Ordered) else slopes
