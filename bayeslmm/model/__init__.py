"""What is assumed: response family, residual structure, covariance structures, priors.

- ``model``: `Model`: everything that is assumed, as one frozen value
- ``simulate``: a response drawn from given parameters
- ``families/``: how a response is distributed given its linear predictor
- ``residual/``: R, the covariance of residuals
- ``covariance/``: G, the covariance of random effects
- ``priors/``: prior distributions, defaults and schemes
"""
