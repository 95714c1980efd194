"""Residual structures: the covariance R of a Gaussian model's residuals e = y - X beta - Z b.

A structure is one frozen value that satisfies the protocol `ResidualStructure`. Its precision is
a sum of fixed matrices with coefficients that depend on the parameters,
R^-1 = sum_k c_k(phi) P_k, so rows are summed once, and a step costs the combination of the sums.
Today's only member is R = sigma^2 W^-1.

- ``structure``: the protocol, with the equation that each verb of a structure satisfies
- ``independent``: independent residuals, Var(e_i) = sigma^2 / w_i
"""
