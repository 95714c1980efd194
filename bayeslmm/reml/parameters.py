"""The parameters of a model by name: where each stands, and the line on which it is unbounded."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from bayeslmm import names
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import sd_corr_from_factor
from bayeslmm.reml.components import columns_of_parameters
from bayeslmm.reml.relative import free_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import FactorData
    from bayeslmm.model.covariance.block_covariance import BlockCovariance
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
    variable : str
        Of a correlation that is a parameter of a structure of G: what it is called.
    low, high : float
        Between which a correlation lies.
    """

    kind: Literal["beta", "sigma", "sd", "corr", "slope"]
    factor: int = -1
    row: int = 0
    col: int = 0
    number: int = -1
    variable: str = ""
    low: float = -1.0
    high: float = 1.0

    def to_line(self, value: float) -> float:
        """Map to the real line: log of a standard deviation, Fisher's z of a correlation.

        For a correlation between other bounds, it is that of its place on their scale.
        """
        if self.kind == "corr":
            share = (2.0 * value - self.low - self.high) / (self.high - self.low)
            return math.atanh(share) if abs(share) < 1.0 else math.nan
        if self.kind in _ON_THE_LINE:
            return value
        return math.log(value) if value > 0.0 else math.nan

    def from_line(self, value: float) -> float:
        """Map back from the real line."""
        if self.kind == "corr":
            half = 0.5 * (self.high - self.low)
            return self.low + half + half * math.tanh(value)
        if self.kind in _ON_THE_LINE:
            return value
        # The limit of a standard deviation that the data say nothing about lies beyond all numbers.
        return math.inf if value > _LARGEST_LOG else math.exp(value)

    def slope(self, value: float) -> float:
        """Return the derivative of the parameter in its place on the line."""
        if self.kind == "corr":
            return 2.0 * (value - self.low) * (self.high - value) / (self.high - self.low)
        return 1.0 if self.kind in _ON_THE_LINE else value

    @property
    def bounds(self) -> tuple[float, float]:
        """The parameter space."""
        if self.kind == "corr":
            return self.low, self.high
        return (-math.inf if self.kind in _ON_THE_LINE else 0.0), math.inf


class Named(Protocol):
    """What has fixed effects and grouping factors: a design, or its cross-products."""

    @property
    def coef(self) -> tuple[str, ...]:
        """Names of the fixed effects."""

    @property
    def factors(self) -> Sequence[FactorData]:
        """The grouping factors."""


def list_targets(gram: Named, residual: FittedResiduals | None = None) -> dict[str, Target]:
    """Name every parameter of a model.

    Parameters
    ----------
    gram : Named
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
        sds = [covariance.sd_names[place] for place in covariance.sd_columns]
        for columns in free_columns(covariance):
            out |= {sds[j]: Target("sd", k, j) for j in columns}
            out |= {
                name: Target("corr", k, j, i)
                for (i, j), name in correlations.items()
                if j in columns
            }
        out |= _of_structures(k, covariance, correlations)
    if residual is None:
        return out | {names.SIGMA: Target("sigma")}
    numbers = enumerate(residual.numbers)
    return out | {number.name: Target(number.kind, number=k) for k, number in numbers}


def _of_structures(
    place: int, covariance: BlockCovariance, correlations: dict[tuple[int, int], str]
) -> dict[str, Target]:
    """Name the standard deviations and correlations of sets of columns with few numbers."""
    out: dict[str, Target] = {}
    parameters = columns_of_parameters(covariance)
    ends = [covariance.parameter_values(np.full(covariance.n_partials, end)) for end in (0.0, 1.0)]
    for _, columns in covariance.said:
        leads = [j for j in columns if j in covariance.sd_leads]
        out |= {covariance.sd_names[covariance.sd_columns[j]]: Target("sd", place, j)
                for j in leads}  # fmt: skip
        named = [name for name, own in parameters.items() if own == columns]
        for name in named:
            low, high = (float(end[name]) for end in ends)
            out[name] = Target(
                "corr", place, columns[1], columns[0], variable=name, low=low, high=high
            )
        if not named:  # one for each lag
            out |= {
                correlations[pair]: Target("corr", place, pair[1], pair[0])
                for pair in correlations
                if pair[0] == columns[0] and pair[1] in columns
            }
    return out


def values_of(
    gram: Named,
    targets: Mapping[str, Target],
    beta: Floats,
    roots: Sequence[Floats],
    of_rest: Floats,
) -> dict[str, float]:
    """Evaluate parameters.

    Parameters
    ----------
    gram : Named
        The model.
    targets : mapping of str to Target
        Which.
    beta : ndarray, shape (p,)
        Fixed effects.
    roots : sequence of ndarray, shapes (q, q)
        L_k of G_k.
    of_rest : ndarray
        Sigma, or the numbers of a residual structure.

    Returns
    -------
    dict of str to float
        A correlation beside a standard deviation of zero is NaN.
    """
    scales = [sd_corr_from_factor(L) for L in roots]
    own: dict[str, float] = {}
    for factor, (_, corr) in zip(gram.factors, scales, strict=True):
        found = covariance_of(factor).parameters_of(corr)
        own |= {name: float(value) for name, value in found.items()}
    out = {}
    for name, target in targets.items():
        if target.kind == "beta":
            out[name] = float(beta[target.row])
        elif target.factor < 0:
            out[name] = float(of_rest[target.number])
        elif target.kind == "sd":
            out[name] = float(scales[target.factor][0][target.row])
        elif target.variable:
            out[name] = own[target.variable]
        else:
            out[name] = float(scales[target.factor][1][target.row, target.col])
    return out
