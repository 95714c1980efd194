r"""Random effects in log(sigma): the location-scale model.

.. math:: \log \sigma_i = x_i' \beta_\sigma + \sum_k z_{ki}' b_{\sigma k}, \quad
          b_{\sigma k} \sim N(0, G_{\sigma k})

Given them residuals are independent, or correlated as their structure says; no integral over them
has a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.residual_rows import ResidualRows


@dataclass(frozen=True, eq=False)
class EffectsInSigma:
    """Effects of one grouping factor in the log(sigma) of cells.

    Attributes
    ----------
    name : str
        The factor's, by `names.in_parameter`.
    terms : tuple of str, length q
        Names of the columns.
    levels : tuple of str, length m
        Labels of the levels.
    correlated : bool
        Whether any two columns are correlated.
    index : ndarray of int64, shape (n_cells,)
        Each cell's level.
    columns : ndarray, shape (n_cells, q)
        Its columns.

    References
    ----------
    .. [1] Hedeker, Mermelstein & Demirtas (2008). An application of a mixed-effects location scale
       model for analysis of ecological momentary assessment (EMA) data. Biometrics 64(2):627-634.
       doi:10.1111/j.1541-0420.2007.00924.x
    """

    name: str
    terms: tuple[str, ...]
    levels: tuple[str, ...]
    correlated: bool
    index: Ints
    columns: Floats

    @classmethod
    def of(cls, factor: GroupingFactor, index: Ints, columns: Floats) -> EffectsInSigma:
        """Return a factor's effects, of cells instead of rows."""
        correlated = max(map(len, factor.blocks)) > 1
        levels = tuple(map(str, factor.levels.tolist()))
        return cls(factor.name, factor.terms, levels, correlated, index, columns)

    @property
    def size(self) -> int:
        """How many effects there are."""
        return len(self.levels) * len(self.terms)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Dimensions of its variables in the result tree, after chain and draw."""
        level, term = names.level_dim(self.name), names.term_dim(self.name)
        both = {names.corr(self.name): (term, names.term_dim_bis(self.name))}
        return {
            names.sd(self.name): (term,),
            **(both if self.correlated else {}),
            names.effects(self.name): (level, term),
        }

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """Labels of those dimensions."""
        labels = {names.level_dim(self.name): self.levels, names.term_dim(self.name): self.terms}
        return labels | ({names.term_dim_bis(self.name): self.terms} if self.correlated else {})

    def log_factor(self, effects: Floats) -> Floats:
        """Compute what is added to each cell's log(sigma), (s, n_cells), by effects (s, m q)."""
        b = effects.reshape(len(effects), len(self.levels), len(self.terms))
        total = np.zeros((len(b), len(self.index)))
        for k, column in enumerate(self.columns.T):
            total += b[:, self.index, k] * column
        return total


def require_closed_form(rows: ResidualRows | None, what: str, instead: str) -> None:
    """Raise unless random effects can be integrated out in closed form: none are in sigma.

    Parameters
    ----------
    rows : ResidualRows or None
        Of a design.
    what : str
        What integrates them out, as it is asked for.
    instead : str
        What can be had, as what follows a colon.

    Raises
    ------
    ArgumentError
        Naming the grouping factors.
    """
    if rows is None or not rows.factors:
        return
    listed = " and ".join(repr(":".join(factor.variables)) for factor in rows.factors)
    raise ArgumentError(
        f"{what} integrates random effects out in closed form, and over effects in sigma, here of "
        f"{listed}, no integral has one: {instead}"
    )


def cut(effects: Sequence[EffectsInSigma], flat: Floats) -> list[Floats]:
    """Return the part of flat effects, shape (..., their number), that is of each factor."""
    ends = np.cumsum([one.size for one in effects])
    return np.split(flat, ends[:-1], axis=-1) if effects else []
