"""Effects of one grouping factor integrated out level by level by adaptive Gauss-Hermite nodes.

- ``rows``: what compiled code reads of the rows, and what it works in
- ``sums``: sums over a level's rows: slopes, curvature, density
- ``mode``: each level's mode and curvature, by Newton's method
- ``axes``: nodes around the mode, and what of a row's exponential belongs to them
- ``products``: products over rows at all nodes
- ``nodes``: a level's density at its nodes
- ``several``: levels of t responses: all their modes, and nodes around each
- ``of_zeros``: levels of zeros alone, where zeros are of two kinds
- ``level``: mode and integral as one C function
- ``together``: all levels of one point together, where they are alike
- ``slopes``: derivatives from the same nodes
- ``marginal``: log marginal likelihoods, and their gradient
- ``generator``: random numbers
- ``proposals``: proposals of effects
- ``draw``: effects drawn back
- ``target``: the log posterior as the C function that NUTS calls
"""
