"""The structure behind each name that a formula gives a block of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm.design.grouping import BlockStructure
from bayeslmm.model.covariance.compound_symmetry import CompoundSymmetry
from bayeslmm.model.covariance.diagonal import Diagonal
from bayeslmm.model.covariance.stationary import Autoregressive, OrnsteinUhlenbeck, Toeplitz
from bayeslmm.model.covariance.unstructured import Unstructured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Blocks
    from bayeslmm.model.covariance.structure import CovarianceStructure

    Columns = tuple[int, ...]

# Structures whose columns have one standard deviation.
ONE_SD = frozenset({"homdiag", "homcs", "ar1", "ou", "homtoep"})


def member_of(said: BlockStructure, q: int) -> CovarianceStructure:
    """Return the structure of a block of q columns, two or more."""
    match said.kind:
        case "homdiag":
            return Diagonal(q)
        case "cs" | "homcs":
            return CompoundSymmetry(q)
        case "ar1" | "hetar1":
            return Autoregressive(said.positions)
        case "ou":
            return OrnsteinUhlenbeck(said.positions)
        case "toep" | "homtoep":
            return Toeplitz(q)
        case _:
            return Unstructured(q)


def said_to_plain(said: tuple[tuple[BlockStructure, Columns], ...]) -> list[Any]:
    """Return `BlockCovariance.said` in JSON's types."""
    return [(at.kind, at.positions, columns) for at, columns in said]


def blocks_of_plain(content: Mapping[str, Any]) -> tuple[Blocks, list[BlockStructure]]:
    """Return blocks and what is said of each, from independent sets and what `said_to_plain` gave.

    Parameters
    ----------
    content : mapping
        With ``"blocks"``, and ``"structures"`` where there are any.
    """
    said = {
        tuple(columns): BlockStructure.of_plain(kind, positions)
        for kind, positions, columns in content.get("structures", ())
    }
    of_said = {k for columns in said for k in columns}
    free = [tuple(block) for block in content["blocks"] if not of_said & set(block)]
    blocks = tuple(sorted([*free, *said]))
    return blocks, [said.get(block, BlockStructure()) for block in blocks] if said else []
