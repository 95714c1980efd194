"""How much groups and predictors explain.

- ``effect_sizes``: `icc`, `r_squared`, `design_effect`
- ``heritability``: `heritability`, `pagel_lambda`: shares of effects of related levels
- ``parts``: draws of the variances of fixed part, factors and residual
- ``marginal_covariance``: covariance of one level's rows
- ``level_moments``: sums over rows of each level, and of related levels
- ``moments``: averages over rows from cross-products
- ``population``: fixed effects and smooths as one set of columns
- ``observation``: those parts for responses themselves, where the link is not the identity
- ``studies``: studies of a meta-analysis, raw and shrunken
- ``pooling``: `shrinkage`: no, partial and complete pooling
"""
