"""Cross-products of models whose residual covariance R has parameters: W'R^-1 W, by bases.

- ``records``: pairs of rows that R^-1 joins, and the base that each belongs to
- ``joined``: levels of a factor that R^-1 joins, and their blocks
- ``flat``: all cross-products of a Gram as one vector, and their places in the plan's floats
- ``structured_gram``: `StructuredGram`, the bases summed, combined and differentiated
"""
