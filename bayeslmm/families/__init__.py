"""Response families: how a response is distributed given its linear predictor eta.

A family is one frozen value that satisfies the protocol `Family`. NumPy states it once, for any
number of draws; its PyMC form (`inference/graph/likelihood.py`) is a second hand that a test holds
to the first. Today's only member is the Gaussian.

- ``family``: the protocol, with the equation that each verb of a family satisfies
- ``response``: what a response must be
- ``links``: link functions, their inverses and derivatives
- ``gaussian``: y ~ N(eta, sigma^2 / w)
"""
