"""What tells data from others by a known covariance is the same however many threads there are."""

from functools import cache

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.design.build import build_design
from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.resources import single_blas_thread

# So many that BLAS and LAPACK share the work.
N = 500
LABELS = [f"g{k}" for k in range(N)]


@cache
def matrix():
    half = np.random.default_rng(1).standard_normal((N, N))
    return half @ half.T / N + np.eye(N)


@cache
def inverse():
    return np.linalg.inv(matrix())


def tree():
    items, rng = LABELS, np.random.default_rng(2)
    while len(items) > 1:
        lengths = rng.uniform(0.1, 1.0, len(items)).round(3)
        ends = [f"{item}:{length}" for item, length in zip(items, lengths, strict=True)]
        items = [f"({','.join(ends[k : k + 2])})" for k in range(0, len(ends), 2)]
    return f"{items[0]};"


def parents():
    rng = np.random.default_rng(3)
    older = [[f"g{rng.integers(0, k)}" if k > 9 else None for k in range(N)] for _ in range(2)]
    return {"id": LABELS, "sire": older[0], "dam": older[1]}


@pytest.mark.filterwarnings("ignore:The phylogeny is not ultrametric")
@pytest.mark.parametrize(
    "known",
    [
        lambda: bl.known_covariance(matrix(), LABELS),
        lambda: bl.precision(inverse(), LABELS),
        lambda: bl.phylogeny(tree()),
        lambda: bl.pedigree(parents()),
    ],
    ids=["covariance", "precision", "phylogeny", "pedigree"],
)
def test_threads_do_not_matter_to_the_fingerprint(known):
    table = {"y": np.arange(float(N)), "g": LABELS}
    formula = "y ~ 1 + (1 | gr(g, cov=A))"
    found = fingerprint(build_design(formula, table, known={"A": known()}))
    with single_blas_thread():
        assert fingerprint(build_design(formula, table, known={"A": known()})) == found
