"""The pictures that a mixed-model user expects, each from a result tree alone."""

from __future__ import annotations

from bayeslmm.plots_caterpillar import plot_caterpillar
from bayeslmm.plots_checks import plot_ppc_groups, plot_rank, plot_trace
from bayeslmm.plots_levels import plot_levels
from bayeslmm.plots_prior import plot_prior_predictive
from bayeslmm.plots_prior_posterior import plot_prior_posterior
from bayeslmm.plots_sensitivity import plot_prior_sensitivity
from bayeslmm.plots_shrinkage import plot_shrinkage
from bayeslmm.plots_study import plot_prior_study
from bayeslmm.plots_variance import plot_covariance, plot_variance_partition

__all__ = [
    "plot_caterpillar",
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
]
