"""Whether draws may be trusted, and whether the model fits.

- ``diagnosis``: `diagnose`: R-hat, effective sizes, divergences, weights
- ``standardized_effects``: random effects in their own standard deviations
- ``leave_one_out``: `loo`, `compare_models`: by row or by group
- ``likelihood``: log-densities of rows, and of groups with effects integrated out
- ``closed_forms``: those of groups, on a Gaussian scale
- ``level_integrals``: the same of a single factor, compiled
- ``group_quadrature``: densities of groups whose responses are not Gaussian
- ``gram_groups``: densities of groups from cross-products
- ``residual_correlation``: correlations of residuals, beside their structure's
- ``replicates``: replicated responses of all rows, as a group of the tree
- ``predictive``: `check_groups`: replicated data beside the data
"""
