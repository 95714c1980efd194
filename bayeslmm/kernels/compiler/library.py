"""Machine code that came with the package: which file, whether it is whole, and what it offers.

``python -m bayeslmm.build_core`` writes it: shared libraries (or object files, where no linker was
at hand) and a table of their functions, all named by the fingerprint of the kernels' sources and by
system and machine. Other sources, or another machine, find nothing and compile. Of response
families there is one library for each level of a processor's extensions (`levels`).
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayeslmm.kernels.compiler.levels import levels_of, runs
from bayeslmm.kernels.compiler.routines import ROUTINES, address_of
from bayeslmm.kernels.compiler.sources import WHOLE
from bayeslmm.kernels.compiler.words import Entry, records_are_as_expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from bayeslmm.kernels.compiler.levels import Level

BUILT = Path(__file__).parent / "built"
# How tables are written; others are not read.
FORMAT = 2
# Set it to compile although machine code is there.
COMPILE = "BAYESLMM_COMPILE"
TABLE_OF_ROUTINES, RELEASE = "bayeslmm_routines", "bayeslmm_release"
_LETTERS: dict[str, Any] = {
    "q": ctypes.c_int64, "Q": ctypes.c_uint64, "d": ctypes.c_double, "d*": ctypes.c_void_p,
    "q*": ctypes.c_void_p, "v*": ctypes.c_void_p,
}  # fmt: skip


def stem(fingerprint: str = WHOLE) -> str:
    """Return the name of machine code of some sources for this machine, without its ending.

    Parameters
    ----------
    fingerprint : str
        Of the kernels' sources.

    Returns
    -------
    str
    """
    return f"{fingerprint}-{sys.platform}-{platform.machine().lower()}"


def digest(content: bytes) -> str:
    """Compute the hash by which a damaged file is known."""
    return blake2b(content, digest_size=16).hexdigest()


class UnusableError(Exception):
    """Why there is no machine code to be used, as a clause."""


class ShippedFunction:
    """A C function of the library.

    Parameters
    ----------
    address : int
        Where it is.
    signature : list of str
        Letters of its result and its arguments.

    Attributes
    ----------
    address : int
    ctypes : callable
        The function, for Python.
    """

    def __init__(self, address: int, signature: list[str]) -> None:
        self.address = address
        self.ctypes = ctypes.CFUNCTYPE(*(_LETTERS[letter] for letter in signature))(address)


@dataclass(frozen=True, eq=False)
class Part:
    """One file of loaded machine code.

    Attributes
    ----------
    file : Path
        Where it came from.
    table : dict
        Its functions by name, with their signatures.
    handle : object
        What gives addresses; it must live as long as they are used.
    """

    file: Path
    table: dict[str, Any]
    handle: Any

    def function(self, symbol: str) -> ShippedFunction | None:
        """Return a C function, or None where there is none of the name."""
        signature = self.table["functions"].get(symbol)
        return None if signature is None else ShippedFunction(self.handle(symbol), signature)

    def entry(self, name: str) -> Entry | None:
        """Return a kernel that Python calls, or None where there is none of the name."""
        about = self.table["entries"].get(name)
        if about is None:
            return None
        call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p, ctypes.c_void_p)
        release = ctypes.CFUNCTYPE(None, ctypes.c_int64)(self.handle(RELEASE))
        symbol, arguments, result = about
        return Entry(call(self.handle(symbol)), release, arguments, result)


@dataclass(frozen=True, eq=False)
class Library:
    """Loaded machine code.

    Attributes
    ----------
    parts : tuple of Part
    """

    parts: tuple[Part, ...]

    def function(self, symbol: str) -> ShippedFunction | None:
        """Return a C function, or None where there is none of the name."""
        return next(filter(None, (part.function(symbol) for part in self.parts)), None)

    def entry(self, name: str) -> Entry | None:
        """Return a kernel that Python calls, or None where there is none of the name."""
        return next(filter(None, (part.entry(name) for part in self.parts)), None)


def load(
    folder: Path, fingerprint: str = WHOLE, *, usable: Callable[[Level], bool] = runs
) -> Library:
    """Load the machine code of some sources.

    Parameters
    ----------
    folder : Path
        Where `build_core` put it.
    fingerprint : str
        Of the sources.
    usable : callable
        Which levels are; of each part the best of them is loaded.

    Returns
    -------
    Library

    Raises
    ------
    UnusableError
        If there is none, if it is damaged, or if it cannot be loaded here.
    """
    if not records_are_as_expected():
        raise UnusableError("this Python keeps arrays otherwise than machine code expects")
    about = folder / f"{stem(fingerprint)}.json"
    if not about.is_file():
        raise UnusableError(_missing(folder, fingerprint))
    levels = [
        name for name, level in levels_of(platform.machine().lower()).items() if usable(level)
    ]
    try:
        table = json.loads(about.read_bytes())
        if table["format"] != FORMAT:
            raise UnusableError(f"{about.name} is of format {table['format']}, not {FORMAT}")
        chosen = []
        for part in table["parts"]:
            name, seal = next(part["files"][level] for level in levels if level in part["files"])
            file = folder / name
            if digest(file.read_bytes()) != seal:
                raise UnusableError(f"{file.name} is not as it was built")
            chosen.append((file, part))
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise UnusableError(f"{about.name} cannot be read") from error
    return Library(tuple(_loaded(file, part) for file, part in chosen))


def _loaded(file: Path, table: dict[str, Any]) -> Part:
    try:
        handle = _open_object(file) if file.suffix == ".o" else _open_shared(file)
        routines = (ctypes.c_void_p * len(ROUTINES))(*map(address_of, ROUTINES))
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(handle(TABLE_OF_ROUTINES))(routines)
    except (OSError, RuntimeError, AttributeError, ImportError) as error:
        raise UnusableError(f"{file.name} cannot be loaded ({error})") from error
    return Part(file, table, handle)


def _missing(folder: Path, fingerprint: str) -> str:
    others = [path.stem for path in folder.glob("*.json")]
    here = stem(fingerprint).partition("-")[2]
    if any(name.partition("-")[2] == here for name in others):
        return "the kernels' sources are not those that machine code came for"
    return f"no machine code came with this copy for {here}"


def _open_shared(file: Path) -> Any:
    library = ctypes.CDLL(str(file))
    return lambda name: ctypes.cast(library[name], ctypes.c_void_p).value


def _open_object(file: Path) -> Any:
    import llvmlite.binding as llvm  # noqa: PLC0415 - only without a linker

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.object_file.ObjectFileRef.from_path(str(file)))
    engine.finalize_object()
    return engine.get_function_address


@cache
def library() -> Library | None:
    """Load the machine code that belongs to these sources, once.

    Returns
    -------
    Library or None
        None where kernels are compiled: see `why_not`.
    """
    found = _find()
    return found if isinstance(found, Library) else None


@cache
def _find() -> Library | str:
    if os.environ.get(COMPILE):
        return f"{COMPILE} is set"
    try:
        return load(BUILT)
    except UnusableError as error:
        return str(error)


@cache
def tell_why_compiled() -> None:
    """Say, once, that the core is compiled now, and why; nothing where machine code is in use."""
    found = _find()
    if not isinstance(found, Library):
        message = "Compiling the numerical core, half a minute and once per machine: %s."
        logging.getLogger("bayeslmm").warning(message, found)
