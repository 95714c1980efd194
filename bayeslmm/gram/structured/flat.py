"""All cross-products of a Gram as one vector, and where its entries stand in a plan's floats."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.gram.elimination_plan import build_plan
from bayeslmm.kernels.layout import N_WORKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.gram.gram import Gram


def blocks_of(gram: Gram) -> list[Floats]:
    """Return a Gram's cross-products, block by block: factors, pairs of factors, fixed effects."""
    factors = [block for f in gram.factors for block in (f.within, f.with_fixed)]
    return [*factors, *(pair.values for pair in gram.pairs), gram.cross]


def with_blocks(gram: Gram, blocks: Sequence[Floats], *, sum_log_weights: float) -> Gram:
    """Return the same Gram with other cross-products in the order of `blocks_of`.

    What a Gram keeps of each level for leaving it out, and of strata, is left away: it is of the
    rows as they are.
    """
    n = len(gram.factors)
    factors = tuple(
        replace(f, within=blocks[2 * k], with_fixed=blocks[2 * k + 1], fixed=None, log_weights=None)
        for k, f in enumerate(gram.factors)
    )
    of_pairs = zip(gram.pairs, blocks[2 * n : -1], strict=True)
    pairs = tuple(replace(pair, values=block) for pair, block in of_pairs)
    return replace(
        gram,
        factors=factors,
        pairs=pairs,
        cross=blocks[-1],
        sum_log_weights=sum_log_weights,
        strata=None,
    )


def split_flat(gram: Gram, flat: Floats) -> list[Floats]:
    """Return the blocks of a vector of all cross-products."""
    out, at = [], 0
    for block in blocks_of(gram):
        out.append(flat[at : at + block.size].reshape(block.shape))
        at += block.size
    return out


def places_in_plan(gram: Gram) -> Ints:
    """Return for each float of a plan's cross-products its place in the vector of all, -1 if none.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> design = build_design("y ~ 1 + (1 | g)", {"y": [1.0, 2.0, 4.0, 3.0], "g": list("aabb")})
    >>> gram = Gram.from_design(design)
    >>> flat = np.concatenate([block.ravel() for block in blocks_of(gram)])
    >>> places = places_in_plan(gram)
    >>> floats = gram.plan.floats[gram.plan.ints[N_WORKING]:]
    >>> bool((np.where(places < 0, 0.0, flat[places]) == floats).all())
    True
    """
    size = sum(block.size for block in blocks_of(gram))
    # A plan only moves its numbers: what it does to numbers that are their own places is the move.
    numbered = with_blocks(gram, split_flat(gram, np.arange(1.0, size + 1.0)), sum_log_weights=0.0)
    plan = build_plan(numbered)
    return plan.floats[int(plan.ints[N_WORKING]) :].astype(np.int64) - 1
