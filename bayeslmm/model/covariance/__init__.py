"""G, the covariance of one grouping factor's random effects.

- ``structure``: `CovarianceStructure`: what a structure says of itself, with its equations
- ``unstructured``: any correlation matrix, under LKJ priors
- ``diagonal``: standard deviations only
- ``of_matrix``: structures of few numbers between 0 and 1
- ``kinds``: the structure behind each name of a formula
- ``compound_symmetry``: one correlation
- ``stationary``: correlations by distance: AR(1), OU, Toeplitz
- ``bridge``: effects at positions that no training row had
- ``naming``: what its parameters are called
- ``block_covariance``: `BlockCovariance`: a factor's G, put together from structures
- ``compiled``: what compiled code reads of it
- ``factors``: theta, factor, (sd, corr) and G, one from the other
- ``partial_correlations``: canonical partial correlations and correlation matrices
- ``autocorrelation``: autocorrelations by lag from partial ones, and derivatives
- ``given``: correlations that a user gives for a structure
- ``theta``: the order in which lme4 lists theta
"""
