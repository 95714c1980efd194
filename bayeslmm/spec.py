"""Model files: a TOML description of a study in, a frozen `ModelSpec` out."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bayeslmm.datasets import list_datasets
from bayeslmm.errors import SpecError, nearest
from bayeslmm.study_data import BundledTable, FileTable, StudyData

if TYPE_CHECKING:
    from collections.abc import Mapping

_NUMBER = (int, float)
_TOP = {
    "title": (str,),
    "source": (str,),
    "description": (str,),
    "formula": (str,),
    "data": (dict,),
    "priors": (dict,),
    "sampler": (dict,),
    "reference": (dict,),
}
_DATA = {
    "bundled": (str,),
    "path": (str,),
    "labels": (list,),
    "levels": (dict,),
    "weights": (str,),
    "missing": (str,),
}
_SAMPLER = {
    "draws": (int,),
    "tune": (int,),
    "chains": (int,),
    "cores": (int,),
    "random_seed": (int,),
    "target_accept": _NUMBER,
    "sampler": (str,),
    "parametrization": (str,),
}
_REFERENCE = {
    "program": (str,),
    "method": (str,),
    "n_obs": (int,),
    "n_levels": (dict,),
    "criterion": _NUMBER,
    "tolerance": _NUMBER,
    "reason": (str,),
    "fixed_effects": (dict,),
    "standard_deviations": (dict,),
    "correlations": (dict,),
}
_ESTIMATE = {"estimate": _NUMBER, "std_error": _NUMBER}
_TYPE_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


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
    >>> lines = ['formula = "travel ~ 1 + (1 | Rail)"', 'data = { bundled = "rail" }']
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "rail.toml")
    ...     _ = path.write_text(chr(10).join(lines))
    ...     spec = read_spec(path)
    >>> spec.name, spec.formula
    ('rail', 'travel ~ 1 + (1 | Rail)')
    """
    file = _File.open(Path(path))
    top = file.table("", file.content, _TOP, required=("formula", "data"))
    data = file.table("data", top["data"], _DATA)
    return ModelSpec(
        name=file.path.stem,
        path=file.path,
        title=top.get("title", ""),
        source=top.get("source", ""),
        description=top.get("description", "").strip(),
        formula=top["formula"].strip(),
        data=_table(file, data),
        weights=data.get("weights"),
        missing=data.get("missing", "drop"),
        priors=file.values("priors", top.get("priors", {}), (str,)),
        sampler=MappingProxyType(file.table("sampler", top.get("sampler", {}), _SAMPLER)),
        reference=_reference(file, top["reference"]) if "reference" in top else None,
    )


def find_specs(folder: str | Path = "models") -> list[Path]:
    """List the model files of a folder, by name; none where the folder does not exist."""
    return sorted(Path(folder).glob("*.toml"))


def _table(file: _File, data: Mapping[str, Any]) -> StudyData:
    kinds = [kind for kind in ("bundled", "path") if kind in data]
    if len(kinds) != 1:
        raise file.error(
            '[data] needs exactly one of bundled = "a bundled table" and path = "a file"', "data"
        )
    if "bundled" in data:
        if surplus := {"labels", "levels"} & set(data):
            raise file.error(
                f"a bundled table brings its own labels; remove {', '.join(sorted(surplus))}",
                "data",
                min(surplus),
            )
        if data["bundled"] not in (known := list_datasets().index):
            raise file.error(
                f"there is no bundled table {data['bundled']!r}."
                f"{nearest(data['bundled'], known)} The tables are {', '.join(known)}",
                "data",
                "bundled",
            )
        return BundledTable(data["bundled"])
    path = (file.path.parent / data["path"]).resolve()
    if not path.is_file():
        raise file.error(f"there is no data file {str(path)!r}", "data", "path")
    for label in data.get("labels", []):
        if not isinstance(label, str):
            raise file.error(f"labels must be column names, not {label!r}", "data", "labels")
    levels = file.values("data.levels", data.get("levels", {}), (list,))
    return FileTable(
        path,
        labels=tuple(data.get("labels", ())),
        levels=MappingProxyType({name: tuple(map(str, each)) for name, each in levels.items()}),
    )


def _reference(file: _File, content: Any) -> Reference:
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
        n_levels=file.values("reference.n_levels", table.get("n_levels", {}), (int,)),
        fixed_effects=MappingProxyType({k: float(v["estimate"]) for k, v in estimates.items()}),
        std_errors=MappingProxyType({k: float(v["std_error"]) for k, v in estimates.items()}),
        **{
            key: file.values(f"reference.{key}", table.get(key, {}), _NUMBER)
            for key in ("standard_deviations", "correlations")
        },
    )


@dataclass(frozen=True, slots=True)
class _File:
    """A parsed file that can say where in its text something is wrong."""

    path: Path
    text: str
    content: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> _File:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise SpecError(f"{path} is not a text file in UTF-8: {error.reason}.") from error
        except OSError as error:
            raise SpecError(_unreadable(path, error)) from error
        try:
            return cls(path, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            # Its message ends in "(at line 3, column 5)" or "(at end of document)".
            at = re.search(r"\(at line (\d+)", str(error))
            line = int(at[1]) if at else text.count("\n") + 1
            raise SpecError(f"{path}:{line}: not valid TOML. {error}.") from error

    def error(self, message: str, table: str = "", key: str | None = None) -> SpecError:
        line = _line(self.text, table, key)
        return SpecError(f"{self.path}:{line}: {message}." if line else f"{self.path}: {message}.")

    def table(
        self,
        name: str,
        content: Any,
        schema: Mapping[str, tuple[type, ...]],
        required: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Check a table of known keys."""
        where = f" in [{name}]" if name else ""
        if not isinstance(content, dict):
            raise self.error(f"[{name}] must be a table")
        for key, value in content.items():
            if key not in schema:
                hint = nearest(key, schema) or f" The keys are {', '.join(schema)}."
                raise self.error(f"there is no key {key!r}{where}.{hint}".rstrip("."), name, key)
            self._check(name, key, value, schema[key])
        for key in required:
            if key not in content:
                raise self.error(f"the key {key!r} is missing{where}", name)
        return content

    def values(self, name: str, content: Any, types: tuple[type, ...]) -> Mapping[str, Any]:
        """Check a table of free keys whose values share a type."""
        for key, value in content.items():
            self._check(name, key, value, types)
        return MappingProxyType(content)

    def _check(self, table: str, key: str, value: Any, types: tuple[type, ...]) -> None:
        # Not isinstance: true is no whole number here.
        if type(value) not in types:
            wanted = _TYPE_NAMES[types[-1]]
            raise self.error(f"{key!r} must be {wanted}, not {value!r}", table, key)


def _unreadable(path: Path, error: OSError) -> str:
    if path.is_dir():
        return f"{path} is a folder, not a model file."
    if not path.exists():
        named = {
            spec.stem: spec for folder in (path.parent, "models") for spec in find_specs(folder)
        }
        hint = nearest(path.stem, named)
        for stem, spec in named.items():
            hint = hint.replace(f"'{stem}'", f"'{spec}'")
        return f"There is no model file {str(path)!r}.{hint}"
    return f"{path} cannot be read: {error.strerror}."


def _line(text: str, table: str, key: str | None) -> int | None:
    """Find the line of a key, or of its table's header; None where it stands in neither form."""
    current, header = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if heading := re.match(r"\s*\[+\s*([^\]]+?)\s*\]+\s*(#.*)?$", line):
            current = heading[1]
        if current == table and header is None and (table or key is None):
            header = number
        if key is not None and current == table:
            name = re.match(r"""\s*(["']?)(.+?)\1\s*=""", line)
            if name and name[2] == key:
                return number
    if header is None and table:
        # An inline table: `Days = { ... }` under [reference.fixed_effects].
        parent, _, last = table.rpartition(".")
        return _line(text, parent, last)
    return header
