"""Importance sampling of the variance parameters; interpolation where one density takes long.

- ``sample``: a posterior without a Markov chain
- ``algorithm``: draws weighted, judged and resampled
- ``weigh``: points on the best scales, enough of them, and what is told
- ``proposal``: split Student-t distributions and mixtures
- ``interpolated_target``: a posterior from interpolated log|V| and T
- ``surrogate``: the adaptive choice of points
- ``interpolation``: radial basis functions and their nodes
- ``shared_effects``: effects for thousands of draws from a few hundred factorizations
- ``crossed/``: posteriors of crossed factors that are too large for a dense matrix
"""
