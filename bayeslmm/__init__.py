"""Bayesian linear mixed models: lme4's grammar, PyMC's sampler, ArviZ's trees.

The public names stand in ``__init__.pyi`` and are imported when they are first used, so that
`import bayeslmm` loads neither PyMC nor ArviZ.
"""

import sys
from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# What lme4, emmeans, brms and bayesplot call it, and what it is called here.
_ELSEWHERE = {
    "lmer": ("fit_reml", "fit_bayes"),
    "glmer": ("fit_ml", "fit_bayes"),
    "glmmTMB": ("fit_ml", "fit_bayes"),
    "brm": ("fit_bayes",),
    "stan_lmer": ("fit_bayes",),
    "fixef": ("fixed_effects",),
    "ranef": ("random_effects",),
    "coef": ("coefficients",),
    "VarCorr": ("variance_components",),
    "confint": ("confidence_intervals", "fixed_effects"),
    "anova": ("likelihood_ratio_test", "compare_models"),
    "drop1": ("likelihood_ratio_test", "compare_models"),
    "loo_compare": ("compare_models",),
    "emmeans": ("marginal_means",),
    "emtrends": ("compare_predictions", "marginal_means"),
    "pairs": ("marginal_means",),
    "contrast": ("marginal_means",),
    "comparisons": ("compare_predictions",),
    "conditional_effects": ("plot_effect",),
    "ggpredict": ("plot_effect",),
    "pp_check": ("plot_check", "plot_ppc_groups"),
    "check_model": ("plot_check",),
    "resid": ("residuals",),
    "posterior_predict": ("predict", "add_posterior_predictive"),
    "posterior_epred": ("predict",),
    "posterior_linpred": ("predict",),
    "as_draws_df": ("tidy_draws",),
    "spread_draws": ("tidy_draws",),
    "gather_draws": ("tidy_draws",),
    "prior_summary": ("describe_priors",),
    "get_prior": ("describe_priors",),
    "default_prior": ("describe_priors",),
    "bayes_R2": ("r_squared",),
    "r2": ("r_squared",),
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _load(name)
    message = f"module {__name__!r} has no attribute {name!r}"
    if name in _ELSEWHERE:
        message += f": here it is {' or '.join(_ELSEWHERE[name])}"
    # With both, Python adds the nearest name that there is.
    raise AttributeError(message, name=name, obj=sys.modules[__name__])
