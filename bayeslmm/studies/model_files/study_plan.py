"""The [study] of a model file: other priors to look at the conclusions under."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bayeslmm.errors import PriorError
from bayeslmm.model.priors.given import SCHEME
from bayeslmm.model.priors.prior import Prior
from bayeslmm.model.priors.schemes import scheme_named
from bayeslmm.studies.scenarios import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.studies.model_files.toml_file import SpecFile

STUDY = {"scenarios": (list, dict), "quantities": (dict,), "reference": (dict, str)}
SCENARIOS = "study.scenarios"
HOW = (
    'scenarios are a list of schemes such as ["brms", "flat"], names with priors such as '
    'tight = { sd = "HalfNormal(5)" }, or a grid such as sd = ["HalfNormal(5)", "HalfNormal(50)"]'
)


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """A prior study as a model file describes it; `prior_study` takes these values.

    Attributes
    ----------
    scenarios : list of str, or mapping
        Schemes, names with priors, or a grid.
    quantities : mapping from str to str
        Further quantities, as expressions.
    reference : mapping, str or None
        The priors that scenarios are compared with; None for those of the file's [priors].
    """

    scenarios: list[str] | dict[str, Any]
    quantities: Mapping[str, str]
    reference: Mapping[str, str] | str | None


def read_study(file: SpecFile, content: Any) -> StudyPlan:
    """Check a [study] table: types, names of schemes, and that every prior can be read.

    Whether the model has the parameters that are named shows when its data are read.

    Parameters
    ----------
    file : SpecFile
        Where it stands, for errors that name the line.
    content : mapping
        The table.

    Returns
    -------
    StudyPlan

    Raises
    ------
    SpecError
        If something is missing, unknown, or no prior.
    """
    table = file.table("study", content, STUDY, required=("scenarios",))
    scenarios = table["scenarios"]
    if not scenarios:
        raise file.error(f"there is no scenario: {HOW}", "study", "scenarios")
    if isinstance(scenarios, list):
        for position, name in enumerate(scenarios):
            _check_scheme(file, name, "study", "scenarios")
            if name in scenarios[:position]:
                raise file.error(f"the scheme {name!r} is listed twice", "study", "scenarios")
    else:
        _check_scenarios(file, scenarios)
    quantities = file.values("study.quantities", table.get("quantities", {}), (str,))
    reference = table.get("reference")
    if isinstance(reference, str):
        _check_scheme(file, reference, "study", "reference")
    elif reference is not None:
        _check_priors(file, reference, "study.reference")
        reference = MappingProxyType(reference)
    return StudyPlan(scenarios, quantities, reference)


def _check_scenarios(file: SpecFile, scenarios: dict[str, Any]) -> None:
    grid = [isinstance(value, list) for value in scenarios.values()]
    if any(grid) and not all(grid):
        single = next(name for name, value in scenarios.items() if not isinstance(value, list))
        raise file.error(
            f"{single!r} has no list, and others have: {HOW}, not several of these", SCENARIOS,
            single,
        )  # fmt: skip
    for name, value in scenarios.items():
        if name == REFERENCE:
            raise file.error(
                "'reference' is the name of what scenarios are compared with: write "
                "[study.reference], or give the scenario another name",
                SCENARIOS,
                name,
            )
        if isinstance(value, list):
            _check_listed(file, name, value)
        elif isinstance(value, dict):
            _check_priors(file, value, f"{SCENARIOS}.{name}")
        else:
            _check_scheme(file, value, SCENARIOS, name)


def _check_listed(file: SpecFile, key: str, values: list[Any]) -> None:
    if not values:
        raise file.error(f"{key!r} lists no prior", SCENARIOS, key)
    for value in values:
        _check_prior(file, key, value, SCENARIOS)


def _check_priors(file: SpecFile, priors: dict[str, Any], where: str) -> None:
    for key, value in priors.items():
        _check_prior(file, key, value, where)


def _check_prior(file: SpecFile, key: str, value: Any, where: str) -> None:
    if key == SCHEME:
        _check_scheme(file, value, where, key)
        return
    if not isinstance(value, str):
        raise file.error(f'{key!r} must be text such as "HalfNormal(5)", not {value!r}', where, key)
    try:
        Prior.parse(value)
    except PriorError as error:
        raise file.error(f"{key!r}: {error}", where, key) from None


def _check_scheme(file: SpecFile, name: Any, where: str, key: str) -> None:
    if not isinstance(name, str):
        raise file.error(f"{key!r} holds {name!r}, and {HOW}", where, key)
    try:
        scheme_named(name)
    except PriorError as error:
        raise file.error(f"{key!r}: {error}", where, key) from None
