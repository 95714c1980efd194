"""PyMC models: one file per parametrization over shared components.

- ``build``: `build_model`
- ``guarded_model``: a PyMC model that does not predict from priors where a posterior is meant
- ``components``: coordinates, data, priors and linear predictor, shared by all
- ``latent``: effects that rows have of several latent levels
- ``rows``: what the likelihood of the rows is made of
- ``likelihood``: the response given its linear predictor, by family
- ``zeros``: the same of responses with zeros or ones that a family does not explain
- ``parameters/``: the family's parameters, as numbers or by rows
- ``residual``: residuals with a structure: parameters, scales and the response
- ``residual_correlation``: correlated residuals: their joint density, and draws
- ``stacked``: several responses, or all categories of one
- ``custom_family``: `custom_family`: a response family from a log-density of the user's
- ``censored``: responses of which some lie in an interval alone
- ``log_densities``: log-densities of families where PyMC's own lose digits
- ``prior_vectors``: random variables with their priors
- ``covariance``: G, its priors and its square root
- ``centered``: b ~ N(0, G)
- ``noncentered``: b = z L'
- ``marginal``: effects integrated out
- ``ops``: the marginal density as one PyTensor operation, and its transform
"""
