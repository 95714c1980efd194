"""Residual structures: the covariance R of a Gaussian model's residuals e = y - X beta - Z b.

R = D C D: scales, a function of few parameters, and correlations, block-diagonal over groups. Its
precision is a sum of fixed matrices with coefficients that depend on the parameters,
R^-1 = sum_k c_k(phi) P_k, so rows are summed once, and a step costs the combination of the sums.
Independent residuals with one sigma, R = sigma^2 W^-1, are the case of most models, and have
algebra of their own.

- ``structure``: the protocol of independent residuals' verbs, with the equation of each
- ``independent``: independent residuals, Var(e_i) = sigma^2 / w_i
- ``entry``: one parameter, as priors and result trees name it
- ``scale``: one sigma, strata, and formulas of log(sigma)
- ``sigma_effects``: random effects in log(sigma)
- ``correlation``: the protocol of correlations; independent residuals
- ``series``: AR(1) and Ornstein-Uhlenbeck residuals, by gaps
- ``series_at_nodes``: the same by nodes, where gaps are real numbers without end
- ``neighbours``: the precision of residuals that depend on the past through the last one
- ``visits/``: correlations of groups that are observed at few visits, some of them missing
- ``conditional``: residuals of new rows given those of known rows of their group
- ``chebyshev``: smooth functions of one number as sums of few, with a known error
- ``structured``: `StructuredResiduals`: R of a design's rows from a scale and a correlation
- ``products``: `ResidualProducts`: from its parameters to W'R^-1 W
- ``interpolation``: the same by nodes, where log(sigma) is linear in one number per row
- ``drawn``: `DrawnResiduals`: R of any rows under draws of its parameters
- ``of_design``: which structure a design's rows have
"""
