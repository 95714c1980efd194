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
    CUMULATIVE_LOGIT,
    CUMULATIVE_PROBIT,
    CUMULATIVE_CLOGLOG,
    SRATIO_LOGIT,
    SRATIO_PROBIT,
    SRATIO_CLOGLOG,
    ACAT,
) = range(23)

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
# Codes whose log-density need not be concave in eta: a level may have several modes.
NOT_CONCAVE = (*BETAS, STUDENT)
