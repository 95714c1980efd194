r"""How residuals of a group correlate, beside what their structure says and would let one see.

The residuals are those of draws of the effects, given the data: under a true model they scatter
as N(0, R), which residuals from posterior means or conditional modes do not, whose effects have
followed the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.analysis.prediction.linear_predictor import linear_predictor
from bayeslmm.errors import ArgumentError
from bayeslmm.formula.residual import KINDS
from bayeslmm.model.residual.drawn import DrawnResiduals
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read
from bayeslmm.results.residual import has_structure

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray as xr

    from bayeslmm.analysis.prediction.fit_rows import Fit
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.formula.residual import Correlation

DRAWS = 200
MOST_PAIRS = 200_000  # of rows; then every so many-th group is looked at
MOST_VISITS = 8  # more make too many pairs to be shown one by one
MOST_LAGS = 20
MOST_GAPS = 15
MOST_CELLS = 150  # gaps at which the structure's correlation is computed
MOST_DENSE_ROWS = 3000
# What depends on the lag alone; of the others each pair of visits has its own correlation.
_BY_LAG = frozenset({"toep", "toeph", "ar1h"})


@dataclass(frozen=True, eq=False)
class ResidualCorrelations:
    """Correlations, or semivariances, of the residuals of one stratum.

    Attributes
    ----------
    correlation : Correlation
        The structure as it is written.
    stratum : str or None
        Where each stratum of groups has parameters of its own.
    what : {"pair", "lag", "gap"}
        What `labels` or `x` are: pairs of visits, lags, or gaps in time.
    x : ndarray, shape (m,)
        Lags or gaps; numbers from zero of pairs.
    labels : tuple of str
        Of pairs; none otherwise.
    pairs : ndarray of int64, shape (m,)
        How many pairs of rows there are.
    observed, replicated, model : ndarray, shape (s, m)
        Of the residuals of each draw, of residuals that are drawn from it, and of the structure.
    groups : tuple of int
        How many groups were looked at, and how many there are.
    """

    correlation: Correlation
    stratum: str | None
    what: str
    x: Floats
    labels: tuple[str, ...]
    pairs: Ints
    observed: Floats
    replicated: Floats
    model: Floats
    groups: tuple[int, int]


def residual_correlations(
    fit: Fit, *, max_lag: float | None = None, random_seed: int | None = 0
) -> list[ResidualCorrelations]:
    r"""Compute how standardized residuals z = e / sd(e) of a group correlate.

    .. math:: r = \frac{\sum z_a z_b}{\sqrt{\sum z_a^2 \, \sum z_b^2}}, \qquad
              \gamma = \frac{1}{2 m} \sum (z_a - z_b)^2

    over the m pairs of rows (a, b) of a group at one lag or pair of visits, or of gaps of about
    one length: semivariances gamma, which are 1 - r, where times are real numbers.

    Parameters
    ----------
    fit : DataTree or REMLFit
        With a residual structure.
    max_lag : float, optional
        The longest lag or gap; 20 lags, and any gap, without it.
    random_seed : int, optional
        Of the residuals that are drawn.

    Returns
    -------
    list of ResidualCorrelations
        One for each stratum with parameters of its own.

    Raises
    ------
    ArgumentError
        If residuals are independent, no pair is that near, or a REML fit has too many rows.
    """
    number = isinstance(max_lag, int | float | np.number)
    if max_lag is not None and not (number and max_lag > 0):
        raise ArgumentError(
            f"max_lag is the longest lag that is shown, above 0; it is {max_lag!r}."
        )
    generator = np.random.default_rng(random_seed)
    if isinstance(fit, REMLFit):
        drawn, rest = _of_reml(fit, generator)
    else:
        drawn, rest = _of_posterior(fit)
    found = []
    strata = drawn.rows.by_labels or (None,)
    for place, stratum in enumerate(strata):
        among = np.ones(drawn.rows.n, dtype=bool)
        if stratum is not None and drawn.rows.by is not None:
            among = drawn.rows.by == place
        pairs = _pairs(drawn, np.flatnonzero(among), max_lag)
        if len(pairs.first):
            found.append(_correlations(stratum, pairs, drawn, rest, generator))
    if not found:
        raise ArgumentError(f"No group has two rows within max_lag={max_lag}: give a larger one.")
    return found


def _independent(name: str) -> ArgumentError:
    return ArgumentError(
        f"The residuals of this fit are independent{name}: there is no correlation to show. Fit "
        "with residual=, such as 'ar1(week | subject)'; plot_check shows how they spread."
    )


def _of_posterior(idata: xr.DataTree) -> tuple[DrawnResiduals, Floats]:
    """Return R under some draws, and the residuals of each, shape (n, s)."""
    read.require_tree(idata)
    if not has_structure(idata):
        raise _independent("")
    chains, total = read.sample_shape(idata)
    kept = min(total, max(1, DRAWS // chains))
    predictor = linear_predictor(idata, draws=kept, residual=True)
    drawn, scale = predictor.residual, predictor.family.gaussian_scale
    if drawn is None or not drawn.correlated or scale is None:
        raise _independent(f" ({drawn.fit.name})" if drawn is not None else "")
    y = scale.link(read.response(idata))
    return drawn, y[:, None] - predictor.rows(slice(None))


def _of_reml(fit: REMLFit, generator: np.random.Generator) -> tuple[DrawnResiduals, Floats]:
    r"""Return R at the estimates, and draws of the residuals given the data and these, (n, s).

    With e*, b* from N(0, R), N(0, G) and P the projection that REML has, e* + R P (y - Z b* - e*)
    has the distribution of e given y under a flat prior of beta.
    """
    if fit.residual is None or fit.residual.structure.rows.correlation is None:
        raise _independent("" if fit.residual is None else f" ({fit.residual.name})")
    structure, design = fit.residual.structure, fit.data.coded_rows
    n, X = structure.rows.n, design.X
    if n > MOST_DENSE_ROWS:
        raise ArgumentError(
            f"Residuals of a REML fit are drawn from dense matrices, of at most "
            f"{MOST_DENSE_ROWS:,} rows, and this one has {n:,}: fit by fit_bayes."
        )
    drawn = DrawnResiduals(structure, structure.rows, np.repeat(fit.residual.phi[None], DRAWS, 0))
    alone = DrawnResiduals(structure, structure.rows, fit.residual.phi[None])
    R = alone.covariance(np.arange(n))[0]
    V, e = R.copy(), drawn.draw(np.arange(n), generator)
    simulated = e.copy()
    for factor in design.factors:
        G = fit.covariance[factor.name].to_numpy()
        V += factor.shared() * (factor.columns @ G @ factor.columns.T)
        values, vectors = np.linalg.eigh(G)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        m = len(factor.levels) if factor.latent is None else factor.latent.n_latent
        b = generator.standard_normal((m, DRAWS, len(G))) @ root.T
        if factor.latent is not None:
            b = np.moveaxis(factor.latent.of_rows(np.moveaxis(b, 1, 0)), 0, 1)
        simulated += np.einsum("nq,nsq->ns", factor.columns, b[factor.index])
    y = design.y if design.offset is None else design.y - design.offset
    left = y[:, None] - simulated
    solved = np.linalg.solve(V, np.column_stack([X, left]))
    VX, Vleft = solved[:, : X.shape[1]], solved[:, X.shape[1] :]
    beta = np.linalg.solve(X.T @ VX, VX.T @ left) if X.shape[1] else np.zeros((0, DRAWS))
    return drawn, e + R @ (Vleft - VX @ beta)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of rows of a group: the earlier and the later one, and what they are shown as."""

    what: str
    first: Ints
    second: Ints
    bin: Ints
    x: Floats
    labels: tuple[str, ...]
    cell: Ints  # pairs of one cell have one correlation
    groups: tuple[int, int]


def _pairs(drawn: DrawnResiduals, among: Ints, max_lag: float | None) -> _Pairs:
    rows = drawn.rows
    assert rows.correlation is not None  # noqa: S101 - the callers see to it
    what = _shown_as(rows)
    longest = max_lag if max_lag is not None else MOST_LAGS if what == "lag" else np.inf
    groups = drawn.groups(among)
    time = np.arange(rows.n, dtype=np.float64) if rows.time is None else rows.time
    if rows.visits and what == "lag":
        time = rows.places[time.astype(np.int64)]
    some = _some_groups(groups)
    ends = [one for group in some for one in _within(group, time, longest)]
    empty = np.zeros(0, np.int64)
    first = np.concatenate([empty, *(a for a, _ in ends)])
    second = np.concatenate([empty, *(b for _, b in ends)])
    gap = time[second] - time[first]
    counted = len(some), len(groups)
    if what == "pair":
        return _of_visits(rows, first, second, counted)
    x, place = np.unique(np.round(gap, 9), return_inverse=True)
    cell = place
    if what == "gap" and len(x) > MOST_GAPS:
        cell = place if len(x) <= MOST_CELLS else _by_quantiles(gap, MOST_CELLS)
        place = _by_quantiles(gap, MOST_GAPS)
        x = np.bincount(place, gap) / np.bincount(place)
    if rows.visits and rows.time is not None:
        _, cell = np.unique(_codes(rows, first, second), return_inverse=True)
    return _Pairs(what, first, second, place, x, (), cell, counted)


def _by_quantiles(gap: Floats, count: int) -> Ints:
    """Return the numbers of gaps' bins, each of about as many pairs."""
    edges = np.unique(np.quantile(gap, np.linspace(0.0, 1.0, count + 1)))
    place = np.clip(np.searchsorted(edges, gap, side="right") - 1, 0, max(len(edges) - 2, 0))
    return np.asarray(np.unique(place, return_inverse=True)[1])


def _shown_as(rows: ResidualRows) -> str:
    correlation = rows.correlation
    assert correlation is not None  # noqa: S101
    if KINDS[correlation.kind] == "reals":
        return "gap"
    if rows.time is None:
        return "pair"
    few = len(rows.visits) <= MOST_VISITS
    return "pair" if rows.visits and few and correlation.kind not in _BY_LAG else "lag"


def _some_groups(groups: list[Ints]) -> list[Ints]:
    """Return all groups, or every so many-th, so that the pairs are not too many."""
    total = sum(len(group) * (len(group) - 1) // 2 for group in groups)
    return groups[:: max(1, -(-total // MOST_PAIRS))]


def _within(group: Ints, time: Floats, longest: float) -> Iterator[tuple[Ints, Ints]]:
    for step in range(1, len(group)):
        first, second = group[:-step], group[step:]
        near = time[second] - time[first] <= longest
        if not near.any():
            return
        yield first[near], second[near]


def _codes(rows: ResidualRows, first: Ints, second: Ints) -> Ints:
    assert rows.time is not None  # noqa: S101
    visit = rows.time.astype(np.int64)
    return visit[first] * len(rows.visits) + visit[second]


def _of_visits(rows: ResidualRows, first: Ints, second: Ints, groups: tuple[int, int]) -> _Pairs:
    """Return pairs by the visits that they are of, near ones first."""
    if not rows.visits:
        zeros = np.zeros(len(first), np.int64)
        return _Pairs("pair", first, second, zeros, np.zeros(1), ("any two",), zeros, groups)
    n = len(rows.visits)
    codes, place = np.unique(_codes(rows, first, second), return_inverse=True)
    order = np.argsort(codes % n - codes // n, kind="stable")
    rank = np.empty(len(codes), np.int64)
    rank[order] = np.arange(len(codes))
    labels = tuple(
        f"{rows.visits[code // n]}, {rows.visits[code % n]}" for code in codes[order].tolist()
    )
    x = np.arange(float(len(codes)))
    return _Pairs("pair", first, second, rank[place], x, labels, rank[place], groups)


def _correlations(
    stratum: str | None,
    pairs: _Pairs,
    drawn: DrawnResiduals,
    rest: Floats,
    generator: np.random.Generator,
) -> ResidualCorrelations:
    some = np.unique(np.concatenate([pairs.first, pairs.second]))
    place = np.zeros(drawn.rows.n, np.int64)
    place[some] = np.arange(len(some))
    first, second = place[pairs.first], place[pairs.second]
    sd = drawn.sd(some)
    semi = pairs.what == "gap"
    counts = np.bincount(pairs.bin)
    cells, at, of_cell = np.unique(pairs.cell, return_index=True, return_inverse=True)
    phi = drawn.phi[:, drawn.fit.n_scales :]
    by_cell = np.empty((len(phi), len(cells)))
    for k, pair in enumerate(at):
        two = drawn.rows.take(np.array([pairs.first[pair], pairs.second[pair]]))
        by_cell[:, k] = drawn.fit.correlation.matrix(phi, two, np.arange(2))[:, 0, 1]
    shares = np.zeros((len(cells), len(counts)))
    np.add.at(shares, (of_cell, pairs.bin), 1.0 / counts[pairs.bin])
    model = by_cell @ shares

    def of(z: Floats) -> Floats:
        return np.stack([_statistic(one, first, second, pairs.bin, semi) for one in z.T])

    assert drawn.rows.correlation is not None  # noqa: S101
    return ResidualCorrelations(
        drawn.rows.correlation, stratum, pairs.what, pairs.x, pairs.labels, counts,
        of(rest[some] / sd), of(drawn.draw(some, generator) / sd),
        1.0 - model if semi else model, pairs.groups,
    )  # fmt: skip


def _statistic(z: Floats, first: Ints, second: Ints, place: Ints, semi: bool) -> Floats:
    a, b = z[first], z[second]
    if semi:
        return np.asarray(0.5 * np.bincount(place, (a - b) ** 2) / np.bincount(place))
    scale = np.sqrt(np.bincount(place, a * a) * np.bincount(place, b * b))
    return np.asarray(np.bincount(place, a * b) / scale)
