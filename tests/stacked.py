"""Wide tables of two responses and what their stacked rows are, written out."""

import numpy as np
import pandas as pd
from scipy import stats


def growth(seed=1, n=60, levels=10):
    """Two lengths of animals in families, a few of them lacking, one of them in large units."""
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(levels), n // levels)
    x = 4 + rng.normal(size=n)
    b = rng.multivariate_normal([0, 0], [[1, 12], [12, 400.0]], size=levels)[family]
    e = rng.multivariate_normal([0, 0], [[0.25, -6], [-6, 900.0]], size=n)
    table = pd.DataFrame(
        {
            "tarsus": 1 + 0.5 * x + b[:, 0] + e[:, 0],
            "back": 500 - 20 * x + b[:, 1] + e[:, 1],
            "x": x,
            "sex": rng.choice(["f", "m"], n),
            "family": [f"f{k:02}" for k in family],
        },
        index=[f"a{k}" for k in range(n)],
    )
    table.loc["a3", "tarsus"] = np.nan
    table.loc["a11", "back"] = np.nan
    return table


def dense_log_density(design, G, R, beta):
    """log N(y | X beta, Z G Z' + R by observation); beta may be (mean, covariance) of its prior."""
    stack = design.stack
    same = stack.observation[:, None] == stack.observation
    V = same * R[np.ix_(stack.part, stack.part)]
    for factor, own in zip(design.factors, G, strict=True):
        levels = factor.index[:, None] == factor.index
        if factor.latent is not None:
            levels = factor.shared()
        V = V + levels * (factor.columns @ own @ factor.columns.T)
    mean = design.X @ beta[0] if isinstance(beta, tuple) else design.X @ beta
    if isinstance(beta, tuple):
        V = V + design.X @ beta[1] @ design.X.T
    return stats.multivariate_normal(mean, V).logpdf(design.y)


def journeys(seed=2, n=60, levels=12):
    """How people travel, as one category and as counts of three."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(levels), n // levels)
    x = rng.normal(2, 1, n)
    b = rng.normal(0, 0.7, (levels, 2))[person]
    eta = np.column_stack([np.zeros(n), 0.3 + x + b[:, 0], -0.5 - x + b[:, 1]])
    p = np.exp(eta) / np.exp(eta).sum(axis=1, keepdims=True)
    counts = rng.multinomial(rng.integers(1, 9, n), p)
    kinds = ["bus", "car", "walk"]
    choice = [kinds[int(rng.choice(3, p=row))] for row in p]
    table = pd.DataFrame(dict(zip(kinds, counts.T, strict=True)))
    person = [f"p{k:02}" for k in person]
    choice = pd.Categorical(choice, kinds)
    return table.assign(x=x, person=person, choice=choice, cost=rng.gamma(2, 3, n))
