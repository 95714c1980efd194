"""Colours and small habits that the pictures share; nothing here changes a global setting."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family

# Blue and vermilion of Okabe and Ito's palette, told apart by every kind of colour vision.
LEVEL = "#0072B2"
POPULATION = "#D55E00"
DATA = "#6E7681"
GRID = "#E4E7EB"
INK = "#24292F"
# Okabe and Ito's colours for categories, in the order in which they are taken.
CATEGORIES = (LEVEL, POPULATION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

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
    """Name an interval for a legend; the equal-tailed one is what an interval is taken for.

    Examples
    --------
    >>> interval_words(0.95, "eti"), interval_words(0.8, "hdi")
    ('95 % interval', '80 % HDI')
    """
    return f"{100 * ci_prob:g} % {'interval' if ci_kind == 'eti' else ci_kind.upper()}"


def with_unit(name: str, units: Mapping[str, str]) -> str:
    """Name a column for an axis, with its unit where there is one and the name is not that.

    Examples
    --------
    >>> with_unit("Reaction", {"Reaction": "ms"}), with_unit("score", {"score": "1"})
    ('Reaction (ms)', 'score')
    """
    unit = units.get(name, "1")
    return name if unit.casefold() in {"1", name.casefold()} else f"{name} ({unit})"


def mean_words(
    family: Family, response: str, units: Mapping[str, str], scale: str = "response"
) -> str:
    """Name an expected response, or its linear predictor, for an axis.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> mean_words(bl.Bernoulli(), "use", {}), mean_words(bl.Bernoulli(), "use", {}, "link")
    ('probability of use', 'logit of the probability of use')
    >>> mean_words(bl.Poisson(), "seizures", {}, "link"), mean_words(bl.Gamma(), "t", {"t": "s"})
    ('log of expected seizures', 'expected t (s)')
    """
    if family.response.ordered:
        if scale == "response":
            return f"expected category of {response}"
        return f"latent {response} ({family.link.name})"
    share = family.discrete and family.link.name != "log"
    words = f"probability of {response}" if share else f"expected {with_unit(response, units)}"
    if scale == "response" or family.mean_scale.name == "identity":
        return words
    if family.link.name == "identity":  # lognormal
        return f"expected log {response}"
    less = "".join(f" less {own.name}" for own in family.parameters if own.below_response)
    return f"{family.link.name} of {'the ' if share else ''}{words}{less}"


def scatter_seen(ax: Any, x: Floats, y: Floats, seen: Any, color: str, **options: Any) -> None:
    """Draw points, hollow where a response is censored and known to lie elsewhere."""
    ax.scatter(x[seen], y[seen], color=color, **options)
    if not np.all(seen):
        ring = {**options, "facecolor": "none", "edgecolor": color, "linewidth": 0.7}
        ax.scatter(x[~seen], y[~seen], label="censored", **ring)


def responses_seen(fit: Any, count: int) -> NDArray[np.bool_]:
    """Return which rows' responses are not censored."""
    ends = None if isinstance(fit, REMLFit) else read.constant(fit, "ends")
    return np.ones(count, dtype=bool) if ends is None else np.asarray(ends == read.response(fit))


def name_categories(axis: Any, family: Family) -> None:
    """Write the names of ordered categories where an axis has their numbers."""
    if isinstance(family, Ordered):
        axis.set_ticks(range(1, len(family.categories) + 1), family.categories)


def legend_above(ax: Any, handles: Sequence[Any], title: str | None = None) -> None:
    """Put a legend above the axes, in rows that fit: a wider one would squeeze a narrow figure."""
    columns = min(len(handles), 4 if ax.figure.get_figwidth() > 7 else 2)
    place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2}
    ax.legend(handles=list(handles), ncols=columns, title=title, alignment="left", **place)


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
