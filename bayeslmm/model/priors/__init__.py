"""Prior distributions as values, defaults on the scales of the data, and schemes.

- ``of_variables``: priors of the entries of one variable, and their joint density
- ``prior``: `Prior`: parsed from text, evaluated in NumPy
- ``dirichlet``: priors of thresholds, through the probabilities of ordered categories
- ``distributions``: PyMC's names and parameters, SciPy's numbers
- ``standard``: densities and quantiles of the usual ones, by special functions
- ``lkj``: the LKJ distribution of correlation matrices
- ``closed_forms``: log-density and slope of a prior at one number
- ``factor_priors``: `FactorPriors`: those of one grouping factor
- ``priors``: `Priors`: every prior of one model
- ``content``: the JSON of priors, checked
- ``supports``: which priors suit a parameter
- ``resolve``: `resolve_priors`: the user's over a scheme's over the defaults
- ``of_parts``: priors of several responses, from those of each by itself
- ``given``: what a user gives as priors: a scheme, and single ones
- ``defaults``: weakly informative, on the scales of the data
- ``shift``: where the priors of random effects stand: the columns' means
- ``schemes``: `PriorScheme`: priors by rule, and those that have a name
- ``package_schemes``: what brms, rstanarm and Bambi would choose
- ``scheme_parts``: what several schemes are put together from
- ``fixed_effects``: the normal prior of beta, where it can be integrated out
"""
