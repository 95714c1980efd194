"""Finished scenarios of a study on disk, one file each, and how they are recognised."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import sysconfig
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.errors import ArgumentError, DataWarning, warn

if TYPE_CHECKING:
    from bayeslmm.analysis.summaries.quantities import Quantity
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.model.priors.priors import Priors

# Changes with what a file holds, so that files of another version are not taken.
_FORMAT = 2

# Writing a scenario takes seconds: whoever began a file an hour ago is gone.
_STALE_SECONDS = 3600.0


def study_key(
    design: ModelData,
    settings: Mapping[str, Any],
    random_seed: int,
    quantities: Mapping[str, Quantity],
    reweight: bool,
) -> str:
    """Name everything but its priors on which a scenario's result depends.

    Raises
    ------
    ArgumentError
        If a quantity is a function that cannot be told from others in a later session.
    """
    # How many chains run at a time changes nothing.
    asked = {name: value for name, value in settings.items() if name != "cores"}
    labels = [list(design.coef), *(list(map(str, factor.levels)) for factor in design.factors)]
    family = [design.family.name, design.family.link.name]
    data = [str(design.formula), fingerprint(design), family, labels]
    content = [_FORMAT, *data, asked, random_seed]
    functions = [[name, _identity(name, quantity)] for name, quantity in quantities.items()]
    return _hash(json.dumps([*content, functions, reweight]))


def _identity(name: str, quantity: Quantity) -> str:
    try:
        return function_identity(quantity)
    except ArgumentError as error:
        raise ArgumentError(
            f"The quantity {name!r} cannot be kept in a folder: {error}. Or leave the folder out."
        ) from None


def scenario_seed(random_seed: int, name: str) -> int:
    """Derive a scenario's seed from the study's and its name, whatever ran before it."""
    words = [int(_hash(name)[k : k + 8], 16) for k in (0, 8, 16, 24)]
    return int(np.random.SeedSequence([random_seed, *words]).generate_state(1)[0])


@dataclass(frozen=True)
class StudyFolder:
    """Where finished scenarios are kept; without a path, nowhere.

    Attributes
    ----------
    path : Path or None
        The folder, made when the first scenario is written.
    key : str
        From `study_key`.
    """

    path: Path | None
    key: str

    def prepare(self) -> None:
        """Make the folder, and try it: what cannot be kept is told before anything is fitted.

        Raises
        ------
        ArgumentError
            If nothing can be written there.
        """
        if self.path is None:
            return
        trial = self.path / f".trial.{os.getpid()}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            trial.write_bytes(b"0" * 4096)
            trial.unlink()
        except OSError as error:
            with contextlib.suppress(OSError):
                trial.unlink(missing_ok=True)
            raise ArgumentError(
                f"Scenarios cannot be kept in folder={str(self.path)!r}: "
                f"{error.strerror or error}. Give another folder, or none."
            ) from error
        _clear_unfinished(self.path)

    def write(self, name: str, priors: Priors, result: xr.DataTree) -> None:
        """Write a scenario's file in one step: it is there whole, or not at all.

        Raises
        ------
        ArgumentError
            If it cannot be written.
        """
        if self.path is None:
            return
        final = self._file(name, priors)
        started = final.with_suffix(f".{os.getpid()}.part")
        try:
            result.to_netcdf(started)
            started.replace(final)
        except (OSError, RuntimeError) as error:  # netCDF's own library raises RuntimeErrors
            raise ArgumentError(
                f"Scenario {name!r} cannot be written to folder={str(self.path)!r}: {error}. Free "
                "space there and run the study again: it goes on after the scenarios that are "
                "finished."
            ) from error
        finally:
            with contextlib.suppress(OSError):
                started.unlink(missing_ok=True)

    def read(self, name: str, priors: Priors) -> xr.DataTree | None:
        """Read a scenario's file, or None where there is none that can be read."""
        if self.path is None or not (file := self._file(name, priors)).exists():
            return None
        try:
            with xr.open_datatree(file) as stored:
                result = stored.load()
                result.attrs = dict(stored.attrs)
        except (OSError, ValueError) as error:
            warn(
                f"{str(file)!r} cannot be read ({error}); scenario {name!r} is made anew.",
                DataWarning,
            )
            return None
        return result

    def _file(self, name: str, priors: Priors) -> Path:
        assert self.path is not None  # noqa: S101 - callers looked
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:48]
        digest = _hash(json.dumps([self.key, name, priors.to_json()]))[:12]
        return self.path / f"{readable or 'scenario'}.{digest}.nc"


def _clear_unfinished(folder: Path) -> None:
    """Remove files that runs which were killed had begun; those of living runs are younger."""
    for file in folder.glob("*.part"):
        with contextlib.suppress(OSError):
            if time.time() - file.stat().st_mtime > _STALE_SECONDS:
                file.unlink()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_PLACES = tuple(
    Path(place).resolve()
    for name, place in sysconfig.get_paths().items()
    if name in {"stdlib", "platstdlib", "purelib", "platlib"}
)
_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(Ellipsis))


def function_identity(function: Any) -> str:
    """Hash what a function does: its bytecode and every value that it refers to.

    Two functions of one text differ if they enclose, or find in their module, different numbers;
    comments and line numbers make no difference. Functions of installed packages count by their
    name, and bytecode differs between versions of Python: a changed hash may belong to a function
    that does the same, an unchanged hash belongs to no other.

    Parameters
    ----------
    function : callable or str
        A function, method, `functools.partial` or expression.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ArgumentError
        If it refers to something whose content cannot be compared between sessions.

    Examples
    --------
    >>> from functools import partial
    >>> function_identity(partial(pow, 2)) == function_identity(partial(pow, 2))
    True
    >>> function_identity(partial(pow, 2)) == function_identity(partial(pow, 3))
    False
    """
    digest = hashlib.sha256(f"{sys.implementation.cache_tag}".encode())
    for part in _Reader().parts(function):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


class _Reader:
    """Walks a function's code and values, each function once."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def parts(self, value: Any) -> list[bytes]:
        kind = type(value).__qualname__.encode()
        if isinstance(value, _PLAIN):
            return [kind, repr(value).encode()]
        if isinstance(value, np.ndarray | np.generic) and not np.asarray(value).dtype.hasobject:
            array = np.asarray(value)
            return [kind, f"{array.dtype.str}{array.shape}".encode(), array.tobytes()]
        if isinstance(value, list | tuple):
            return [kind, str(len(value)).encode(), *self._joined(value)]
        if isinstance(value, set | frozenset):
            # Sets have no order that lasts from one process to the next.
            return [kind, *sorted(b"\0".join(self.parts(each)) for each in value)]
        if isinstance(value, Mapping):
            return [kind, *self._joined(item for pair in value.items() for item in pair)]
        return [kind, *self._callable(value)]

    def _joined(self, values: Any) -> list[bytes]:
        return [part for value in values for part in self.parts(value)]

    def _callable(self, value: Any) -> list[bytes]:
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, ModuleType):
            return [value.__name__.encode()]
        if pieces := _pieces(value):
            return self._joined(pieces)
        name = getattr(value, "__qualname__", None)
        module = getattr(value, "__module__", None)
        if isinstance(name, str) and _installed(module):
            # A method of a compiled type, such as "abc".upper, also knows its object.
            owner = getattr(value, "__self__", None)
            own = [] if owner is None or isinstance(owner, ModuleType | type) else [owner]
            return [f"{module}.{name}".encode(), *self._joined(own)]
        if isinstance(value, FunctionType):
            return self._function(value)
        raise ArgumentError(
            f"it refers to a {type(value).__name__}, which cannot be compared between "
            "sessions; use numbers, text, arrays and functions, or write the quantity as "
            "text such as 'sd_g[x] / sigma'"
        )

    def _function(self, function: FunctionType) -> list[bytes]:
        if id(function) in self.seen:
            return [str(self.seen[id(function)]).encode()]
        self.seen[id(function)] = len(self.seen)
        closure = [cell.cell_contents for cell in function.__closure__ or ()]
        named = _global_names(function.__code__)
        globals_ = {
            name: function.__globals__[name]
            for name in sorted(named)
            if name in function.__globals__
        }
        return self._joined(
            [function.__code__, function.__defaults__, function.__kwdefaults__, closure, globals_]
        )

    def _code(self, code: CodeType) -> list[bytes]:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        return [code.co_code, *self._joined([*names, code.co_flags, code.co_consts])]


def _pieces(value: Any) -> tuple[Any, ...]:
    """Take apart what is nothing but its parts."""
    if isinstance(value, slice):
        return value.start, value.stop, value.step
    if isinstance(value, partial):
        return value.func, value.args, value.keywords
    if isinstance(value, MethodType):
        return value.__func__, value.__self__
    return ()


def _global_names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_global_names, inner))


def _installed(module: str | None) -> bool:
    """Return whether a module is of Python or of an installed package, not of the user's work."""
    top = (module or "builtins").partition(".")[0]
    if top in sys.builtin_module_names or top == __name__.partition(".")[0]:
        return True
    home = getattr(sys.modules.get(top), "__file__", None)
    return (
        home is not None
        and top != "__main__"
        and any(Path(home).is_relative_to(place) for place in _PLACES)
    )
