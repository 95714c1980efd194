"""PyMC models: one file per parametrization over shared components.

- ``build``: `build_model`
- ``guarded_model``: a PyMC model that does not predict from priors where a posterior is meant
- ``components``: coordinates, data, priors and linear predictor, shared by all
- ``latent``: effects that rows have of several latent levels
- ``family_parameters``: a response family's parameters
- ``ordered``: ordered categories: thresholds, log-densities
- ``likelihood``: the response given its linear predictor, by family
- ``residual``: residuals with a structure: parameters, scales and the response
- ``residual_correlation``: correlated residuals: their joint density, and draws
- ``log_densities``: log-densities of families where PyMC's own lose digits
- ``prior_vectors``: random variables with their priors
- ``covariance``: G, its priors and its square root
- ``centered``: b ~ N(0, G)
- ``noncentered``: b = z L'
- ``marginal``: effects integrated out
- ``ops``: the marginal density as one PyTensor operation, and its transform
"""
