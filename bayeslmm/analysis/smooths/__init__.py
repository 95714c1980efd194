"""Questions to smooths: their curves, derivatives and differences.

- ``curves``: `smooth_curves`: a smooth's values on a grid
- ``freedom``: `smooths`: each smooth's size, standard deviation, effective degrees of freedom
"""
