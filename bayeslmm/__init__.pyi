# The public names, once: type checkers read this file, and so does the lazy loader.
from .analysis.checks.diagnosis import Diagnosis as Diagnosis, diagnose as diagnose
from .analysis.checks.leave_one_out import compare_models as compare_models, loo as loo
from .analysis.checks.likelihood import (
    add_log_likelihood as add_log_likelihood,
    log_likelihood as log_likelihood,
)
from .analysis.checks.predictive import check_groups as check_groups
from .analysis.checks.replicates import add_posterior_predictive as add_posterior_predictive
from .analysis.prediction.contrasts import compare_predictions as compare_predictions
from .analysis.prediction.marginal_means import marginal_means as marginal_means
from .analysis.prediction.predictions import predict as predict, predict_table as predict_table
from .analysis.prediction.residuals import fitted as fitted, residuals as residuals
from .analysis.reml_comparison.compare import compare_reml as compare_reml
from .analysis.reml_comparison.effects import compare_random_effects as compare_random_effects
from .analysis.reml_comparison.maximum_likelihood import compare_ml as compare_ml
from .analysis.reml_comparison.refit import refit_reml as refit_reml
from .analysis.sensitivity.power_scaling import (
    prior_sensitivity as prior_sensitivity,
    sensitivity_tree as sensitivity_tree,
)
from .analysis.sensitivity.prior_implications import implied_priors as implied_priors
from .analysis.sensitivity.prior_table import describe_priors as describe_priors
from .analysis.several.probabilities import category_probabilities as category_probabilities
from .analysis.several.response_of import response_of as response_of
from .analysis.smooths.curves import smooth_curves as smooth_curves
from .analysis.smooths.freedom import smooths as smooths
from .analysis.summaries.draws import tidy_draws as tidy_draws
from .analysis.summaries.export import to_latex as to_latex, to_markdown as to_markdown
from .analysis.summaries.hypotheses import hypothesis as hypothesis
from .analysis.summaries.level_tables import (
    coefficients as coefficients,
    random_effects as random_effects,
)
from .analysis.summaries.tables import (
    fixed_effects as fixed_effects,
    variance_components as variance_components,
)
from .analysis.summaries.text import summary as summary
from .analysis.variance.effect_sizes import (
    design_effect as design_effect,
    icc as icc,
    r_squared as r_squared,
)
from .analysis.variance.heritability import (
    heritability as heritability,
    pagel_lambda as pagel_lambda,
)
from .analysis.variance.marginal_covariance import marginal_covariance as marginal_covariance
from .analysis.variance.pooling import shrinkage as shrinkage
from .design.build import (
    build_design as build_design,
    rebuild_design as rebuild_design,
)
from .design.design import Design as Design
from .design.grouping import GroupingFactor as GroupingFactor
from .design.state import DesignState as DesignState
from .errors import (
    ArgumentError as ArgumentError,
    BayesLMMError as BayesLMMError,
    BayesLMMWarning as BayesLMMWarning,
    DataError as DataError,
    DataWarning as DataWarning,
    FormulaError as FormulaError,
    IdentificationWarning as IdentificationWarning,
    NumericalError as NumericalError,
    NumericalWarning as NumericalWarning,
    PriorError as PriorError,
    RankDeficiencyWarning as RankDeficiencyWarning,
    SamplingError as SamplingError,
    SamplingWarning as SamplingWarning,
    SingularFitWarning as SingularFitWarning,
    SpecError as SpecError,
    TreeError as TreeError,
)
from .families.beta import Beta as Beta
from .families.mixtures.beta_binomial import BetaBinomial as BetaBinomial
from .families.binomial import Bernoulli as Bernoulli, Binomial as Binomial
from .families.derived.custom import CustomFamily as CustomFamily
from .families.family import FamilyParameter as FamilyParameter
from .families.gamma import Gamma as Gamma
from .families.gaussian import Gaussian as Gaussian
from .families.times.inverse_gaussian import InverseGaussian as InverseGaussian
from .families.lognormal import LogNormal as LogNormal
from .families.negbinomial import NegativeBinomial as NegativeBinomial
from .families.ordinal.ordered import (
    AdjacentCategory as AdjacentCategory,
    Cumulative as Cumulative,
    StoppingRatio as StoppingRatio,
)
from .families.poisson import Poisson as Poisson
from .families.times.shifted_lognormal import ShiftedLogNormal as ShiftedLogNormal
from .families.tails.skew_normal import SkewNormal as SkewNormal
from .families.several.softmax import Categorical as Categorical, Multinomial as Multinomial
from .families.tails.student import StudentT as StudentT
from .families.times.weibull import Exponential as Exponential, Weibull as Weibull
from .families.mixtures.hurdle import (
    HurdleGamma as HurdleGamma,
    HurdleLogNormal as HurdleLogNormal,
    HurdleNegativeBinomial as HurdleNegativeBinomial,
    HurdlePoisson as HurdlePoisson,
)
from .families.mixtures.truncated import (
    TruncatedNegativeBinomial as TruncatedNegativeBinomial,
    TruncatedPoisson as TruncatedPoisson,
)
from .families.mixtures.zero_inflated import (
    ZeroInflatedBeta as ZeroInflatedBeta,
    ZeroInflatedBinomial as ZeroInflatedBinomial,
    ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial,
    ZeroInflatedPoisson as ZeroInflatedPoisson,
)
from .families.mixtures.zero_one import ZeroOneInflatedBeta as ZeroOneInflatedBeta
from .formula.mixed_formula import (
    MixedFormula as MixedFormula,
    parse_formula as parse_formula,
)
from .formula.random_terms import RandomTerm as RandomTerm
from .gram.gram import Gram as Gram
from .gram.streaming.first_pass import Reading as Reading
from .gram.streaming.from_batches import gram_from_batches as gram_from_batches
from .gram.streaming.from_table import gram_from_table as gram_from_table
from .inference.adopt import adopt as adopt
from .inference.graph.custom_family import custom_family as custom_family
from .inference.fit import fit_bayes as fit_bayes
from .inference.graph.build import build_model as build_model
from .inference.prior_draws import sample_prior as sample_prior
from .inference.update import update as update
from .model.priors.prior import Prior as Prior
from .model.priors.priors import Priors as Priors
from .model.priors.resolve import resolve_priors as resolve_priors
from .model.priors.schemes import PriorScheme as PriorScheme
from .model.simulate import simulate_response as simulate_response
from .plots.categories import plot_categories as plot_categories
from .plots.caterpillar import plot_caterpillar as plot_caterpillar
from .plots.checks import (
    plot_ppc_groups as plot_ppc_groups,
    plot_rank as plot_rank,
    plot_trace as plot_trace,
)
from .plots.comparison import plot_comparison as plot_comparison
from .plots.effect import plot_effect as plot_effect
from .plots.fixed_effects import plot_fixed_effects as plot_fixed_effects
from .plots.forest import plot_forest as plot_forest
from .plots.levels import plot_levels as plot_levels
from .plots.model_check import plot_check as plot_check
from .plots.prior_posterior import plot_prior_posterior as plot_prior_posterior
from .plots.prior_predictive import plot_prior_predictive as plot_prior_predictive
from .plots.residual_correlation import (
    plot_residual_correlation as plot_residual_correlation,
)
from .plots.sensitivity import (
    plot_prior_sensitivity as plot_prior_sensitivity,
    plot_prior_study as plot_prior_study,
)
from .plots.shrinkage import plot_shrinkage as plot_shrinkage
from .plots.smooth import plot_smooth as plot_smooth
from .plots.variance import (
    plot_covariance as plot_covariance,
    plot_variance_partition as plot_variance_partition,
)
from .reml.fit import fit_reml as fit_reml
from .reml.glmm.fit import fit_ml as fit_ml
from .reml.glmm.result import MLFit as MLFit
from .reml.intervals import confidence_intervals as confidence_intervals
from .reml.likelihood_ratio import likelihood_ratio_test as likelihood_ratio_test
from .reml.mode import check_mode as check_mode
from .reml.result import REMLFit as REMLFit
from .relationships.matrix import known_covariance as known_covariance
from .relationships.pedigree import pedigree as pedigree
from .relationships.phylogeny import phylogeny as phylogeny
from .relationships.precision import precision as precision
from .relationships.relationship import Relationship as Relationship
from .studies.model_files.model_spec import ModelSpec as ModelSpec, read_spec as read_spec
from .studies.study import prior_study as prior_study
from .studies.summary import summarise_study as summarise_study
from .tables.datasets import list_datasets as list_datasets, load_dataset as load_dataset
from .version import __version__ as __version__
