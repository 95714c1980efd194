"""Compiled linear algebra on flat arrays: eliminate, differentiate, solve, draw; knows no model.

- ``compiler/``: how all of it is compiled, kept on disk and found again
- ``families/``: rows of each response family
- ``quadrature/``: effects of one grouping factor integrated out by adaptive nodes
- ``laplace_chain/``: effects that cannot be integrated out in closed form, by an exact chain
- ``structured/``: densities where the cross-products depend on the residuals' parameters
- ``elimination/``: block elimination of I + Lambda' Z'Z Lambda, solutions, gradients, draws
- ``sparse/``: sparse Cholesky factors
- ``lapack``: LAPACK callable from compiled code
- ``layout``: names for the stretches of a plan's two arrays
- ``small_matrices``: products, Cholesky factors and quadratic forms of the fixed effects' size
- ``densities``: densities and profiled criteria from T and log|V|
- ``marginal_density``: marginal log-likelihood in sds, correlations and sigma
- ``linked_density``: its C entry point
- ``sums``: group-by sums of cross-products
- ``reduce``: loops over points: T and log|V|, and log-densities from them
- ``prior_forms``: closed forms of log priors as numbers
- ``target``: the log posterior as the C function that NUTS calls
"""
