"""Response families in compiled code: a row's log-density in eta, its slopes and its curvature.

The NumPy forms in `bayeslmm.families` are the statement; tests hold these to them.

- ``codes``: whole numbers that stand for a family with a link
- ``elementary``: an exponential that loops can take in
- ``special``: special functions, stable far out
- ``binary``: binomial with logit, probit, cloglog
- ``counts``: Poisson and negative binomial with log
- ``continuous``: Gaussian, Student t, gamma
- ``times``: Weibull and exponential
- ``censored``: Gaussian and Weibull responses of which some are known to lie in an interval
- ``proportions``: beta with logit, probit, cloglog
- ``mixtures``: with zeros of their own, truncated, beta-binomial
- ``ordered``: ordered categories with thresholds
- ``rows``: all of them by code
- ``by_row``: their parameters where these vary from row to row
"""
