"""Response families in compiled code: a row's log-density in eta, its slopes and its curvature.

The NumPy forms in `bayeslmm.families` are the statement; tests hold these to them.

- ``codes``: whole numbers that stand for a family with a link
- ``elementary``: an exponential that loops can take in
- ``special``: special functions, stable far out
- ``binary``: binomial with logit, probit, cloglog
- ``counts``: Poisson and negative binomial with log
- ``continuous``: Gaussian, Student t, gamma
- ``proportions``: beta with logit, probit, cloglog
- ``ordered``: ordered categories with thresholds
- ``rows``: all of them by code
"""
