"""Rows that come in batches, and comparisons of what is summed over them."""

import pickle
from itertools import pairwise

import numpy as np
import pandas as pd

from bayeslmm.gram.coordinates import change_coordinates
from bayeslmm.gram.file import to_arrays


def table(n=3000):
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "x": rng.normal(50.0, 2.0, n),
            "z": rng.normal(size=n),
            "f": rng.choice(list("cab"), n),
            "b": rng.random(n) < 0.3,
            "g": rng.integers(0, 50, n),
            "h": rng.choice(list("uvwxyz"), n),
            "w": rng.uniform(0.5, 2.0, n),
        }
    )
    levels = ["lo", "mid", "hi"]
    data["c"] = pd.Categorical(rng.choice(levels, n), categories=levels)
    data["y"] = 20 + data.x + data.z + rng.normal(size=50)[data.g] + rng.normal(size=n)
    return data


def cut(data, *places):
    ends = [0, *places, len(data)]
    return [data.iloc[a:b] for a, b in pairwise(ends)]


def sent(value):
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own bytes


def assert_same_sums(gram, expected, digits=1e-12):
    """Compare in the coordinates of one of them; sums there are of the size of n."""
    gram = change_coordinates(
        gram, expected.scale, expected.slope, [f.scale for f in expected.factors]
    )
    assert gram.n == expected.n
    size = expected.n * max(1.0, np.sqrt(expected.cross[-1, -1] / expected.n))
    np.testing.assert_allclose(gram.cross, expected.cross, rtol=0, atol=digits * size)
    for one, other in zip(gram.factors, expected.factors, strict=True):
        assert one.levels.tolist() == other.levels.tolist()
        assert one.counts.tolist() == other.counts.tolist()
        for name in ("within", "with_fixed", "fixed", "log_weights"):
            mine, theirs = getattr(one, name), getattr(other, name)
            if theirs is not None:
                np.testing.assert_allclose(mine, theirs, rtol=0, atol=digits * size)
    for one, other in zip(gram.pairs, expected.pairs, strict=True):
        assert (one.rows.tolist(), one.cols.tolist()) == (other.rows.tolist(), other.cols.tolist())
        np.testing.assert_allclose(one.values, other.values, rtol=0, atol=digits * size)


def assert_same_bits(gram, expected):
    mine, theirs = to_arrays(gram), to_arrays(expected)
    assert mine.keys() == theirs.keys()
    for name, array in theirs.items():
        np.testing.assert_array_equal(mine[name], array, err_msg=name)
