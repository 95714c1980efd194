"""Marginal log-densities of groups from cross-products: leave-one-group-out without rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.analysis.prediction.new_levels import covariance_roots
from bayeslmm.analysis.variance.moments import weighted_parts
from bayeslmm.errors import TreeError
from bayeslmm.families.gaussian import LOG_2PI
from bayeslmm.results import read

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.blocks import GramFactor
    from bayeslmm.gram.gram import Gram


def group_densities(
    idata: xr.DataTree, gram: Gram, factor: str | None
) -> tuple[Floats, tuple[str, ...]]:
    r"""Compute the marginal log-density of each level's rows, nested effects integrated out too.

    .. math:: \log N(y_i \mid X_i \beta, \; Z_i G Z_i' + R_i)

    With e = y - X beta, it takes e_i'e_i, Z_i'e_i and Z_i'Z_i only, of all rows or of the rows of
    each stratum of the residuals' scale.

    Parameters
    ----------
    idata : DataTree
        Draws.
    gram : Gram
        What they were fitted to.
    factor : str or None
        The factor; may be left out where there is one.

    Returns
    -------
    values : ndarray, shape (s, m)
    integrated : tuple of str
        The factor, then those nested in it.

    Raises
    ------
    TreeError
        If other factors are crossed with it, or the Gram does not hold what it takes.
    """
    target = _target(idata, gram, factor)
    chosen = gram.factors[target]
    others = [k for k in range(len(gram.factors)) if k != target]
    crossed = [gram.factors[k].name for k in others if not gram.is_nested(k, target)]
    if crossed:
        raise TreeError(
            f"Leaving out levels of {chosen.name!r} while {crossed[0]!r} is crossed with it, or "
            "above it, takes the rows, and this model was fitted to cross-products."
        )
    parts, direction = weighted_parts(idata, gram), _direction(idata, gram)
    if any(part.factors[target].fixed is None for part, _ in parts):
        raise _no_sums(chosen)
    inside = [target, *others]
    roots = {
        k: gram.factors[k].scale
        @ covariance_roots(read.covariance_draws(idata, read.factor(idata, gram.factors[k].name)))
        for k in inside
    }
    members = {k: _members(gram, target, k) for k in others}
    values = np.empty((len(direction), len(chosen.levels)))
    for level in range(len(chosen.levels)):
        nodes = [(target, level), *((k, int(j)) for k in others for j in members[k][level])]
        values[:, level] = _density(parts, nodes, roots, direction)
    return values, (chosen.name, *(gram.factors[k].name for k in others))


def _no_sums(chosen: GramFactor) -> TreeError:
    return TreeError(
        f"These cross-products do not hold the fixed effects' own sums for each level of "
        f"{chosen.name!r}: its {len(chosen.levels):,} levels would have taken more than 16 MB."
    )


def _direction(idata: xr.DataTree, gram: Gram) -> Floats:
    """Return v (s, p + 1) with y - X beta = [Xs r] v."""
    chains, draws = read.sample_shape(idata)
    direction = np.ones((chains * draws, len(gram.coef) + 1))
    if gram.coef:
        beta = read.flat_draws(idata, names.BETA)
        direction[:, :-1] = (gram.origin - beta) @ gram.scale.T
    return direction


def _density(
    parts: list[tuple[Gram, Floats]],
    nodes: list[tuple[int, int]],
    roots: dict[int, Floats],
    direction: Floats,
) -> Floats:
    """Compute one level's marginal log-density by the matrix determinant lemma, shape (s,)."""
    target, level = nodes[0]
    widths = [roots[k].shape[-1] for k, _ in nodes]
    ends = np.cumsum([0, *widths])
    inner = np.tile(np.eye(ends[-1]), (len(direction), 1, 1))
    right, constant = np.zeros((len(direction), ends[-1])), np.zeros(len(direction))
    for gram, c in parts:
        factor = gram.factors[target]
        assert factor.fixed is not None  # noqa: S101 - checked before
        n = int(factor.counts[level])
        log_weights = 0.0 if factor.log_weights is None else float(factor.log_weights[level])
        square = np.einsum("si,ij,sj->s", direction, factor.fixed[level], direction)
        constant += c * square - n * np.log(c) - log_weights + n * LOG_2PI
        for a, (k, i) in enumerate(nodes):
            mine = slice(ends[a], ends[a + 1])
            sums = direction @ gram.factors[k].with_fixed[i].T
            right[:, mine] += c[:, None] * np.einsum("spq,sp->sq", roots[k], sums)
            for b, (m, j) in enumerate(nodes[: a + 1]):
                block = _block(gram, (k, i), (m, j))
                if block is None:
                    continue
                theirs = slice(ends[b], ends[b + 1])
                product = np.einsum("spq,pt,str->sqr", roots[k], block, roots[m])
                product *= c[:, None, None]
                inner[:, mine, theirs] += product
                if a != b:
                    inner[:, theirs, mine] += np.swapaxes(product, 1, 2)
    chol = np.linalg.cholesky(inner)
    half = np.linalg.solve(chol, right[..., None])[..., 0]
    log_det = 2 * np.log(np.diagonal(chol, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(-0.5 * (constant + log_det - np.sum(half**2, axis=1)))


def _block(gram: Gram, one: tuple[int, int], other: tuple[int, int]) -> Floats | None:
    """Return the cross-products of two levels' columns; None where they share no row."""
    (k, i), (m, j) = one, other
    if k == m:
        return gram.factors[k].within[i] if i == j else None
    pair = gram.pair_of(k, m)
    rows, cols = (i, j) if pair.first == k else (j, i)
    first = int(np.searchsorted(pair.rows, rows))
    last = int(np.searchsorted(pair.rows, rows, side="right"))
    place = first + int(np.searchsorted(pair.cols[first:last], cols))
    if place >= last or pair.cols[place] != cols:
        return None
    found: Floats = pair.values[place]
    return found if pair.first == k else found.T


def _members(gram: Gram, target: int, inner: int) -> list[NDArray[np.int64]]:
    """Return the levels of `inner` that occur in each level of `target`."""
    ours, theirs, _ = gram.pair_of(target, inner).seen_from(target)
    return np.split(theirs, np.searchsorted(ours, np.arange(1, len(gram.factors[target].levels))))


def _target(idata: xr.DataTree, gram: Gram, factor: str | None) -> int:
    name = read.factor(idata, factor).name
    return next(k for k, one in enumerate(gram.factors) if one.name == name)
