"""The members with values of their parameters, and what SciPy calls the same distribution."""

import numpy as np
from scipy import special, stats

from bayeslmm.families.registry import FAMILIES, family_of

ALL = [family_of(name, link) for name in FAMILIES for link in family_of(name).links]
DISCRETE = {"bernoulli", "binomial", "poisson", "negbinomial"}
PHI = {"sigma": 0.7, "shape": 2.3, "phi": 5.1, "nu": 6.4, "alpha": 2.0, "ndt": 5e-5}
POSITIVE = (
    "gamma", "lognormal", "weibull", "exponential", "inverse_gaussian", "shifted_lognormal",
)  # fmt: skip
TRIALS, WEIGHT = 12.0, 2.0


def phi_of(family):
    return {parameter.name: PHI[parameter.name] for parameter in family.parameters}


def known_of(family):
    known = {"trials": TRIALS, "weights": WEIGHT, None: None}[family.response.known]
    return None if known is None else np.array(known)


def scipys(family, eta, phi, known):
    """SciPy's distribution of a row, by the definitions in its own manual."""
    mu = family.link.inverse(eta)
    root = 1.0 if known is None else np.sqrt(known)
    shape, sigma, nu, precision = (phi.get(name) for name in ("shape", "sigma", "nu", "phi"))
    alpha, shift = phi.get("alpha"), phi.get("ndt")
    return {
        "gaussian": lambda: stats.norm(eta, sigma / root),
        "student": lambda: stats.t(nu, eta, sigma / root),
        "lognormal": lambda: stats.lognorm(sigma, scale=np.exp(eta)),
        "gamma": lambda: stats.gamma(shape, scale=mu / shape),
        "weibull": lambda: stats.weibull_min(shape, scale=mu / special.gamma(1 + 1 / shape)),
        "exponential": lambda: stats.expon(scale=mu),
        "inverse_gaussian": lambda: stats.invgauss(mu / shape, scale=shape),
        "shifted_lognormal": lambda: stats.lognorm(sigma, shift, np.exp(eta)),
        "skew_normal": lambda: skewed(alpha, eta, sigma / root),
        "beta": lambda: stats.beta(mu * precision, (1 - mu) * precision),
        "bernoulli": lambda: stats.bernoulli(mu),
        "binomial": lambda: stats.binom(known, mu),
        "poisson": lambda: stats.poisson(mu),
        "negbinomial": lambda: stats.nbinom(shape, shape / (shape + mu)),
    }[family.name]()


def skewed(alpha, mean, sd):
    """The skew normal of this mean and standard deviation."""
    standard = stats.skewnorm(alpha)
    scale = sd / standard.std()
    return stats.skewnorm(alpha, mean - scale * standard.mean(), scale)


def some_responses(family):
    """Possible responses, shape (6, 1)."""
    values = {
        "bernoulli": [0, 1, 0, 1, 0, 1],
        "binomial": [0, 1, 3, 6, 11, 12],
        "poisson": [0, 1, 2, 5, 17, 60],
        "negbinomial": [0, 1, 2, 5, 17, 60],
        **{name: [1e-4, 0.2, 1, 3, 8, 40] for name in POSITIVE},
        "beta": [1e-6, 0.1, 0.4, 0.7, 0.95, 0.999],
    }.get(family.name, [-20, -1, 0.3, 1, 2, 30])
    return np.array(values, dtype=float)[:, None]
