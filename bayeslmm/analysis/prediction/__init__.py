"""Predictions and contrasts of any rows, draws in, labelled arrays out.

- ``linear_predictor``: eta = X beta + Z b + offset, chunk by chunk
- ``new_levels``: random effects of levels that no training row had
- ``predictions``: `predict`, `predict_table`
- ``slopes``: derivatives of eta with respect to a covariate
- ``contrasts``: `compare_predictions`: differences and slopes
- ``level_grid``: rows at which each level's line is drawn
"""
