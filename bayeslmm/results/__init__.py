"""The result tree: written, read and judged.

- ``write``: numbers laid out as groups, variables and attributes
- ``rows``: the training rows as a table
- ``read``: what was asked, which factors there are, draws as arrays
- ``factor_info``: `FactorInfo`: a grouping factor as a tree describes it
- ``family``: the response family of a tree, and draws of its parameters
- ``parameters``: parameters that have predictors of their own
- ``residual``: the residual structure of a tree, and draws of its parameters
- ``smooths``: which of its factors are smooths
- ``units``: the units of columns and response
- ``record``: what a fit recorded of itself: settings, numbers of levels, several responses
- ``known``: the known covariances of levels that a tree keeps
- ``kept_effects``: which random effects a result keeps
- ``diagnostics``: location, intervals, Monte Carlo error, R-hat, effective sample sizes
- ``shares``: probabilities as shares of draws
- ``convergence``: whether draws may be trusted, and what to try
- ``row_statements``: how often rows count, and which are censored
- ``weights``: how good importance weights were
"""
