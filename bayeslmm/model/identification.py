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

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import block_diag

from bayeslmm.errors import DataError, IdentificationWarning, warn
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.variance_products import inner_products, orthogonal

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.gram.blocks import GramFactor
    from bayeslmm.gram.gram import Gram
    from bayeslmm.model.variance_products import Columns

# Combinations of the matrices, each of length one, that are shorter than the root of this vanish:
# rounding leaves 1e-15 of their squares, a column with a mean of 1000 sds beside an intercept
# that it is not correlated with 1e-6.
_VANISHING = 1e-10
# Parts of a combination that are rounding.
_PART = 1e-3


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
    gram = _without_nodes(gram)
    if not gram.factors:
        return None
    try:
        with np.errstate(all="ignore"):
            p = len(gram.coef)
            unit = np.linalg.inv(np.linalg.cholesky(gram.cross[:p, :p])).T
            columns = [orthogonal(factor, unit) for factor in gram.factors]
            products, sizes = inner_products(gram, columns)
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


def _without_nodes(gram: Gram) -> Gram:
    """Leave out factors of many related levels: no sum of others has their covariance.

    Unless nearly none of them are related, which are not taken as nodes.
    """
    if not gram.by_nodes:
        return gram
    kept = [k for k, factor in enumerate(gram.factors) if factor.nodes is None]
    place = {k: at for at, k in enumerate(kept)}
    pairs = tuple(
        replace(pair, first=place[pair.first], second=place[pair.second])
        for pair in gram.pairs
        if pair.first in place and pair.second in place
    )
    return replace(gram, factors=tuple(gram.factors[k] for k in kept), pairs=pairs)


def _of_structures(
    gram: Gram, columns: list[Columns], products: Floats, sizes: Floats
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


def _tangents(factor: GramFactor, own: Columns) -> Floats:
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


def _named(factor: GramFactor, own: Columns, null: Floats) -> list[str]:
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
