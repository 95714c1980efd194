"""Model files: a TOML description of a study in, a frozen `ModelSpec` out."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bayeslmm.arguments import as_path
from bayeslmm.errors import PriorError, names_keywords
from bayeslmm.model.priors.prior import Prior
from bayeslmm.model.priors.resolve import SCHEME
from bayeslmm.model.priors.schemes import scheme_named
from bayeslmm.studies.model_files.data import DATA, read_data
from bayeslmm.studies.model_files.toml_file import NUMBER, SpecFile
from bayeslmm.studies.scenarios import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bayeslmm.studies.sources import StudyData


_TOP = {
    "title": (str,),
    "source": (str,),
    "description": (str,),
    "formula": (str,),
    "data": (dict,),
    "priors": (dict,),
    "sampler": (dict,),
    "reference": (dict,),
    "study": (dict,),
}
_SAMPLER = {
    "draws": (int,),
    "tune": (int,),
    "chains": (int,),
    "cores": (int,),
    "random_seed": (int,),
    "target_accept": NUMBER,
    "sampler": (str,),
    "parametrization": (str,),
}
_REFERENCE = {
    "program": (str,),
    "method": (str,),
    "n_obs": (int,),
    "n_levels": (dict,),
    "criterion": NUMBER,
    "tolerance": NUMBER,
    "precision": NUMBER,
    "reason": (str,),
    "fixed_effects": (dict,),
    "standard_deviations": (dict,),
    "correlations": (dict,),
}
_ESTIMATE = {"estimate": NUMBER, "std_error": NUMBER}


def _empty() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reference:
    """Numbers of another program that a study must reproduce, with their birth certificate.

    Attributes
    ----------
    program, method : str
        What computed them, and how (``"REML"`` or ``"ML"``).
    tolerance : float
        How far a posterior mean of a fixed effect may lie from its estimate, in posterior standard
        deviations, Monte Carlo error apart.
    reason : str
        Why that far.
    precision : float
        Half a unit of the last digit that was printed; 0 where every digit is known.
    n_obs : int or None
        Rows that the fit used.
    criterion : float or None
        -2 times the (restricted) log-likelihood.
    n_levels : mapping from factor to int
    fixed_effects, std_errors : mapping from coefficient to float
        In the response's unit per column unit.
    standard_deviations : mapping from str to float
        ``sigma`` and, per factor and column, ``sd_Subject[Days]``.
    correlations : mapping from str to float
        ``corr_Subject[Intercept,Days]``.
    """

    program: str
    method: str
    tolerance: float
    reason: str
    n_obs: int | None = None
    criterion: float | None = None
    precision: float = 0.0
    n_levels: Mapping[str, int] = field(default_factory=_empty)
    fixed_effects: Mapping[str, float] = field(default_factory=_empty)
    std_errors: Mapping[str, float] = field(default_factory=_empty)
    standard_deviations: Mapping[str, float] = field(default_factory=_empty)
    correlations: Mapping[str, float] = field(default_factory=_empty)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A study as its file describes it: nothing is loaded or built yet.

    Attributes
    ----------
    name : str
        The file's name without ``.toml``.
    path : Path
    title, source, description : str
        What it is about and where it comes from; empty where the file does not say.
    formula : str
    data : StudyData
        Where the rows come from; ``data.load()`` reads them.
    weights : str or None
        Column of the weights.
    missing : str
        What to do with incomplete rows: ``"drop"`` or ``"raise"``.
    priors : mapping from str to str
        Only the priors that differ from the defaults.
    sampler : mapping
        Keyword arguments of `fit_bayes` such as ``draws`` and ``random_seed``.
    reference : Reference or None
    study : StudyPlan or None
        Other priors to look at the conclusions under, with `prior_study`.
    """

    name: str
    path: Path
    title: str
    source: str
    description: str
    formula: str
    data: StudyData
    weights: str | None
    missing: str
    priors: Mapping[str, str]
    sampler: Mapping[str, int | float | str]
    reference: Reference | None
    study: StudyPlan | None = None


@names_keywords
def read_spec(path: str | Path) -> ModelSpec:
    """Read a model file.

    Parameters
    ----------
    path : str or Path
        A TOML file such as those in ``models/``. Relative paths in it start from its folder.

    Returns
    -------
    ModelSpec

    Raises
    ------
    SpecError
        If the file is missing, is not valid TOML, or has a key that does not exist, lacks one that
        must, or holds a value of the wrong type. The message names the file and the line.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> lines = ['formula = "travel ~ 1 + (1 | Rail)"', 'data = { bundled = "rail" }']
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "rail.toml")
    ...     _ = path.write_text(chr(10).join(lines))
    ...     spec = read_spec(path)
    >>> spec.name, spec.formula
    ('rail', 'travel ~ 1 + (1 | Rail)')
    """
    file = SpecFile.open(as_path("path", path))
    if isinstance(given := file.content.get("data"), str):
        raise file.error(
            f"'data' is a table, not {given!r}: write [data] on a line of its own, and under it "
            f'path = "{given}"',
            "",
            "data",
        )
    top = file.table("", file.content, _TOP, required=("formula", "data"))
    data = file.table("data", top["data"], DATA)
    return ModelSpec(
        name=file.path.stem,
        path=file.path,
        title=top.get("title", ""),
        source=top.get("source", ""),
        description=top.get("description", "").strip(),
        formula=top["formula"].strip(),
        data=read_data(file, data, top["formula"].strip()),
        weights=data.get("weights"),
        missing=data.get("missing", "drop"),
        priors=file.values("priors", top.get("priors", {}), (str,)),
        sampler=MappingProxyType(file.table("sampler", top.get("sampler", {}), _SAMPLER)),
        reference=_reference(file, top["reference"]) if "reference" in top else None,
        study=read_study(file, top["study"]) if "study" in top else None,
    )


def _reference(file: SpecFile, content: Any) -> Reference:
    table = file.table(
        "reference", content, _REFERENCE, required=("program", "method", "tolerance", "reason")
    )
    estimates = {
        name: file.table(f"reference.fixed_effects.{name}", entry, _ESTIMATE, tuple(_ESTIMATE))
        for name, entry in file.values(
            "reference.fixed_effects", table.get("fixed_effects", {}), (dict,)
        ).items()
    }
    return Reference(
        program=table["program"],
        method=table["method"],
        tolerance=float(table["tolerance"]),
        reason=table["reason"],
        n_obs=table.get("n_obs"),
        criterion=table.get("criterion"),
        precision=float(table.get("precision", 0.0)),
        n_levels=file.values("reference.n_levels", table.get("n_levels", {}), (int,)),
        fixed_effects=MappingProxyType({k: float(v["estimate"]) for k, v in estimates.items()}),
        std_errors=MappingProxyType({k: float(v["std_error"]) for k, v in estimates.items()}),
        **{
            key: file.values(f"reference.{key}", table.get(key, {}), NUMBER)
            for key in ("standard_deviations", "correlations")
        },
    )


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
