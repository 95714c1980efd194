"""Residual structures: the covariance R of a Gaussian model's residuals e = y - X beta - Z b.

Its precision is a sum of fixed matrices with coefficients that depend on the parameters,
R^-1 = sum_k c_k(phi) P_k, so rows are summed once, and a step costs the combination of the sums.

- ``structure``: the protocol of structures without parameters of their own, R = sigma^2 W^-1
- ``independent``: independent residuals, Var(e_i) = sigma^2 / w_i
- ``entry``: `Entry`, one parameter of a structure as priors and result trees name it
- ``scale``: standard deviations of rows: one sigma, strata, a formula of log sigma
- ``correlation``: the protocol of correlations C, the pairs of rows that C^-1 joins, and C = I
- ``series``: AR(1) and Ornstein-Uhlenbeck residuals, by gaps
- ``conditional``: residuals of new rows given those of known rows of their group
- ``chebyshev``: smooth functions of one number as sums of few, with a known error
- ``structured``: `StructuredResiduals`, R = D C D, its coefficients, log|R| and gradients
- ``of_design``: which of them a design has
"""
