"""What is assumed: response family, residual structure, covariance structures, priors.

- ``simulate``: a response drawn from given parameters
- ``covariance/``: G, the covariance of random effects
- ``priors/``: prior distributions, defaults and schemes
"""
