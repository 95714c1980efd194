r"""The parameters of a residual structure as coordinates of a search.

Where nothing else fixes the scale of R, it is left out, since it is profiled:

.. math:: R(\phi) = s^2 R_0(\phi_0)

with the sigma that most rows share at one in phi_0 (or sigma at the columns' means). What is
positive then has its logarithm for a coordinate, what lies in an interval an inverse hyperbolic
tangent; ranges are in units of their default prior's median. Beside known standard errors nothing
is profiled, and a sigma may be zero: it is the absolute value of its coordinate, so that zero is
an ordinary point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.model.covariance.factors import SINGULAR_TOLERANCE
from bayeslmm.model.priors.prior import Prior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.model.residual.structured import StructuredResiduals

# How far a coordinate may go: ratios of e^16, and correlations within 3e-14 of their bounds.
FARTHEST = 16.0
# How near its bound, in shares of half the interval, a correlation counts as lying on it.
_AT_BOUND = 1e-4


@dataclass(frozen=True, eq=False)
class ResidualCoordinates:
    """Coordinates of a structure's parameters.

    Attributes
    ----------
    structure : StructuredResiduals
        Whose they are.
    unit : float
        What a sigma beside known standard errors is measured in.
    whole : bool
        Whether the scale is kept among the coordinates although it could be left out.
    """

    structure: StructuredResiduals
    unit: float = 1.0
    whole: bool = False

    @cached_property
    def bounds(self) -> Floats:
        """Where each number of phi lies, shape (size, 2)."""
        scale = [(entry.lower, entry.upper) for entry in self.structure.scale.entries]
        rest = [
            pair
            for entry in self.structure.correlation.entries
            for pair in (
                [(-1.0, 1.0)] * len(entry.partials)
                if entry.is_matrix
                else [(entry.lower, entry.upper)]
            )
        ]
        return np.array([*scale, *rest], dtype=np.float64).reshape(-1, 2)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What each number of phi is called; partial correlations by their matrix's name."""
        return tuple(
            name
            for entry in self.structure.entries
            for name in [entry.name] * (len(entry.partials) or 1)
        )

    @property
    def line_labels(self) -> list[str]:
        """What each coordinate is called."""
        positive, between = self._kind
        places = zip(self.free, positive, between, strict=True)
        return [
            ("log " if up else "atanh " if both else "") + self.labels[k] for k, up, both in places
        ]

    @cached_property
    def is_scale(self) -> NDArray[np.bool_]:
        """Which numbers are multiplied by s where R is by s^2."""
        of_scale = np.arange(len(self.bounds)) < self.structure.n_scales
        return np.asarray(of_scale & (self.bounds[:, 0] == 0.0))

    @property
    def profiled(self) -> bool:
        """Whether a scale of R is left out."""
        alone = self.structure.se is None and not self.whole
        return alone and bool(self.is_scale.any())

    @cached_property
    def held(self) -> int:
        """Which number is one, since a scale is left out; -1 where none is."""
        if not self.profiled:
            return -1
        shown = np.flatnonzero(self.is_scale)
        if len(shown) == 1:
            return int(shown[0])
        return int(shown[int(np.argmax(rows_of_strata(self.structure)))])

    @cached_property
    def free(self) -> NDArray[np.intp]:
        """Which numbers are searched for."""
        return np.flatnonzero(np.arange(len(self.bounds)) != self.held)

    @cached_property
    def even(self) -> NDArray[np.bool_]:
        """Of which coordinates the criterion is an even function, shape (number of free,)."""
        beside = self.structure.se is not None
        return np.asarray((self.is_scale & beside)[self.free])

    @cached_property
    def _origin(self) -> Floats:
        """What each free number is measured in where its coordinate is a logarithm."""
        return np.where(self.is_scale, 1.0, self.default)[self.free]

    @cached_property
    def _kind(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        low, high = self.bounds[self.free].T
        positive = (low == 0.0) & np.isinf(high) & ~self.even
        return positive, np.isfinite(low) & np.isfinite(high)

    @cached_property
    def default(self) -> Floats:
        """Return parameters to begin with, shape (size,): every sigma one, correlations middling.

        Correlations are in the middle of where they may lie, ranges at their default prior's
        median.
        """
        entries = [*self.structure.scale.entries, *self.structure.correlation.entries]
        out: list[float] = []
        for k, entry in enumerate(entries):
            if entry.is_matrix:
                out += [0.0] * len(entry.partials)
            elif np.isfinite([entry.lower, entry.upper]).all():
                out.append(0.5 * (entry.lower + entry.upper))
            elif k < self.structure.n_scales or entry.default is None:
                out.append(self.unit if entry.lower == 0.0 else 0.0)
            else:
                out.append(float(Prior.parse(entry.default).quantile(0.5)))
        return np.array(out, dtype=np.float64)

    def of(self, phi: Floats) -> Floats:
        """Return the coordinates of parameters (size,); those that are left out are divided by."""
        relative = phi.copy()
        if self.profiled:
            relative[self.is_scale] /= phi[self.held]
        values, out = relative[self.free], relative[self.free].copy()
        positive, between = self._kind
        low, high = self.bounds[self.free].T
        with np.errstate(all="ignore"):
            out[positive] = np.log((values / self._origin)[positive])
            share = (2.0 * values - low - high) / (high - low)
            out[between] = np.arctanh(share[between])
        out[self.even] /= self.unit
        return np.clip(out, -FARTHEST, FARTHEST)

    def phi(self, x: Floats) -> Floats:
        """Return the parameters at coordinates, shape (size,); what is left out is one."""
        return self._place(self._natural(x)[0])

    def slopes(self, x: Floats) -> Floats:
        """Compute the derivatives of free parameters in their coordinates."""
        return self._natural(x)[1]

    def pull_back(self, x: Floats, d_phi: Floats) -> Floats:
        """Carry a gradient in the parameters to the coordinates."""
        return np.asarray(self.slopes(x) * d_phi[self.free])

    def beyond(self, x: Floats) -> bool:
        """Return whether coordinates are farther out than numbers tell apart."""
        positive, between = self._kind
        return bool((np.abs(x[positive | between]) > FARTHEST).any())

    def scaled(self, phi: Floats, s: float) -> Floats:
        """Return parameters with each sigma s times what it is."""
        return np.where(self.is_scale, s * phi, phi) if self.profiled else phi

    @property
    def endless(self) -> NDArray[np.bool_]:
        """Which coordinates are logarithms of what is no sigma: ranges."""
        return self._kind[0] & ~self.is_scale[self.free]

    def at_bound(self, x: Floats) -> list[int]:
        """Return the places in phi of what lies on its bound: no sigma, a correlation of one."""
        positive, between = self._kind
        of_scale = self.is_scale[self.free]
        far = between & (1.0 - np.abs(np.tanh(x)) < _AT_BOUND)
        far |= positive & of_scale & (x < math.log(SINGULAR_TOLERANCE))
        far |= self.even & (np.abs(x) < SINGULAR_TOLERANCE)
        return [int(k) for k in self.free[far]]

    def _natural(self, x: Floats) -> tuple[Floats, Floats]:
        """Return free parameters, and their derivatives in the coordinates."""
        positive, between = self._kind
        low, high = self.bounds[self.free].T
        values, slopes = x.copy(), np.ones(len(x))
        values[positive] = slopes[positive] = self._origin[positive] * np.exp(x[positive])
        bent = np.tanh(x[between])
        half = 0.5 * (high - low)[between]
        values[between] = low[between] + half * (1.0 + bent)
        slopes[between] = half * (1.0 - bent**2)
        values[self.even] = self.unit * np.abs(x[self.even])
        slopes[self.even] = self.unit * np.sign(x[self.even])
        return values, slopes

    def _place(self, values: Floats) -> Floats:
        out = np.ones(len(self.bounds))
        out[self.free] = values
        return out


def rows_of_strata(structure: StructuredResiduals) -> Floats:
    """Count the rows of each stratum of sigma, shape (number of the scale's parameters,)."""
    strata = np.eye(structure.n_scales)
    return np.asarray(structure.scale.sigma(strata) @ structure.counts)
