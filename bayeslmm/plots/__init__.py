"""One picture a file; drawn from a result tree alone.

- ``style``: colours and habits that the pictures share
- ``levels``: the data with each level's line and the population's
- ``effect``: the expected response over a column, by another
- ``categories``: probabilities of categories over a column
- ``smooth``: the curve of a smooth
- ``fixed_effects``: fixed effects with their intervals
- ``model_check``: data, residuals and random effects against what the model says of them
- ``discrete_check``: rootograms of counts, calibration of binary responses
- ``residual_correlation``: correlations of residuals beside their structure's
- ``forest``: studies of a meta-analysis, raw and shrunken
- ``censored_check``: how many rows lie above each value, where some are censored
- ``caterpillar``: random effects with their intervals, sorted
- ``shrinkage``: from no pooling to partial pooling
- ``variance``: shares of the variance; sds and correlations of G
- ``checks``: replicated data by group, traces and ranks
- ``comparison``: posterior and REML side by side
- ``prior_predictive``: what the priors expect to see
- ``prior_posterior``: each parameter's prior and posterior
- ``sensitivity``: quantities by scenario, and power-scaling
"""
