"""Ordered categories: thresholds stand in the place of an intercept.

- ``discrimination``: how sharply thresholds part categories
- ``intervals``: probabilities of intervals of a latent response
- ``ordered``: cumulative, stopping-ratio and adjacent-category models
- ``sticks``: the fractions from which thresholds follow, and on which their priors are
"""
