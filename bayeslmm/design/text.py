"""What large values print of themselves: what they are and how large, in a few lines."""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING, Protocol

from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.names import is_smooth

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bayeslmm.arrays import Blocks
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula

WIDTH = 80
_MOST_NAMES = 8


class _Said(Protocol):
    """What is said of a block's covariance."""

    @property
    def kind(self) -> str: ...


class _Factor(Protocol):
    """A grouping factor, of rows or of cross-products."""

    @property
    def name(self) -> str: ...
    @property
    def levels(self) -> NDArray[np.str_]: ...
    @property
    def terms(self) -> tuple[str, ...]: ...
    @property
    def blocks(self) -> Blocks: ...
    @property
    def structures(self) -> Sequence[_Said]: ...


class _Data(Protocol):
    """Rows or their cross-products."""

    @property
    def n(self) -> int: ...
    @property
    def response(self) -> str: ...
    @property
    def coef(self) -> tuple[str, ...]: ...
    @property
    def factors(self) -> Sequence[_Factor]: ...


class _Rows(_Data, Protocol):
    """A design."""

    @property
    def formula(self) -> MixedFormula: ...
    @property
    def weights(self) -> NDArray[np.float64] | None: ...
    @property
    def offset(self) -> NDArray[np.float64] | None: ...
    @property
    def trials(self) -> NDArray[np.float64] | None: ...
    @property
    def likweights(self) -> NDArray[np.float64] | None: ...
    @property
    def family(self) -> Family: ...


class Described:
    """A value that prints itself in a few lines, in notebooks too, instead of all its numbers."""

    def _lines(self) -> list[str]:
        """Return a heading and what stands under it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        first, *rest = self._lines()
        under = [textwrap.fill(line, WIDTH, initial_indent="  ", subsequent_indent="    ",
                               break_long_words=False, break_on_hyphens=False)
                 for line in rest]  # fmt: skip
        return "\n".join([first, *under])

    def _repr_html_(self) -> str:
        first, *rest = (html.escape(line) for line in self._lines())
        return f"<div><p><strong>{first}</strong><br>{'<br>'.join(rest)}</p></div>"


def listed(labels: Sequence[str]) -> str:
    """List the first few names, and how many there are beyond.

    Examples
    --------
    >>> listed(["a", "b"]), listed([f"x{k}" for k in range(20)])
    ('a, b', 'x0, x1, x2, x3, x4, x5, x6, x7 and 12 more')
    """
    shown = ", ".join(labels[:_MOST_NAMES])
    more = len(labels) - _MOST_NAMES
    return f"{shown} and {more:,} more" if more > 0 else shown or "none"


def factor_line(factor: _Factor) -> str:
    """Describe a grouping factor: levels, columns, and whether those are correlated.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "x": [0.0, 1.0, 0.0, 1.0], "g": list("aabb")}
    >>> factor_line(build_design("y ~ (x || g)", table).factors[0])
    'g: 2 levels; columns Intercept, x, uncorrelated'
    """
    if is_smooth(factor.name):
        return f"{factor.name}: a smooth with {len(factor.terms)} penalised columns"
    plural = "s" * (len(factor.terms) > 1)
    text = f"{factor.name}: {len(factor.levels):,} levels; column{plural} {listed(factor.terms)}"
    if len(factor.terms) == 1:
        return text
    if factor.structures:
        said = zip(factor.structures, factor.blocks, strict=True)
        own = "; ".join(f"{at.kind}({listed([factor.terms[k] for k in b])})" for at, b in said)
        return f"{text}, with covariances {own}"
    if len(factor.blocks) == 1:
        return f"{text}, correlated"
    if len(factor.blocks) == len(factor.terms):
        return f"{text}, uncorrelated"
    together = "; ".join(listed([factor.terms[k] for k in block]) for block in factor.blocks)
    return f"{text}, correlated within: {together}"


def design_lines(design: _Rows) -> list[str]:
    """Describe a design: its formula, then what `data_lines` say."""
    held = {
        "weights": design.weights, "trials": design.trials, "an offset": design.offset,
        "likelihood weights": design.likweights,
    }  # fmt: skip
    extra = " and ".join(name for name, values in held.items() if values is not None)
    family = design.family
    given = "" if family.name == GAUSSIAN.name else f", {family.name} ({family.link.name})"
    lines = data_lines(design, extra and f", with {extra}")
    return [f"Design of {design.formula}{given}", *lines]


def data_lines(data: _Data, extra: str = "") -> list[str]:
    """Describe rows, fixed effects and grouping factors."""
    return [
        f"{data.n:,} rows of {data.response}{extra}",
        f"fixed effects: {listed(data.coef)}",
        *(factor_line(factor) for factor in data.factors),
    ]
