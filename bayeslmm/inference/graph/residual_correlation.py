"""Correlated residuals in a graph: their joint density given each row's scale, and draws.

Structures that forget what lies before the last row stand in conditional form, by a gather of the
previous row; exchangeable ones by sums over groups; all others by a Cholesky factor for each
pattern of observed times. Nothing is scanned, and nothing is multiplied as matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.residual_rows import ResidualRows

_LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class Joint:
    """The joint distribution of standardised residuals e, y = eta + sd e.

    Attributes
    ----------
    parameter : tensor
        What their distribution depends on.
    signature : str
        Its dimensions, in NumPy's notation.
    density : callable
        (e, parameter) -> log p(e).
    drawn : callable
        (standard normal numbers, shape (..., n), parameter) -> e.
    """

    parameter: Any
    signature: str
    density: Callable[[Any, Any], Any]
    drawn: Callable[[Floats, Floats], Floats]

    def log_density(self, y: Any, eta: Any, sd: Any, parameter: Any) -> Any:
        """Write log p(y | eta, sd, parameter)."""
        return self.density((y - eta) / sd, parameter) - pt.log(sd).sum()

    def draw(
        self, eta: Floats, sd: Floats, parameter: Floats, rng: Any = None, size: Any = None
    ) -> Floats:
        """Draw y."""
        z = rng.standard_normal((*(size or ()), *eta.shape))
        return eta + sd * self.drawn(z, parameter)


class Logarithmic(Joint):
    """The same of log(y)."""

    def log_density(self, y: Any, eta: Any, sd: Any, parameter: Any) -> Any:
        """Write log p(y | eta, sd, parameter): that of log(y), less log(y)."""
        log_y = pt.log(y)
        return super().log_density(log_y, eta, sd, parameter) - log_y.sum()

    def draw(
        self, eta: Floats, sd: Floats, parameter: Floats, rng: Any = None, size: Any = None
    ) -> Floats:
        """Draw y."""
        return np.exp(super().draw(eta, sd, parameter, rng, size))


def joint_of(rows: ResidualRows, named: Mapping[str, Any]) -> Joint:
    """Return the joint distribution of rows' residuals.

    Parameters
    ----------
    rows : ResidualRows
        With a correlation.
    named : mapping of str to tensor
        The parameters, by their names in a result tree.
    """
    if rows.correlation is None:
        raise ValueError("These residuals are independent.")
    return JOINTS[rows.correlation.kind](rows, named)


def _by_arm(rows: ResidualRows, parameter: Any) -> tuple[Any, Ints]:
    """Return parameters with arms in front, shape (A, ...), and each row's arm."""
    if rows.by is None:
        return pt.as_tensor_variable(parameter)[None], np.zeros(rows.n, np.int64)
    return parameter, rows.by


def _times(rows: ResidualRows) -> Floats:
    if rows.time is None:
        raise ValueError("These rows have no times.")
    return np.asarray(rows.time, dtype=np.float64)


def _ar1(rows: ResidualRows, named: Mapping[str, Any]) -> Joint:
    return _markov(rows, _times(rows), named[names.RHO_RESIDUAL], lambda rho, gap: rho**gap)


def _ar1h(rows: ResidualRows, named: Mapping[str, Any]) -> Joint:
    time = rows.places[_times(rows).astype(np.int64)]
    return _markov(rows, time, named[names.RHO_RESIDUAL], lambda rho, gap: rho**gap)


def _ou(rows: ResidualRows, named: Mapping[str, Any]) -> Joint:
    reach = named[names.RANGE_RESIDUAL]
    return _markov(rows, _times(rows), reach, lambda reach, gap: pt.exp(-gap / reach))


def _markov(
    rows: ResidualRows, time: Floats, parameter: Any, decay: Callable[[Any, Any], Any]
) -> Joint:
    """Return residuals whose correlation with the previous row depends on the gap."""
    before, rank = _previous(rows)
    gap = np.where(rank > 0, time - time[before], 1.0)
    own, arm = _by_arm(rows, parameter)
    return _chain(before, rank, decay(own[arm], pm.Data("residual_gap_data", gap)))


def _chain(before: Ints, rank: Ints, correlation: Any) -> Joint:
    r"""Return e_i | e_(i-1) ~ N(a_i e_(i-1), 1 - a_i^2), with a = 0 for a group's first row."""
    has_previous = pm.Data("residual_has_previous_data", (rank > 0).astype(np.float64))
    previous = pm.Data("residual_previous_data", before)

    def density(e: Any, a: Any) -> Any:
        left = 1.0 - a**2
        return -0.5 * ((e - a * e[previous]) ** 2 / left + pt.log(left) + _LOG_2PI).sum()

    def drawn(z: Floats, a: Floats) -> Floats:
        e = z.copy()
        for k in range(1, int(rank.max()) + 1):
            i = np.flatnonzero(rank == k)
            e[..., i] = a[i] * e[..., before[i]] + np.sqrt(1.0 - a[i] ** 2) * z[..., i]
        return e

    return Joint(has_previous * correlation, "(n)", density, drawn)


def _previous(rows: ResidualRows) -> tuple[Ints, Ints]:
    """Return each row's previous one in its group, itself if there is none, and its place."""
    order = np.lexsort((_times(rows), rows.group))
    starts = np.unique(rows.group[order], return_index=True)[1]
    lengths = np.diff(np.append(starts, rows.n))
    rank = np.empty(rows.n, np.int64)
    rank[order] = np.arange(rows.n) - np.repeat(starts, lengths)
    before = np.arange(rows.n)
    after = np.flatnonzero(rank[order] > 0)
    before[order[after]] = order[after - 1]
    return before, rank


def _exchangeable(rows: ResidualRows, named: Mapping[str, Any]) -> Joint:
    r"""Return residuals with one correlation in a group, of k rows with the sum S.

    .. math:: e' C^{-1} e = \frac{\sum_i e_i^2 - \rho S^2 / (1 + (k - 1) \rho)}{1 - \rho}, \quad
              |C| = (1 - \rho)^{k - 1} (1 + (k - 1) \rho)
    """
    labels, first, group, size = np.unique(
        rows.group, return_index=True, return_inverse=True, return_counts=True
    )
    own, arm = _by_arm(rows, named[names.RHO_RESIDUAL])
    where = pm.Data("residual_group_data", group)
    k = pm.Data("residual_size_data", size.astype(np.float64))

    def density(e: Any, rho: Any) -> Any:
        whole = 1.0 + (k - 1.0) * rho
        squares, sums = (pt.zeros(len(labels))[where].inc(v) for v in (e**2, e))
        square = (squares - rho / whole * sums**2) / (1.0 - rho)
        total = square + (k - 1.0) * pt.log(1.0 - rho) + pt.log(whole) + k * _LOG_2PI
        return -0.5 * total.sum()

    def drawn(z: Floats, rho: Floats) -> Floats:
        member = group == np.arange(len(labels))[:, None]
        mean = (z @ member.T / size)[..., group]
        whole = np.sqrt(1.0 + (size - 1.0) * rho)
        return np.asarray(np.sqrt(1.0 - rho)[group] * (z - mean) + whole[group] * mean)

    return Joint(own[arm[first]], "(m)", density, drawn)


def _antedependence(rows: ResidualRows, named: Mapping[str, Any]) -> Joint:
    """Return residuals whose correlation with the previous row is the product of steps between."""
    before, rank = _previous(rows)
    visit = _times(rows).astype(np.int64)
    step = np.arange(len(rows.visits) - 1)
    between = (step >= visit[before][:, None]) & (step < visit[:, None])
    own, arm = _by_arm(rows, named[names.RHO_RESIDUAL])
    return _chain(before, rank, pt.prod(pt.switch(between, own[arm], 1.0), axis=1))


def _toeplitz(rows: ResidualRows, named: Mapping[str, Any]) -> Joint:
    partials, arm = _by_arm(rows, named[names.PACF_RESIDUAL])
    position = _times(rows).astype(np.int64)
    of_arms = [
        autocorrelations(partials[k], len(rows.visits) - 1, len(rows.visits) - 1)
        for k in range(max(len(rows.by_labels), 1))
    ]
    return _by_pattern(rows, _by_lag(of_arms, np.arange(float(len(rows.visits)))), position, arm)


def _arma(rows: ResidualRows, named: Mapping[str, Any]) -> Joint:
    if rows.correlation is None:
        raise ValueError("These residuals are independent.")
    p, q = rows.correlation.options["p"], rows.correlation.options["q"]
    n_arms = max(len(rows.by_labels), 1)
    times, position = np.unique(_times(rows), return_inverse=True)
    lags = round(float(times[-1] - times[0]))
    arm = _by_arm(rows, 0.0)[1]
    parts = [pt.zeros((n_arms, 0)), pt.zeros((n_arms, 0))]
    for k, (name, order) in enumerate(((names.PACF_RESIDUAL, p), (names.PACF_MA_RESIDUAL, q))):
        if order:
            parts[k], _ = _by_arm(rows, named[name])
    of_arms = []
    for k in range(n_arms):
        r = autocorrelations(parts[0][k], p, lags + q)
        theta = [1.0, *(-x for x in _coefficients(-parts[1][k], q))]
        whole = [
            sum(a * b * r[abs(h + i - j)] for i, a in enumerate(theta) for j, b in enumerate(theta))
            for h in range(lags + 1)
        ]
        of_arms.append([x / whole[0] for x in whole])
    return _by_pattern(rows, _by_lag(of_arms, times), position, arm)


def _coefficients(partials: Any, order: int) -> list[Any]:
    """Return autoregressive coefficients of partial autocorrelations (Durbin and Levinson)."""
    a: list[Any] = []
    for k in range(order):
        a = [*(x - partials[k] * y for x, y in zip(a, reversed(a), strict=True)), partials[k]]
    return a


def autocorrelations(partials: Any, order: int, lags: int) -> list[Any]:
    """Return the autocorrelations from lag zero: each from the lags before it, by regression."""
    r: list[Any] = [pt.ones(())]
    left: Any = pt.ones(())
    for h in range(1, lags + 1):
        past = _coefficients(partials, min(h - 1, order))
        r.append(sum((a * r[h - 1 - j] for j, a in enumerate(past)), pt.zeros(())))
        if h <= order:
            r[h] = r[h] + partials[h - 1] * left
            left = left * (1.0 - partials[h - 1] ** 2)
    return r


def _by_lag(of_arms: list[list[Any]], times: Floats) -> Any:
    """Return correlation matrices of times, shape (A, T, T), from autocorrelations of arms."""
    lag = np.abs(times[:, None] - times).round().astype(np.int64)
    return pt.stack([pt.stack(r)[lag] for r in of_arms])


def _unstructured(rows: ResidualRows, named: Mapping[str, Any]) -> Joint:
    matrices, arm = _by_arm(rows, named[names.CORR_RESIDUAL])
    return _by_pattern(rows, matrices, _times(rows).astype(np.int64), arm)


def _by_pattern(rows: ResidualRows, matrices: Any, position: Ints, arm: Ints) -> Joint:
    """Return residuals with the correlations of their positions, matrices of shape (A, T, T)."""
    blocks = list(_patterns(rows, position, arm))

    def density(e: Any, matrices: Any) -> Any:
        total = -0.5 * rows.n * _LOG_2PI
        for (k, at), some in blocks:
            if len(at) == 1:
                total -= 0.5 * (e[some] ** 2).sum()
                continue
            root = pt.linalg.cholesky(matrices[k][np.ix_(at, at)])
            solved = pt.linalg.solve_triangular(root, e[some].T, lower=True)
            total -= 0.5 * (solved**2).sum() + len(some) * pt.log(pt.diagonal(root)).sum()
        return total

    def drawn(z: Floats, matrices: Floats) -> Floats:
        e = z.copy()
        for (k, at), some in blocks:
            e[..., some] = z[..., some] @ np.linalg.cholesky(matrices[k][np.ix_(at, at)]).T
        return e

    return Joint(matrices, "(a,t,t)", density, drawn)


def _patterns(
    rows: ResidualRows, position: Ints, arm: Ints
) -> Iterator[tuple[tuple[int, list[int]], Ints]]:
    """Yield arm and positions of each pattern, and rows of its groups, shape (groups, k)."""
    found: dict[tuple[int, ...], list[Ints]] = {}
    order = np.lexsort((position, rows.group))
    for some in np.split(order, np.flatnonzero(np.diff(rows.group[order])) + 1):
        found.setdefault((int(arm[some[0]]), *position[some].tolist()), []).append(some)
    for (k, *at), groups in found.items():
        yield (k, at), np.stack(groups)


JOINTS: Mapping[str, Callable[[ResidualRows, Mapping[str, Any]], Joint]] = {
    "ar1": _ar1,
    "ar1h": _ar1h,
    "ou": _ou,
    "cs": _exchangeable,
    "csh": _exchangeable,
    "us": _unstructured,
    "ad": _antedependence,
    "adh": _antedependence,
    "toep": _toeplitz,
    "toeph": _toeplitz,
    "arma": _arma,
}
