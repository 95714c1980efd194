"""`Series`: residuals that forget exponentially, AR(1) and Ornstein-Uhlenbeck, with any gaps.

The correlation of neighbours falls with the gap between them: equal gaps share a slot of
`Neighbours`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bayeslmm import names
from bayeslmm.arrays import distinct
from bayeslmm.model.residual.entry import Entry
from bayeslmm.model.residual.neighbours import Neighbours

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.residual.correlation import Pairs

# Correlations of neighbours with which searches begin.
_STARTS = (0.3, 0.8)
# Gaps that agree in so many digits are one gap: times in tenths are not multiples of 0.1 exactly.
_DIGITS = 10


class Decay(Protocol):
    """How a correlation falls with the gap."""

    @property
    def variable(self) -> str:
        """Name of its parameter."""
        ...

    def entry(self, label: str | None) -> Entry:
        """Return its parameter."""
        ...

    def correlation(self, parameter: Floats, gap: Floats) -> Floats:
        """Compute a of gaps; arguments broadcast."""
        ...

    def at_one(self, parameter: Floats) -> dict[str, Floats]:
        """Name what else is told of it."""
        ...

    def room(self, parameter: Floats, gap: Floats) -> Floats:
        """Compute u = 1 - a^2 without cancellation."""
        ...

    def slope(self, parameter: Floats, gap: Floats) -> Floats:
        """Differentiate a in the parameter."""
        ...

    def at(self, correlation: float, gap: float) -> float:
        """Return the parameter with this correlation at a gap."""
        ...


@dataclass(frozen=True)
class Power:
    """a = rho^gap, with whole gaps.

    Attributes
    ----------
    any_odd : bool
        Whether a gap is odd: otherwise rho and -rho are the same, and rho is positive.
    """

    any_odd: bool = True
    variable: str = names.RHO_RESIDUAL

    def entry(self, label: str | None) -> Entry:
        """Return rho, uniform."""
        lower = -1.0 if self.any_odd else 0.0
        return Entry(self.variable, label, lower, 1.0, default=f"Uniform({lower:g}, 1)")

    def correlation(self, parameter: Floats, gap: Floats) -> Floats:
        """Compute rho^gap."""
        return np.asarray(parameter**gap)

    def at_one(self, parameter: Floats) -> dict[str, Floats]:  # noqa: ARG002 - of the protocol
        """Return nothing: rho is that."""
        return {}

    def room(self, parameter: Floats, gap: Floats) -> Floats:
        """Compute 1 - rho^(2 gap)."""
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(2.0 * gap * np.log(np.abs(parameter))))

    def slope(self, parameter: Floats, gap: Floats) -> Floats:
        """Compute gap rho^(gap - 1)."""
        return np.asarray(gap * parameter ** (gap - 1.0))

    def at(self, correlation: float, gap: float) -> float:
        """Take the root."""
        return float(correlation ** (1.0 / gap))


@dataclass(frozen=True)
class Exponential:
    """a = exp(-gap / range).

    Attributes
    ----------
    gap : float
        The median gap, around which the default prior of the range lies.
    """

    gap: float
    variable: str = names.RANGE_RESIDUAL

    def entry(self, label: str | None) -> Entry:
        """Return the range, log-normal around the median gap."""
        default = f"LogNormal({float(np.log(self.gap))!r}, 1.5)"
        return Entry(self.variable, label, default=default)

    def correlation(self, parameter: Floats, gap: Floats) -> Floats:
        """Compute exp(-gap / range)."""
        return np.asarray(np.exp(-gap / parameter))

    def at_one(self, parameter: Floats) -> dict[str, Floats]:
        """Return the correlation at one unit of time."""
        return {names.RHO_RESIDUAL: np.exp(-1.0 / parameter)}

    def room(self, parameter: Floats, gap: Floats) -> Floats:
        """Compute 1 - exp(-2 gap / range)."""
        return np.asarray(-np.expm1(-2.0 * gap / parameter))

    def slope(self, parameter: Floats, gap: Floats) -> Floats:
        """Compute gap / range^2 exp(-gap / range)."""
        return np.asarray(gap / parameter**2 * np.exp(-gap / parameter))

    def at(self, correlation: float, gap: float) -> float:
        """Take the logarithm."""
        return float(-gap / np.log(correlation))


@dataclass(frozen=True, eq=False)
class Series:
    """C of groups in each of which the correlation of neighbours depends on their gap.

    Attributes
    ----------
    decay : Decay
        How it does.
    by : tuple of str
        Labels of strata that have a parameter each; none where there is one parameter.
    neighbours : Neighbours
        Rows with no other between them; a slot is a gap in a stratum.
    gaps : ndarray, shape (n_slots,)
        The gap of each slot.
    stratum : ndarray of int64, shape (n_slots,)
        Its stratum.
    typical : float
        The median gap.
    error : float
        Of the coefficients c, in units of 1 + |c|; zero unless they are interpolated.
    """

    decay: Decay
    by: tuple[str, ...]
    neighbours: Neighbours
    gaps: Floats
    stratum: Ints
    typical: float
    error: float = 0.0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """One parameter, or one for each stratum."""
        return tuple(self.decay.entry(label) for label in (self.by or (None,)))

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Those of strata, if any."""
        own = (names.RESIDUAL_BY,) if self.by else ()
        told = (self.decay.variable, *self.decay.at_one(np.ones(1)))
        return dict.fromkeys(told, own)

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """The strata's labels."""
        return {names.RESIDUAL_BY: self.by} if self.by else {}

    @property
    def pairs(self) -> Pairs:
        """Return the rows with themselves, and neighbours."""
        return self.neighbours.pairs

    def parts(self) -> Iterator[Pairs]:
        """Return those piece by piece."""
        return self.neighbours.parts()

    def variables(self, phi: Floats) -> dict[str, Floats]:
        """Name the parameters."""
        own = phi if self.by else phi[..., 0]
        return {self.decay.variable: own} | self.decay.at_one(own)

    def phi(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        own = variables[self.decay.variable]
        return own if self.by else own[..., None]

    def starts(self, phi: Floats) -> list[Floats]:
        """Return weak and strong correlation of neighbours."""
        return [np.full(phi.shape, self.decay.at(a, self.typical)) for a in _STARTS]

    def precision(self, phi: Floats) -> tuple[Floats, Floats]:
        """Compute those of neighbours with the gaps' correlations."""
        own = phi[:, self.stratum]
        a, u = self.decay.correlation(own, self.gaps), self.decay.room(own, self.gaps)
        return self.neighbours.precision(a, u)

    def pull_back(self, phi: Floats, d_omega: Floats, d_logdet: float) -> Floats:
        """Differentiate `precision`."""
        own = phi[self.stratum]
        a, u = self.decay.correlation(own, self.gaps), self.decay.room(own, self.gaps)
        d_a = self.neighbours.pull_back(a, u, d_omega, d_logdet)
        slopes = d_a * self.decay.slope(own, self.gaps)
        return np.bincount(self.stratum, slopes, minlength=len(phi))

    def matrix(self, phi: Floats, rows: ResidualRows, some: Ints) -> Floats:
        """Compute a of the gap between any two rows."""
        time = times_of(rows)[some]
        own = phi[:, 0 if rows.by is None else int(rows.by[some[0]]), None, None]
        return self.decay.correlation(own, np.abs(time[:, None] - time))


def times_of(rows: ResidualRows) -> Floats:
    """Return the rows' times as numbers: of labelled visits their places."""
    if rows.time is None:
        raise ValueError("Residuals in series have times.")
    return rows.places[rows.time] if rows.visits else rows.time.astype(np.float64)


def series(rows: ResidualRows, kind: str) -> Series:
    """Return AR(1) or Ornstein-Uhlenbeck residuals of rows with groups and times.

    Parameters
    ----------
    rows : ResidualRows
        The rows, in any order.
    kind : str
        ``"ar1"`` or ``"ou"``.
    """
    time = times_of(rows)
    before, after = Neighbours.of_groups(rows.group, time)
    gap = _rounded(time[after] - time[before])
    by = np.zeros(rows.n, np.int64) if rows.by is None else rows.by
    gaps, which = np.unique(gap, return_inverse=True)
    n_strata = max(len(rows.by_labels), 1)
    slots, slot = distinct(by[after] * len(gaps) + which, n_strata * len(gaps))
    typical = float(np.median(gap)) if len(gap) else 1.0
    any_odd = bool((gap % 2.0 == 1.0).any()) or not len(gap)
    decay: Decay = Power(any_odd) if kind == "ar1" else Exponential(typical)
    neighbours = Neighbours(rows.n, before, after, slot, len(slots))
    stratum, place = np.divmod(slots, max(len(gaps), 1))
    return Series(decay, rows.by_labels, neighbours, gaps[place], stratum, typical)


def _rounded(gap: Floats) -> Floats:
    unit = 10.0 ** (np.floor(np.log10(gap)) - _DIGITS + 1)
    # Dividing by a whole power of ten rounds once, where multiplying by its inverse rounds twice.
    return np.where(unit < 1.0, np.rint(gap / unit) / np.rint(1.0 / unit), gap)
