"""The posterior of the variance parameters with all effects integrated out, without PyMC.

- ``target``: log posterior as a function of real coordinates
- ``coordinate_priors``: priors on real coordinates, for every target
- ``coordinates``: scales on which a parameter takes any real value
- ``sd_coordinates``: scales of sds that may be zero
- ``recovery``: effects drawn back exactly
"""
