"""G, the covariance of one grouping factor's random effects.

- ``factors``: theta, factor, (sd, corr) and G, one from the other
- ``partial_correlations``: canonical partial correlations and correlation matrices
- ``theta``: the order in which lme4 lists theta
"""
