"""Extensions that some processors of a kind have and others lack, of which machine code is built.

Rows of response families are loops over exponentials and logarithms: up to 1.8 times as fast by
instructions that take four numbers as by those of two numbers that every x86-64 has.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple


class Level(NamedTuple):
    """What machine code takes for granted beyond the least."""

    features: str  # as LLVM is told
    found: tuple[str, ...]  # by which NumPy says that a processor, and its system, have it


# The level of the least.
LEAST = ""
# AVX-512 was tried: it gave the times of AVX2 within 5 %.
_X86 = {"avx2": Level("+avx2,+fma", ("AVX2", "FMA3")), LEAST: Level("", ())}
_LEVELS = {"x86_64": _X86, "amd64": _X86}


def levels_of(machine: str) -> dict[str, Level]:
    """Return the levels of a kind of processor by name, the best first.

    Parameters
    ----------
    machine : str
        As `platform.machine` has it, in small letters.

    Returns
    -------
    dict
        The last one is the least, which every processor of the kind runs.
    """
    return _LEVELS.get(machine, {LEAST: Level("", ())})


def runs(level: Level) -> bool:
    """Return whether this processor runs machine code of a level."""
    features = _features()
    return all(features.get(name) for name in level.found)


def _features() -> dict[str, bool]:
    """Return what NumPy has found in the processor; nothing where it no longer tells."""
    try:
        found: Any = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
    except (ImportError, AttributeError):
        return {}
    return dict(found)
