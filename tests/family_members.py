"""The members with values of their parameters, and what SciPy calls the same distribution."""

import numpy as np
from scipy import stats
from scipy.special import softmax

from bayeslmm.families.registry import FAMILIES, family_of

ALL = [family_of(name, link) for name in FAMILIES for link in family_of(name).links]
ORDERED = {"cumulative", "sratio", "acat"}
DISCRETE = {"bernoulli", "binomial", "poisson", "negbinomial", *ORDERED}
CUTS = np.array([-1.2, 0.3, 1.6])
PHI = {"sigma": 0.7, "shape": 2.3, "phi": 5.1, "nu": 6.4, "threshold": CUTS}
TRIALS, WEIGHT = 12.0, 2.0


def phi_of(family):
    return {parameter.name: PHI[parameter.name] for parameter in family.parameters}


def known_of(family):
    known = {"trials": TRIALS, "weights": WEIGHT, None: None}[family.response.known]
    return None if known is None else np.array(known)


class Categories:
    """Ordered categories by the definitions of their probabilities, numbered from 1."""

    def __init__(self, family, eta, cuts):
        steps = cuts[:, None] - eta
        below, above = family.link.inverse(steps), np.exp(family.link.log_rest(steps))
        none, all_ = np.zeros((1, len(eta))), np.ones((1, len(eta)))
        if family.name == "cumulative":
            # In the tail where the two are small.
            between = np.where(steps[:-1] > 0, -np.diff(above, axis=0), np.diff(below, axis=0))
            self.p = np.concatenate([below[:1], between, above[-1:]])
        elif family.name == "sratio":
            reached = np.concatenate([all_, np.cumprod(above, axis=0)])
            self.p = reached * np.concatenate([below, all_])
        else:
            self.p = softmax(np.concatenate([none, np.cumsum(-steps, axis=0)]), axis=0)
        self.numbers = np.arange(1.0, len(self.p) + 1)[:, None]

    def logpmf(self, y):
        return np.log(np.take_along_axis(self.p, y.astype(int) - 1, axis=0))

    def cdf(self, y):
        return ((self.numbers <= y[..., None, :]) * self.p).sum(axis=-2)

    def mean(self):
        return (self.numbers * self.p).sum(axis=0)

    def _central(self, power):
        return ((self.numbers - self.mean()) ** power * self.p).sum(axis=0)

    def var(self):
        return self._central(2)

    def stats(self, moments):
        return self._central(4) / self._central(2) ** 2 - 3.0


def scipys(family, eta, phi, known):
    """SciPy's distribution of a row, by the definitions in its own manual."""
    mu = family.link.inverse(eta)
    root = 1.0 if known is None else np.sqrt(known)
    shape, sigma, nu, precision = (phi.get(name) for name in ("shape", "sigma", "nu", "phi"))
    if family.name in ORDERED:
        return Categories(family, eta, phi["threshold"])
    return {
        "gaussian": lambda: stats.norm(eta, sigma / root),
        "student": lambda: stats.t(nu, eta, sigma / root),
        "lognormal": lambda: stats.lognorm(sigma, scale=np.exp(eta)),
        "gamma": lambda: stats.gamma(shape, scale=mu / shape),
        "beta": lambda: stats.beta(mu * precision, (1 - mu) * precision),
        "bernoulli": lambda: stats.bernoulli(mu),
        "binomial": lambda: stats.binom(known, mu),
        "poisson": lambda: stats.poisson(mu),
        "negbinomial": lambda: stats.nbinom(shape, shape / (shape + mu)),
    }[family.name]()


def some_responses(family):
    """Possible responses, shape (6, 1)."""
    values = {
        "bernoulli": [0, 1, 0, 1, 0, 1],
        "binomial": [0, 1, 3, 6, 11, 12],
        "poisson": [0, 1, 2, 5, 17, 60],
        "negbinomial": [0, 1, 2, 5, 17, 60],
        "gamma": [1e-4, 0.2, 1, 3, 8, 40],
        "lognormal": [1e-4, 0.2, 1, 3, 8, 40],
        "beta": [1e-6, 0.1, 0.4, 0.7, 0.95, 0.999],
        **{name: [1, 2, 3, 4, 2, 3] for name in ORDERED},
    }.get(family.name, [-20, -1, 0.3, 1, 2, 30])
    return np.array(values, dtype=float)[:, None]
