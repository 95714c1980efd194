"""What a design learnt from its training rows, as a frozen value that goes through JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from bayeslmm import names
from bayeslmm.design.columns.memory import from_plain
from bayeslmm.design.factors.arms import Arms
from bayeslmm.design.grouping import BlockStructure
from bayeslmm.design.rank.dependence import Dependence
from bayeslmm.design.stacked.layout import Layout, layout_of_plain
from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.registry import family_of
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.relationships.plain import all_of_plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.relationships.known import Known
    from bayeslmm.relationships.relationship import Relationship

VERSION = 1
# Parts that are written where there are any, so that states of other models stay as they were.
_WHERE_GIVEN = ("trials", "response_levels", "residual", "sigma", "se", "visits", "strata")
# Those that are mappings.
_WHERE_ANY = ("beside", "formulas", "parameter_coef", "parameter_terms")


@dataclass(frozen=True, slots=True)
class ColumnState:
    """How a predictor column was read.

    Attributes
    ----------
    kind : str
        ``"number"``, ``"boolean"`` or ``"label"``.
    levels : tuple of str, or None
        The levels of labels and booleans, in order.
    """

    kind: str
    levels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class DesignState:
    """All that is needed to code new rows as the training rows were coded.

    Attributes
    ----------
    formula : str
        Canonical formula.
    columns : mapping of str to ColumnState
        Each predictor column's kind and levels.
    transforms : mapping of str to mapping
        What stateful transforms learnt (means, scales, knots, polynomial coefficients, levels), by
        the text of the call, in JSON's types.
    coef : tuple of str
        Names of the fixed effects, without the dropped ones.
    dropped : tuple of str
        Fixed-effects columns dropped because others span them.
    dependence : Dependence or None
        How they follow from the others; None where nothing was dropped.
    terms : mapping of str to tuple of str
        Each grouping factor's random-effect columns.
    levels : mapping of str to tuple of str
        Each grouping factor's levels.
    weights : str or None
        The column that held the training rows' weights.
    family, link : str
        How the response is distributed.
    trials : str or None
        The column that held the training rows' numbers of trials.
    response_levels : tuple of str, or None
        Labels of 0 and 1 where the response was of two categories; of ordered categories their
        labels, the lowest first.
    residual, sigma : str or None
        Residual structure and formula of sigma, as they are spelt.
    se : str or None
        The column that held the training rows' known standard errors.
    visits : tuple of str, or None
        Labels of the positions of a residual structure.
    strata : tuple of str, or None
        Labels of its strata that have parameters of their own.
    known : mapping of str to Relationship
        Known covariances of levels, by the names that the formula has.
    arms : mapping of str to Arms
        Of grouping factors with ``gr(g, by=arm)``.
    beside : mapping of str to str
        Columns of what was said of the rows, see `arguments.RowStatements`.
    formulas : mapping of str to str
        Formulas of the family's parameters, as they are spelt.
    parameter_coef : mapping of str to tuple of str
        Names of the coefficients of each of these parameters.
    parameter_terms, parameter_levels : mapping of str to tuple of str
        Columns and levels of each grouping factor that has effects in a parameter, also in
        sigma, by `names.in_parameter`.
    layout : Layout or None
        Of several responses: each one's own state, and where its columns stand. The numbers of
        rows are coded by those states.
    """

    formula: str
    columns: Mapping[str, ColumnState]
    transforms: Mapping[str, Any]
    coef: tuple[str, ...]
    dropped: tuple[str, ...]
    terms: Mapping[str, tuple[str, ...]]
    levels: Mapping[str, tuple[str, ...]]
    weights: str | None = None
    family: str = GAUSSIAN.name
    link: str = GAUSSIAN.link.name
    trials: str | None = None
    response_levels: tuple[str, ...] | None = None
    dependence: Dependence | None = None
    residual: str | None = None
    sigma: str | None = None
    se: str | None = None
    structures: Mapping[str, tuple[BlockStructure, ...]] | None = None
    visits: tuple[str, ...] | None = None
    strata: tuple[str, ...] | None = None
    known: Known = field(default_factory=dict)
    arms: Mapping[str, Arms] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    formulas: Mapping[str, str] = field(default_factory=dict)
    parameter_coef: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parameter_terms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parameter_levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    layout: Layout[DesignState] | None = None

    def effects_in(self, parameter: str) -> tuple[str, ...]:
        """Return the names of the grouping factors of effects in a parameter."""
        return tuple(name for name in self.parameter_terms if names.apart(name)[0] == parameter)

    def relationship(self, factor: str) -> Relationship | None:
        """Return the known covariance of a factor's levels, if it has one."""
        terms = parse_formula(self.formula).random if self.known else ()
        named = [term.cov for term in terms if term.factor == factor and term.cov is not None]
        return self.known[named[0]] if named else None

    def to_json(self, *, levels: bool = True) -> str:
        """Return the state as JSON; numbers survive to the last bit.

        Parameters
        ----------
        levels : bool
            Whether to write the levels of grouping factors, their arms, and their known
            covariances. Result trees hold them otherwise, and attributes of netCDF files are
            limited in size: of covariances fingerprints are written then.

        Returns
        -------
        str

        Examples
        --------
        >>> from bayeslmm.design.build import build_design
        >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "a", "b", "b"]}
        >>> state = build_design("y ~ 1 + (1 | g)", table).state
        >>> text = state.to_json(levels=False)
        >>> DesignState.from_json(text, levels={"g": ["a", "b"]}) == state
        True
        """
        content = {
            "version": VERSION,
            "formula": self.formula,
            "columns": {
                name: {"kind": column.kind, "levels": column.levels}
                for name, column in self.columns.items()
            },
            "transforms": dict(self.transforms),
            "coef": self.coef,
            "dropped": self.dropped,
            "terms": dict(self.terms),
            "levels": {**self.levels, **self.parameter_levels} if levels else None,
        }
        if self.layout is not None:
            content["layout"] = self.layout.plain(levels=levels)
        if self.arms:
            content["arms"] = {name: a.plain(levels=levels) for name, a in self.arms.items()}
        content |= {name: dict(getattr(self, name)) for name in _WHERE_ANY if getattr(self, name)}
        if self.weights is not None:
            content["weights"] = self.weights
        if self.family != GAUSSIAN.name:
            content |= {"family": self.family, "link": self.link}
        if self.structures:
            content["structures"] = {
                name: [(at.kind, at.positions) for at in said]
                for name, said in self.structures.items()
            }
        for name in _WHERE_GIVEN:
            if getattr(self, name) is not None:
                content[name] = getattr(self, name)
        if self.dependence is not None:
            content["dependence"] = self.dependence.plain()
        known = {name: to_plain(m) if levels else m.fingerprint for name, m in self.known.items()}
        content |= {"known": known} if known else {}
        return json.dumps(content, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(
        cls,
        text: str,
        levels: Mapping[str, Sequence[str]] | None = None,
        *,
        arms: Mapping[str, Sequence[str]] | None = None,
        known: Known | None = None,
    ) -> Self:
        """Return the state that `to_json` wrote.

        Parameters
        ----------
        text : str
            The JSON.
        levels : mapping of str to sequence of str, optional
            Levels of the grouping factors, where the JSON was written without them.
        arms : mapping of str to sequence of str, optional
            Label of each level's arm, by grouping factor, likewise.
        known : mapping of str to Relationship, optional
            Known covariances of levels, where the JSON was written without them.

        Returns
        -------
        DesignState

        Raises
        ------
        DataError
            If the text is no such JSON, or levels are missing.
        """
        content = state_content(text)
        try:
            found = content["levels"] if levels is None else levels
            state = cls._of(content, found, arms or {}, known)
        except (AttributeError, KeyError, TypeError) as error:
            raise _no_state(error) from None
        if state.layout is not None:
            return state
        terms = model_terms(parse_formula(state.formula))
        factors = {term.factor for term, _ in terms.random}
        if lacking := (set(terms.predictors) - set(state.columns)) | (factors - set(state.terms)):
            raise DataError(f"The design's state lacks the column {min(lacking)!r}.")
        return state

    @classmethod
    def _of(
        cls,
        content: Mapping[str, Any],
        found: Mapping[str, Sequence[str]] | None,
        arms: Mapping[str, Sequence[str]],
        known: Known | None,
    ) -> Self:
        others = content.get("parameter_terms", {})
        if found is None or not {*content["terms"], *others} <= set(found):
            raise DataError("The design's state lacks the levels of its grouping factors.")
        for learnt in content["transforms"].values():
            from_plain(learnt).items()
        return cls(
            formula=content["formula"],
            columns={
                name: ColumnState(column["kind"], _tuple_or_none(column["levels"]))
                for name, column in content["columns"].items()
            },
            transforms=content["transforms"],
            coef=_names(content["coef"]),
            dropped=_names(content["dropped"]),
            terms={name: _names(terms) for name, terms in content["terms"].items()},
            levels={name: tuple(map(str, found[name])) for name in content["terms"]},
            weights=content.get("weights"),
            family=content.get("family", GAUSSIAN.name),
            link=content.get("link", GAUSSIAN.link.name),
            trials=content.get("trials"),
            response_levels=_tuple_or_none(content.get("response_levels")),
            dependence=_dependence_or_none(content),
            residual=content.get("residual"),
            sigma=content.get("sigma"),
            se=content.get("se"),
            structures=_structures_or_none(content.get("structures")),
            visits=_tuple_or_none(content.get("visits")),
            strata=_tuple_or_none(content.get("strata")),
            known=all_of_plain(content.get("known", {}), known or {}),
            arms={
                name: Arms.of_plain(found, arms.get(name))
                for name, found in content.get("arms", {}).items()
            },
            beside=dict(content.get("beside", {})),
            formulas=dict(content.get("formulas", {})),
            parameter_coef={
                name: _names(coef) for name, coef in content.get("parameter_coef", {}).items()
            },
            parameter_terms={name: _names(terms) for name, terms in others.items()},
            parameter_levels={name: tuple(map(str, found[name])) for name in others},
            layout=layout_of_plain(
                content.get("layout"), lambda part: cls.from_json(part, found, known=known)
            ),
        )


def _names(content: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise TypeError(f"{content!r} is no list of names")
    return tuple(content)


def _structures_or_none(
    content: Mapping[str, Sequence[tuple[str, Sequence[float]]]] | None,
) -> dict[str, tuple[BlockStructure, ...]] | None:
    if content is None:
        return None
    return {
        str(name): tuple(BlockStructure.of_plain(kind, positions) for kind, positions in said)
        for name, said in content.items()
    }


def _dependence_or_none(content: Mapping[str, Any]) -> Dependence | None:
    found = content.get("dependence")
    n_columns = len(content["coef"]) + len(content["dropped"])
    # The column of ones, in whose place thresholds stand, is one of those it is of.
    n_columns += family_of(content.get("family", GAUSSIAN.name)).response.ordered
    return None if found is None else Dependence.of_plain(found, n_columns)


def require_state(state: object) -> DesignState:
    """Return a design's state, or raise.

    Raises
    ------
    ArgumentError
        If it is something else.
    """
    if not isinstance(state, DesignState):
        raise ArgumentError(f"The state of a design is needed, not a {type(state).__name__}.")
    return state


def state_content(text: str) -> dict[str, Any]:
    """Return what `DesignState.to_json` wrote, as JSON has it.

    Raises
    ------
    DataError
        If the text is no such JSON.

    Examples
    --------
    >>> state_content('{"version": 1, "coef": ["Intercept"], "terms": {}}')["coef"]
    ['Intercept']
    """
    try:
        content: dict[str, Any] = json.loads(text)
        version = content["version"]
        list(content["coef"]), dict(content["terms"])
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise _no_state(error) from None
    if version != VERSION:
        raise DataError(f"A design's state of version {version!r}; this is version {VERSION}.")
    return content


def _no_state(error: Exception) -> DataError:
    return DataError(f"This is not the JSON of a design's state: {error!r}.")


def _tuple_or_none(levels: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if levels is None else tuple(map(str, levels))
