"""What is assumed: residual structure, covariance structures, priors.

- ``model``: `Model`: everything that is assumed, as one frozen value
- ``at_means``: columns less their means, where priors stand there
- ``least_squares``: what fixed effects and chosen columns of random effects leave
- ``exact_fit``: responses that the effects fit exactly, which have no likelihood
- ``exact_means``: the same of positive and bounded responses
- ``identification``: which variances the data can tell apart
- ``variance_products``: inner products of the parts of V, from cross-products
- ``family_numbers``: numbers that stand for a family's parameters in compiled code
- ``compiled_rows``: what compiled code knows of a family
- ``plan_rows``: rows as the compiled Laplace kernels read them
- ``predictors``: `Predictor`: a family's parameters by formulas of their own
- ``simulate``: a response drawn from given parameters
- ``residual/``: R, the covariance of residuals
- ``covariance/``: G, the covariance of random effects
- ``quadrature/``: the likelihood with one factor's effects integrated out numerically
- ``priors/``: prior distributions, defaults and schemes
"""
