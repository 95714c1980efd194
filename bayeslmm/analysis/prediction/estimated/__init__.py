"""Estimates with standard errors, in the place of draws.

- ``estimates``: linear functions of the effects: draws of a posterior, or REML's estimates
- ``reml_rows``: rows of a REML fit: expected values at its estimates, and their covariance
- ``reml_predictions``: predictions of rows by a REML fit
"""
