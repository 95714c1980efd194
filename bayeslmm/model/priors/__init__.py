"""Prior distributions as values, defaults on the scales of the data, and schemes.

- ``prior``: `Prior`: parsed from text, evaluated in NumPy
- ``distributions``: PyMC's names and parameters, SciPy's numbers
- ``lkj``: the LKJ distribution of correlation matrices
- ``closed_forms``: log-density and slope of a prior at one number
- ``priors``: `Priors`: every prior of one model
- ``resolve``: `resolve_priors`: the user's over a scheme's over the defaults
- ``defaults``: weakly informative, on the scales of the data
- ``shift``: where the priors of random effects stand: the columns' means
- ``schemes``: what other packages would choose
- ``fixed_effects``: the normal prior of beta, where it can be integrated out
"""
