"""Moves of (theta, eps), where effects = mode(theta) + R(theta)^-1 eps and R'R is the curvature.

- ``rows``: rows beside an elimination plan, and sums over them
- ``curvature``: the weighted Gaussian model at a point: its factor R, R^-1 and R'^-1
- ``mode``: Newton's iterations, and the state of a chain
- ``walk``: a random walk of theta
- ``moves``: Laplace marginals of many points, and sweeps of a chain
"""
