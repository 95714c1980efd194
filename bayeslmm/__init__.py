"""Bayesian linear mixed models: lme4's grammar, PyMC's sampler, ArviZ's trees.

The public names are imported when they are first used, so that `import bayeslmm` loads neither
PyMC nor ArviZ.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bayeslmm.version import __version__

if TYPE_CHECKING:
    from bayeslmm.analysis.checks.diagnosis import Diagnosis, diagnose
    from bayeslmm.analysis.checks.leave_one_out import compare_models, loo
    from bayeslmm.analysis.checks.likelihood import add_log_likelihood, log_likelihood
    from bayeslmm.analysis.checks.predictive import check_groups
    from bayeslmm.analysis.prediction.contrasts import compare_predictions
    from bayeslmm.analysis.prediction.predictions import predict, predict_table
    from bayeslmm.analysis.reml_comparison.compare import compare_random_effects, compare_reml
    from bayeslmm.analysis.reml_comparison.refit import refit_reml
    from bayeslmm.analysis.sensitivity.power_scaling import prior_sensitivity, sensitivity_tree
    from bayeslmm.analysis.sensitivity.prior_implications import implied_priors
    from bayeslmm.analysis.summaries.hypotheses import hypothesis
    from bayeslmm.analysis.summaries.tables import (
        coefficients,
        fixed_effects,
        random_effects,
        variance_components,
    )
    from bayeslmm.analysis.summaries.text import summary
    from bayeslmm.analysis.variance.effect_sizes import design_effect, icc, r_squared
    from bayeslmm.analysis.variance.marginal_covariance import marginal_covariance
    from bayeslmm.analysis.variance.pooling import shrinkage
    from bayeslmm.design.design import (
        Design,
        DesignState,
        GroupingFactor,
        build_design,
        rebuild_design,
    )
    from bayeslmm.errors import (
        ArgumentError,
        BayesLMMError,
        BayesLMMWarning,
        DataError,
        DataWarning,
        FormulaError,
        IdentificationWarning,
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
    from bayeslmm.formula.mixed_formula import MixedFormula, RandomTerm, parse_formula
    from bayeslmm.gram.gram import Gram
    from bayeslmm.gram.streaming.first_pass import Reading
    from bayeslmm.gram.streaming.from_batches import gram_from_batches
    from bayeslmm.gram.streaming.from_table import gram_from_table
    from bayeslmm.inference.fit import fit_bayes
    from bayeslmm.inference.graph.build import build_model
    from bayeslmm.inference.prior_draws import sample_prior
    from bayeslmm.model.priors.describe import describe_priors
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.model.priors.resolve import resolve_priors
    from bayeslmm.model.priors.schemes import PriorScheme
    from bayeslmm.model.simulate import simulate_response
    from bayeslmm.plots.caterpillar import plot_caterpillar
    from bayeslmm.plots.checks import plot_ppc_groups, plot_rank, plot_trace
    from bayeslmm.plots.comparison import plot_comparison
    from bayeslmm.plots.levels import plot_levels
    from bayeslmm.plots.prior_posterior import plot_prior_posterior
    from bayeslmm.plots.prior_predictive import plot_prior_predictive
    from bayeslmm.plots.sensitivity import plot_prior_sensitivity, plot_prior_study
    from bayeslmm.plots.shrinkage import plot_shrinkage
    from bayeslmm.plots.variance import plot_covariance, plot_variance_partition
    from bayeslmm.reml.fit import fit_reml
    from bayeslmm.reml.intervals import confidence_intervals
    from bayeslmm.reml.likelihood_ratio import likelihood_ratio_test
    from bayeslmm.reml.mode import check_mode
    from bayeslmm.reml.result import REMLFit
    from bayeslmm.studies.model_files.model_spec import ModelSpec, read_spec
    from bayeslmm.studies.study import prior_study
    from bayeslmm.studies.summary import summarise_study
    from bayeslmm.tables.datasets import list_datasets, load_dataset

__all__ = [
    "ArgumentError",
    "BayesLMMError",
    "BayesLMMWarning",
    "DataError",
    "DataWarning",
    "Design",
    "DesignState",
    "Diagnosis",
    "FormulaError",
    "Gram",
    "GroupingFactor",
    "IdentificationWarning",
    "MixedFormula",
    "ModelSpec",
    "NumericalError",
    "NumericalWarning",
    "Prior",
    "PriorError",
    "PriorScheme",
    "Priors",
    "REMLFit",
    "RandomTerm",
    "RankDeficiencyWarning",
    "Reading",
    "SamplingError",
    "SamplingWarning",
    "SingularFitWarning",
    "SpecError",
    "TreeError",
    "__version__",
    "add_log_likelihood",
    "build_design",
    "build_model",
    "check_groups",
    "check_mode",
    "coefficients",
    "compare_models",
    "compare_predictions",
    "compare_random_effects",
    "compare_reml",
    "confidence_intervals",
    "describe_priors",
    "design_effect",
    "diagnose",
    "fit_bayes",
    "fit_reml",
    "fixed_effects",
    "gram_from_batches",
    "gram_from_table",
    "hypothesis",
    "icc",
    "implied_priors",
    "likelihood_ratio_test",
    "list_datasets",
    "load_dataset",
    "log_likelihood",
    "loo",
    "marginal_covariance",
    "parse_formula",
    "plot_caterpillar",
    "plot_comparison",
    "plot_covariance",
    "plot_levels",
    "plot_ppc_groups",
    "plot_prior_posterior",
    "plot_prior_predictive",
    "plot_prior_sensitivity",
    "plot_prior_study",
    "plot_rank",
    "plot_shrinkage",
    "plot_trace",
    "plot_variance_partition",
    "predict",
    "predict_table",
    "prior_sensitivity",
    "prior_study",
    "r_squared",
    "random_effects",
    "read_spec",
    "rebuild_design",
    "refit_reml",
    "resolve_priors",
    "sample_prior",
    "sensitivity_tree",
    "shrinkage",
    "simulate_response",
    "summarise_study",
    "summary",
    "variance_components",
]

# The same list as the imports above, for the interpreter; a test holds the two together.
_NAMES_BY_MODULE = {
    "analysis.checks.diagnosis": ("Diagnosis", "diagnose"),
    "analysis.checks.leave_one_out": ("compare_models", "loo"),
    "analysis.reml_comparison.compare": (
        "compare_random_effects",
        "compare_reml",
    ),
    "analysis.prediction.contrasts": ("compare_predictions",),
    "tables.datasets": (
        "list_datasets",
        "load_dataset",
    ),
    "design.design": (
        "Design",
        "DesignState",
        "GroupingFactor",
        "build_design",
        "rebuild_design",
    ),
    "model.priors.prior": ("Prior",),
    "analysis.variance.effect_sizes": (
        "design_effect",
        "icc",
        "r_squared",
    ),
    "errors": (
        "ArgumentError",
        "BayesLMMError",
        "BayesLMMWarning",
        "DataError",
        "DataWarning",
        "FormulaError",
        "IdentificationWarning",
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
    "inference.fit": ("fit_bayes",),
    "formula.mixed_formula": (
        "MixedFormula",
        "RandomTerm",
        "parse_formula",
    ),
    "inference.graph.build": ("build_model",),
    "analysis.checks.likelihood": ("add_log_likelihood", "log_likelihood"),
    "gram.gram": ("Gram",),
    "gram.streaming.from_table": ("gram_from_table",),
    "analysis.summaries.hypotheses": ("hypothesis",),
    "reml.likelihood_ratio": ("likelihood_ratio_test",),
    "analysis.variance.marginal_covariance": ("marginal_covariance",),
    "reml.mode": ("check_mode",),
    "plots.caterpillar": ("plot_caterpillar",),
    "plots.checks": (
        "plot_ppc_groups",
        "plot_rank",
        "plot_trace",
    ),
    "plots.levels": ("plot_levels",),
    "plots.prior_predictive": ("plot_prior_predictive",),
    "plots.prior_posterior": ("plot_prior_posterior",),
    "plots.shrinkage": ("plot_shrinkage",),
    "plots.variance": (
        "plot_covariance",
        "plot_variance_partition",
    ),
    "plots.sensitivity": ("plot_prior_sensitivity", "plot_prior_study"),
    "plots.comparison": ("plot_comparison",),
    "analysis.prediction.predictions": (
        "predict",
        "predict_table",
    ),
    "analysis.checks.predictive": ("check_groups",),
    "model.priors.describe": ("describe_priors",),
    "inference.prior_draws": ("sample_prior",),
    "analysis.sensitivity.prior_implications": ("implied_priors",),
    "model.priors.schemes": ("PriorScheme",),
    "model.priors.priors": ("Priors",),
    "studies.study": ("prior_study",),
    "model.priors.resolve": ("resolve_priors",),
    "gram.streaming.first_pass": ("Reading",),
    "analysis.reml_comparison.refit": ("refit_reml",),
    "gram.streaming.from_batches": ("gram_from_batches",),
    "reml.fit": ("fit_reml",),
    "reml.result": ("REMLFit",),
    "reml.intervals": ("confidence_intervals",),
    "analysis.sensitivity.power_scaling": (
        "prior_sensitivity",
        "sensitivity_tree",
    ),
    "analysis.variance.pooling": ("shrinkage",),
    "model.simulate": ("simulate_response",),
    "studies.model_files.model_spec": (
        "ModelSpec",
        "read_spec",
    ),
    "studies.summary": ("summarise_study",),
    "analysis.summaries.tables": (
        "coefficients",
        "fixed_effects",
        "random_effects",
        "variance_components",
    ),
    "analysis.summaries.text": ("summary",),
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


class _Package(ModuleType):
    """A package whose public names are not hidden by submodules of the same name.

    Importing ``bayeslmm.predict`` would bind the module to the attribute `predict`, where users
    expect the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
