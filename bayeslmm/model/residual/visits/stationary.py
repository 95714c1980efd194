"""Shapes whose correlations depend on the lag alone: Toeplitz, and ARMA on few positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.model.covariance.autocorrelation import (
    arma_autocorrelations,
    autocorrelations,
    derivatives,
)
from bayeslmm.model.residual.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats

# A correlation that neighbours often have.
_USUAL = 0.5


@dataclass(frozen=True, eq=False)
class Toeplitz:
    """Any correlations by lag that a stationary process can have, of visits in their order.

    Attributes
    ----------
    visits : tuple of str
        Labels of the visits.
    """

    visits: tuple[str, ...]
    stationary: bool = True

    @property
    def _lags(self) -> tuple[str, ...]:
        return tuple(map(str, range(1, len(self.visits))))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Partial autocorrelations, uniform."""
        return tuple(_partial(names.PACF_RESIDUAL, lag) for lag in self._lags)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """That of lags."""
        return {names.PACF_RESIDUAL: (names.RESIDUAL_LAG,)}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """The lags, in visits."""
        return {names.RESIDUAL_LAG: self._lags}

    @property
    def times(self) -> Floats:
        """Numbers of the visits."""
        return np.arange(float(len(self.visits)))

    def variables(self, theta: Floats) -> dict[str, Floats]:
        """Name the partial autocorrelations."""
        return {names.PACF_RESIDUAL: theta}

    def theta(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        return variables[names.PACF_RESIDUAL]

    def starts(self, theta: Floats) -> list[Floats]:
        """Return what is given, and an autoregressive process of order one."""
        return [theta, _USUAL * (np.arange(len(theta)) == 0)]

    def correlations(self, theta: Any, times: Floats) -> Any:
        """Look up the lags."""
        return autocorrelations(theta, len(self.visits) - 1)[..., _lag(times)]

    def pull_back(self, theta: Floats, d_matrix: Floats) -> Floats:
        """Differentiate by lag."""
        slopes = derivatives(lambda x: self.correlations(x, self.times), theta)
        return np.asarray((slopes * d_matrix).sum(axis=(1, 2)))


@dataclass(frozen=True, eq=False)
class Arma:
    """An autoregressive moving-average process seen at few whole times.

    Attributes
    ----------
    times : ndarray, shape (T,)
        Times that occur.
    p, q : int
        Orders, together at least one.
    """

    times: Floats
    p: int
    q: int
    stationary: bool = True

    @property
    def _parts(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Variable -> dimension and labels."""
        parts = {
            names.PACF_RESIDUAL: (names.RESIDUAL_LAG, self.p),
            names.PACF_MA_RESIDUAL: (names.RESIDUAL_LAG_MA, self.q),
        }
        return {
            name: (dim, tuple(map(str, range(1, order + 1))))
            for name, (dim, order) in parts.items()
            if order
        }

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Partial autocorrelations of both parts, uniform."""
        parts = self._parts.items()
        return tuple(_partial(name, lag) for name, (_, lags) in parts for lag in lags)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """Those of lags."""
        return {name: (dim,) for name, (dim, _) in self._parts.items()}

    @property
    def coords(self) -> dict[str, tuple[str, ...]]:
        """The lags."""
        return dict(self._parts.values())

    def variables(self, theta: Floats) -> dict[str, Floats]:
        """Name the partial autocorrelations of each part."""
        named = {
            names.PACF_RESIDUAL: theta[..., : self.p],
            names.PACF_MA_RESIDUAL: theta[..., self.p :],
        }
        return {name: values for name, values in named.items() if values.shape[-1]}

    def theta(self, variables: Mapping[str, Floats]) -> Floats:
        """Undo `variables`."""
        return np.concatenate([variables[name] for name in self._parts], axis=-1)

    def starts(self, theta: Floats) -> list[Floats]:
        """Return what is given, and either part alone, with both signs."""
        first = [k for k, order in ((0, self.p), (self.p, self.q)) if order]
        alone = [
            sign * _USUAL * (np.arange(len(theta)) == k) for k in first for sign in (1.0, -1.0)
        ]
        return [theta, *alone]

    def correlations(self, theta: Any, times: Floats) -> Any:
        """Look up the lags."""
        lag = _lag(times)
        parts = theta[..., : self.p], theta[..., self.p :]
        return arma_autocorrelations(*parts, int(lag.max()))[..., lag]

    def pull_back(self, theta: Floats, d_matrix: Floats) -> Floats:
        """Differentiate by lag."""
        slopes = derivatives(lambda x: self.correlations(x, self.times), theta)
        return np.asarray((slopes * d_matrix).sum(axis=(1, 2)))


def _partial(name: str, lag: str) -> Entry:
    return Entry(name, lag, -1.0, 1.0, "Uniform(-1, 1)")


def _lag(times: Floats) -> Any:
    return np.abs(times[:, None] - times).astype(np.int64)
