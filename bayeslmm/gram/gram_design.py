"""`GramDesign`: what a fit needs of a design, from cross-products alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from bayeslmm.arguments import given_formulas, row_statements
from bayeslmm.design.build import build_design
from bayeslmm.design.model_data import ModelData
from bayeslmm.design.residual_rows import ResidualRows
from bayeslmm.design.text import Described, data_lines
from bayeslmm.errors import ArgumentError, DataError, check_choice
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.families.parameters import check_formulas
from bayeslmm.families.registry import family_of
from bayeslmm.formula.mixed_formula import MixedFormula, parse_formula
from bayeslmm.formula.residual import residual_terms
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.strata import require_strata, require_sums
from bayeslmm.gram.streaming.from_table import gram_from_table
from bayeslmm.tables.sources import Source, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Unpack

    from bayeslmm.arguments import ParameterFormulas
    from bayeslmm.arrays import Floats
    from bayeslmm.design.predictors import ParameterRows
    from bayeslmm.design.scales import DataScales
    from bayeslmm.design.state import DesignState
    from bayeslmm.families.family import Family
    from bayeslmm.gram.blocks import GramFactor
    from bayeslmm.relationships.known import KnownLike

type DataSource = Gram | Source


@dataclass(frozen=True, eq=False, repr=False)
class GramDesign(Described):
    """A design without rows: names, levels, scales and cross-products.

    It stands where a `Design` stands in all that reads the data through its Gram. What asks for
    rows is refused by name.

    Attributes
    ----------
    gram : Gram
        The cross-products, with their design's state and scales.
    weights, offset, stack : None
        They are in the cross-products already, or there are none.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "a", "b", "b"]}
    >>> gram = Gram.from_design(build_design("y ~ 1 + (1 | g)", table))
    >>> design = GramDesign.of("y ~ (1 | g)", gram)
    >>> design.n, design.coef, design.factors[0].levels.tolist()
    (4, ('Intercept',), ['a', 'b'])
    """

    gram: Gram
    weights: None = None
    offset: None = None
    stack: None = None

    def _lines(self) -> list[str]:
        return [f"Design of {self.formula}, of cross-products", *data_lines(self)]

    @classmethod
    def of(cls, formula: str | MixedFormula, gram: Gram, **given: Any) -> GramDesign:
        """Return the design of a formula whose cross-products are at hand.

        Parameters
        ----------
        formula : str or MixedFormula
            It must be the one that the Gram was summed for, up to spelling.
        gram : Gram
            From `gram_from_batches`, `Gram.from_design` or `Gram.load`.
        **given
            Arguments about rows, such as ``weights=``; each must be None, or, of ``sigma=`` and
            ``se=``, what the rows were summed with.

        Returns
        -------
        GramDesign

        Raises
        ------
        DataError
            If the formulas differ, or the Gram lacks its design's state or scales, or what was
            said of the residuals.
        ArgumentError
            If something is asked for that was fixed when the rows were summed.
        """
        for name, value in given.items():
            if value is not None and not _is_own(gram.state, name, value):
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
        _require_said(gram, gram.state)
        if mixed.smooths:
            raise DataError(
                f"Fits of cross-products have no smooths, and the formula has {mixed.smooths[0]}: "
                "give the table itself."
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
    def family(self) -> Family:
        """The Gaussian, whose likelihood needs no more than cross-products."""
        return GAUSSIAN

    @property
    def predictors(self) -> tuple[ParameterRows, ...]:
        """None: the Gaussian has no parameter beside its residuals'."""
        return ()

    @cached_property
    def residual(self) -> ResidualRows | None:
        """What is known of the residuals' scale: one of these rows stands for a whole stratum."""
        strata = self.gram.strata
        if strata is None:
            return None
        counts = np.array([float(part.n) for part in strata.grams])
        se = log_se = None
        if strata.known:
            se = np.sqrt(strata.sum_of_variances / counts)
            log_se = np.array([-0.5 * part.sum_log_weights / part.n for part in strata.grams])
        said = residual_terms(None, self.state.sigma)
        return ResidualRows(
            correlation=None,
            sigma=None if said is None or said.sigma is None else str(said.sigma),
            has_sigma=not strata.known,
            columns=strata.cells,
            names=strata.names,
            se=se,
            group=np.arange(len(counts)),
            counts=counts,
            log_se=log_se,
        )

    @property
    def n(self) -> int:
        """Number of rows that were summed."""
        return self.gram.n

    @property
    def has_rows(self) -> bool:
        """Whether there are rows: False, see `ModelData`."""
        return False

    @property
    def response_rows(self) -> Floats:
        """The response, shape (0,)."""
        return np.empty(0)

    @property
    def coded_rows(self) -> NoReturn:
        """Refused: there are cross-products only."""
        raise _no_rows("X")

    def numbers(self) -> Iterator[Floats]:
        """Iterate over the cross-products that tell these rows from others, in one order."""
        strata = self.gram.strata
        for gram in (self.gram, *(() if strata is None else strata.grams)):
            yield from (gram.scale, gram.slope, gram.cross)
            for factor in gram.factors:
                yield from (factor.scale, factor.within, factor.with_fixed)
        if self.residual is not None:
            yield from self.residual.arrays()

    def __getattr__(self, name: str) -> NoReturn:
        if name in {"y", "X", "data", "rows"}:
            raise _no_rows(name)
        raise AttributeError(f"A GramDesign has no {name!r}.")


def _is_own(state: DesignState | None, name: str, value: Any) -> bool:
    """Return whether an argument says of the residuals what the rows were summed with."""
    if state is None or name not in ("sigma", "se") or not isinstance(value, str):
        return False
    if name == "se":
        return value == state.se
    return residual_terms(None, value) == residual_terms(None, state.sigma)


def _require_said(gram: Gram, state: DesignState) -> None:
    """Raise unless the cross-products hold what was said of the residuals."""
    said = residual_terms(state.residual, state.sigma)
    scaled = said is not None and said.sigma is not None
    if state.residual is not None:
        require_strata(state.residual, None, None)
    require_strata(None, state.sigma if scaled else None, state.se)
    strata = gram.strata
    lacking = strata is None and (scaled or state.se is not None)
    if lacking or (strata is not None and strata.known == scaled):
        told = f"sigma={state.sigma!r}" if scaled else f"se={state.se!r}"
        raise DataError(
            f"The rows were coded with {told}, and the cross-products are not summed so: take "
            "those that Gram.from_design or gram_from_batches gives."
        )


def _no_rows(name: str) -> DataError:
    return DataError(
        f"Design.{name} needs the rows themselves, and this model was fitted to cross-products "
        "(a Gram), which hold none. See docs/large-data.md for what works."
    )


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


def require_own_family(
    design: ModelData, family: str | Family, link: str | None, trials: Any
) -> None:
    """Raise where a family, link or trials are given beside a design that has others.

    The default, the Gaussian, is not told from its name.

    Raises
    ------
    ArgumentError
        With what the design has.
    """
    own = design.family
    asked = family_of(family, link) if link is not None or family != GAUSSIAN.name else own
    if isinstance(own, Ordered) and isinstance(asked, Ordered) and not asked.categories:
        asked = asked.with_categories(own.categories)
    if asked == own and trials is None:
        return
    what = f"family={asked.name!r}, link={asked.link.name!r}" if asked != own else "trials="
    raise ArgumentError(
        f"{what} is given beside a design of family {own.name!r}, link {own.link.name!r}: leave it "
        "out, and give it to build_design."
    )


def design_of(
    formula: str | MixedFormula | ModelData,
    data: Any = None,
    *,
    weights: Any = None,
    missing: str = "drop",
    rank_deficient: str = "raise",
    family: str | Family = "gaussian",
    link: str | None = None,
    trials: Any = None,
    residual: str | None = None,
    sigma: str | None = None,
    se: Any = None,
    known: KnownLike | None = None,
    **formulas: Unpack[ParameterFormulas],
) -> ModelData:
    """Return the data of a fit: a coded table, or a Gram in its place.

    Parameters
    ----------
    formula : str, MixedFormula, Design or GramDesign
        The model; a design is returned as it is.
    data : table, path, Gram or Source
        The rows, or their cross-products. Rows that an engine holds are not fetched: their
        cross-products are summed there (`gram_from_table`).
    weights, missing, rank_deficient, family, link, trials, residual, sigma, se, known, **formulas
        As in `build_design`; in a Gram they are fixed, and the family is the Gaussian.

    Returns
    -------
    Design or GramDesign

    Raises
    ------
    FormulaError, DataError, ArgumentError
        As `build_design` and `GramDesign.of` do; and where a design is given beside another family.
    """
    if isinstance(formula, ModelData):
        require_own_family(formula, family, link, trials)
        beside = {"residual": residual, "sigma": sigma, "se": se, "known": known}
        _refuse_beside_design(beside | given_formulas(formulas) | row_statements(formulas))
        return formula
    source = open_data(data)
    if isinstance(source, Gram) or not source.has_rows:
        require_sums(formula, family, link)
        check_formulas(GAUSSIAN, given_formulas(formulas))
        require_strata(residual, sigma, se)
        _refuse_without_rows(known=known, **row_statements(formulas))
    if isinstance(source, Gram):
        gram = source
    elif source.has_rows:
        return build_design(
            formula,
            source.given,
            weights=weights,
            missing=missing,
            rank_deficient=rank_deficient,
            family=family,
            link=link,
            trials=trials,
            residual=residual,
            sigma=sigma,
            se=se,
            known=known,
            **formulas,
        )
    else:
        gram = gram_from_table(
            formula, source, weights=weights, sigma=sigma, se=se, missing=missing,
            rank_deficient=rank_deficient,
        )  # fmt: skip
        weights = sigma = se = None
    check_choice("missing", missing, ("drop", "raise"))
    return GramDesign.of(formula, gram, weights=weights, sigma=sigma, se=se)


def _refuse_beside_design(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(
                f"{name}= is given beside a design, which knows its own: give it to build_design."
            )


def _refuse_without_rows(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(
                f"{name}= needs the rows in memory, and what is given holds none there: read them "
                "into a table."
            )
