"""The order of visits: which structures go by it, and what a column says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.errors import DataError, DataWarning, warn

if TYPE_CHECKING:
    from bayeslmm.tables.column import Column

# Structures that go by the order of visits.
_ORDERED = frozenset({"toep", "toeph", "homtoep", "ad", "adh", "ar1", "ar1h", "hetar1"})
# Structures in which it matters how many steps are between two visits.
_COUNTING = frozenset({"toep", "toeph", "homtoep", "ar1", "ar1h", "hetar1", "arma"})


def require_order(column: Column, kind: str) -> None:
    """Raise where a structure goes by the order of visits, and a column of text has none."""
    if kind not in _ORDERED or column.kind != "text" or column.labels is None:
        return
    labels = column.labels.tolist()
    name = column.name
    raise DataError(
        f"{kind}() goes by the order of visits, and column {name!r} holds text, which "
        f"has none: sorted as text they come as {', '.join(labels)}. Give the order, "
        f"data[{name!r}] = pandas.Categorical(data[{name!r}], [{labels[0]!r}, ...], ordered=True), "
        "or number the visits."
    )


def warn_of_gaps(column: Column, kind: str) -> None:
    """Warn where categories between those that rows have are left out, and steps count."""
    if kind not in _COUNTING or column.declared is None or column.labels is None:
        return
    used, declared = set(column.labels.tolist()), column.declared.tolist()
    inner = declared[declared.index(column.labels[0]) : declared.index(column.labels[-1])]
    if between := [label for label in inner if label not in used]:
        warn(
            f"No row is at {column.name} {between[0]!r}, so that {kind}() counts one "
            "step between the visits before and after it. Give the number of each visit to keep "
            "the gap.",
            DataWarning,
        )
