"""`Design`: a mixed model's rows as numbers that every fit starts from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.design.scales import DataScales
from bayeslmm.design.text import Described, design_lines
from bayeslmm.errors import (
    DataError,
)
from bayeslmm.families.censored import uncensored
from bayeslmm.families.gaussian import GAUSSIAN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    from numpy.typing import NDArray

    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.predictors import ParameterRows
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.design.stacked.stack import Stack
    from bayeslmm.design.state import DesignState
    from bayeslmm.families.family import Family
    from bayeslmm.formula.mixed_formula import MixedFormula


@dataclass(frozen=True, eq=False, repr=False)
class Design(Described):
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
    family : Family
        How the response is distributed given the linear predictor.
    trials : ndarray of float64, shape (n,), or None
        Numbers of trials of a binomial response.
    likweights : ndarray of float64, shape (n,), or None
        How often the likelihood of each row counts.
    ends : ndarray of float64, shape (n,), or None
        Of censored responses the other end of where each lies, see `families.censored`.
    residual : ResidualRows or None
        What is known of the residuals' scales, groups and times; None where they are independent
        with one sigma.
    predictors : tuple of ParameterRows
        Predictors of the family's parameters that have formulas.
    stack : Stack or None
        Of several responses, or categories of one: which of them each row is of.
    data : mapping of str to ndarray or Categorical, each of length n
        The table's columns that the formula uses: numbers and booleans as arrays, text and
        categories as pandas categoricals of text.
    rows : ndarray of int64, shape (n,)
        Position of each row in the table that was given.
    labels : ndarray, shape (n,), or None
        Label of each row in that table's index; its position where the table has none.
    units : mapping of str to str
        Units of the columns, where a pandas table tells them in ``attrs["units"]``.
    """

    formula: MixedFormula
    response: str
    y: NDArray[np.float64]
    X: NDArray[np.float64]
    coef: tuple[str, ...]
    factors: tuple[GroupingFactor, ...]
    weights: NDArray[np.float64] | None
    offset: NDArray[np.float64] | None
    data: Mapping[str, NDArray[Any] | pd.Categorical] = field(default_factory=dict)
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    labels: NDArray[Any] | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    family: Family = GAUSSIAN
    trials: NDArray[np.float64] | None = None
    likweights: NDArray[np.float64] | None = None
    ends: NDArray[np.float64] | None = None
    residual: ResidualRows | None = None
    predictors: tuple[ParameterRows, ...] = ()
    stack: Stack[Design] | None = None
    _state: DesignState | None = None

    def _lines(self) -> list[str]:
        return design_lines(self)

    @property
    def obs(self) -> NDArray[Any]:
        """The rows' labels, or their numbers where nothing labels them."""
        return np.arange(len(self.y)) if self.labels is None else self.labels

    @property
    def state(self) -> DesignState:
        """What `rebuild_design` needs to code new rows in the same way."""
        if self._state is None:
            raise DataError("This design was put together by hand: it has no state.")
        return self._state

    @cached_property
    def scales(self) -> DataScales:
        """Means and spreads of the columns, from which default priors are derived."""
        return DataScales.of(self)

    @property
    def known(self) -> NDArray[np.float64] | None:
        """What the family knows of the rows beside eta: trials, weights, ends; (n,) or None."""
        takes = self.family.response.known
        return {"trials": self.trials, "ends": self.ends}.get(takes or "", self.weights)

    @property
    def gaussian_response(self) -> NDArray[np.float64]:
        """The response on the scale on which it is Gaussian, log(y) for log-normal ones."""
        scale = uncensored(self.family).gaussian_scale
        return self.y if scale is None else scale.link(self.y)

    @property
    def responses_of_eta(self) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Responses that tell of eta, on the scale of `Family.level_scale`, and their offsets."""
        kept, scale = self.family.tells_level(self.y), self.family.level_scale
        y = self.y[kept]
        offset = None if self.offset is None else self.offset[kept]
        return (y if scale is None else scale.link(y)), offset

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def has_rows(self) -> bool:
        """Whether there are rows: True, see `ModelData`."""
        return True

    @property
    def response_rows(self) -> NDArray[np.float64]:
        """The response, shape (n,)."""
        return self.y

    @property
    def coded_rows(self) -> Design:
        """The design itself: it holds the rows."""
        return self

    def numbers(self) -> Iterator[NDArray[Any]]:
        """Iterate over all arrays that a fit sees, in one order."""
        yield from (self.y, self.X)
        told = (self.weights, self.offset, self.trials, self.likweights, self.ends)
        yield from (given for given in told if given is not None)
        for factor in self.factors:
            yield from (factor.index, factor.columns)
            if factor.latent is not None:
                yield from factor.latent.numbers()
        if self.residual is not None:
            yield from self.residual.arrays()
        for rows in self.predictors:
            yield from rows.arrays()
