"""Tables whose rows have several levels of one factor, and the dense Z of such levels."""

import numpy as np
import pandas as pd


def membership_table(seed=1, n=60, n_members=8, n_pens=5):
    """Rows of pupils, most of two schools, with their shares in each, crossed with pens."""
    rng = np.random.default_rng(seed)
    schools = np.array([f"s{k}" for k in range(n_members)])
    first, second = rng.choice(n_members, n), rng.choice(n_members, n)
    second = np.where(rng.uniform(size=n) < 0.3, first, second)
    u, v = rng.uniform(0.2, 3.0, n), rng.uniform(0.2, 3.0, n)
    v[::7] = 0.0
    b, x = rng.standard_normal(n_members), rng.standard_normal(n) + 3.0
    share = u / (u + v)
    y = 2.0 + 0.5 * x + share * b[first] + (1 - share) * b[second] + 0.5 * rng.standard_normal(n)
    pens = rng.permutation(np.resize([f"p{k}" for k in range(n_pens)], n))
    return pd.DataFrame({"y": y, "x": x, "g1": schools[first], "g2": schools[second],
                         "u": u, "v": v, "pen": pens, "time": np.arange(n) // n_pens})  # fmt: skip


def shares(table, columns=("g1", "g2"), weights=None):
    """Each row's shares in the levels, row by row: their labels, and an array (n, levels)."""
    labels = sorted({label for name in columns for label in table[name]})
    out = np.zeros((len(table), len(labels)))
    for i, row in enumerate(table.to_dict("records")):
        own = np.ones(len(columns)) if weights is None else np.array([row[w] for w in weights])
        for name, weight in zip(columns, own / own.sum(), strict=True):
            out[i, labels.index(row[name])] += weight
    return labels, out
