"""Tables with levels that are related, and known covariances of them, for many rooms' tests."""

import numpy as np
import pandas as pd


def random_covariance(labels, seed=0):
    """A covariance of levels with different variances and correlations, as a labelled table."""
    rng = np.random.default_rng(seed)
    half = rng.standard_normal((len(labels), len(labels) + 2)) / np.sqrt(len(labels))
    values = half @ half.T + 0.3 * np.eye(len(labels))
    return pd.DataFrame(values, index=labels, columns=labels)


def random_tree(n, seed=1):
    """A tree of n species in Newick's format, two clades joined at a time."""
    rng = np.random.default_rng(seed)
    clades, height = [(f"s{k}", 0.0) for k in range(n)], 0.0
    while len(clades) > 1:
        height += rng.exponential(2.0 / (len(clades) * (len(clades) - 1)))
        i, j = sorted(rng.choice(len(clades), 2, replace=False))
        (right, low), (left, high) = clades.pop(j), clades.pop(i)
        clades.append((f"({left}:{height - high},{right}:{height - low})", height))
    return f"{clades[0][0]};"


def related_table(seed=1, n_animals=12, n_pens=5, rows=4):
    """Rows of animals, crossed with pens; animals are nested in herds."""
    rng = np.random.default_rng(seed)
    animals = np.repeat([f"a{k}" for k in range(n_animals)], rows)
    herds = np.repeat([f"h{k // 3}" for k in range(n_animals)], rows)
    n = len(animals)
    pens = rng.permutation(np.resize([f"p{k}" for k in range(n_pens)], n))
    x = rng.standard_normal(n) + 3.0
    effect = dict(zip(np.unique(animals), rng.standard_normal(n_animals), strict=True))
    y = 2.0 + 0.5 * x + np.array([effect[a] for a in animals]) + rng.standard_normal(n)
    table = {"y": y, "x": x, "animal": animals, "herd": herds, "pen": pens}
    table["time"] = np.tile(np.arange(rows), n_animals)
    return pd.DataFrame(table)
