"""The columns that say which levels of the grouping factors new rows belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm.errors import DataError, nearest
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr


def without_level(idata: xr.DataTree, policies: Mapping[str, str]) -> tuple[str, ...]:
    """Return the grouping columns in which a missing value puts all effects at zero."""
    terms = parse_formula(str(idata.attrs["formula"])).random
    read_by = {name: set[str]() for term in terms for name in term.grouping}
    for term in terms:
        for name in term.grouping:
            read_by[name] |= {policies[term.factor]} if term.factor in policies else set()
    return tuple(name for name, found in read_by.items() if found == {"population"})


def require_grouping_columns(idata: xr.DataTree, data: Any, included: tuple[str, ...]) -> None:
    """Raise unless rows have the columns that say their levels of these grouping factors.

    Raises
    ------
    DataError
        Naming the column, and the factors whose effects the rows can have.
    """
    present = read_table(data).names
    terms = parse_formula(str(idata.attrs["formula"])).random
    without = {t.factor for t in terms if not set(t.grouping) <= set(present)}
    for term in terms:
        lacking = [name for name in term.grouping if name not in present]
        if lacking and term.factor in included:
            others = [name for name in included if name not in without]
            left = [name for name in included if name in without]
            effects = f"the effects of {' and '.join(map(repr, left))}"
            msg = (
                f"The new rows have no column {lacking[0]!r}, which says the level of the grouping "
                f"factor {term.factor!r}.{nearest(lacking[0], present)} Without it, leave "
                f"{effects} out: random_effects={others or 'none'!r}."
            )
            raise DataError(msg)
