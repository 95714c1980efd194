"""How far conclusions hang on the priors.

- ``power_scaling``: `prior_sensitivity`, without another fit
- ``prior_implications``: `implied_priors`: ICC, slope heterogeneity, G
"""
