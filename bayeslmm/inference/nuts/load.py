"""nutpie, loaded without what only its own trees and models need.

It imports all of ArviZ, pictures and matplotlib with it, for functions of ``arviz_base``; and
Numba, whose decorator marks a function that only models compiled by PyTensor call.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from collections.abc import Iterator

_ARVIZ, _EXTENDING = "arviz", "numba.extending"


def load_nutpie() -> ModuleType:
    """Return nutpie, imported in as little time as it allows.

    Returns
    -------
    module
        nutpie as `import nutpie` gives it, where other versions import otherwise too. Its functions
        load ArviZ when they ask for more than ``arviz_base`` has; those that need Numba are
        finished as soon as anybody imports Numba.
    """
    if "nutpie" not in sys.modules:
        marked: list[FunctionType] = []
        try:
            with _instead({_ARVIZ: _ArviZ(_ARVIZ), _EXTENDING: _Extending(marked)}):
                importlib.import_module("nutpie")
        except (ImportError, AttributeError, TypeError):
            # Another version than those tried, or a broken one, which then says what it lacks.
            for name in [name for name in sys.modules if name.partition(".")[0] == "nutpie"]:
                del sys.modules[name]
        else:
            _finish_with_numba(marked)
    return importlib.import_module("nutpie")


class _ArviZ(ModuleType):
    """ArviZ, of which functions that make trees are found without loading the rest."""

    def __getattr__(self, name: str) -> Any:
        base = importlib.import_module("arviz_base")
        if not name.startswith("__") and hasattr(base, name):
            return getattr(base, name)
        return getattr(_in_place_of(self), name)


class _Extending(ModuleType):
    """`numba.extending` for nutpie; to another thread that imports Numba meanwhile it is Numba's.

    Parameters
    ----------
    marked : list of function
        Takes nutpie's functions that `intrinsic` is given.
    """

    def __init__(self, marked: list[FunctionType]) -> None:
        super().__init__(_EXTENDING)

        def intrinsic(*arguments: Any, **options: Any) -> Any:
            function = arguments[0] if arguments else None
            if getattr(function, "__module__", "").partition(".")[0] != "nutpie":
                return _in_place_of(self).__dict__["intrinsic"](*arguments, **options)
            marked.append(arguments[0])
            return function

        self.__dict__["intrinsic"] = intrinsic

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # what imports ask for first; it is no package
            raise AttributeError(name)
        return getattr(_in_place_of(self), name)


def _in_place_of(stand_in: ModuleType) -> ModuleType:
    """Return the module that another one stands in for, and let it stand there from now on."""
    if sys.modules.get(stand_in.__name__) is stand_in:
        del sys.modules[stand_in.__name__]
    return importlib.import_module(stand_in.__name__)


def _finish_with_numba(marked: list[FunctionType]) -> None:
    """Let Numba mark the functions that it was not there to mark, when somebody imports it."""

    def finish(extending: ModuleType) -> None:
        for function in marked:
            home = sys.modules[function.__module__]
            setattr(home, function.__name__, extending.__dict__["intrinsic"](function))

    if marked:
        wrapt.register_post_import_hook(finish, _EXTENDING)


@contextmanager
def _instead(modules: dict[str, ModuleType]) -> Iterator[None]:
    """Let modules that nobody has loaded yet, nor is loading, be these for a while."""
    missing = {
        name: module
        for name, module in modules.items()
        if name not in sys.modules and name.partition(".")[0] not in sys.modules
    }
    sys.modules.update(missing)
    try:
        yield
    finally:
        for name, module in missing.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
