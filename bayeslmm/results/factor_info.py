"""`FactorInfo`: a grouping factor as a result tree describes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.factors.arms import Arms


@dataclass(frozen=True, slots=True)
class FactorInfo:
    """A grouping factor as a tree describes it.

    Attributes
    ----------
    name : str
        Such as ``"Subject"`` or ``"a:b"``.
    terms : tuple of str, length q
        Names of its random-effect columns.
    levels : tuple of str, length m
        Labels of the levels whose effects the tree holds, in the order of the draws.
    correlated : bool
        Whether the tree holds correlations of its columns.
    all_levels : tuple of str
        Labels of all levels that the fit had; more than `levels` where effects were kept in part.
    arms : Arms or None
        Of `all_levels`, where they have columns of their own, ``gr(g, by=arm)``.
    """

    name: str
    terms: tuple[str, ...]
    levels: tuple[str, ...]
    correlated: bool
    all_levels: tuple[str, ...]
    arms: Arms | None = None

    @property
    def holds(self) -> NDArray[np.bool_]:
        """Whether a level has an effect of a column, shape (m, q)."""
        if self.arms is None:
            return np.ones((len(self.levels), len(self.terms)), dtype=bool)
        place = {level: k for k, level in enumerate(self.all_levels)}
        return self.arms.chosen([place[level] for level in self.levels]).holds


def coefficients_of_terms(info: FactorInfo, coef: Sequence[str]) -> dict[str, str]:
    """Return the coefficient that each random-effect column adds to.

    That of its own name; of an interaction that the two parts spell in different orders, the fixed
    part's spelling; of an arm's column, that of the column without its arm. Where the fixed part
    has none, it is one of the column's name.

    Parameters
    ----------
    info : FactorInfo
        A factor.
    coef : sequence of str
        The fixed effects.

    Examples
    --------
    >>> info = FactorInfo("g", ("Intercept", "z:x"), ("a",), False, ("a",))
    >>> coefficients_of_terms(info, ["Intercept", "x:z"])
    {'Intercept': 'Intercept', 'z:x': 'x:z'}
    """
    bases = info.terms if info.arms is None else info.arms.bases
    return {
        term: names.matching(term, coef) or names.matching(base, coef) or base
        for term, base in zip(info.terms, bases, strict=True)
    }
