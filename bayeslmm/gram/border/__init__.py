"""What crossed factors leave once one is eliminated: chosen by counting how it is solved.

- ``chain``: which factors are eliminated level by level
- ``choice``: a dense matrix, a sparse factor, or iterations that form none, and why
- ``limits``: dense matrices that memory cannot hold are refused
- ``sparse_products``: cross-products as sparse matrices
- ``sparse_factor``: a sparse Cholesky factor of all effects, where fill is small
- ``sparse/``: densities and draws by it, and related levels as nodes
- ``operator``: the coupling of crossed effects as a matrix that is never formed
- ``coupling``: the same as sparse matrices in single precision
- ``conjugate_gradients``: solutions, many at once
- ``lanczos``: functions of that matrix
- ``solution``: T and the effects that belong to it
- ``probes``: log|V| and its gradient, with a chance that is small and known
- ``moments``: means and covariances of effects given the relative factors
- ``combinations``: covariances of combinations of effects
- ``draws``: exact draws of effects
- ``given``: beta and effects given relative factors, by iterations or a sparse factor
- ``reduce``: log|V| and T at many relative factors
"""
