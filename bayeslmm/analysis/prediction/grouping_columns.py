"""Which grouping factors' effects are asked for, and the columns that say new rows' levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm import names
from bayeslmm.design.predictors import parameter_terms
from bayeslmm.design.state import state_content
from bayeslmm.errors import ArgumentError, DataError, nearest
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.residual import residual_terms
from bayeslmm.results import read
from bayeslmm.results.family import family
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

type GroupingTerm = tuple[str, str, tuple[str, ...]]


def chosen_effects(
    idata: xr.DataTree, random_effects: str | Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the factors that are asked for, of effects in the mean and in parameters.

    That is ``"all"``, ``"none"`` or a list of them.

    Raises
    ------
    ArgumentError
        When a factor is unknown.
    """
    mean, others = read.factor_names(idata), read.in_parameters(idata)
    chosen = chosen_factors((*mean, *others), random_effects)
    return (
        tuple(name for name in mean if name in chosen),
        tuple(name for name in others if name in chosen),
    )


def chosen_factors(known: tuple[str, ...], random_effects: str | Sequence[str]) -> tuple[str, ...]:
    """Return those of the known grouping factors that are asked for; see `chosen_effects`.

    Smooths are none: they count whatever is asked for, as fixed effects do.
    """
    smooths = [name for name in known if names.is_smooth(name)]
    known = tuple(name for name in known if name not in smooths)
    if isinstance(random_effects, str):
        if random_effects == "all":
            return known
        if random_effects == "none":
            return ()
    several = not isinstance(random_effects, str) and hasattr(random_effects, "__iter__")
    asked = list(random_effects) if several else [random_effects]
    for name in asked:
        if not isinstance(name, str) or name not in (*known, *smooths):
            msg = (
                f"random_effects is 'all', 'none' or a list of grouping factors; {name!r} is none "
                f"of {', '.join(known) or 'them, as the model has no factor'}."
                f"{nearest(str(name), known)}"
            )
            raise ArgumentError(msg)
    return tuple(name for name in known if name in asked)


def without_level(terms: Sequence[GroupingTerm], policies: Mapping[str, str]) -> tuple[str, ...]:
    """Return the grouping columns in which a missing value puts all effects at zero."""
    read_by = {name: set[str]() for _, _, columns in terms for name in columns}
    for factor, _, columns in terms:
        for name in columns:
            read_by[name] |= {policies[factor]} if factor in policies else set()
    return tuple(name for name, found in read_by.items() if found == {"population"})


def require_grouping_columns(
    terms: Sequence[GroupingTerm],
    data: Any,
    included: tuple[str, ...],
    in_sigma: tuple[str, ...] = (),
) -> None:
    """Raise unless rows have the columns that say their levels of these grouping factors.

    Raises
    ------
    DataError
        Naming the column, and the factors whose effects the rows can have.
    """
    present, wanted = read_table(data).names, (*included, *in_sigma)
    without = {factor for factor, _, columns in terms if not set(columns) <= set(present)}
    for factor, grouping, columns in terms:
        lacking = [name for name in columns if name not in present]
        if lacking and factor in wanted:
            others = [name for name in wanted if name not in without]
            left = [name for name in wanted if name in without]
            effects = f"the effects of {' and '.join(map(repr, left))}"
            msg = (
                f"The new rows have no column {lacking[0]!r}, which says the level of the grouping "
                f"factor {grouping!r}.{nearest(lacking[0], present)} Without it, leave "
                f"{effects} out: random_effects={others or 'none'!r}."
            )
            raise DataError(msg)


def terms_of_mean(formula: str) -> list[GroupingTerm]:
    """Return each term of the mean's formula, as `grouping_terms` does."""
    return [(term.factor, term.factor, term.grouping) for term in parse_formula(formula).random]


def grouping_terms(idata: xr.DataTree) -> list[GroupingTerm]:
    """Return each term's factor, as the tree and as the table call it, and the columns it reads.

    Those of parameters come last.
    """
    content = state_content(str(idata.attrs["design"]))
    said = residual_terms(None, content.get("sigma"))
    effects = [(names.SIGMA, pair) for pair in (() if said is None else said.effects)]
    for one in parameter_terms(family(idata), content.get("formulas", {})):
        effects += [(one.parameter, pair) for pair in one.effects]
    return terms_of_mean(str(idata.attrs["formula"])) + [
        (names.in_parameter(parameter, term.factor), term.factor, term.grouping)
        for parameter, (term, _) in effects
    ]
