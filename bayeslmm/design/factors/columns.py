"""The columns of all terms of one factor, in order, with arms and without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from bayeslmm.design.factors.arms import EVERYWHERE
from bayeslmm.formula.tokens import quote
from bayeslmm.names import INTERCEPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.grouping import BlockStructure
    from bayeslmm.formula.random_terms import RandomTerm

    # A term, the names of its columns, and what is said of their covariance.
    type NamedTerm = tuple[RandomTerm, Sequence[str], BlockStructure]


@dataclass(frozen=True, slots=True)
class FactorColumns:
    """The columns of all terms of one factor, in order.

    Attributes
    ----------
    terms : tuple of str, length q
        Their names.
    blocks : tuple of tuple of int
        Those that are correlated with each other, as in `GroupingFactor`.
    arms : tuple of int, length q
        Each column's arm, or `EVERYWHERE`.
    bases : tuple of str, length q
        Their names without arms.
    structures : tuple of BlockStructure
        What is said of each block's covariance; none where nothing is said of any.
    labels : tuple of str
        Each block's label, as of ``(1 |p| g)``; empty where it has none.
    """

    terms: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]
    arms: tuple[int, ...]
    bases: tuple[str, ...]
    structures: tuple[BlockStructure, ...]
    labels: tuple[str, ...]

    @classmethod
    def of(cls, named: Iterable[NamedTerm], labels: Sequence[str] = ()) -> Self:
        """Return the columns of terms, of each of which its own columns' names are given.

        Parameters
        ----------
        named : iterable of (RandomTerm, sequence of str, BlockStructure)
            The terms of a factor, with their columns' names and their structure.
        labels : sequence of str
            Labels of the arms, for terms with ``by=``.

        Returns
        -------
        FactorColumns
            Of such terms the columns of the first arm, then those of the second, and so on.

        Examples
        --------
        >>> from bayeslmm.formula.mixed_formula import parse_formula
        >>> (term,) = parse_formula("y ~ (x | gr(g, by=arm))").random
        >>> from bayeslmm.design.grouping import BlockStructure
        >>> own = (term, ["Intercept", "x"], BlockStructure())
        >>> found = FactorColumns.of([own], ["a", "b"])
        >>> found.terms, found.blocks
        (('arm[a]', 'arm[a]:x', 'arm[b]', 'arm[b]:x'), ((0, 1), (2, 3)))
        """
        terms: list[str] = []
        blocks: list[tuple[int, ...]] = []
        arms: list[int] = []
        bases: list[str] = []
        structures: list[BlockStructure] = []
        shared: list[str] = []
        for term, names, structure in named:
            for arm in range(len(labels)) if term.by is not None else [EVERYWHERE]:
                places = range(len(terms), len(terms) + len(names))
                own = [tuple(places)] if term.correlated else [(j,) for j in places]
                blocks += own
                structures += [structure] * len(own)
                shared += [term.label] * len(own)
                terms += names if term.by is None else in_arm(term.by, labels[arm], names)
                arms += [arm] * len(names)
                bases += names
        said = any(structure.kind != "us" for structure in structures)
        told = tuple(structures) if said else ()
        return cls(tuple(terms), tuple(blocks), tuple(arms), tuple(bases), told, tuple(shared))


def in_arm(by: str, label: str, names: Sequence[str]) -> list[str]:
    """Return the names of columns in an arm, spelt as ``(0 + arm + arm:x | g)`` has them.

    Examples
    --------
    >>> in_arm("arm", "a", ["Intercept", "x"])
    ['arm[a]', 'arm[a]:x']
    """
    arm = f"{quote(by)}[{label}]"
    return [arm if name == INTERCEPT else f"{arm}:{name}" for name in names]


def part_columns(
    matrix: NDArray[np.float64], codes: NDArray[np.int64], n_arms: int
) -> NDArray[np.float64]:
    """Return columns arm by arm: each arm's are those of its rows, and zero in all others.

    Parameters
    ----------
    matrix : ndarray, shape (n, q)
        The columns.
    codes : ndarray of int64, shape (n,)
        Each row's arm.
    n_arms : int
        How many arms there are.

    Returns
    -------
    ndarray, shape (n, n_arms * q)

    Examples
    --------
    >>> part_columns(np.ones((2, 1)), np.array([0, 1]), 2)
    array([[1., 0.],
           [0., 1.]])
    """
    return np.hstack([matrix * (codes == arm)[:, None] for arm in range(n_arms)])
