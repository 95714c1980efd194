"""Posteriors of models whose crossed factors are too large for a dense matrix.

- ``sample``: weighted draws of the variance parameters, then effects
- ``peak``: where the posterior is, from the REML estimate
- ``chance``: what the chance of probes does to posterior means and sds
- ``effects``: exact draws of effects, or their moments, from a few dozen relative factors
"""
