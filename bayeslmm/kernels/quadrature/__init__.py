"""Effects of one grouping factor integrated out level by level by adaptive Gauss-Hermite nodes.

- ``rows``: what compiled code reads of the rows, and what it works in
- ``mode``: each level's mode and curvature, by Newton's method
- ``nodes``: a level's density at its nodes
- ``level``: both as one C function
- ``slopes``: derivatives from the same nodes
- ``marginal``: log marginal likelihoods, and their gradient
- ``draw``: effects drawn back
- ``target``: the log posterior as the C function that NUTS calls
"""
