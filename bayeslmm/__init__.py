"""Bayesian linear mixed models: lme4's grammar, PyMC's sampler, ArviZ's trees."""

__version__ = "0.1.0.dev0"
