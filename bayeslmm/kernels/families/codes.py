"""Whole numbers by which compiled code knows a response family with its link."""

from __future__ import annotations

# Bernoulli is the binomial of one trial; the lognormal is the Gaussian of log y.
(
    BINOMIAL_LOGIT,
    BINOMIAL_PROBIT,
    BINOMIAL_CLOGLOG,
    POISSON,
    NEGBINOMIAL,
    GAMMA,
    BETA_LOGIT,
    BETA_PROBIT,
    BETA_CLOGLOG,
    STUDENT,
    GAUSSIAN,
    WEIBULL,
    EXPONENTIAL,
    CENSORED_GAUSSIAN,
    CENSORED_WEIBULL,
    CENSORED_EXPONENTIAL,
) = range(16)
# Of `mixtures`: with zeros of their own, beyond a hurdle, without zeros, and beta-binomial.
(
    ZERO_INFLATED_POISSON,
    ZERO_INFLATED_NEGBINOMIAL,
    ZERO_INFLATED_BINOMIAL_LOGIT,
    ZERO_INFLATED_BINOMIAL_PROBIT,
    ZERO_INFLATED_BINOMIAL_CLOGLOG,
    HURDLE_POISSON,
    HURDLE_NEGBINOMIAL,
    HURDLE_GAMMA,
    HURDLE_LOGNORMAL,
    TRUNCATED_POISSON,
    TRUNCATED_NEGBINOMIAL,
    BETA_BINOMIAL_LOGIT,
    BETA_BINOMIAL_PROBIT,
    BETA_BINOMIAL_CLOGLOG,
) = range(16, 30)
# Of `ordered`: categories with thresholds.
(
    CUMULATIVE_LOGIT,
    CUMULATIVE_PROBIT,
    CUMULATIVE_CLOGLOG,
    SRATIO_LOGIT,
    SRATIO_PROBIT,
    SRATIO_CLOGLOG,
    ACAT,
) = range(30, 37)

CODES = {
    ("bernoulli", "logit"): BINOMIAL_LOGIT,
    ("bernoulli", "probit"): BINOMIAL_PROBIT,
    ("bernoulli", "cloglog"): BINOMIAL_CLOGLOG,
    ("binomial", "logit"): BINOMIAL_LOGIT,
    ("binomial", "probit"): BINOMIAL_PROBIT,
    ("binomial", "cloglog"): BINOMIAL_CLOGLOG,
    ("poisson", "log"): POISSON,
    ("negbinomial", "log"): NEGBINOMIAL,
    ("gamma", "log"): GAMMA,
    ("beta", "logit"): BETA_LOGIT,
    ("beta", "probit"): BETA_PROBIT,
    ("beta", "cloglog"): BETA_CLOGLOG,
    ("student", "identity"): STUDENT,
    ("gaussian", "identity"): GAUSSIAN,
    ("lognormal", "identity"): GAUSSIAN,
    ("weibull", "log"): WEIBULL,
    ("exponential", "log"): EXPONENTIAL,
    ("censored_gaussian", "identity"): CENSORED_GAUSSIAN,
    ("censored_lognormal", "identity"): CENSORED_GAUSSIAN,
    ("censored_weibull", "log"): CENSORED_WEIBULL,
    ("censored_exponential", "log"): CENSORED_EXPONENTIAL,
    ("zero_inflated_poisson", "log"): ZERO_INFLATED_POISSON,
    ("zero_inflated_negbinomial", "log"): ZERO_INFLATED_NEGBINOMIAL,
    ("zero_inflated_binomial", "logit"): ZERO_INFLATED_BINOMIAL_LOGIT,
    ("zero_inflated_binomial", "probit"): ZERO_INFLATED_BINOMIAL_PROBIT,
    ("zero_inflated_binomial", "cloglog"): ZERO_INFLATED_BINOMIAL_CLOGLOG,
    ("hurdle_poisson", "log"): HURDLE_POISSON,
    ("hurdle_negbinomial", "log"): HURDLE_NEGBINOMIAL,
    ("hurdle_gamma", "log"): HURDLE_GAMMA,
    ("hurdle_lognormal", "identity"): HURDLE_LOGNORMAL,
    ("truncated_poisson", "log"): TRUNCATED_POISSON,
    ("truncated_negbinomial", "log"): TRUNCATED_NEGBINOMIAL,
    ("beta_binomial", "logit"): BETA_BINOMIAL_LOGIT,
    ("beta_binomial", "probit"): BETA_BINOMIAL_PROBIT,
    ("beta_binomial", "cloglog"): BETA_BINOMIAL_CLOGLOG,
    ("cumulative", "logit"): CUMULATIVE_LOGIT,
    ("cumulative", "probit"): CUMULATIVE_PROBIT,
    ("cumulative", "cloglog"): CUMULATIVE_CLOGLOG,
    ("sratio", "logit"): SRATIO_LOGIT,
    ("sratio", "probit"): SRATIO_PROBIT,
    ("sratio", "cloglog"): SRATIO_CLOGLOG,
    ("acat", "logit"): ACAT,
}
"""From (family, link) to its number. The lognormal's response is handed over as log y."""

BETAS = (BETA_LOGIT, BETA_PROBIT, BETA_CLOGLOG)
# Codes of waiting times, and of responses of which some are known to lie in an interval alone.
TIMES = (WEIBULL, EXPONENTIAL)
CENSORED = (CENSORED_GAUSSIAN, CENSORED_WEIBULL, CENSORED_EXPONENTIAL)

# Codes whose exponentials, or squares, can be split over the nodes of a quadrature.
QUICK = (BINOMIAL_LOGIT, POISSON, NEGBINOMIAL, GAMMA, STUDENT)
# Codes whose zeros are of two kinds: a level of zeros alone has a mode for each.
INFLATED = (
    ZERO_INFLATED_POISSON,
    ZERO_INFLATED_NEGBINOMIAL,
    ZERO_INFLATED_BINOMIAL_LOGIT,
    ZERO_INFLATED_BINOMIAL_PROBIT,
    ZERO_INFLATED_BINOMIAL_CLOGLOG,
)
# Codes whose log-density need not be concave in eta: a level may have several modes.
NOT_CONCAVE = (
    *BETAS,
    STUDENT,
    *INFLATED,
    HURDLE_NEGBINOMIAL,
    TRUNCATED_NEGBINOMIAL,
    BETA_BINOMIAL_LOGIT,
    BETA_BINOMIAL_PROBIT,
    BETA_BINOMIAL_CLOGLOG,
)
