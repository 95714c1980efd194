"""Maximum likelihood of generalised linear mixed models.

- ``fit``: `fit_ml`
- ``result``: `MLFit`
- ``coordinates``: the parameters as free, well-scaled numbers
- ``plain``: the likelihood without random effects; where searches begin
- ``quadrature``: the likelihood by adaptive quadrature, for one factor
- ``laplace``: the likelihood by Laplace's approximation, for any
- ``search``: the maximum, with as many nodes as the integral needs
- ``estimates``: standard errors from the information there
- ``separation``: fixed effects whose estimates are infinite
"""
