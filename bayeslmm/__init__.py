"""Bayesian linear mixed models: lme4's grammar, PyMC's sampler, ArviZ's trees.

The public names stand in ``__init__.pyi`` and are imported when they are first used, so that
`import bayeslmm` loads neither PyMC nor ArviZ.
"""

from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _load(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
