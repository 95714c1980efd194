"""How far conclusions hang on the priors.

- ``prior_table``: `describe_priors`: what each prior says of the response
- ``power_scaling``: `prior_sensitivity`, without another fit
- ``prior_implications``: `implied_priors`: ICC, slope heterogeneity, G
"""
