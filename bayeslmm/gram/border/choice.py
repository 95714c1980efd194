"""How the border of crossed factors is solved, chosen by counting its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError, check_choice
from bayeslmm.gram.border.sparse.related import why_by_nodes
from bayeslmm.gram.border.sparse_factor import fill_is_small

if TYPE_CHECKING:
    from bayeslmm.gram.gram import Gram

AUTO, DENSE, SPARSE, KRYLOV = "auto", "dense", "sparse", "krylov"
BORDERS = (AUTO, DENSE, SPARSE, KRYLOV)
# The reason of a choice that the user made.
ASKED = "asked for"
# Columns up to which a dense factorization takes less than a second.
LARGEST_DENSE = 4000
# Columns from which probes make sense at all: with fewer, there is no average over levels.
_FEWEST = 2
# Random columns, and the most that are taken where chance is too large.
PROBES, MOST_PROBES = 32, 512
# What the chance of an estimate may be, in its own standard errors or posterior sds.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Border:
    """How it is solved.

    Attributes
    ----------
    method : {"dense", "sparse", "krylov"}
        A Cholesky factorization of the dense matrix; one of a sparse matrix of all effects; or
        conjugate gradients, and probes for log|V|.
    reason : str
        Why.
    """

    method: str
    reason: str


def choose_border(gram: Gram, asked: str = AUTO, *, sparse: bool = False) -> Border:
    """Choose how the crossed factors' border is solved, by counting; nothing is computed yet.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    asked : {"auto", "dense", "sparse", "krylov"}
        What a user asked for.
    sparse : bool
        Whether a sparse factor would do: one is considered where it has few entries.

    Returns
    -------
    Border

    Raises
    ------
    ArgumentError
        If there is no such choice, or iterations do not suit the model.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> from bayeslmm.gram.gram import Gram
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": list("aabb"), "h": list("cdcd")}
    >>> choose_border(Gram.from_design(build_design("y ~ 1 + (1 | g) + (1 | h)", table)))
    Border(method='dense', reason='crossed factors leave 2 columns, at most 4,000')
    """
    check_choice("border", asked, BORDERS)
    if asked != AUTO:
        return _asked_for(gram, asked)
    if gram.by_nodes:
        return Border(SPARSE, why_by_nodes(gram))
    unsuited = why_not_krylov(gram)
    count = gram.n_border
    if count <= LARGEST_DENSE:
        return Border(DENSE, f"crossed factors leave {count:,} columns, at most {LARGEST_DENSE:,}")
    if unsuited:
        return Border(DENSE, f"crossed factors leave {count:,} columns, and {unsuited}")
    if sparse and fill_is_small(gram):
        return Border(
            SPARSE, f"crossed factors leave {count:,} columns, and a sparse factor is small"
        )
    return Border(KRYLOV, f"crossed factors leave {count:,} columns, more than {LARGEST_DENSE:,}")


def _asked_for(gram: Gram, asked: str) -> Border:
    """Return what was asked for, if it suits."""
    unsuited = why_not_krylov(gram)
    if asked == DENSE or not unsuited or (asked == SPARSE and gram.by_nodes):
        return Border(asked, ASKED)
    hint = ""
    if asked == SPARSE and any(factor.latent is not None for factor in gram.factors):
        hint = (
            " Levels with a known covariance have a sparse factor where all of these are given by "
            "bl.phylogeny, bl.pedigree or bl.precision(Q, levels)."
        )
    raise ArgumentError(
        f"border={asked!r} is for two or more crossed factors, and {unsuited}: give "
        f"border='dense', or leave the choice to 'auto'.{hint}"
    )


def why_not_krylov(gram: Gram) -> str:
    """Say why iterations do not suit a model; nothing where they do."""
    for factor in gram.factors:
        if factor.nodes is not None:
            return f"levels of {factor.name!r} are related"
        if factor.latent is not None:
            return f"rows have several latent levels of {factor.name!r}"
    if gram.strata is not None:
        return "the residuals have strata"
    if any(gram.joined(k) is not None for k in range(len(gram.factors))):
        return "residuals correlate levels"
    if len(gram.factors) < _FEWEST:
        return f"there are {len(gram.factors)} grouping factors"
    return ""


def require_plain(border: str, what: str) -> None:
    """Raise where iterations are asked for and what a model has rules them out.

    Parameters
    ----------
    border : str
        What a user asked for.
    what : str
        What the model has.

    Raises
    ------
    ArgumentError
        With what to give instead.
    """
    check_choice("border", border, BORDERS)
    if border in (KRYLOV, SPARSE):
        raise ArgumentError(
            f"border={border!r} is for Gaussian responses with independent residuals and one "
            f"sigma, and this model has {what}: give border='dense', or leave the choice to 'auto'."
        )


def check_probes(probes: int, seed: int | None = None) -> None:
    """Raise unless a number of probes, and their seed, can be used.

    Parameters
    ----------
    probes : int
        Two at least, for a spread.
    seed : int, optional
        Not negative.

    Raises
    ------
    ArgumentError
        Naming which.
    """
    given = [("probes", probes, _FEWEST)] + ([] if seed is None else [("random_seed", seed, 0)])
    for name, value, least in given:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < least:
            raise ArgumentError(f"{name} must be a whole number from {least} on, not {value!r}.")
