"""Likelihoods and draws by a sparse factor of all effects, and related levels as nodes in it.

- ``density``: densities and gradients
- ``criteria``: criteria of REML and ML, with something held
- ``draws``: exact draws of effects
- ``related``: whether related levels are nodes with a sparse precision, and why
- ``suited``: cross-products in the form that suits
- ``unseen``: nodes without rows, given those with some
"""
