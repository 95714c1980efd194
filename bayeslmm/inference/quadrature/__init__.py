"""Responses that are not Gaussian, one grouping factor: effects integrated out by quadrature.

- ``sample``: the method: independent weighted draws, or NUTS
- ``target``: log posterior of everything but the effects
- ``start``: where searches begin, and how many nodes are enough
- ``recovery``: effects drawn back, and everything named
- ``nuts``: NUTS on the same density
- ``laplace_error``: how far Laplace's approximation would have been off
"""
