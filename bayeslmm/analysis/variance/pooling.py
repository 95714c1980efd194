"""Shrinkage of each level's effects towards the population."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.checks.likelihood import require_independent, require_whole_groups
from bayeslmm.analysis.prediction.linear_predictor import training_design
from bayeslmm.analysis.prediction.new_levels import covariance_roots
from bayeslmm.analysis.variance.moments import level_products as products_of_gram
from bayeslmm.analysis.variance.moments import tree_gram, weighted_parts
from bayeslmm.errors import names_keywords
from bayeslmm.model.residual.drawn import DrawnResiduals
from bayeslmm.results import read
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe
from bayeslmm.results.factor_info import coefficients_of_terms
from bayeslmm.results.family import require_closed_form
from bayeslmm.results.residual import drawn_residuals
from bayeslmm.results.smooths import grouping_factors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.results.factor_info import FactorInfo

CHUNK_BYTES = 32 * 2**20  # of one array of levels by draws by columns squared


@names_keywords
def shrinkage(
    idata: xr.DataTree,
    factor: str | None = None,
    *,
    ci_prob: float = CI_PROB,
    ci_kind: str = CI_KIND,
) -> pd.DataFrame:
    """Describe the shrinkage of each level's effects: 1 is complete pooling, 0 none.

    For level i and term j it is [(G^-1 + Z_i' R_i^-1 Z_i)^-1]_jj / G_jj, with R_i the covariance
    of its rows' residuals, sigma^2 / w for independent ones: the share of the
    variance between levels that is left once the level's own rows are known, given beta and the
    other factors. A random intercept with n_i rows has sigma^2 / (sigma^2 + n_i sd^2). Responses
    are Gaussian, or lognormal with a Gaussian logarithm; given others, a level's effects have no
    closed form.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    factor : str, optional
        One grouping factor; all of them without it.
    ci_prob : float
        Probability of the interval.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density interval.

    Returns
    -------
    DataFrame
        One row per factor, level and term: ``factor``, ``level``, ``term``, ``rows`` (how many the
        level has), then ``mean``, ``sd``, ``median`` and the interval. All between 0 and 1.

    Raises
    ------
    TreeError
        When the factor is unknown, `idata` is no tree of this package, or its response is of
        another family.

    References
    ----------
    Gelman & Pardoe (2006), Technometrics 48:241-251, doi 10.1198/004017005000000517;
    1 minus it is the reliability of Raudenbush & Bryk (2002), Hierarchical Linear Models, Sage.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.shrinkage(idata)[["level", "term", "rows", "mean"]].head(2).round(3)
      level       term  rows   mean
    0     a  Intercept     2  0.480
    1     a          x     2  0.738
    """
    require_closed_form(idata, "shrinkage")
    chosen = grouping_factors(idata) if factor is None else (read.factor(idata, factor),)
    wanted = [info.name for info in chosen]
    tables = []
    for name, counts, parts in _level_draws(idata, wanted):
        info = read.factor(idata, name)
        read.require_levels(info)
        labels = pd.DataFrame(
            {
                "factor": info.name,
                "level": np.repeat(np.array(info.all_levels, dtype=object), len(info.terms)),
                "term": np.tile(np.array(info.terms, dtype=object), len(info.all_levels)),
                "rows": np.repeat(counts, len(info.terms)),
            }
        )
        there = replace(info, levels=info.all_levels).holds.ravel()
        numbers = pd.concat(
            [
                pd.DataFrame(
                    describe(part.reshape(1, len(part), -1), ci_prob, ci_kind, diagnostics=False)
                )
                for part in parts
            ],
            ignore_index=True,
        )
        tables.append(pd.concat([labels, numbers], axis=1)[there])
    if not tables:
        return pd.DataFrame(columns=["factor", "level", "term", "rows", "mean", "sd", "median"])
    return pd.concat(tables, ignore_index=True)


def _level_draws(
    idata: xr.DataTree, wanted: Sequence[str]
) -> Iterator[tuple[str, NDArray[np.int64], Iterator[NDArray[np.float64]]]]:
    """Yield each wanted factor's name, rows per level, and the draws for runs of levels."""
    gram = tree_gram(idata)
    if gram is not None:
        for place, factor in enumerate(gram.factors):
            if factor.name in wanted:
                parts = [(products_of_gram(g, place), c) for g, c in weighted_parts(idata, gram)]
                yield factor.name, factor.counts, _of_products(idata, factor.name, parts)
        return
    design = training_design(idata)
    drawn = drawn_residuals(idata, design)
    for item in design.factors:
        if item.name in wanted:
            item.require_one_level("Shrinkage")
            require_independent([item])
            counts = np.bincount(item.index, minlength=len(item.levels))
            if drawn is None:
                weight = 1.0 / read.flat_draws(idata, names.SIGMA) ** 2
                products = [(level_products(item, design.weights), weight)]
                shares = _of_products(idata, item.name, products)
            else:
                require_whole_groups(drawn, item.index, item.name)
                shares = _of_structure(idata, item, drawn)
            yield item.name, counts, shares


def _of_products(
    idata: xr.DataTree,
    name: str,
    parts: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> Iterator[NDArray[np.float64]]:
    """Yield the draws for runs of levels, of sums of c Z_i' W_i Z_i; shape (s, levels, q)."""
    root = _roots(idata, name)
    size = max(1, CHUNK_BYTES // (8 * root.size))
    for start in range(0, len(parts[0][0]), size):
        some = slice(start, start + size)
        added = [c[:, None, None, None] * own[some] for own, c in parts]
        yield _share_left(root, np.sum(added, axis=0))


def _of_structure(
    idata: xr.DataTree, item: GroupingFactor, drawn: DrawnResiduals
) -> Iterator[NDArray[np.float64]]:
    """Yield the draws for each level, with Z_i' R_i^-1 Z_i of each draw."""
    root = _roots(idata, item.name)
    order = np.argsort(item.index, kind="stable")
    ends = np.cumsum(np.bincount(item.index, minlength=len(item.levels)))
    for rows in np.split(order, ends[:-1]):
        columns = np.broadcast_to(item.columns[rows], (len(root), *item.columns[rows].shape))
        white, _ = drawn.whiten(rows, columns)
        yield _share_left(root, (np.swapaxes(white, 1, 2) @ white)[:, None])


def _roots(idata: xr.DataTree, name: str) -> NDArray[np.float64]:
    """Return L with G = L L', shape (s, q, q)."""
    info = read.factor(idata, name)
    corr = read.correlation_draws(idata, info)
    sd = read.flat_draws(idata, names.sd(name))
    return covariance_roots(corr.reshape(-1, *corr.shape[2:])) * sd[:, :, None]


def _share_left(root: NDArray[np.float64], products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute diag(L (I + L' A L)^-1 L') / diag(L L') for A (s or 1, m, q, q), shape (s, m, q)."""
    scale, q = np.sum(root**2, axis=-1), root.shape[-1]
    # L (I + L' A L)^-1 L' needs no inverse of G: a zero sd is no special case.
    inner = np.swapaxes(root, 1, 2)[:, None] @ products @ root[:, None] + np.eye(q)
    half = np.linalg.solve(inner, np.swapaxes(root, 1, 2)[:, None])
    left = np.einsum("sij,smji->smi", root, half)
    safe = np.where(scale > 0, scale, 1.0)[:, None]
    return np.where(scale[:, None] > 0, left / safe, 1.0)


def level_products(
    item: GroupingFactor, weights: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Compute each level's Z_i' W_i Z_i, shape (m, q, q)."""
    q = item.columns.shape[1]
    m = len(item.levels)
    w = np.ones(len(item.index)) if weights is None else weights
    products = np.empty((m, q, q))
    for i in range(q):
        for j in range(i + 1):
            values = w * item.columns[:, i] * item.columns[:, j]
            products[:, i, j] = np.bincount(item.index, weights=values, minlength=m)
            products[:, j, i] = products[:, i, j]
    return products


@dataclass(frozen=True, eq=False, slots=True)
class PoolingEstimates:
    """Per-level least-squares estimates (no pooling) beside partial and complete pooling.

    Attributes
    ----------
    none : ndarray, shape (m, q)
        Least squares within the level, given the other fixed effects, generalised by R at the
        posterior means of its parameters where residuals have a structure; NaN where its rows
        cannot tell the columns apart.
    partial : ndarray, shape (m, q)
        Posterior means of fixed plus random effects.
    complete : ndarray, shape (q,)
        Posterior means of the fixed effects; zero for columns without one.
    """

    none: NDArray[np.float64]
    partial: NDArray[np.float64]
    complete: NDArray[np.float64]


def pooling_estimates(idata: xr.DataTree, factor: str | None = None) -> PoolingEstimates:
    """Compute a factor's coefficients under no, partial and complete pooling.

    Raises
    ------
    TreeError
        When the response is not Gaussian, not even its logarithm.
    """
    require_closed_form(idata, "A comparison with no pooling, by least squares,")
    info = read.factor(idata, factor)
    design = training_design(idata)
    item = next(one for one in design.factors if one.name == info.name)
    item.require_one_level("Least squares by level")
    beta = dict(
        zip(
            read.coefficients(idata),
            read.flat_draws(idata, names.BETA).mean(axis=0),
            strict=True,
        )
    )
    of_terms = coefficients_of_terms(info, design.coef)
    complete = np.array([beta.get(of_terms[term], 0.0) for term in info.terms])
    effects = read.all_effect_draws(idata, info).mean(axis=(0, 1))
    rest = _rest(idata, design, info, beta)
    whiten = _whitening(idata, design)
    none = np.full((len(info.levels), len(info.terms)), np.nan)
    for level in range(len(info.levels)):
        rows, there = np.flatnonzero(item.index == level), info.holds[level]
        both = whiten(rows, np.column_stack([item.columns[rows][:, there], rest[rows]]))
        columns = both[:, :-1]
        if np.linalg.matrix_rank(columns) == columns.shape[1]:
            none[level, there] = np.linalg.lstsq(columns, both[:, -1], rcond=None)[0]
    return PoolingEstimates(none, complete + effects, complete)


def _whitening(
    idata: xr.DataTree, design: Design
) -> Callable[[NDArray[np.intp], NDArray[np.float64]], NDArray[np.float64]]:
    """Return what makes columns of some rows such that least squares weighs them."""
    drawn = drawn_residuals(idata, design)
    if drawn is not None:
        mean = DrawnResiduals(drawn.fit, drawn.rows, drawn.phi.mean(axis=0)[None])
        return lambda rows, columns: mean.whiten(rows, columns[None])[0][0]
    weights = np.ones(design.n) if design.weights is None else design.weights
    return lambda rows, columns: columns * np.sqrt(weights[rows])[:, None]


def _rest(
    idata: xr.DataTree, design: Design, info: FactorInfo, beta: dict[str, float]
) -> NDArray[np.float64]:
    """Return the response less all that the factor's own columns do not carry."""
    rest = replace(design, y=read.response(idata)).gaussian_response.copy()
    carried = set(coefficients_of_terms(info, design.coef).values())
    for position, coef in enumerate(design.coef):
        if coef not in carried:
            rest -= beta[coef] * design.X[:, position]
    if design.offset is not None:
        rest -= design.offset
    for other in design.factors:
        if other.name != info.name:
            means = read.all_effect_draws(idata, read.factor(idata, other.name)).mean(axis=(0, 1))
            rest -= np.sum(other.columns * other.indexed(means)[other.index], axis=1)
    return rest
