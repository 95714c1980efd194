r"""Which variances the data can tell apart, judged by the matrices and not by counts.

With :math:`z_{ir}` the rows of level i in column r, the covariance of the response is linear in
the entries of each G and in :math:`\sigma^2`,

.. math:: V = \sum_{k, r \ge c} G_{k, rc} V_{k, rc} + \sigma^2 R, \qquad
          V_{k, rc} = \sum_i (z_{ir} z_{ic}' + z_{ic} z_{ir}') / 2,

so the restricted likelihood tells them apart, whatever their values, if and only if the matrices
:math:`M V_{k, rc} M` and :math:`M R M` are linearly independent, M the projection off X. Their
inner products follow from the design's cross-products.

References
----------
Demidenko, E. (2013). Mixed Models: Theory and Applications with R, 2nd ed., section 3.2. Wiley.
https://doi.org/10.1002/9781118651537
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import block_diag, solve_triangular

from bayeslmm.errors import DataError, IdentificationWarning, warn
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import lower_entries

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.design.design import Design
    from bayeslmm.gram.blocks import GramFactor
    from bayeslmm.gram.gram import Gram

# Combinations of the matrices, each of length one, that are shorter than the root of this vanish:
# rounding leaves 1e-15 of their squares, a column with a mean of 1000 sds beside an intercept
# that it is not correlated with 1e-6.
_VANISHING = 1e-10
# Parts of a combination that are rounding.
_PART = 1e-3

# Of pairs of levels, and of products of all pairs of columns, beyond which a pair is written out.
_FEW_PAIRS, _MANY_PRODUCTS = 1000, 10**6


@dataclass(frozen=True)
class Unidentified:
    """What the data cannot tell apart.

    Attributes
    ----------
    parameters : tuple of str
        Standard deviations, and correlations whose standard deviations are not among them.
    residual : bool
        Whether they cannot be told from the residual variance.
    """

    parameters: tuple[str, ...]
    residual: bool


@dataclass(frozen=True)
class _Columns:
    """A factor's columns in orthogonal coordinates, set by set, with X's part taken apart.

    Attributes
    ----------
    turn : ndarray, shape (q, q)
        C with Z R^-1 = Zs C.
    root : ndarray, shape (q, q)
        R, block by block.
    rows, cols : ndarray of int, shape (n_entries,)
        Place of each variance and covariance.
    within : ndarray, shape (m, q, q)
        Their cross-products, level by level.
    along : ndarray, shape (m, q, p)
        Their cross-products F_i with orthonormal columns that span X.
    """

    turn: Floats
    root: Floats
    rows: Ints
    cols: Ints
    within: Floats
    along: Floats

    @cached_property
    def moved(self) -> Floats:
        """sum_i F_i[r, a] F_i[c, b] at [r, c, a, b], shape (q, q, p, p)."""
        m, q, p = self.along.shape
        flat = self.along.reshape(m, -1)
        found: Floats = (flat.T @ flat).reshape(q, p, q, p).transpose(0, 2, 1, 3)
        return found

    def moved_trace(self) -> Floats:
        """sum_i F_i F_i', shape (q, q)."""
        return np.asarray(np.einsum("iqa,ira->qr", self.along, self.along, optimize=True))


def require_residual_variance(gram: Gram) -> None:
    """Raise where the restricted likelihood cannot tell variances from sigma; warn of others.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Raises
    ------
    DataError
        Naming them.

    Warns
    -----
    IdentificationWarning
        Where the data say nothing about a parameter, and sigma is not concerned.
    """
    found = unidentified(gram)
    if found is None:
        return
    listed = ", ".join(found.parameters)
    if found.residual:
        raise DataError(
            f"The data cannot tell {listed} from the residuals' variance: more of one and less of "
            "the other fit as well. Group by something that repeats, let fewer columns vary, or "
            "fit with priors (fit_bayes)."
        )
    warn(
        f"The data say nothing about {listed}: other values fit as well, and those shown are "
        "where the search began or passed. Leave out one of the random-effects terms involved, or "
        "fit with priors (fit_bayes).",
        IdentificationWarning,
    )


def warn_of_single_trials(design: Design) -> None:
    r"""Warn where every level of a factor has one trial of a binary response.

    Such a response is Bernoulli whatever the levels' spread: only
    :math:`\int g^{-1}(\eta + b) N(b; 0, G) db` can be told, which fixed effects give as well but
    for a slightly other link, and the prior decides on G.

    Parameters
    ----------
    design : Design
        The data.

    Warns
    -----
    IdentificationWarning
        Naming the factor.
    """
    if not design.family.response.binary:
        return
    for factor in design.factors:
        if factor.counts.max() == 1:
            warn(
                f"Each level of {factor.name!r} has one row of a yes-or-no response, which holds "
                f"next to nothing on how much the levels differ: sd_{factor.name} is nearly what "
                f"its prior says. Leave (... | {factor.name}) out, or count trials: "
                "family='binomial'.",
                IdentificationWarning,
            )


def warn_of_priors_alone(gram: Gram) -> None:
    """Warn where only the priors tell parameters of a Bayesian model apart.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Warns
    -----
    IdentificationWarning
        Naming them.
    """
    found = unidentified(gram)
    if found is not None:
        apart = " from the residuals' variance" if found.residual else ""
        warn(
            f"The data cannot tell {', '.join(found.parameters)}{apart}{' apart' * (not apart)}: "
            "what their posterior says beyond a sum is the priors'. See prior_sensitivity.",
            IdentificationWarning,
        )


def unidentified(gram: Gram) -> Unidentified | None:
    """Return the variances and correlations that a restricted likelihood leaves open, if any.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Returns
    -------
    Unidentified or None

    Examples
    --------
    >>> import bayeslmm as bl
    >>> from bayeslmm.gram.gram import Gram
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "g": ["a", "b", "c", "d"]}
    >>> unidentified(Gram.from_design(bl.build_design("y ~ 1 + (1 | g)", table)))
    Unidentified(parameters=("the standard deviation of 'Intercept' by 'g'",), residual=True)
    """
    if not gram.factors:
        return None
    try:
        with np.errstate(all="ignore"):
            p = len(gram.coef)
            unit = np.linalg.inv(np.linalg.cholesky(gram.cross[:p, :p])).T
            columns = [_orthogonal(factor, unit) for factor in gram.factors]
            products, sizes = _inner_products(gram, columns)
            if any(factor.structures for factor in gram.factors):
                return _of_structures(gram, columns, products, sizes)
            length = np.sqrt(np.where(sizes > 0.0, sizes, 1.0))
            values, vectors = np.linalg.eigh(products / length / length[:, None])
    except np.linalg.LinAlgError:  # numbers that no criterion can be computed from either
        return None
    null = (vectors / length[:, None])[:, values <= _VANISHING * max(1.0, values[-1])]
    if null.shape[1] == 0:
        return None
    found: list[str] = []
    at = 0
    for factor, own in zip(gram.factors, columns, strict=True):
        found += _named(factor, own, null[at : at + len(own.rows)])
        at += len(own.rows)
    residual = bool(np.any(np.abs(null[-1] * length[-1]) > _PART))
    return Unidentified(tuple(found), residual) if found else None


def _of_structures(
    gram: Gram, columns: list[_Columns], products: Floats, sizes: Floats
) -> Unidentified | None:
    """Return the parameters of structures that are left open, at a point like any other.

    V is not linear in them: what counts are its derivatives, which are combinations of V_rc.
    """
    tangents = [*map(_tangents, gram.factors, columns), np.eye(1)]
    turn = block_diag(*tangents)
    length = np.sqrt(np.maximum(((turn.T * sizes) @ turn).diagonal(), np.finfo(np.float64).tiny))
    inner = turn.T @ products @ turn / length / length[:, None]
    values, vectors = np.linalg.eigh(inner)
    null = vectors[:, values <= _VANISHING * max(1.0, values[-1])]
    if null.shape[1] == 0:
        return None
    names = [name for factor in gram.factors for name in _own_names(factor)]
    concerned = np.abs(null).max(axis=1) > _PART
    found = dict.fromkeys(name for name, part in zip(names, concerned[:-1], strict=True) if part)
    return Unidentified(tuple(found), bool(concerned[-1])) if found else None


def _tangents(factor: GramFactor, own: _Columns) -> Floats:
    """Compute derivatives of G's entries in its parameters, shape (n_entries, parameters)."""
    covariance = covariance_of(factor)
    rng = np.random.default_rng(0)
    sizes = 1.0 / np.sqrt(np.sum(factor.scale**2, axis=0))
    sd = covariance.shared_sds(sizes) * rng.uniform(0.5, 1.5, covariance.n_sds)
    partials = rng.uniform(0.2, 0.6, covariance.n_partials)
    L, slopes = covariance.factor(sd, partials), []
    for r, c in zip(own.rows, own.cols, strict=True):
        # The entry (r, c) of R G R' = (R L)(R L)', by its gradient in L.
        d_root = np.zeros(L.shape)
        root = own.root @ L
        d_root[r] += root[c]
        d_root[c] += root[r]
        d_sd, d_partials = covariance.pull_back(sd, partials, own.root.T @ d_root)
        double = 1.0 if r == c else 2.0  # V_rc stands for both triangles
        slopes.append(double * np.concatenate([d_sd * sd, d_partials]))
    return np.array(slopes)


def _own_names(factor: GramFactor) -> list[str]:
    covariance = covariance_of(factor)
    heads = [name.partition("[")[2].removesuffix("]") for name in covariance.sd_names]
    own = {at: f"the correlation {name}" for name, at in covariance.parameter_names}
    return [
        *(f"the standard deviation of {head!r} by {factor.name!r}" for head in heads),
        *(own.get(k, f"a correlation by {factor.name!r}") for k in range(covariance.n_partials)),
    ]


def _orthogonal(factor: GramFactor, unit: Floats) -> _Columns:
    """Turn a factor's columns; Xs @ unit are orthonormal."""
    q, p = len(factor.terms), len(unit)
    turn, root = np.eye(q), factor.scale
    rows, cols = lower_entries(q)
    within, along = factor.within, factor.with_fixed[:, :, :p] @ unit
    sets = covariance_of(factor).independent
    if len(sets) > 1:
        turn, root = np.zeros((q, q)), np.zeros((q, q))
        places = []
        for columns in sets:
            at = np.array(columns)
            R = np.linalg.qr(factor.scale[:, at], mode="r")
            turn[:, at] = solve_triangular(R, factor.scale[:, at].T, trans=1).T
            root[np.ix_(at, at)] = R
            places.append(at[np.array(lower_entries(len(at)))])
        rows, cols = np.concatenate(places, axis=1)
        within, along = turn.T @ within @ turn, turn.T @ along
    return _Columns(turn, root, rows, cols, within, along)


def _inner_products(gram: Gram, columns: list[_Columns]) -> tuple[Floats, Floats]:
    """Compute tr(M V_a M V_b), residual variance last, and tr(V_a V_a)."""
    starts = np.cumsum([0, *(len(own.rows) for own in columns)])
    products = np.zeros((starts[-1] + 1,) * 2)
    sizes = np.empty(starts[-1] + 1)
    products[-1, -1], sizes[-1] = gram.n - len(gram.coef), gram.n
    for k, own in enumerate(columns):
        at = slice(starts[k], starts[k + 1])
        mine, theirs, shared = gram.own_blocks(k)
        shared = own.turn.T @ shared @ own.turn
        if _are_few(own, own):
            products[at, at] = _of_few(own, own, mine, theirs, shared)
            sizes[at] = _picked(shared, own, own).diagonal()
        else:
            unmixed = _sum_products(shared, shared)
            sizes[at] = _at(unmixed, own, own).diagonal()
            fitted = own.along[mine] @ np.swapaxes(own.along[theirs], 1, 2)
            products[at, at] = _at(_off_fixed(own, own, shared, fitted, unmixed), own, own)
        left = np.sum(own.within, axis=0) - own.moved_trace()
        products[at, -1] = products[-1, at] = left[own.rows, own.cols]
        for m, other in enumerate(columns[:k]):
            to = slice(starts[m], starts[m + 1])
            mine, theirs, shared = gram.pair_of(k, m).seen_from(k)
            shared = own.turn.T @ shared @ other.turn
            if _are_few(own, other):
                products[at, to] = _of_few(own, other, mine, theirs, shared)
                products[to, at] = products[at, to].T
                continue
            fitted = own.along[mine] @ np.swapaxes(other.along[theirs], 1, 2)
            off = _off_fixed(own, other, shared, fitted, _sum_products(shared, shared))
            products[at, to] = _at(off, own, other)
            products[to, at] = products[at, to].T
    return products, sizes


def _are_few(own: _Columns, other: _Columns) -> bool:
    """Return whether few pairs of levels have many columns, as those of smooths by a category."""
    pairs = len(own.within) * len(other.within)
    columns = own.within.shape[1] * other.within.shape[1]
    return pairs <= _FEW_PAIRS and columns**2 > _MANY_PRODUCTS


def _of_few(
    own: _Columns, other: _Columns, mine: Ints, theirs: Ints, shared: Floats
) -> Floats:
    """Compute tr(M V_a M V_b) where pairs of levels are few: each one's D is written out."""
    D = -np.einsum("iqa,jra->ijqr", own.along, other.along, optimize=True)
    np.add.at(D, (mine, theirs), shared)
    return _picked(D.reshape(-1, *D.shape[2:]), own, other)


def _picked(blocks: Floats, own: _Columns, other: _Columns) -> Floats:
    """Sum (B[r, s] B[c, t] + B[r, t] B[c, s]) / 2 over blocks B, for each two entries."""
    r, c, s, t = own.rows[:, None], own.cols[:, None], other.rows, other.cols
    total = np.zeros((len(own.rows), len(other.rows)))
    for B in blocks:
        total += (B[r, s] * B[c, t] + B[r, t] * B[c, s]) / 2.0
    return total


def _off_fixed(
    own: _Columns, other: _Columns, shared: Floats, fitted: Floats, unmixed: Floats
) -> Floats:
    """Compute sum_ij D_ij[r, s] D_ij[c, t], D = Z_i' M Z_j, at [r, s, c, t].

    D = C - F_i F_j', where C, `shared`, is zero but for pairs of levels that share rows, of which
    `fitted` are F_i F_j'.
    """
    q, width = len(own.moved), len(other.moved)
    mixed = _sum_products(shared, fitted)
    everywhere = own.moved.reshape(q * q, -1) @ other.moved.reshape(width * width, -1).T
    total: Floats = unmixed - mixed - mixed.transpose(2, 3, 0, 1)
    return total + everywhere.reshape(q, q, width, width).transpose(0, 2, 1, 3)


def _sum_products(a: Floats, b: Floats) -> Floats:
    """Compute sum_i a_i[r, s] b_i[c, t] at [r, s, c, t]."""
    q, width = a.shape[1:]
    flat = a.reshape(len(a), -1).T @ b.reshape(len(b), -1)
    return flat.reshape(q, width, q, width)


def _at(products: Floats, own: _Columns, other: _Columns) -> Floats:
    """Pick tr(V_rc V_st) = (rs, ct) / 2 + (rt, cs) / 2 for each two entries."""
    r, c, s, t = own.rows[:, None], own.cols[:, None], other.rows, other.cols
    picked: Floats = (products[r, s, c, t] + products[r, t, c, s]) / 2.0
    return picked


def _named(factor: GramFactor, own: _Columns, null: Floats) -> list[str]:
    """Name what changes along directions, given as entries of G in orthogonal coordinates."""
    q = len(factor.terms)
    inverse = np.linalg.inv(own.root)
    length = np.sqrt(np.sum(factor.scale**2, axis=0))
    change = np.zeros((q, q))
    for direction in null.T:
        G = np.zeros((q, q))
        for r, c, value in zip(own.rows, own.cols, direction, strict=True):
            G[r, c] += value / 2.0
            G[c, r] += value / 2.0
        change = np.maximum(change, np.abs(inverse @ G @ inverse.T))
    change *= length[:, None] * length * len(own.within)
    free = np.diag(change) > _PART
    named = [
        f"the standard deviation of {factor.terms[j]!r} by {factor.name!r}"
        for j in np.flatnonzero(free)
    ]
    named += [
        f"the correlation of {factor.terms[c]!r} and {factor.terms[r]!r} by {factor.name!r}"
        for r, c in zip(own.rows, own.cols, strict=True)
        if r != c and change[r, c] > _PART and not (free[r] or free[c])
    ]
    return named
