"""REML and ML of models with a residual structure: G and R are searched for together.

- ``coordinates``: the structure's parameters on the real line, one scale of R left out
- ``objective``: the criterion of relative factors and those coordinates, with its exact gradient
- ``search``: several starts, the lowest end, and what lies on a boundary
- ``unbounded``: likelihoods without a maximum, refused before and after the search
- ``fitted``: `FittedResiduals`, the structure at its estimates
- ``curvature``: standard errors from the observed information
- ``nesting``: which structure is a special case of which
"""
