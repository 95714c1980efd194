"""The [data] of a model file: a bundled table, a file, or a simulation, whole or in part."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bayeslmm import names
from bayeslmm.errors import nearest
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.ordinal.ordered import Ordered
from bayeslmm.studies.model_files.toml_file import NUMBER
from bayeslmm.studies.simulated_table import RECIPES, Covariate, SimulatedTable
from bayeslmm.studies.sources import BundledTable, FileTable, PartOfTable, nearest_file
from bayeslmm.tables.datasets import list_datasets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.families.family import Family
    from bayeslmm.studies.model_files.toml_file import SpecFile
    from bayeslmm.studies.sources import StudyData

DATA = {
    "bundled": (str,),
    "path": (str,),
    "simulation": (dict,),
    "labels": (list,),
    "levels": (dict,),
    "sep": (str,),
    "decimal": (str,),
    "missing_words": (list,),
    "between": (dict,),
    "origin": (dict,),
    "weights": (str,),
    "missing": (str,),
}
_SIMULATION = {
    "formula": (str,),
    "levels": (dict,),
    "rows": (int, list),
    "total": (int,),
    "columns": (dict,),
    "beta": (dict,),
    "sd": (dict,),
    "corr": (dict,),
    "sigma": NUMBER,
    "parameters": (dict,),
    "random_seed": (int,),
    "missing": NUMBER,
}
_REQUIRED = ("levels", "beta", "sd", "random_seed")
_KINDS = ("bundled", "path", "simulation")
_OF_FILES = ("labels", "levels", "sep", "decimal", "missing_words")
_COVARIATE = {**dict.fromkeys(RECIPES, (list,)), "per": (list,)}


def read_data(
    file: SpecFile,
    data: Mapping[str, Any],
    formula: str,
    family: Family = GAUSSIAN,
    trials: str | int | None = None,
) -> StudyData:
    """Turn a checked [data] table into a source of rows.

    Parameters
    ----------
    file : SpecFile
        Where it stands, for errors that name the line.
    data : mapping
        Keys among `DATA`.
    formula : str
        The study's model, from which a simulation draws unless it names another.
    family : Family
        What it draws.
    trials : str, int or None
        Numbers of trials of a binomial response, or their column.

    Returns
    -------
    StudyData

    Raises
    ------
    SpecError
        If the table does not describe exactly one source, or describes it wrongly.
    """
    kinds = [kind for kind in _KINDS if kind in data]
    if len(kinds) != 1:
        raise file.error(
            '[data] needs exactly one of bundled = "a bundled table", path = "a file", and a table '
            "[data.simulation]",
            "data",
        )
    if kinds != ["path"] and (surplus := set(_OF_FILES) & set(data)):
        brings = {"bundled": "a bundled table", "simulation": "a simulation"}[kinds[0]]
        raise file.error(
            f"{brings} is no file to be read, and brings its own labels; remove "
            f"{', '.join(sorted(surplus))}",
            "data",
            min(surplus),
        )
    readers = {"bundled": _bundled, "path": _path}
    source = (
        _simulation(file, data["simulation"], formula, (family, trials))
        if kinds == ["simulation"]
        else readers[kinds[0]](file, data)
    )
    between = {
        column: _pair(file, "data.between", column, pair)
        for column, pair in file.values("data.between", data.get("between", {}), (list,)).items()
    }
    origin = file.values("data.origin", data.get("origin", {}), NUMBER)
    return PartOfTable(source, between, origin) if between or origin else source


def _bundled(file: SpecFile, data: Mapping[str, Any]) -> StudyData:
    if data["bundled"] not in (known := list_datasets().index):
        raise file.error(
            f"there is no bundled table {data['bundled']!r}."
            f"{nearest(data['bundled'], known)} The tables are {', '.join(known)}",
            "data",
            "bundled",
        )
    return BundledTable(data["bundled"])


def _path(file: SpecFile, data: Mapping[str, Any]) -> StudyData:
    path = (file.path.parent / data["path"]).resolve()
    if not path.is_file():
        raise file.error(
            f"there is no data file {str(path)!r}.{nearest_file(path)}", "data", "path"
        )
    for label in data.get("labels", []):
        if not isinstance(label, str):
            raise file.error(f"labels must be column names, not {label!r}", "data", "labels")
    for word in data.get("missing_words", []):
        if not isinstance(word, str):
            raise file.error(
                f'missing_words are text, such as "{word}", not {word!r}', "data", "missing_words"
            )
    for key in ("sep", "decimal"):
        if len(data.get(key, ".")) != 1:
            raise file.error(f"{key!r} is one character, not {data[key]!r}", "data", key)
    usual = "\t" if ".tsv" in path.suffixes else ","
    if data.get("sep", usual) == data.get("decimal"):
        raise file.error(
            f"{data['decimal']!r} cannot be the decimal point and separate columns too: give sep",
            "data",
            "decimal",
        )
    levels = file.values("data.levels", data.get("levels", {}), (list,))
    return FileTable(
        path,
        labels=tuple(data.get("labels", ())),
        levels=MappingProxyType({name: tuple(map(str, each)) for name, each in levels.items()}),
        sep=data.get("sep"),
        decimal=data.get("decimal", "."),
        missing_words=tuple(data.get("missing_words", ())),
    )


def _simulation(
    file: SpecFile, content: Any, formula: str, response: tuple[Family, str | int | None]
) -> SimulatedTable:
    where = "data.simulation"
    table = file.table(where, content, _SIMULATION, _REQUIRED)
    parameters = _parameters(file, where, table, response[0])
    levels = file.values(f"{where}.levels", table["levels"], (int,))
    for name, count in levels.items():
        if count < 1:
            raise file.error(f"{name!r} needs one level or more", f"{where}.levels", name)
    if table["random_seed"] < 0:
        raise file.error("'random_seed' must be 0 or more", where, "random_seed")
    missing = table.get("missing", 0.0)
    if not 0 <= missing < 1:
        raise file.error("'missing' is a share of the rows, from 0 up to 1", where, "missing")
    columns = file.values(f"{where}.columns", table.get("columns", {}), (dict, list))
    rows = table.get("rows", 1)
    return SimulatedTable(
        formula=table.get("formula", formula),
        levels=levels,
        rows=_row_counts(file, where, rows),
        total=table.get("total"),
        columns=MappingProxyType(
            {name: _covariates(file, name, parts, levels) for name, parts in columns.items()}
        ),
        beta=file.values(f"{where}.beta", table["beta"], NUMBER),
        sd=MappingProxyType(
            {
                name: tuple(each) if isinstance(each, list) else (each,)
                for name, each in file.values(f"{where}.sd", table["sd"], (list, *NUMBER)).items()
            }
        ),
        corr=MappingProxyType(
            {
                name: tuple(map(tuple, each)) if isinstance(each, list) else each
                for name, each in file.values(
                    f"{where}.corr", table.get("corr", {}), (list, *NUMBER)
                ).items()
            }
        ),
        parameters=parameters,
        random_seed=table["random_seed"],
        missing=float(missing),
        family=response[0],
        trials=response[1],
    )


def _parameters(
    file: SpecFile, where: str, table: Mapping[str, Any], family: Family
) -> Mapping[str, float | tuple[float, ...]]:
    """Return the family's parameters: sigma by itself, others in a table."""
    own = f"{where}.parameters"
    given = dict(file.values(own, table.get("parameters", {}), (list, *NUMBER)))
    if names.SIGMA in table:
        given[names.SIGMA] = table[names.SIGMA]
    known = [parameter.name for parameter in family.parameters]
    for name in given:
        if name not in known:
            place = (where, name) if name in table else (own, name)
            raise file.error(f"family = {family.name!r} has no parameter {name!r}", *place)
    several = isinstance(family, Ordered)
    for name in known:
        if name not in given:
            like = "[-1.0, 1.0]" if several else "2.0"
            how = "" if name == names.SIGMA else f": parameters = {{ {name} = {like} }}"
            raise file.error(f"the key {name!r} is missing in [{where}]{how}", where)
        numbers = given[name] if isinstance(given[name], list) else [given[name]]
        if isinstance(given[name], list) != several or {*map(type, numbers)} - {*NUMBER}:
            wanted = "a list of numbers, from the lowest up" if several else "a number"
            raise file.error(f"{name!r} must be {wanted}, not {given[name]!r}", own, name)
    return MappingProxyType(
        {name: tuple(map(float, given[name])) if several else float(given[name]) for name in known}
    )


def _row_counts(file: SpecFile, where: str, rows: Any) -> tuple[int, int]:
    low, high = (rows, rows) if isinstance(rows, int) else _pair(file, where, "rows", rows)
    if int(low) != low or int(high) != high or not 0 <= low <= high:
        raise file.error(
            "'rows' are one whole number, or the fewest and the most: [2, 40]", where, "rows"
        )
    return int(low), int(high)


def _covariates(
    file: SpecFile, name: str, content: Any, levels: Mapping[str, int]
) -> tuple[Covariate, ...]:
    where = "data.simulation.columns"
    parts = []
    for part in content if isinstance(content, list) else [content]:
        table = file.table(f"{where}.{name}", part, _COVARIATE)
        recipes = [recipe for recipe in RECIPES if recipe in table]
        if len(recipes) != 1:
            raise file.error(f"{name!r} needs exactly one of {', '.join(RECIPES)}", where, name)
        (recipe,) = recipes
        values = table[recipe]
        per = tuple(table.get("per", ()))
        for factor in per:
            if factor not in levels:
                raise file.error(
                    f"{name!r} is constant per {factor!r}, which is none of the levels "
                    f"{', '.join(levels)}",
                    where,
                    name,
                )
        if recipe == "binary":
            if len(values) != 1 or type(values[0]) not in NUMBER or not 0 <= values[0] <= 1:
                raise file.error(f"{name!r} takes the share of ones, [0.25]", where, name)
        elif recipe != "cycle":
            _pair(file, where, name, values)
        elif not values:
            raise file.error(f"{name!r} needs values to take in turn", where, name)
        parts.append(Covariate(recipe, tuple(values), per))
    if len(parts) > 1 and any(isinstance(value, str) for part in parts for value in part.values):
        raise file.error(f"{name!r} cannot add labels up", where, name)
    return tuple(parts)


def _pair(file: SpecFile, table: str, key: str, values: Any) -> tuple[float, float]:
    if len(values) != 2 or not all(type(value) in NUMBER for value in values):
        raise file.error(f"{key!r} takes two numbers, not {values!r}", table, key)
    return values[0], values[1]
