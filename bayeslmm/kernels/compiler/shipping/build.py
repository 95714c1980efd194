"""All kernels of the interface as libraries, with a table of their functions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm
from numba.core.codegen import _parse_refprune_flags
from numba.core.llvm_bindings import create_pass_builder

from bayeslmm.kernels.compiler.inner_compiler import inner_options
from bayeslmm.kernels.compiler.levels import LEAST, levels_of
from bayeslmm.kernels.compiler.library import (
    BUILT,
    FORMAT,
    RELEASE,
    TABLE_OF_ROUTINES,
    Library,
    digest,
    load,
    stem,
)
from bayeslmm.kernels.compiler.shipping import runtime
from bayeslmm.kernels.compiler.shipping.interface import PARTS, arguments_of
from bayeslmm.kernels.compiler.shipping.modules import (
    module_of_c,
    module_of_entry,
    signature_of_entry,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.kernels.compiler.levels import Level
    from bayeslmm.kernels.compiler.shipping.interface import Part

# The least that processors of a kind have: any of them runs the code.
_PROCESSORS = {"x86_64": "x86-64", "amd64": "x86-64", "aarch64": "generic", "arm64": "apple-m1"}
_LINKERS = ("cc", "gcc", "clang")
_LINKING = {
    # Symbols of the C library are found in the process: no version of it is asked for.
    "linux": ["-shared", "-nostdlib", "-Wl,-Bsymbolic", "-Wl,-z,noexecstack"],
    "darwin": ["-dynamiclib", "-undefined", "dynamic_lookup"],
}
# What machine code may ask of the process that loads it.
_OF_C = {
    "cosh", "erf", "erfc", "exp", "expm1", "free", "lgamma", "log", "log1p", "malloc", "memcpy",
    "memmove", "memset", "pow", "sinh", "sqrt", "tanh",
}  # fmt: skip


class BuildError(Exception):
    """Why machine code cannot be built here, as a sentence."""


def build(folder: Path = BUILT, *, linker: bool = True, parts: Sequence[Part] = PARTS) -> Library:
    """Build the machine code of the kernels as they stand, and load it.

    Parameters
    ----------
    folder : Path
        Where to put it; what other sources left there is removed.
    linker : bool
        Whether to make shared libraries where there is a linker. Object files, which llvmlite
        loads, are made otherwise.
    parts : sequence of Part
        What is to be in it.

    Returns
    -------
    Library

    Raises
    ------
    BuildError
        If this Numba, system or processor is none for which that was tried.
    """
    name = stem()
    system, machine = name.split("-")[1:]
    if not inner_options():
        raise BuildError("This version of Numba is none that machine code was built with.")
    if system not in _LINKING or machine not in _PROCESSORS:
        raise BuildError(f"Machine code was never built for {system} on {machine}.")
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    levels, about, contents = levels_of(machine), [], {}
    for part in parts:
        code, table = _code_of(part, machine)
        table["files"] = {}
        for level in levels if part.levels else (LEAST,):
            content = _emitted(code, table, machine, levels[level])
            shared = _linked(content, system) if linker else None
            ending = "o" if shared is None else {"linux": "so", "darwin": "dylib"}[system]
            content = content if shared is None else shared
            file = "-".join(filter(None, (name, part.name, level))) + f".{ending}"
            table["files"][level], contents[file] = [file, digest(content)], content
        about.append(table)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"*-{system}-{machine}*"):
        old.unlink()
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    (folder / f"{name}.json").write_text(json.dumps({"format": FORMAT, "parts": about}, indent=1))
    return load(folder)


def _target(machine: str, level: Level) -> Any:
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=_PROCESSORS[machine], features=level.features, opt=3, reloc="pic", codemodel="default"
    )


def _code_of(part: Part, machine: str) -> tuple[str, dict[str, Any]]:
    """Return a part's code before it is optimised, and a table of its functions."""
    modules, entries = [], {}
    for function in part.functions:
        modules += module_of_c(function)
    for at, (kernel, arguments) in enumerate(part.entries):
        symbol, taken = f"bayeslmm_{part.name}_{at}", arguments_of(arguments)
        made, result = module_of_entry(kernel, taken, symbol)
        modules += made
        entries[kernel.name] = [symbol, signature_of_entry(taken), result]
    functions = {function.symbol: function.signature for function in part.functions}
    table = {"functions": functions, "entries": entries}
    code = llvm.parse_assembly(runtime.assembly())
    target, offered = _target(machine, levels_of(machine)[LEAST]), _offered(table)
    # What is asked for by the others comes last.
    for function in (*part.needs, runtime.reshape_c):
        modules += module_of_c(function)
    for module in modules:
        code.link_in(_portable(module, offered, target))
    return str(code), table


def _offered(table: dict[str, Any]) -> set[str]:
    """Return the symbols that whoever loads a library looks for."""
    symbols = (symbol for symbol, _, _ in table["entries"].values())
    return {RELEASE, TABLE_OF_ROUTINES, *table["functions"], *symbols}


def _emitted(code: str, table: dict[str, Any], machine: str, level: Level) -> bytes:
    """Return the object file of a part for a level."""
    module, target = llvm.parse_assembly(code), _target(machine, level)
    _optimise(module, _offered(table), target)
    _require_known(module)
    return bytes(target.emit_object(module))


def _portable(module: Any, offered: set[str], target: Any) -> Any:
    """Return a module without what is this processor's own, to be linked more than once."""
    text = re.sub(r'"target-(cpu|features)"="[^"]*"', "", str(module))
    copy = llvm.parse_assembly(text)
    copy.triple, copy.data_layout = target.triple, str(target.target_data)
    for named in [*copy.functions, *copy.global_variables]:
        private = named.linkage in {llvm.Linkage.internal, llvm.Linkage.private}
        if not (named.is_declaration or private or named.name in offered):
            named.linkage = "linkonce_odr"
    return copy


def _optimise(core: Any, offered: set[str], target: Any) -> None:
    core.triple, core.data_layout = target.triple, str(target.target_data)
    for named in [*core.functions, *core.global_variables]:
        if not named.is_declaration and named.name not in offered:
            named.linkage = "internal"
    # As Numba does: a cheap pass first, so that references are counted in as few functions as
    # can be, where pairs of them cancel.
    for level in (0, 3):
        options = create_pass_builder(
            target, opt=level, loop_vectorize=True, slp_vectorize=level > 0
        )
        passes = options.getModulePassManager()
        if level == 0:
            passes.add_loop_rotate_pass()
            passes.add_instruction_combine_pass()
            passes.add_jump_threading_pass()
        passes.add_refprune_pass(_parse_refprune_flags())
        passes.run(core, options)


def _require_known(core: Any) -> None:
    """Refuse code that needs more of a process than C's own library."""
    unknown = [
        function.name
        for function in core.functions
        if function.is_declaration
        and not function.name.startswith("llvm.")
        and function.name not in _OF_C
    ]
    if unknown:
        raise BuildError(f"Nothing outside Numba has {', '.join(unknown)}.")


def _linked(content: bytes, system: str) -> bytes | None:
    """Return a shared library of an object; None where no linker makes one that can be loaded."""
    command = next(filter(None, map(shutil.which, _LINKERS)), None)
    if command is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "core.o"), Path(folder, "core")
        source.write_bytes(content)
        linked = subprocess.run(  # noqa: S603 - the machine's own linker
            [command, *_LINKING[system], "-o", str(made), str(source)],
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        if linked.returncode != 0:
            return None
        loads = subprocess.run(  # noqa: S603 - this interpreter
            [sys.executable, "-c", f"import ctypes; ctypes.CDLL({str(made)!r})"],
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        return made.read_bytes() if loads.returncode == 0 else None
