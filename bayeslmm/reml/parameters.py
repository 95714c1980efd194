"""The parameters of a model by name: where each stands, and the line on which it is unbounded."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bayeslmm import names
from bayeslmm.model.covariance.block_covariance import covariance_of

if TYPE_CHECKING:
    from bayeslmm.gram.gram import Gram
    from bayeslmm.reml.structured.fitted import FittedResiduals

_ON_THE_LINE = ("beta", "slope")
_LARGEST_LOG = math.log(sys.float_info.max)


@dataclass(frozen=True, slots=True)
class Target:
    """One parameter.

    Attributes
    ----------
    kind : {"beta", "sigma", "sd", "corr", "slope"}
        What it is: of the residuals "sigma" is anything positive, "slope" one of log(sigma).
    factor : int
        Place of the grouping factor, -1 for beta and what is of the residuals.
    row, col : int
        Coefficient; or column of the factor, and for correlations the other column.
    number : int
        Place among the numbers of a residual structure, -1 elsewhere.
    """

    kind: Literal["beta", "sigma", "sd", "corr", "slope"]
    factor: int = -1
    row: int = 0
    col: int = 0
    number: int = -1

    def to_line(self, value: float) -> float:
        """Map to the real line: log of a standard deviation, Fisher's z of a correlation."""
        if self.kind == "corr":
            return math.atanh(value) if abs(value) < 1.0 else math.nan
        if self.kind in _ON_THE_LINE:
            return value
        return math.log(value) if value > 0.0 else math.nan

    def from_line(self, value: float) -> float:
        """Map back from the real line."""
        if self.kind == "corr":
            return math.tanh(value)
        if self.kind in _ON_THE_LINE:
            return value
        # The limit of a standard deviation that the data say nothing about lies beyond all numbers.
        return math.inf if value > _LARGEST_LOG else math.exp(value)

    @property
    def bounds(self) -> tuple[float, float]:
        """The parameter space."""
        if self.kind == "corr":
            return -1.0, 1.0
        return (-math.inf if self.kind in _ON_THE_LINE else 0.0), math.inf


def list_targets(gram: Gram, residual: FittedResiduals | None = None) -> dict[str, Target]:
    """Name every parameter of a model.

    Parameters
    ----------
    gram : Gram
        The model.
    residual : FittedResiduals, optional
        Its residual structure.

    Returns
    -------
    dict of str to Target
        Fixed effects, then each factor's standard deviations and correlations, then sigma, or what
        is told of the residual structure.
    """
    out = {name: Target("beta", row=j) for j, name in enumerate(gram.coef)}
    for k, factor in enumerate(gram.factors):
        covariance = covariance_of(factor)
        correlations = dict(zip(covariance.pairs, covariance.correlation_names, strict=True))
        for columns in covariance.independent:
            out |= {covariance.sd_names[j]: Target("sd", k, j) for j in columns}
            out |= {
                name: Target("corr", k, j, i)
                for (i, j), name in correlations.items()
                if j in columns
            }
    if residual is None:
        return out | {names.SIGMA: Target("sigma")}
    numbers = enumerate(residual.numbers)
    return out | {number.name: Target(number.kind, number=k) for k, number in numbers}
