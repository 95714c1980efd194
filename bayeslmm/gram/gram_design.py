"""`GramDesign`: what a fit needs of a design, from cross-products alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from bayeslmm.design.design import Design, build_design
from bayeslmm.errors import ArgumentError, DataError, check_choice
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.streaming.from_table import gram_from_table
from bayeslmm.tables.sources import Source, open_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.design.scales import DataScales
    from bayeslmm.design.state import DesignState
    from bayeslmm.gram.blocks import GramFactor

NO_ROWS = (
    "needs the rows themselves, and this model was fitted to cross-products (a Gram), which hold "
    "none"
)


# What data can be: cross-products, or a source of rows.
type DataSource = Gram | Source


@dataclass(frozen=True, eq=False)
class GramDesign:
    """A design without rows: names, levels, scales and cross-products.

    It stands where a `Design` stands in all that reads the data through its Gram. What asks for
    rows is refused by name.

    Attributes
    ----------
    gram : Gram
        The cross-products, with their design's state and scales.
    weights, offset : None
        They are in the cross-products already.

    Examples
    --------
    >>> from bayeslmm.design.design import build_design
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "a", "b", "b"]}
    >>> gram = Gram.from_design(build_design("y ~ 1 + (1 | g)", table))
    >>> design = GramDesign.of("y ~ (1 | g)", gram)
    >>> design.n, design.coef, design.factors[0].levels.tolist()
    (4, ('Intercept',), ['a', 'b'])
    """

    gram: Gram
    weights: None = None
    offset: None = None

    @classmethod
    def of(cls, formula: str | MixedFormula, gram: Gram, **given: Any) -> GramDesign:
        """Take a Gram for a formula.

        Parameters
        ----------
        formula : str or MixedFormula
            It must be the one that the Gram was summed for, up to spelling.
        gram : Gram
            From `gram_from_batches`, `Gram.from_design` or `Gram.load`.
        **given
            Arguments about rows, such as ``weights=``; each must be None.

        Returns
        -------
        GramDesign

        Raises
        ------
        DataError
            If the formulas differ, or the Gram lacks its design's state or scales.
        ArgumentError
            If something is asked for that was fixed when the rows were summed.
        """
        for name, value in given.items():
            if value is not None:
                raise ArgumentError(
                    f"{name} is about rows, and a Gram holds none: give it where the rows are "
                    "summed, as in gram_from_batches(formula, batches, "
                    f"{name}=...)."
                )
        if gram.state is None or gram.scales is None:
            raise DataError(
                "This Gram does not say how its rows were coded: it is a part of a sum. Add all "
                "parts, and let BatchCoding.finish check and sign the sum."
            )
        mixed = formula if isinstance(formula, MixedFormula) else parse_formula(formula)
        if str(mixed) != gram.state.formula:
            raise DataError(
                f"The Gram was summed for {gram.state.formula!r}, and the formula given is "
                f"{str(mixed)!r}. Cross-products serve one formula: sum those of the other one "
                "from the rows."
            )
        return cls(gram)

    @cached_property
    def formula(self) -> MixedFormula:
        """The formula, as the Gram has it."""
        return parse_formula(self.state.formula)

    @property
    def state(self) -> DesignState:
        """How rows were coded."""
        if self.gram.state is None:
            raise DataError("This Gram has no state.")
        return self.gram.state

    @property
    def scales(self) -> DataScales:
        """Means and spreads of the columns."""
        if self.gram.scales is None:
            raise DataError("This Gram has no scales.")
        return self.gram.scales

    @property
    def response(self) -> str:
        """Name of the response."""
        return self.gram.response

    @property
    def coef(self) -> tuple[str, ...]:
        """Names of the fixed effects."""
        return self.gram.coef

    @property
    def factors(self) -> tuple[GramFactor, ...]:
        """Grouping factors: names, levels, terms and blocks."""
        return self.gram.factors

    @property
    def n(self) -> int:
        """Number of rows that were summed."""
        return self.gram.n

    def __getattr__(self, name: str) -> NoReturn:
        if name in {"y", "X", "data", "rows"}:
            raise DataError(f"Design.{name} {NO_ROWS}. See docs/large-data.md for what works.")
        raise AttributeError(f"A GramDesign has no {name!r}.")


def open_data(data: Any) -> DataSource:
    """Return what kind of data something is; no row is read.

    Parameters
    ----------
    data : object
        What `open_source` takes, or a Gram, which is returned as it is.

    Returns
    -------
    Gram or Source
    """
    return data if isinstance(data, Gram) else open_source(data)


def design_of(
    formula: str | MixedFormula | Design | GramDesign,
    data: Any = None,
    *,
    weights: Any = None,
    missing: str = "drop",
    rank_deficient: str = "raise",
) -> Design:
    """Code a table, or take a Gram in a table's place.

    Parameters
    ----------
    formula : str, MixedFormula, Design or GramDesign
        The model; a design is returned as it is.
    data : table, path, Gram or Source
        The rows, or their cross-products. Rows that an engine holds are not fetched: their
        cross-products are summed there (`gram_from_table`).
    weights, missing, rank_deficient
        As in `build_design`; in a Gram they are fixed.

    Returns
    -------
    Design or GramDesign

    Raises
    ------
    FormulaError, DataError, ArgumentError
        As `build_design` and `GramDesign.of` do.
    """
    if isinstance(formula, Design):
        return formula
    design: Any = formula
    source = open_data(data)
    if not isinstance(source, Gram) and not source.has_rows:
        source = gram_from_table(
            design, source, weights=weights, missing=missing, rank_deficient=rank_deficient
        )
        weights = None
    if isinstance(source, Gram):
        check_choice("missing", missing, ("drop", "raise"))
        design = GramDesign.of(design, source, weights=weights)
    elif not isinstance(formula, GramDesign):
        design = build_design(
            design, source.given, weights=weights, missing=missing, rank_deficient=rank_deficient
        )
    # What reads rows of a GramDesign is told so by name; all else finds there what a Design has.
    return cast("Design", design)


def has_rows(design: Any) -> bool:
    """Tell whether a design holds rows, or cross-products only."""
    return not isinstance(design, GramDesign)


def response_rows(design: Design) -> NDArray[np.float64]:
    """Give the response's rows; none where there are cross-products only."""
    return design.y if has_rows(design) else np.empty(0)
