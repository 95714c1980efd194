"""Which factors are eliminated level by level: one, those it is nested in, and so on up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.parts import in_parts

if TYPE_CHECKING:
    from bayeslmm.gram.blocks import CrossProducts


def count_border(gram: CrossProducts) -> int:
    """Count the columns of the dense border that a plan would have.

    Parameters
    ----------
    gram : CrossProducts
        The cross-products.

    Returns
    -------
    int
    """
    parts, _ = in_parts(gram)
    chain = best_chain(parts)
    sizes = [int(np.prod(factor.within.shape[:2])) for factor in parts.factors]
    return sum(size for k, size in enumerate(sizes) if k not in chain)


def by_size(gram: CrossProducts) -> list[int]:
    """Return the factors' places, those with most columns first."""
    return sorted(
        range(len(gram.factors)), key=lambda k: -int(np.prod(gram.factors[k].within.shape[:2]))
    )


def best_chain(gram: CrossProducts) -> list[int]:
    """Return the chain, grown upwards from some factor, that eliminates most columns.

    Levels that are joined are not eliminated one by one: their factors are left out.
    """
    n_columns = [int(np.prod(f.within.shape[:2])) for f in gram.factors]
    nested = {
        (k, m): gram.is_nested(k, m)
        for k in range(len(n_columns))
        for m in range(len(n_columns))
        if k != m
    }
    best: list[int] = []
    alone = [k for k in range(len(n_columns)) if gram.joined(k) is None]
    for leaf in (k for k in by_size(gram) if k in alone):
        chain = [leaf]
        while above := [m for m in alone if m not in chain and nested[chain[-1], m]]:
            # The finest comes first, so that coarser ones can still follow it.
            chain.append(max(above, key=lambda m: len(gram.factors[m].within)))
        if sum(n_columns[k] for k in chain) > sum(n_columns[k] for k in best):
            best = chain
    return best
