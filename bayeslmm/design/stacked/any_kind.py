"""Which designs are stacked, and which kind of them is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm.design.stacked.build import build_stack
from bayeslmm.design.stacked.categories import build_categories
from bayeslmm.errors import ArgumentError
from bayeslmm.families.registry import OF_CATEGORIES, family_of
from bayeslmm.formula.mixed_formula import StackedFormula

if TYPE_CHECKING:
    from bayeslmm.design.design import Design
    from bayeslmm.design.stacked.build import Asked, Builder
    from bayeslmm.formula.mixed_formula import MixedFormula
    from bayeslmm.tables.table import Table


def of_categories(family: Any) -> bool:
    """Return whether a family, or its name, is one of categories.

    Examples
    --------
    >>> of_categories("categorical"), of_categories("bernoulli")
    (True, False)
    """
    return (family if isinstance(family, str) else getattr(family, "name", None)) in OF_CATEGORIES


def is_stacked(formula: MixedFormula, family: Any) -> bool:
    """Return whether a model has several responses, or several predictors of one."""
    return isinstance(formula, StackedFormula) or of_categories(family)


def stack_up(formula: MixedFormula, table: Table, asked: Asked, build: Builder) -> Design:
    """Return the design of several responses, or of categories; see `build_stack`.

    Raises
    ------
    ArgumentError
        If responses of one observation are to be categories.
    """
    if of_categories(asked.family):
        if not (asked.link is None or isinstance(asked.link, str)):
            raise ArgumentError("link= is a link's name, and categories have one link: 'logit'.")
        family = family_of(asked.family, asked.link)
        return build_categories(formula, table, family, asked, build)
    assert isinstance(formula, StackedFormula)  # noqa: S101 - is_stacked
    return build_stack(formula, table, asked, build)
