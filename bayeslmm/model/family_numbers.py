r"""What samplers know of a family's parameters: numbers, which kernels turn into those of each row.

A parameter stands there itself, by the coefficients of its predictor, of centered columns, or, the
sigma of residuals with a formula, by what `model.residual.scale` says:

.. math:: \phi_r = h((x_r - \bar x)' \gamma + o_r)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from bayeslmm import names
from bayeslmm.arrays import for_kernels
from bayeslmm.families.parameters import free_parameters, with_parameters
from bayeslmm.kernels.families import by_row
from bayeslmm.kernels.families.by_row import SAME_IN_ALL, PhiRows
from bayeslmm.model.predictors import predictors_of
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.model.residual.scale import LogLinearSigma

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.families.family import FamilyParameter
    from bayeslmm.model.model import Model
    from bayeslmm.model.predictors import Predictor
    from bayeslmm.model.priors.prior import Prior
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.model.residual.structured import StructuredResiduals

_LINKS = {"identity": by_row.IDENTITY, "log": by_row.LOG, "logit": by_row.LOGIT}
# A typical step of a predictor, and of a positive parameter's logarithm.
_UNIT = 0.3


class _Columns(NamedTuple):
    """How a parameter's numbers become those of rows; see `PhiRows`."""

    columns: Floats  # (n, numbers)
    offset: Floats | None
    ends: Sequence[int]  # of each of its labels' numbers
    link: int


class _Part(Protocol):
    """One parameter of a family."""

    @property
    def names(self) -> list[str]:
        """Names of its numbers, as priors have them."""
        ...

    @property
    def spreads(self) -> Floats:
        """Of numbers that are coefficients the spreads of their columns, NaN of others."""
        ...

    def columns(self, n: int) -> _Columns:
        """Return what kernels read."""
        ...

    def variables(self, priors: Priors, numbers: Floats) -> dict[str, Floats]:
        """Name draws, shape (..., numbers), as result trees do."""
        ...

    def value(self, priors: Priors, numbers: Floats) -> Floats:
        """Return the parameter at one point, shape (), (labels,) or (n,)."""
        ...


@dataclass(frozen=True)
class _Same:
    """A parameter that is the same in all rows."""

    parameter: FamilyParameter

    @property
    def names(self) -> list[str]:
        return list(self.parameter.entries)

    @property
    def spreads(self) -> Floats:
        return np.full(len(self.parameter.entries), np.nan)

    def columns(self, n: int) -> _Columns:
        count = len(self.parameter.entries)
        return _Columns(np.ones((n, count)), None, range(1, count + 1), by_row.IDENTITY)

    def variables(self, priors: Priors, numbers: Floats) -> dict[str, Floats]:
        return {self.parameter.name: self.value(priors, numbers)}

    def value(self, priors: Priors, numbers: Floats) -> Floats:  # noqa: ARG002 - of the protocol
        return numbers if self.parameter.labels else numbers[..., 0]


@dataclass(frozen=True)
class _Predicted:
    """A parameter with a predictor."""

    predictor: Predictor

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.predictor.entries]

    @property
    def spreads(self) -> Floats:
        return _spreads(self.predictor.rows.columns - self.predictor.centers)

    def columns(self, n: int) -> _Columns:  # noqa: ARG002 - of the protocol
        one = self.predictor
        columns = one.rows.columns - one.centers
        return _Columns(columns, one.rows.offset, [columns.shape[1]], _LINKS[one.link.name])

    def variables(self, priors: Priors, numbers: Floats) -> dict[str, Floats]:
        variable = self.predictor.variable
        return {variable: priors.raw_predictor(variable, numbers)}

    def value(self, priors: Priors, numbers: Floats) -> Floats:
        variables = self.variables(priors, numbers[None])
        found: Floats = self.predictor.values(variables)[0]
        return found


@dataclass(frozen=True)
class _Residual:
    """The sigma of residuals, by strata or with a formula of its logarithm."""

    structure: StructuredResiduals

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.structure.scale.entries]

    @property
    def spreads(self) -> Floats:
        if isinstance(self.structure.scale, LogLinearSigma):
            return np.array([np.nan, *self.structure.scale.spreads])
        return np.full(len(self.names), np.nan)

    def columns(self, n: int) -> _Columns:
        scale, count = self.structure.scale, len(self.names)
        if isinstance(scale, LogLinearSigma):
            columns = np.column_stack([np.ones(n), scale.columns[self.structure.cell]])
            return _Columns(columns, None, [count], by_row.SCALED)
        # Each row's own of the strata's.
        return _Columns(scale.sigma(np.eye(count)).T[self.structure.cell], None, [count],
                        by_row.IDENTITY)  # fmt: skip

    def variables(self, priors: Priors, numbers: Floats) -> dict[str, Floats]:  # noqa: ARG002
        return self.structure.scale.variables(numbers)

    def value(self, priors: Priors, numbers: Floats) -> Floats:  # noqa: ARG002 - of the protocol
        found: Floats = self.structure.scale.sigma(numbers[None])[0, self.structure.cell]
        return found


def _spreads(columns: Floats) -> Floats:
    spread = np.sqrt(np.mean(columns**2, axis=0))
    return np.where(spread > 0.0, spread, 1.0)


def _parts(design: ModelData) -> Iterator[tuple[FamilyParameter, _Part, slice]]:
    """Yield the family's parameters, what they are, and the places of their numbers."""
    modelled = {one.parameter.name: one for one in predictors_of(design)}
    at = 0
    for parameter in free_parameters(design.family):
        part: _Part = _Same(parameter)
        if parameter.name in modelled:
            part = _Predicted(modelled[parameter.name])
        elif parameter.name == names.SIGMA and design.residual is not None:
            part = _Residual(structured_residuals(design.residual))
        end = at + len(part.names)
        yield parameter, part, slice(at, end)
        at = end


def number_priors(model: Model) -> list[tuple[str, Prior]]:
    """Return the name and prior of each number, in the order of the family's parameters.

    Parameters
    ----------
    model : Model
        What is assumed.
    """
    listed = [name for _, part, _ in _parts(model.design) for name in part.names]
    return [(name, model.priors.parameters[name]) for name in listed]


def number_units(model: Model) -> tuple[Floats, Floats]:
    """Return which numbers are coefficients, and typical steps of all coordinates, shapes (m,)."""
    found = [part.spreads for _, part, _ in _parts(model.design)]
    spreads = np.concatenate([np.zeros(0), *found])
    coefficient = np.isfinite(spreads)
    return coefficient, np.where(coefficient, _UNIT / spreads, _UNIT)


def family_variables(model: Model, numbers: Floats, beta: Floats | None) -> dict[str, Floats]:
    """Return the variables of a result tree that numbers say.

    Parameters
    ----------
    model : Model
        What is assumed.
    numbers : ndarray, shape (..., m)
        Draws.
    beta : ndarray, shape (..., p), or None
        Draws of the fixed effects, on which thresholds depend.

    Returns
    -------
    dict of str to ndarray, shape (...), (..., labels) or (..., coefficients)
    """
    found: dict[str, Floats] = {}
    for _, part, place in _parts(model.design):
        _add(found, part.variables(model.priors, numbers[..., place]))
    return with_parameters(model.family, found, model.priors.level(beta))


def _add(found: dict[str, Floats], more: dict[str, Floats]) -> None:
    """Add variables; sticks, of which each has a prior of its own, become one."""
    for name, values in more.items():
        found[name] = np.concatenate([found[name], values], axis=-1) if name in found else values


def parameters_at(model: Model, numbers: Floats) -> dict[str, Floats]:
    """Return the family's parameters by name at one point, as its verbs take them.

    Parameters
    ----------
    model : Model
        What is assumed.
    numbers : ndarray, shape (m,)
        The point.

    Returns
    -------
    dict of str to ndarray, shape (), (labels,) or (n,)
    """
    found: dict[str, Floats] = {}
    for parameter, part, place in _parts(model.design):
        _add(found, {parameter.name: part.value(model.priors, numbers[place])})
    return with_parameters(model.family, found, 0.0)


def phi_rows(design: ModelData, order: Ints) -> PhiRows:
    """Return how kernels find the parameters of rows in numbers.

    Parameters
    ----------
    design : ModelData
        Rows, without random effects in parameters.
    order : ndarray of int64, shape (n,)
        Which row stands where.

    Returns
    -------
    PhiRows
    """
    if not design.predictors and design.residual is None:
        return SAME_IN_ALL
    n = len(order)
    columns: list[Floats] = []
    offsets: list[Floats] = []
    first, links = [0], []
    for _, part, place in _parts(design):
        own = part.columns(n)
        offset = np.zeros(n) if own.offset is None else own.offset[order]
        columns.append(own.columns[order].T)
        for end in own.ends:
            offsets.append(offset)
            first.append(place.start + end)
            links.append(own.link)
    return PhiRows(
        for_kernels("columns of parameters", np.concatenate(columns), np.float64, (None, n)),
        for_kernels("offsets of parameters", np.stack(offsets), np.float64, (None, n)),
        np.array(first, dtype=np.int64),
        np.array(links, dtype=np.int64),
    )
