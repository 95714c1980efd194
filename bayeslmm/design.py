"""`MixedFormula` and a table in, a frozen `Design` out: the numbers that every fit starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bayeslmm.formula import MixedFormula


@dataclass(frozen=True, eq=False)
class GroupingFactor:
    """The levels of one grouping factor and the columns whose effects vary over them.

    All random-effects terms on the same factor are gathered here; `blocks` says which columns
    share a correlation matrix.

    Attributes
    ----------
    name : str
        ``"Subject"``, or ``"a:b"`` for combinations.
    variables : tuple of str
        The table's columns that define the factor.
    levels : ndarray of str, shape (m,)
        Labels, in the order of a categorical's categories, else sorted. On new rows, labels that
        the training rows did not have follow the known ones.
    n_known : int
        How many of `levels` the training rows had; ``m`` on the training rows themselves.
    index : ndarray of int64, shape (n,)
        Each row's level.
    columns : ndarray of float64, shape (n, q)
        The random-effect columns.
    terms : tuple of str, length q
        Their names, e.g. ``("Intercept", "Days")``.
    blocks : tuple of tuple of int
        A partition of ``range(q)`` into runs: columns of a block are correlated with each other
        and with no other.
    """

    name: str
    variables: tuple[str, ...]
    levels: NDArray[np.str_]
    n_known: int
    index: NDArray[np.int64]
    columns: NDArray[np.float64]
    terms: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Design:
    """Response, columns and level indices of a mixed model.

    Attributes
    ----------
    formula : MixedFormula
        What was asked for.
    response : str
        Name of the response, e.g. ``"log(Reaction)"``.
    y : ndarray of float64, shape (n,)
        The response in its own unit; NaN on new rows that have none.
    X : ndarray of float64, shape (n, p)
        Fixed-effect columns.
    coef : tuple of str, length p
        Their names.
    factors : tuple of GroupingFactor
        In the order in which the formula first names them.
    weights : ndarray of float64, shape (n,), or None
        Positive weights w: Var(e_i) = sigma^2 / w_i.
    offset : ndarray of float64, shape (n,), or None
        Known part of the linear predictor.
    """

    formula: MixedFormula
    response: str
    y: NDArray[np.float64]
    X: NDArray[np.float64]
    coef: tuple[str, ...]
    factors: tuple[GroupingFactor, ...]
    weights: NDArray[np.float64] | None
    offset: NDArray[np.float64] | None
