"""Whether related levels are taken as nodes with a sparse precision, chosen by counting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.gram.border.sparse.density import sparse_seconds

if TYPE_CHECKING:
    from bayeslmm.design.design import Design
    from bayeslmm.gram.gram import Gram

# Columns that hang together up to which a dense matrix takes less than half a millisecond.
FEW_COLUMNS = 300
# Seconds of a dense value: for each multiplication of its Cholesky factor, and each number of an
# effect that is eliminated before.
_PER_MULTIPLICATION, _PER_NUMBER = 5e-11, 5e-8


def have_nodes(design: Design) -> bool:
    """Return whether there are related levels, and all of them are nodes with a known precision.

    Parameters
    ----------
    design : Design
        The rows.
    """
    related = [factor.latent for factor in design.factors if factor.latent is not None]
    return bool(related) and all(of.nodes is not None for of in related)


def may_be_many(design: Design) -> bool:
    """Return whether more related columns hang together than a dense matrix is quick for."""
    return _shared(design) > FEW_COLUMNS


def why_by_nodes(gram: Gram) -> str:
    """Say why nodes are quicker than a dense matrix of latent levels; nothing where they are not.

    Parameters
    ----------
    gram : Gram
        The cross-products by nodes.
    """
    shared = _shared(gram)
    if shared <= FEW_COLUMNS:
        return ""
    alone = sum(
        factor.latent.n_alone * len(factor.terms)
        for factor in gram.factors
        if factor.latent is not None
    )
    dense = _PER_MULTIPLICATION * shared**3 / 3.0 + _PER_NUMBER * alone * shared
    if sparse_seconds(gram) >= dense:
        return ""
    return (
        f"{shared:,} columns of related levels hang together, and the precision of their nodes is "
        "sparse"
    )


def _shared(data: Design | Gram) -> int:
    """Count latent columns that several levels may have in common."""
    return sum(
        factor.latent.n_shared * len(factor.terms)
        for factor in data.factors
        if factor.latent is not None
    )
