"""Which predictions a fit of lower rank determines; the others are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.rank.estimable import full_columns, is_estimable, span
from bayeslmm.errors import ArgumentError
from bayeslmm.formula.mixed_formula import parse_formula
from bayeslmm.formula.model_terms import model_terms
from bayeslmm.tables.table import read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.design.state import DesignState

NEAR = 0.1  # of a covariate's sd: far enough for the digits of a slope's columns
SHOWN = 4  # columns of a row that a message shows


@dataclass(frozen=True, eq=False, slots=True)
class Determined:
    """What the training rows of a fit that dropped columns determine.

    Attributes
    ----------
    state : DesignState
        How rows are coded.
    basis, scale : ndarray
        From `span` of the training rows, dropped columns among theirs.
    """

    state: DesignState
    basis: Floats
    scale: Floats

    def columns(self, data: Mapping[str, Any]) -> Floats:
        """Return the rows' fixed-effects columns, those that were dropped among them."""
        return full_columns(self.state, data)

    def slopes(self, data: Mapping[str, Any], name: str, training: NDArray[Any]) -> Floats:
        """Return what rows gain by a step in a covariate, the largest scaled to one."""
        x, seen = np.asarray(data[name], dtype=np.float64), np.asarray(training, dtype=np.float64)
        step = NEAR * (float(seen.std()) or float(np.abs(seen).max()) or 1.0)
        # Inwards: logarithms and splines end where the training rows do.
        moved = x + np.where(x > seen.mean(), -step, step)
        gained = self.columns({**data, name: moved}) - self.columns(data)
        gained /= (moved - x)[:, None]
        return np.asarray(gained / (np.abs(gained / self.scale).max() or 1.0))

    def require(self, combinations: Floats, what: Callable[[int], str], way: str) -> None:
        """Raise unless each combination l of columns has one l' beta in all least-squares fits.

        Parameters
        ----------
        combinations : ndarray, shape (k, p + dropped)
            Such as rows of `columns`, their means and differences.
        what : callable
            Names the k-th of them.
        way : str
            The way out.

        Raises
        ------
        ArgumentError
            Naming the first that is not determined, and what the fit dropped.
        """
        wrong = np.flatnonzero(~is_estimable(combinations, self.basis, self.scale))
        if wrong.size:
            raise ArgumentError(
                f"The data do not determine the {what(int(wrong[0]))}: the fit dropped "
                f"{', '.join(self.state.dropped)}, so that some combination of levels which "
                f"counts there was never observed. {way}"
            )


def determined(state: DesignState, training: Mapping[str, Any] | None) -> Determined | None:
    """Return what a fit determines; None where it dropped no column, and so everything.

    Parameters
    ----------
    state : DesignState
        How the fit codes rows.
    training : mapping of str to ndarray, or None
        The columns of its own rows; None where it saw cross-products only.

    Raises
    ------
    ArgumentError
        When columns were dropped and there are only cross-products, added up from such as were
        dropped for other reasons.
    """
    if not state.dropped:
        return None
    if training is None and state.dependence is not None:
        rows = state.dependence.rows()
        return Determined(state, *span(rows, np.array(state.dependence.scale)))
    if training is None:
        raise ArgumentError(
            f"Columns were dropped from this fit ({', '.join(state.dropped)}), and the "
            "cross-products were added up from some in which these columns followed from others "
            "in other ways: they do not say which means and rows it still determines. Fit to the "
            "rows themselves."
        )
    return Determined(state, *span(full_columns(state, training)))


def require_rows(
    state: DesignState, training: Mapping[str, Any] | None, data: Any, obs: NDArray[Any]
) -> None:
    """Raise unless a fit determines the expected value of each of a table's rows.

    Parameters
    ----------
    state, training
        As in `determined`.
    data : table or mapping of columns
        The rows.
    obs : ndarray, shape (n,)
        Their labels.

    Raises
    ------
    ArgumentError
        Naming the first row that it does not, and its values.
    """
    known = determined(state, training)
    if known is None:
        return
    table = read_table(data)
    names = model_terms(parse_formula(state.formula)).only(()).predictors
    columns = {name: table.values(name) for name in names if name in table.names}

    def what(row: int) -> str:
        values = ", ".join(f"{n} = {columns[n][row]}" for n in list(columns)[:SHOWN])
        return f"expected value of row {obs[row]!s} ({values})"

    known.require(
        known.columns(columns),
        what,
        "Leave such rows out, or give combinations that were observed.",
    )
