"""A posterior beside a REML or maximum likelihood fit of the same rows.

- ``compare``: `compare_reml`
- ``maximum_likelihood``: `compare_ml`
- ``effects``: `compare_random_effects`
- ``numbers``: draws by parameter, deviances, shifts due to priors
- ``verdicts``: what a difference means
- ``refit``: `refit_reml` from a result tree alone
"""
