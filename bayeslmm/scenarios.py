"""The scenarios of a prior study: a mapping, a list of schemes or a grid in, named priors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import PriorError
from bayeslmm.prior_schemes import PriorScheme
from bayeslmm.priors import SCHEME, resolve_priors

if TYPE_CHECKING:
    from bayeslmm.design import Design
    from bayeslmm.prior_set import Priors
    from bayeslmm.priors import PriorsLike

REFERENCE = "reference"
Scenarios = Mapping[str, Any] | Sequence[Any]


def read_scenarios(
    design: Design, scenarios: Scenarios, reference: PriorsLike | None = None
) -> dict[str, Priors]:
    """Resolve every scenario for a design, the reference first.

    Parameters
    ----------
    design : Design
        The model.
    scenarios : mapping or sequence
        Names -> priors as in `resolve_priors`; or a sequence of schemes; or a grid, key -> list of
        priors, of which every combination is taken over the reference's priors.
    reference : mapping, str, PriorScheme or None
        The priors that everything is compared with.

    Returns
    -------
    dict of str to Priors
        In the order given.

    Raises
    ------
    PriorError
        If a scenario cannot be resolved; the message names it.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    >>> list(read_scenarios(design, {"sd": ["HalfNormal(10)", "HalfNormal(50)"]}))
    ['reference', 'sd=HalfNormal(10)', 'sd=HalfNormal(50)']
    """
    named = _named(scenarios, reference)
    if REFERENCE in named:
        raise PriorError(
            f"The name {REFERENCE!r} is that of the priors that scenarios are compared with; give "
            "those as priors=..., and the scenario another name."
        )
    resolved = {REFERENCE: resolve_priors(design, reference)}
    for name, priors in named.items():
        try:
            resolved[name] = resolve_priors(design, priors)
        except PriorError as error:
            raise PriorError(f"Scenario {name!r}: {error}") from None
    return resolved


def _named(scenarios: Any, reference: Any) -> dict[str, Any]:
    if isinstance(scenarios, Mapping) and scenarios:
        lists = [isinstance(value, list | tuple) for value in scenarios.values()]
        if all(lists):
            return _grid(scenarios, reference)
        if any(lists):
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


def _grid(grid: Mapping[str, Sequence[Any]], reference: Any) -> dict[str, Any]:
    if reference is None:
        base: dict[str, Any] = {}
    elif isinstance(reference, Mapping):
        base = dict(reference)
    elif isinstance(reference, str | PriorScheme):
        base = {SCHEME: reference}
    else:
        raise PriorError("A grid needs its reference as a mapping or a scheme, not as Priors.")
    named = {}
    for combination in product(*grid.values()):
        chosen = dict(zip(grid, combination, strict=True))
        name = ", ".join(f"{key}={_text(value)}" for key, value in chosen.items())
        named[name] = {**base, **chosen}
    return named


def _text(value: Any) -> str:
    return value.name if isinstance(value, PriorScheme) else str(value)
