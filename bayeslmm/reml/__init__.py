"""REML and ML: search, estimates, intervals, tests.

- ``fit``: `fit_reml`
- ``result``: `REMLFit`
- ``components``: variance components as rows of a table
- ``text``: fits as text
- ``glmm/``: maximum likelihood of generalised linear mixed models
- ``structured/``: models with a residual structure: G and R searched for together
- ``krylov/``: models whose crossed factors are too large for a dense matrix
- ``relative``: relative factors as functions of a search's variables
- ``moments``: where searches begin
- ``starts``: several starts, and the minima that a criterion has
- ``search``: the relative factors that minimise the profiled criterion
- ``descent``: the way down to a minimum, away from saddles
- ``quasi_newton``: the minimiser of single descents
- ``intervals``: `confidence_intervals`: profile likelihood or Wald
- ``profile``: the deviance minimised with one parameter held
- ``lines``: covariances of random effects as points of real lines
- ``parameters``: a model's parameters by name
- ``likelihood_ratio``: `likelihood_ratio_test` of nested fits
- ``nested_effects``: which covariance of random effects is a special case of which
- ``mode``: `check_mode`: the REML estimate is the mode of the marginal density
"""
