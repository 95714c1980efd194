"""Compiled densities of models whose cross-products depend on parameters of the residuals.

- ``products``: the gradient of T and log|V| in every cross-product
- ``rows``: sums over pairs of rows, and their derivatives in the pairs' weights
- ``density``: the collapsed density of one point, with all gradients, and of many points
"""
