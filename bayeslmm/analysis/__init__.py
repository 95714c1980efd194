"""Questions to a result; never samples.

- ``summaries/``: tables, text, hypotheses
- ``prediction/``: predictions and contrasts of any rows
- ``several/``: what is about several responses, or all categories, together
- ``variance/``: ICC, R2, marginal covariance, pooling
- ``checks/``: convergence, leave-one-out, replicated data
- ``reml_comparison/``: a posterior beside a REML fit
- ``smooths/``: curves, derivatives, effective degrees of freedom
- ``sensitivity/``: what hangs on the priors
"""
