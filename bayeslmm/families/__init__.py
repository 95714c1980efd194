"""Response families: how a response is distributed given its linear predictor eta.

A family is one frozen value that satisfies the protocol `Family`. NumPy states it once, for any
number of draws; its PyMC form (`inference/graph/likelihood.py`) is a second hand that a test holds
to the first.

- ``family``: the protocol, with the equation that each verb of a family satisfies
- ``response``: what a response must be
- ``parameters``: a family's parameters by name and as columns
- ``links``: link functions, their inverses and derivatives
- ``registry``: families by name
- ``derived/``: families made of another one, or of functions
- ``member``: what all members have in common
- ``peaks``: densities without the differences of large logarithms
- ``gaussian``: y ~ N(eta, sigma^2 / w)
- ``binomial``: Bernoulli and binomial responses: yes or no, and how often yes
- ``poisson``: counts whose variance is their mean
- ``negbinomial``: counts that scatter more than Poisson's
- ``gamma``: positive numbers with a constant coefficient of variation
- ``lognormal``: positive numbers with a normal logarithm
- ``times/``: waiting times
- ``beta``: proportions strictly between 0 and 1
- ``several/``: several responses, or several categories of one
- ``ordinal/``: ordered categories
- ``tails/``: numbers of either sign whose tails are not the normal's
- ``mixtures/``: responses with zeros or ones of their own, and what they are made of
"""
