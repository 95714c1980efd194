"""A design's cross-products in the form in which its effects are solved for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.gram.border.choice import AUTO, SPARSE
from bayeslmm.gram.border.sparse.related import have_nodes, may_be_many, why_by_nodes
from bayeslmm.gram.gram import Gram, gram_of

if TYPE_CHECKING:
    from bayeslmm.design.model_data import ModelData


def suited_gram(design: ModelData, border: str = AUTO) -> Gram:
    """Return a design's cross-products, with related levels as nodes where that suits.

    Parameters
    ----------
    design : ModelData
        The data.
    border : {"auto", "dense", "sparse", "krylov"}
        How effects are solved for. Related levels are nodes of a sparse precision where
        ``"sparse"`` asks for it, and under ``"auto"`` where there are many and it is quicker.

    Returns
    -------
    Gram

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> from bayeslmm.relationships.phylogeny import phylogeny
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "a", "b", "c"]}
    >>> known = {"A": phylogeny("((a:1,b:1):1,c:2);")}
    >>> design = build_design("y ~ 1 + (1 | gr(g, cov=A))", table, known=known)
    >>> suited_gram(design).by_nodes, suited_gram(design, "sparse").by_nodes
    (False, True)
    """
    if border not in {AUTO, SPARSE} or not design.has_rows:
        return gram_of(design)
    rows = design.coded_rows
    if (border == SPARSE or may_be_many(rows)) and have_nodes(rows):
        by_nodes = Gram.of_nodes(rows)
        if border == SPARSE or why_by_nodes(by_nodes):
            return by_nodes
    return gram_of(design)
