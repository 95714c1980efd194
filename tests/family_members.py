"""The members with values of their parameters, and what SciPy calls the same distribution."""

import numpy as np
from scipy import special, stats

from bayeslmm.families.registry import FAMILIES, family_of

ALL = [family_of(name, link) for name in FAMILIES for link in family_of(name).links]
ORDERED = {"cumulative", "sratio", "acat"}
CUTS = np.array([-1.2, 0.3, 1.6])
DISCRETE = {name for name in FAMILIES if family_of(name).discrete}
PHI = {
    "sigma": 0.7, "shape": 2.3, "phi": 5.1, "nu": 6.4, "alpha": 2.0, "ndt": 5e-5,
    "threshold": CUTS, "zi": 0.3, "hu": 0.4, "zoi": 0.35, "coi": 0.6,
}  # fmt: skip
POSITIVE = (
    "gamma", "lognormal", "weibull", "exponential", "inverse_gaussian", "shifted_lognormal",
)  # fmt: skip
TRIALS, WEIGHT = 12.0, 2.0


def phi_of(family):
    return {parameter.name: PHI[parameter.name] for parameter in family.parameters}


def named(family, numbers):
    """A family's parameters, each one number, by name."""
    names = [parameter.name for parameter in family.parameters]
    return dict(zip(names, numbers, strict=True))


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
            self.p = special.softmax(np.concatenate([none, np.cumsum(-steps, axis=0)]), axis=0)
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


class Mixed:
    """Points with probabilities of their own, and another distribution, by their definition."""

    def __init__(self, points, rest, *, without_zero=False):
        # Of a truncated count zero is left out of the rest, whose other probabilities grow.
        self.points, self.rest = points, rest
        self.zero = rest.pmf(0) if without_zero else 0.0
        self.share = 1 - sum(points.values())

    def _mass(self, y):
        return sum((share * (y == at) for at, share in self.points.items()), np.zeros(1))

    def logpmf(self, y):
        own = np.where((y == 0) & np.any(self.zero > 0), 0.0, self.rest.pmf(y) / (1 - self.zero))
        return np.log(self._mass(y) + self.share * own)

    def logpdf(self, y):
        mass = self._mass(y)
        inside = np.where(mass > 0, 0.5, y)
        return np.where(
            mass > 0, np.log(mass + (mass == 0)), self.rest.logpdf(inside) + np.log(self.share)
        )

    def cdf(self, y):
        below = sum((share * (y >= at) for at, share in self.points.items()), np.zeros(1))
        own = (self.rest.cdf(y) - self.zero) / (1 - self.zero)
        return below + self.share * np.where(y < 0, 0.0, own)

    def _moment(self, power):
        mean, variance = self.rest.mean(), self.rest.var()
        skew, kurtosis = self.rest.stats(moments="sk")
        third = skew * variance**1.5
        raw = {
            1: mean,
            2: variance + mean**2,
            3: third + 3 * mean * variance + mean**3,
            4: (kurtosis + 3) * variance**2 + 4 * mean * third + 6 * mean**2 * variance + mean**4,
        }[power]
        own = sum(share * at**power for at, share in self.points.items())
        return own + self.share * raw / (1 - self.zero)

    def mean(self):
        return self._moment(1)

    def var(self):
        return self._moment(2) - self._moment(1) ** 2

    def stats(self, moments):
        assert moments == "k"
        m1, m2, m3, m4 = map(self._moment, (1, 2, 3, 4))
        central = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
        return central / self.var() ** 2 - 3


def scipys(family, eta, phi, known):
    """SciPy's distribution of a row, by the definitions in its own manual."""
    mu = family.link.inverse(eta)
    root = 1.0 if known is None else np.sqrt(known)
    shape, sigma, nu, precision = (phi.get(name) for name in ("shape", "sigma", "nu", "phi"))
    if family.name in ORDERED:
        return Categories(family, eta, phi["threshold"])
    alpha, shift = phi.get("alpha"), phi.get("ndt")
    zi, hu, zoi, coi = (phi.get(name) for name in ("zi", "hu", "zoi", "coi"))
    beta = stats.beta(mu * precision, (1 - mu) * precision) if precision else None
    counts = stats.nbinom(shape, shape / (shape + mu)) if shape else None
    return {
        "beta_binomial": lambda: stats.betabinom(known, mu * precision, (1 - mu) * precision),
        "zero_inflated_poisson": lambda: Mixed({0: zi}, stats.poisson(mu)),
        "zero_inflated_negbinomial": lambda: Mixed({0: zi}, counts),
        "zero_inflated_binomial": lambda: Mixed({0: zi}, stats.binom(known, mu)),
        "zero_inflated_beta": lambda: Mixed({0: zi}, beta),
        "zero_one_inflated_beta": lambda: Mixed({0: zoi * (1 - coi), 1: zoi * coi}, beta),
        "hurdle_poisson": lambda: Mixed({0: hu}, stats.poisson(mu), without_zero=True),
        "hurdle_negbinomial": lambda: Mixed({0: hu}, counts, without_zero=True),
        "hurdle_gamma": lambda: Mixed({0: hu}, stats.gamma(shape, scale=mu / shape)),
        "hurdle_lognormal": lambda: Mixed({0: hu}, stats.lognorm(sigma, scale=np.exp(eta))),
        "truncated_poisson": lambda: Mixed({}, stats.poisson(mu), without_zero=True),
        "truncated_negbinomial": lambda: Mixed({}, counts, without_zero=True),
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
        **{name: [1e-4, 0.2, 1, 3, 8, 40] for name in POSITIVE},
        "beta": [1e-6, 0.1, 0.4, 0.7, 0.95, 0.999],
        **{name: [1, 2, 3, 4, 2, 3] for name in ORDERED},
        "beta_binomial": [0, 1, 3, 6, 11, 12],
        "zero_inflated_binomial": [0, 1, 3, 6, 11, 12],
        "zero_inflated_beta": [0, 0.1, 0.4, 0.7, 0.95, 0.999],
        "zero_one_inflated_beta": [0, 0.1, 0.4, 0.7, 0.95, 1],
        "hurdle_gamma": [0, 0.2, 1, 3, 8, 40],
        "hurdle_lognormal": [0, 0.2, 1, 3, 8, 40],
        "truncated_poisson": [1, 2, 3, 5, 17, 60],
        "truncated_negbinomial": [1, 2, 3, 5, 17, 60],
    }.get(family.name, [0, 1, 2, 5, 17, 60] if family.discrete else [-20, -1, 0.3, 1, 2, 30])
    return np.array(values, dtype=float)[:, None]
