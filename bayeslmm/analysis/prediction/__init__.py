"""Predictions and contrasts of any rows, draws in, labelled arrays out.

- ``fit_rows``: how a fit, posterior or REML, codes rows, and its own rows
- ``row_numbers``: weights, trials, censoring of new rows
- ``linear_predictor``: eta = X beta + Z b + offset, chunk by chunk
- ``factor_part``: what one factor's effects add to eta
- ``average_mean``: means averaged over groups that were not seen
- ``determined``: which predictions a fit that dropped columns determines
- ``grouping_columns``: the columns that say the levels of new rows
- ``new_levels``: random effects of levels that no training row had
- ``predictions``: `predict`, `predict_table`
- ``slopes``: derivatives of eta with respect to a covariate
- ``contrasts``: `compare_predictions`: differences and slopes
- ``reference_grid``: cells of a grid, and the rows that each averages over
- ``response_scale``: on which scale means are averaged and compared
- ``estimated/``: estimates with standard errors, in the place of draws
- ``contrast_weights``: pairwise, against a reference, sequential, a user's own
- ``cell_estimates``: expected responses of a grid's cells
- ``marginal_means``: `marginal_means` and contrasts of them
- ``residuals``: `fitted`, `residuals`
- ``residual_kinds``: residuals of every family
- ``level_grid``: rows at which each level's line is drawn
"""
