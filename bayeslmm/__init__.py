"""Bayesian linear mixed models: lme4's grammar, PyMC's sampler, ArviZ's trees.

The public names are imported when they are first used, so that `import bayeslmm` loads neither
PyMC nor ArviZ.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayeslmm.datasets import list_datasets, load_dataset
    from bayeslmm.design import Design, DesignState, GroupingFactor, build_design, rebuild_design
    from bayeslmm.distributions import Prior
    from bayeslmm.errors import (
        ArgumentError,
        BayesLMMError,
        BayesLMMWarning,
        DataError,
        DataWarning,
        FormulaError,
        NumericalError,
        NumericalWarning,
        PriorError,
        RankDeficiencyWarning,
        SamplingError,
        SamplingWarning,
        SingularFitWarning,
        SpecError,
        TreeError,
    )
    from bayeslmm.fit import fit_bayes
    from bayeslmm.formula import MixedFormula, RandomTerm, parse_formula
    from bayeslmm.graph import build_model
    from bayeslmm.plots import plot_caterpillar, plot_levels
    from bayeslmm.prior_set import Priors
    from bayeslmm.priors import resolve_priors
    from bayeslmm.spec import ModelSpec, read_spec
    from bayeslmm.summaries import coefficients, fixed_effects, random_effects, variance_components
    from bayeslmm.summary_text import summary

__version__ = "0.1.0.dev0"

__all__ = [
    "ArgumentError",
    "BayesLMMError",
    "BayesLMMWarning",
    "DataError",
    "DataWarning",
    "Design",
    "DesignState",
    "FormulaError",
    "GroupingFactor",
    "MixedFormula",
    "ModelSpec",
    "NumericalError",
    "NumericalWarning",
    "Prior",
    "PriorError",
    "Priors",
    "RandomTerm",
    "RankDeficiencyWarning",
    "SamplingError",
    "SamplingWarning",
    "SingularFitWarning",
    "SpecError",
    "TreeError",
    "__version__",
    "build_design",
    "build_model",
    "coefficients",
    "fit_bayes",
    "fixed_effects",
    "list_datasets",
    "load_dataset",
    "parse_formula",
    "plot_caterpillar",
    "plot_levels",
    "random_effects",
    "read_spec",
    "rebuild_design",
    "resolve_priors",
    "summary",
    "variance_components",
]

# The same list as the imports above, for the interpreter; a test holds the two together.
_NAMES_BY_MODULE = {
    "datasets": (
        "list_datasets",
        "load_dataset",
    ),
    "design": (
        "Design",
        "DesignState",
        "GroupingFactor",
        "build_design",
        "rebuild_design",
    ),
    "distributions": ("Prior",),
    "errors": (
        "ArgumentError",
        "BayesLMMError",
        "BayesLMMWarning",
        "DataError",
        "DataWarning",
        "FormulaError",
        "NumericalError",
        "NumericalWarning",
        "PriorError",
        "RankDeficiencyWarning",
        "SamplingError",
        "SamplingWarning",
        "SingularFitWarning",
        "SpecError",
        "TreeError",
    ),
    "fit": ("fit_bayes",),
    "formula": (
        "MixedFormula",
        "RandomTerm",
        "parse_formula",
    ),
    "graph": ("build_model",),
    "plots": (
        "plot_caterpillar",
        "plot_levels",
    ),
    "prior_set": ("Priors",),
    "priors": ("resolve_priors",),
    "spec": (
        "ModelSpec",
        "read_spec",
    ),
    "summaries": (
        "coefficients",
        "fixed_effects",
        "random_effects",
        "variance_components",
    ),
    "summary_text": ("summary",),
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}

if not TYPE_CHECKING:  # else a type checker would take every misspelt name for one that exists

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"bayeslmm.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
