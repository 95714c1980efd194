"""The scenarios of a prior study: a mapping, a list of schemes or a grid in, named priors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import PriorError
from bayeslmm.model.priors.given import SCHEME
from bayeslmm.model.priors.resolve import resolve_priors, vary_priors
from bayeslmm.model.priors.schemes import PriorScheme

if TYPE_CHECKING:
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.model.priors.resolve import PriorsLike

REFERENCE = "reference"
Scenarios = Mapping[str, Any] | Sequence[Any]


def read_scenarios(
    design: ModelData, scenarios: Scenarios, reference: PriorsLike | None = None
) -> dict[str, Priors]:
    """Resolve every scenario for a design, the reference first.

    Parameters
    ----------
    design : ModelData
        The model.
    scenarios : mapping or sequence
        Names -> priors as in `resolve_priors`: a mapping changes what it names of the reference, a
        scheme, or a mapping with one, replaces it. Or a sequence of schemes; or a grid, key -> list
        of priors, of which every combination is such a mapping.
    reference : mapping, str, PriorScheme or None
        The priors that everything is compared with.

    Returns
    -------
    dict of str to Priors
        In the order given.

    Raises
    ------
    PriorError
        If a scenario cannot be resolved; the message names it. If a grid's key decides nothing,
        because more specific keys of the grid win everywhere.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    >>> list(read_scenarios(design, {"sd": ["HalfNormal(10)", "HalfNormal(50)"]}))
    ['reference', 'sd=HalfNormal(10)', 'sd=HalfNormal(50)']
    """
    named = _named(scenarios)
    if REFERENCE in named:
        raise PriorError(
            f"The name {REFERENCE!r} is that of the priors that scenarios are compared with; give "
            "those as priors=..., and the scenario another name."
        )
    base = resolve_priors(design, reference)
    resolved = {REFERENCE: base}
    for name, priors in named.items():
        try:
            resolved[name] = _scenario(design, priors, base)
        except PriorError as error:
            raise PriorError(f"Scenario {name!r}: {error}") from None
    if isinstance(scenarios, Mapping) and _is_grid(scenarios):
        _check_effect(design, next(iter(named.values())), base)
    return resolved


def _scenario(design: ModelData, priors: Any, base: Priors) -> Priors:
    if not isinstance(priors, Mapping) or SCHEME in priors:
        return resolve_priors(design, priors)
    return vary_priors(design, priors, base)[0]


def _check_effect(design: ModelData, example: Mapping[str, Any], base: Priors) -> None:
    """Raise if a key of a grid decides nothing: its scenarios would differ by name only."""
    keys = [key for key in example if key != SCHEME]
    deciding = vary_priors(design, {key: example[key] for key in keys}, base)[1]
    for key in keys:
        if key in deciding.values():
            continue
        meant = vary_priors(design, {key: example[key]}, base)[1]
        winners = list(dict.fromkeys(deciding[parameter] for parameter in meant))
        why = (
            f"{', '.join(map(repr, winners))}, more specific, wins wherever it applies. Take one "
            "of them out"
            if winners
            else "this model has no parameter that it speaks of. Take it out"
        )
        raise PriorError(f"The grid varies {key!r} in vain: {why}.")


def _is_grid(scenarios: Mapping[str, Any]) -> bool:
    return all(isinstance(value, list | tuple) for value in scenarios.values())


def _named(scenarios: Any) -> dict[str, Any]:
    if isinstance(scenarios, Mapping) and scenarios:
        if _is_grid(scenarios):
            return _grid(scenarios)
        if any(isinstance(value, list | tuple) for value in scenarios.values()):
            raise PriorError(
                "scenarios mixes lists with single values: give either names with priors, or a "
                "grid in which every key has a list."
            )
        if not all(isinstance(name, str) for name in scenarios):
            raise PriorError("Names of scenarios must be text.")
        return dict(scenarios)
    if isinstance(scenarios, list | tuple) and scenarios:
        return _listed(scenarios)
    raise PriorError(
        "scenarios must be a mapping of names to priors, a list of schemes such as "
        "['brms', 'flat'], or a grid such as {'sd': ['HalfNormal(10)', 'HalfNormal(50)']}, and "
        f"not empty; it was {scenarios!r}."
    )


def _listed(scenarios: Sequence[Any]) -> dict[str, Any]:
    named = {}
    for scheme in scenarios:
        name = scheme.name if isinstance(scheme, PriorScheme) else scheme
        if not isinstance(name, str):
            raise PriorError(
                f"A list of scenarios holds schemes, not {type(scheme).__name__}; give single "
                "priors a name: {'tight': {'sigma': 'HalfNormal(1)'}}."
            )
        if name in named:
            raise PriorError(f"The scheme {name!r} is listed twice.")
        named[name] = scheme
    return named


def _grid(grid: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    for key, values in grid.items():
        shown = [_text(value) for value in values]
        if not shown:
            raise PriorError(f"The grid has no value for {key!r}; list one or more priors.")
        if twice := [text for k, text in enumerate(shown) if text in shown[:k]]:
            raise PriorError(f"The grid lists {twice[0]} twice for {key!r}.")
    named = {}
    for combination in product(*grid.values()):
        chosen = dict(zip(grid, combination, strict=True))
        name = ", ".join(f"{key}={_text(value)}" for key, value in chosen.items())
        named[name] = chosen
    return named


def _text(value: Any) -> str:
    return value.name if isinstance(value, PriorScheme) else str(value)
