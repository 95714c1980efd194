r"""Studies of a meta-analysis: what each found, and what it is taken for beside the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import linear_predictor
from bayeslmm.errors import ArgumentError
from bayeslmm.reml.result import REMLFit
from bayeslmm.results import read
from bayeslmm.results.diagnostics import interval
from bayeslmm.results.residual import has_errors

if TYPE_CHECKING:
    from bayeslmm.analysis.prediction.fit_rows import Fit
    from bayeslmm.arrays import Floats
    from bayeslmm.design.grouping import GroupingFactor


@dataclass(frozen=True, eq=False)
class Interval:
    """Points and intervals.

    Attributes
    ----------
    centre, low, high : ndarray, shape (k,)
        In the response's unit.
    """

    centre: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class Studies:
    """Estimates of the studies, and of their mean.

    Attributes
    ----------
    factor : str
        The grouping factor whose levels are studies.
    levels : tuple of str, length k
        The studies, in the order in which the rows name them.
    raw : Interval
        The studies' own estimates, with normal intervals of their standard errors.
    shrunken : Interval
        Their effects given all studies.
    mean, new : Interval
        The mean of studies like these, and the effect of a new one among them; one each.
    moderated : bool
        Whether studies are expected to differ by what the fixed part says of them.
    """

    factor: str
    levels: tuple[str, ...]
    raw: Interval
    shrunken: Interval
    mean: Interval
    new: Interval
    moderated: bool


def study_estimates(fit: Fit, ci_prob: float, ci_kind: str, random_seed: int | None) -> Studies:
    r"""Compute the studies' estimates, raw and shrunken.

    .. math:: \hat y_j = \frac{\sum_i y_i / s_i^2}{\sum_i 1 / s_i^2}, \qquad
              se_j^2 = \frac{1}{\sum_i 1 / s_i^2}, \qquad
              \theta_j = \frac{\sum_i (x_i'\beta + b_j) / s_i^2}{\sum_i 1 / s_i^2}

    over the rows i of study j, one of each as a rule, with known standard errors s.

    Parameters
    ----------
    fit : DataTree or REMLFit
        With known standard errors and a random intercept of one grouping factor.
    ci_prob, ci_kind
        Of the intervals; a REML fit has Wald's, given its variances.
    random_seed : int, optional
        Of new studies.

    Raises
    ------
    ArgumentError, TreeError
        If it is no such fit.
    """
    if isinstance(fit, REMLFit):
        return _of_reml(fit, ci_prob)
    read.require_tree(fit)
    se = read.constant(fit, "se") if has_errors(fit) else None
    if se is None:
        raise _no_errors()
    predictor = linear_predictor(fit)
    factor = _only_factor(predictor.design.factors)
    sums = _Rows.of(factor, se)
    eta = predictor.rows(slice(None))
    theta = sums.average(eta)
    fixed = sums.average(predictor.design.X @ predictor.beta)
    if predictor.design.offset is not None:
        fixed += sums.average(predictor.design.offset[:, None])
    mean = fixed.mean(axis=0)
    tau = read.flat_draws(fit, names.sd(factor.name))[:, 0]
    new = mean + tau * np.random.default_rng(random_seed).standard_normal(len(mean))

    def of(draws: Floats) -> Interval:
        return Interval(draws.mean(axis=0), *interval(draws, ci_prob, ci_kind))

    raw = _wald(*sums.own(read.response(fit)), ci_prob)
    moderated = bool(np.ptp(predictor.design.X, axis=0).any())
    shrunken, mean_, new_ = of(theta.T), of(mean[:, None]), of(new[:, None])
    return Studies(factor.name, sums.levels, raw, shrunken, mean_, new_, moderated)


def _of_reml(fit: REMLFit, ci_prob: float) -> Studies:
    r"""Return the studies' effects at the estimated variances.

    With S = Var(e), V = S + tau^2 Z Z' and the projection P of REML, eta given y has mean y - S P y
    and covariance S - S P S under a flat prior of beta.
    """
    rows = None if fit.residual is None else fit.residual.structure.rows
    if fit.residual is None or rows is None or rows.se is None:
        raise _no_errors()
    design = fit.data.coded_rows
    factor = _only_factor(design.factors)
    sums = _Rows.of(factor, rows.se)
    S, X = fit.residual.sd**2, design.X
    tau2 = float(fit.covariance[factor.name].to_numpy()[0, 0])
    V = np.diag(S) + tau2 * factor.shared()
    VX = np.linalg.solve(V, X)
    information = X.T @ VX
    P = np.linalg.inv(V) - VX @ np.linalg.solve(information, VX.T)
    SP = S[:, None] * P
    eta, covariance = design.y - SP @ design.y, np.diag(S) - SP * S
    weights = sums.average(np.eye(len(S)))
    variances = np.einsum("ki,ij,kj->k", weights, covariance, weights)
    across = weights.mean(axis=0) @ X
    mean = across @ fit.conditional.beta
    if design.offset is not None:
        mean += float((weights @ design.offset).mean())
    variance = float(across @ np.linalg.solve(information, across))
    centre = np.array([mean])
    return Studies(
        factor.name, sums.levels, _wald(*sums.own(design.y), ci_prob),
        _wald(weights @ eta, np.sqrt(np.maximum(variances, 0.0)), ci_prob),
        _wald(centre, np.array([np.sqrt(variance)]), ci_prob),
        _wald(centre, np.array([np.sqrt(variance + tau2)]), ci_prob),
        bool(np.ptp(X, axis=0).any()),
    )  # fmt: skip


def _no_errors() -> ArgumentError:
    return ArgumentError(
        "A forest of studies needs their known standard errors: fit with se=, their column. Levels "
        "of other models are drawn by plot_caterpillar and plot_shrinkage."
    )


def _only_factor(factors: tuple[GroupingFactor, ...]) -> GroupingFactor:
    if len(factors) != 1 or tuple(factors[0].terms) != (names.INTERCEPT,):
        found = ", ".join(f"({' + '.join(f.terms)} | {f.name})" for f in factors) or "none"
        raise ArgumentError(
            "A forest is drawn of one grouping factor with an intercept, (1 | study); this fit "
            f"has {found}."
        )
    factors[0].require_one_level("A forest")
    return factors[0]


def _wald(centre: Floats, error: Floats, ci_prob: float) -> Interval:
    half = float(ndtri(0.5 + ci_prob / 2)) * error
    return Interval(centre, centre - half, centre + half)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Which rows are of which study, weighted by 1 / se^2."""

    levels: tuple[str, ...]
    weights: Floats  # (k, n), rows of it add up to one
    precision: Floats  # (k,)

    @classmethod
    def of(cls, factor: GroupingFactor, se: Floats) -> _Rows:
        known, first, place = np.unique(factor.index, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        rank = np.argsort(order)
        weights = np.zeros((len(known), len(se)))
        weights[rank[place], np.arange(len(se))] = se**-2.0
        precision = weights.sum(axis=1)
        levels = tuple(str(factor.levels[k]) for k in known[order].tolist())
        return cls(levels, weights / precision[:, None], precision)

    def average(self, values: Floats) -> Floats:
        return np.asarray(self.weights @ values)

    def own(self, y: Floats) -> tuple[Floats, Floats]:
        return self.average(y), self.precision**-0.5
