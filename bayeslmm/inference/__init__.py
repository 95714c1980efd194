"""From a model to posterior draws: one file or folder per method.

- ``fit``: `fit_bayes`
- ``method``: the protocol of methods, their registry, and the choice among them
- ``settings``: how to sample, checked once
- ``parametrization``: how a model is written for a sampler, and why
- ``memory``: fits whose arrays would exceed memory are refused
- ``result``: the result tree of one fit, and its warnings
- ``reweighting``: one posterior's draws as another's
- ``laplace``: mode and curvature of a log-density
- ``prior_draws``: `sample_prior`: draws before any data are seen
- ``update``: `update`: a fit again, with something changed
- ``adopt``: `adopt`: another program's draws as a result tree
- ``foreign_draws``: another program's draws by name, in the model's order
- ``marginal/``: the posterior of the variance parameters, without PyMC
- ``graph/``: PyMC models, one file per parametrization
- ``nuts/``: NUTS on a PyMC model or on the marginal posterior
- ``importance/``: independent weighted draws of the variance parameters
- ``quadrature/``: one grouping factor of other families, its effects integrated out by nodes
- ``structured/``: models with a residual structure: weighted draws of the variance parameters
- ``laplace_chain/``: an exact chain for effects of several factors or columns, of any response
"""
