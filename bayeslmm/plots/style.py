"""Colours and small habits that the pictures share; nothing here changes a global setting."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Blue and vermilion of Okabe and Ito's palette, told apart by every kind of colour vision.
LEVEL = "#0072B2"
POPULATION = "#D55E00"
DATA = "#6E7681"
GRID = "#E4E7EB"
INK = "#24292F"

SETTINGS = {
    "axes.edgecolor": "#9AA1A9",
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": "#57606A",
    "ytick.color": "#57606A",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.titlesize": 12,
    "savefig.dpi": 150,
}


@contextmanager
def style() -> Iterator[Any]:
    """Hand over pyplot with the package's settings in force inside the block only."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import
    import matplotlib.pyplot as plt  # noqa: PLC0415

    with mpl.rc_context(SETTINGS):
        try:
            yield plt
        finally:
            interactive = mpl.is_interactive()
    # A notebook's backend turns this on when it is loaded, which the first figure does: forgotten
    # with the block, no later figure of the notebook would be shown.
    mpl.interactive(interactive)


def interval_words(ci_prob: float, ci_kind: str) -> str:
    """Name an interval for a legend.

    Examples
    --------
    >>> interval_words(0.95, "eti")
    '95 % ETI'
    """
    return f"{100 * ci_prob:g} % {ci_kind.upper()}"


def panel_grid(count: int, most_columns: int = 6) -> tuple[int, int]:
    """Return rows and columns for so many small panels, a little wider than tall.

    Examples
    --------
    >>> panel_grid(18)
    (3, 6)
    >>> panel_grid(4)
    (2, 2)
    """
    columns = min(most_columns, max(1, round(float(count) ** 0.5 * 1.4))) if count > 3 else count
    if count == 4:
        columns = 2
    return -(-count // columns), columns
