"""Cross-products of a design: summed in one pass or in batches, added, saved; their likelihood.

- ``blocks``: the record: `GramFactor`, `PairBlocks`, `CrossProducts`
- ``gram``: `Gram` and its verbs
- ``sums``: cross-products of rows, level by level
- ``coordinates``: well-conditioned coordinates of the columns
- ``strata``: the same of the rows of each stratum of the residuals' scale
- ``add``: two Grams pooled, levels matched by label
- ``check``: what must hold of a Gram that comes from a file
- ``file``: npz, versioned, without pickle
- ``disclosure``: what cross-products reveal of single rows
- ``elimination_plan``: the order of elimination, and arrays for the kernels
- ``likelihood``: marginal Gaussian likelihood, conditional moments, exact draws
- ``parts``: factors of latent levels taken apart, those that share no rows from the others
- ``told``: moments of effects, of latent levels what results tell of them
- ``reduction``: log|V| and T at many relative factors, and log-densities from them
- ``likelihood_of_draws``: marginal likelihood given fixed effects, draw by draw
- ``gram_design``: what a fit needs of a design, without rows
- ``latent``: cross-products of latent levels, of which rows have several
- ``border/``: what crossed factors leave: dense, or by iterations that form no matrix
- ``structured/``: cross-products of models whose residual covariance has parameters
- ``streaming/``: two passes over rows that are never held
"""
