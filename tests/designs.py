"""Small random designs of every structure that the numerical core distinguishes."""

from dataclasses import replace

import numpy as np

from bayeslmm.design.design import Design
from bayeslmm.design.grouping import GroupingFactor
from bayeslmm.formula.mixed_formula import MixedFormula
from bayeslmm.model.priors.shift import NO_SHIFT


def grouping(name, index, columns, blocks=None):
    m, q = int(index.max()) + 1, columns.shape[1]
    return GroupingFactor(
        name=name,
        variables=(name,),
        levels=np.array([f"{name}{i:03d}" for i in range(m)]),
        n_known=m,
        index=index.astype(np.int64),
        columns=np.ascontiguousarray(columns, dtype=float),
        terms=tuple(f"t{j}" for j in range(q)),
        blocks=blocks or (tuple(range(q)),),
    )


def assemble(y, X, factors, weights=None, offset=None):
    return Design(
        formula=MixedFormula("y", "1", (), ()),
        response="y",
        y=y,
        X=X,
        coef=tuple(f"x{j}" for j in range(X.shape[1])),
        factors=tuple(factors),
        weights=weights,
        offset=offset,
    )


def _levels(rng, n, m):
    """Every level at least once, then at random."""
    return rng.permutation(np.r_[np.arange(m), rng.integers(m, size=n - m)])


def _columns(rng, n, q):
    return np.column_stack([np.ones(n), rng.normal(size=(n, q - 1)) + 1.0])[:, :q]


def _factors(rng, n, kind):
    g, h = _levels(rng, n, 7), _levels(rng, n, 5)
    leaf = _levels(rng, n, 12)
    middle, top = (leaf * 5) // 12, ((leaf * 5) // 12) // 2
    one = np.ones((n, 1))
    return {
        "intercept": lambda: [grouping("g", g, one)],
        "slope": lambda: [grouping("g", g, _columns(rng, n, 2))],
        "three": lambda: [grouping("g", g, _columns(rng, n, 3))],
        "blocks": lambda: [grouping("g", g, _columns(rng, n, 4), ((0, 2), (1,), (3,)))],
        "blocks_in_runs": lambda: [grouping("g", g, _columns(rng, n, 4), ((0, 1), (2,), (3,)))],
        "nested": lambda: [
            grouping("top", middle, _columns(rng, n, 2)),
            grouping("leaf", leaf, _columns(rng, n, 2)),
        ],
        "three_levels": lambda: [
            grouping("leaf", leaf, one),
            grouping("top", top, _columns(rng, n, 3)),
            grouping("middle", middle, _columns(rng, n, 2)),
        ],
        "crossed": lambda: [
            grouping("h", h, _columns(rng, n, 2)),
            grouping("g", g, _columns(rng, n, 3)),
        ],
        "three_crossed": lambda: [
            grouping("g", g, one),
            grouping("h", h, _columns(rng, n, 2)),
            grouping("k", _levels(rng, n, 4), _columns(rng, n, 3), ((0,), (1, 2))),
        ],
        "nested_and_crossed": lambda: [
            grouping("h", h, _columns(rng, n, 2)),
            grouping("leaf", leaf, _columns(rng, n, 2)),
            grouping("top", top, one),
            grouping("middle", middle, _columns(rng, n, 2)),
            grouping("k", _levels(rng, n, 3), one),
        ],
    }[kind]()


KINDS = (
    "intercept",
    "slope",
    "three",
    "blocks",
    "blocks_in_runs",
    "nested",
    "three_levels",
    "crossed",
    "three_crossed",
    "nested_and_crossed",
)


def random_design(kind, seed=0, *, n=60, p=3, weighted=False, offset=False):
    rng = np.random.default_rng(seed)
    factors = _factors(rng, n, kind)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, max(p - 1, 0)))])[:, :p]
    y = 2.0 + rng.normal(size=n) * 1.5 + factors[0].index * 0.3
    return assemble(
        y,
        X,
        factors,
        rng.uniform(0.3, 3.0, size=n) if weighted else None,
        rng.normal(size=n) if offset else None,
    )


def random_factors(design, seed=0, scale=0.7):
    """A relative factor for each grouping factor, zero between blocks."""
    rng = np.random.default_rng(seed)
    out = []
    for factor in design.factors:
        q = len(factor.terms)
        lam = np.zeros((q, q))
        for block in factor.blocks:
            size = len(block)
            lower = np.tril(rng.normal(size=(size, size))) * scale
            np.fill_diagonal(lower, scale * rng.uniform(0.5, 1.5, size=size))
            lam[np.ix_(block, block)] = lower
        out.append(lam)
    return out


def at_zero(priors):
    """The same priors, of the effects as they are: what a density of one design's columns has."""
    factors = tuple(replace(factor, shift=NO_SHIFT) for factor in priors.factors)
    return replace(priors, factors=factors)


def pack(lams):
    return np.concatenate([lam.ravel() for lam in lams])
