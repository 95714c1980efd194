"""Model files: a TOML description of a study in, a frozen `ModelSpec` out."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bayeslmm.arguments import ParameterFormulas, as_path
from bayeslmm.design.predictors import parameter_terms
from bayeslmm.design.residual_checks import check_arguments
from bayeslmm.design.response import require_known, require_trials
from bayeslmm.design.stacked.residuals import STRUCTURES
from bayeslmm.errors import ArgumentError, FormulaError, names_keywords
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.registry import family_of
from bayeslmm.formula.residual import residual_terms
from bayeslmm.studies.model_files.data import DATA, read_data
from bayeslmm.studies.model_files.known_files import read_known_files
from bayeslmm.studies.model_files.study_plan import read_study
from bayeslmm.studies.model_files.toml_file import NUMBER, SpecFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bayeslmm.families.family import Family
    from bayeslmm.studies.model_files.known_files import KnownFile
    from bayeslmm.studies.model_files.study_plan import StudyPlan
    from bayeslmm.studies.sources import StudyData


_TOP = {
    "title": (str,),
    "source": (str,),
    "description": (str,),
    "formula": (str,),
    "family": (str,),
    "link": (str,),
    "trials": (int, str),
    "residual": (str,),
    "sigma": (str,),
    "se": (str,),
    **dict.fromkeys(ParameterFormulas.__annotations__, (str,)),
    "known": (dict,),
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
    "parameters": (dict,),
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
        What computed them, and how: ``"REML"``, ``"ML"``, or with how the effects were integrated
        out, as in ``"ML, Laplace"``.
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
        In the response's unit, or that of its link, per column unit.
    standard_deviations : mapping from str to float
        ``sigma`` and, per factor and column, ``sd_Subject[Days]``.
    correlations : mapping from str to float
        ``corr_Subject[Intercept,Days]``.
    parameters : mapping from str to float
        Of the response's family, such as ``shape``.
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
    parameters: Mapping[str, float] = field(default_factory=_empty)


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
    family : Family
        How the response is distributed, with its link.
    trials : str, int or None
        Numbers of trials of a binomial response, or their column.
    residual, sigma : str or None
        Structure of the residuals' covariance, and formula of log(sigma).
    se : str or None
        Column of known standard errors.
    formulas : mapping from str to str
        Formulas of the family's parameters.
    known : mapping from str to KnownFile
        Known covariances of levels by the names that the formula has, and where they stand.
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
    family: Family = GAUSSIAN
    trials: str | int | None = None
    residual: str | None = None
    sigma: str | None = None
    se: str | None = None
    formulas: Mapping[str, str] = field(default_factory=_empty)
    known: Mapping[str, KnownFile] = field(default_factory=dict)

    @property
    def coding(self) -> dict[str, Any]:
        """How rows are read and their response is distributed: arguments of `fit_bayes`."""
        return {
            "weights": self.weights,
            "missing": self.missing,
            "family": self.family,
            "trials": self.trials,
            "residual": self.residual,
            "sigma": self.sigma,
            "se": self.se,
            **self.formulas,
            "known": {name: file.load() for name, file in self.known.items()} or None,
        }


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
    if "model" in file.content:
        raise file.error(
            "there is no table [model]: formula, family, link, trials, residual, sigma, se "
            "and formulas of other parameters stand at the top, above every table",
            "model",
        )
    top = file.table("", file.content, _TOP, required=("formula", "data"))
    data = file.table("data", top["data"], DATA)
    family, trials = _family(file, top, data), top.get("trials")
    return ModelSpec(
        name=file.path.stem,
        path=file.path,
        title=top.get("title", ""),
        source=top.get("source", ""),
        description=top.get("description", "").strip(),
        formula=top["formula"].strip(),
        data=read_data(file, data, top["formula"].strip(), family, trials),
        weights=data.get("weights"),
        missing=data.get("missing", "drop"),
        priors=file.values("priors", top.get("priors", {}), (str,)),
        sampler=MappingProxyType(file.table("sampler", top.get("sampler", {}), _SAMPLER)),
        reference=_reference(file, top["reference"]) if "reference" in top else None,
        study=read_study(file, top["study"]) if "study" in top else None,
        family=family,
        trials=trials,
        known=_known(file, top),
        formulas=_formulas(file, top, family),
        **_of_residuals(file, top, data, family),
    )


def _known(file: SpecFile, top: dict[str, Any]) -> Mapping[str, KnownFile]:
    """Return the known covariances; simulated rows have none."""
    given = top.get("known", {})
    if given and "simulation" in top["data"]:
        raise file.error(
            "a simulated table has independent levels: simulate the rows elsewhere and give [data] "
            "their path",
            "known",
        )
    return MappingProxyType(read_known_files(file, given))


def _family(file: SpecFile, top: dict[str, Any], data: dict[str, Any]) -> Family:
    """Return the family; what it needs or does not take is told with the line."""
    place: tuple[str, str | None] = ("", "family")
    try:
        family = family_of(top.get("family", GAUSSIAN.name))
        place = ("", "link")
        family = family_of(family.name, top.get("link"))
        place = ("data", "weights") if "weights" in data else ("", "trials")
        require_known(family, data.get("weights"), top.get("trials"))
        place = ("", "family")
        require_trials(family, top.get("trials"))
    except ArgumentError as error:
        raise file.error(str(error), *place) from None
    return family


def _of_residuals(
    file: SpecFile, top: dict[str, Any], data: dict[str, Any], family: Family
) -> dict[str, str]:
    """Return what is said of the residuals; what cannot be is told with the line."""
    given: dict[str, str] = {name: top[name] for name in ("residual", "sigma", "se") if name in top}
    for name in given:
        if "simulation" in data:
            raise file.error(
                f"a simulated table has independent residuals with one sigma, and {name} asks for "
                "others: simulate the rows elsewhere and give [data] their path",
                "",
                name,
            )
        try:
            check_arguments(
                family,
                data.get("weights"),
                given.get("residual"),
                given.get("sigma"),
                given.get("se"),
            )
            if given.get("residual") not in STRUCTURES:
                residual_terms(given.get("residual"), given.get("sigma"))
        except (ArgumentError, FormulaError) as error:
            raise file.error(str(error), "", name) from None
    return given


def _formulas(file: SpecFile, top: dict[str, Any], family: Family) -> Mapping[str, str]:
    """Return the formulas of the family's parameters; what cannot be is told with the line."""
    given = {name: top[name] for name in ParameterFormulas.__annotations__ if name in top}
    for name, text in given.items():
        if "simulation" in top["data"]:
            raise file.error(
                f"a simulated table has one {name} for all rows: simulate the rows elsewhere and "
                "give [data] their path",
                "",
                name,
            )
        try:
            parameter_terms(family, {name: text})
        except (ArgumentError, FormulaError) as error:
            raise file.error(str(error), "", name) from None
    return MappingProxyType(given)


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
            for key in ("standard_deviations", "correlations", "parameters")
        },
    )
