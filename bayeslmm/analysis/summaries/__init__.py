"""Tables and text of a fit, and statements about its parameters.

- ``tables``: fixed effects, random effects, coefficients, variance components
- ``text``: `summary`
- ``hypotheses``: `hypothesis`: statements such as "Days > 0"
- ``quantities``: the scalar quantities that conclusions are about, as draws
"""
