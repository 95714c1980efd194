"""What is assumed: response family, residual structure, covariance structures, priors.

- ``model``: `Model`: everything that is assumed, as one frozen value
- ``simulate``: a response drawn from given parameters
- ``covariance/``: G, the covariance of random effects
- ``priors/``: prior distributions, defaults and schemes
"""
