"""Moments of effects given the relative factors; of latent levels what results tell of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.kernels.elimination.draws import condition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bayeslmm.arrays import Floats, Ints
    from bayeslmm.gram.gram import Gram


@dataclass(frozen=True, eq=False)
class Conditional:
    """Moments of the effects given y, Lambda and sigma.

    Attributes
    ----------
    beta : ndarray, shape (p,)
        Conditional mean of the fixed effects.
    beta_cov : ndarray, shape (p, p)
        Their conditional covariance.
    modes : tuple of ndarray, shapes (m, q)
        Conditional modes of each factor's random effects.
    cov : tuple of ndarray, shapes (m, q, q)
        Var(b_i | y, beta): lme4's `condVar`.
    marginal_cov : tuple of ndarray, shapes (m, q, q)
        Var(b_i | y): the same with the uncertainty of beta.
    """

    beta: Floats
    beta_cov: Floats
    modes: tuple[Floats, ...]
    cov: tuple[Floats, ...]
    marginal_cov: tuple[Floats, ...]


class Solved(NamedTuple):
    """What a factorization of Q gives of [Xs r] and of the effects."""

    T: Floats  # (p + 1, p + 1): [Xs r]' V^-1 [Xs r]
    joint: Sequence[Floats]  # (m q, p + 1) of each factor: Q^-1 Lambda' Z'[Xs r]
    own_blocks: Sequence[Floats]  # (m, q, q) of each factor: each level's own block of Q^-1


def conditional_from(
    gram: Gram,
    lams: Sequence[Floats],
    sigma: float,
    solved: Solved,
    prior: tuple[Floats | None, Floats | None] = (None, None),
) -> Conditional:
    """Compute `likelihood.conditional` from what a factorization gives, or what stands in for one.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    lams : sequence of ndarray, shapes (q, q)
        Relative factors Lambda.
    sigma : float
        Residual standard deviation.
    solved : Solved
        What those give.
    prior : tuple of ndarray, optional
        Precision and mean of beta's normal prior.

    Returns
    -------
    Conditional
    """
    p, (prior_precision, prior_mean) = len(gram.coef), prior
    T, joint, own_blocks = solved
    inverse = np.linalg.inv(gram.scale)
    precision = T[:p, :p] / sigma**2
    right = T[:p, p] / sigma**2
    if prior_precision is not None:
        turned = inverse.T @ prior_precision @ inverse
        precision = precision + turned
        mean = np.zeros(p) if prior_mean is None else prior_mean
        right = right + turned @ (gram.scale @ (mean - gram.origin))
    covariance = np.linalg.inv(precision)
    beta = covariance @ right
    modes, cov, marginal_cov = [], [], []
    for k, lam in enumerate(lams):
        m, q = gram.factors[k].within.shape[:2]
        U = lam @ joint[k].reshape(m, q, p + 1)
        own = lam @ own_blocks[k] @ lam.T
        if gram.factors[k].latent is not None and gram.factors[k].nodes is None:
            packed = np.concatenate([each.ravel() for each in lams])
            U, own = told_moments(gram, packed, k, U, own)
        modes.append(U[:, :, p] - U[:, :, :p] @ beta)
        cov.append(sigma**2 * own)
        marginal_cov.append(cov[-1] + U[:, :, :p] @ covariance @ U[:, :, :p].transpose(0, 2, 1))
    return Conditional(
        beta=gram.origin + inverse @ beta,
        beta_cov=inverse @ covariance @ inverse.T,
        modes=tuple(modes),
        cov=tuple(cov),
        marginal_cov=tuple(marginal_cov),
    )


def by_factor(gram: Gram, blocks: Floats) -> list[Floats]:
    """Return each factor's own blocks of Q^-1, shapes (m, q, q), from those in the plan's order.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    blocks : ndarray
        From `draws.condition`.
    """
    found: list[list[tuple[int, Floats]]] = [[] for _ in gram.factors]
    at, first = 0, np.cumsum([0, *_sizes(gram)])
    for part, k in enumerate(gram.plan.order):
        m, q = gram.plan.part_levels[part], gram.factors[k].within.shape[1]
        own = blocks[at : at + m * q * q].reshape(m, q, q)
        found[k].append((int(first[part]), own))
        at += m * q * q
    # The levels of a factor's parts follow each other as its runs of columns do.
    out = []
    for k, parts in enumerate(found):
        starts = [run[0] for run in gram.plan.runs[k]]
        out.append(np.concatenate([own for _, own in sorted(parts, key=_by_run(starts))]))
    return out


def _sizes(gram: Gram) -> list[int]:
    """Return the numbers of columns, in the plan's order."""
    plan = gram.plan
    widths = (gram.factors[k].within.shape[1] for k in plan.order)
    return [m * q for m, q in zip(plan.part_levels, widths, strict=True)]


def _by_run(starts: list[int]) -> Callable[[tuple[int, Floats]], int]:
    return lambda part: starts.index(part[0])


def told_moments(
    gram: Gram, packed: Floats, place: int, modes: Floats, covariances: Floats
) -> tuple[Floats, Floats]:
    """Return modes and covariances of the effects that results tell, from those of latent ones.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (n_lambda,)
        Relative factors, from `likelihood.pack_factors`.
    place : int
        The factor's place; it has latent levels.
    modes : ndarray, shape (M, q, p + 1)
        Lambda U, level by level.
    covariances : ndarray, shape (M, q, q)
        Lambda [Q^-1]_ii Lambda'.

    Returns
    -------
    modes, covariances : ndarray
        Of as many levels as are told.
    """
    latent = gram.factors[place].latent
    if latent is None or latent.tells_latent:
        return modes, covariances
    told = np.moveaxis(latent.told(np.moveaxis(modes, 2, 0)), 0, 2)
    at = sum(len(factor.terms) ** 2 for factor in gram.factors[:place])
    q = len(gram.factors[place].terms)
    lam = packed[at : at + q * q].reshape(q, q)
    return told, _told_covariance(gram, packed, lam, place)


# Columns of an inverse that are computed at a time: 2,000 levels take 32 MB for each 2,000.
_COLUMNS = 2000


def _told_covariance(gram: Gram, packed: Floats, lam: Floats, place: int) -> Floats:
    r"""Compute each told level's block of Cov(T v | y, beta) / sigma^2, where v are latent.

    .. math:: (T \otimes I)\, \Lambda Q^{-1} \Lambda' (T \otimes I)'

    whose blocks between latent levels count: they come as solutions for unit columns in the place
    of fixed effects.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (n_lambda,)
        Relative factors of all grouping factors, from `likelihood.pack_factors`.
    lam : ndarray, shape (q, q)
        That of this one.
    place : int
        The factor's place; it has latent levels.

    Returns
    -------
    ndarray, shape (m, q, q)
    """
    factor = gram.factors[place]
    M, q = factor.within.shape[:2]
    latent, at = factor.latent, gram.plan.places(place)
    assert latent is not None  # noqa: S101 - the caller has looked
    # Lambda' M' E are the right-hand sides of unit columns E in place of Zs'[Xs r].
    unit = np.linalg.inv(factor.scale).T
    whole = np.empty((M, q, M, q))
    for first in range(0, M, max(_COLUMNS // q, 1)):
        levels = np.arange(first, min(first + max(_COLUMNS // q, 1), M))
        plan = _with_columns(gram, place, levels, unit).plan
        _, _, _, joint, _ = condition(plan.ints, plan.floats, packed)
        own = joint[at, :-1].reshape(M, q, len(levels), q)
        whole[:, :, levels] = np.einsum("ab,ibjc->iajc", lam, own)
    # Both sides, level by level of what is told: its own row of T twice.
    half = latent.of_rows(np.moveaxis(whole, (2, 3, 0, 1), (0, 1, 2, 3)))
    rows = latent.matrix
    out = np.empty((half.shape[2], q, q))
    for level in range(len(out)):
        row = rows[[level]] if isinstance(rows, np.ndarray) else rows[[level]].toarray()
        out[level] = np.einsum("j,jba->ab", row[0], half[:, :, level])
    return out


def _with_columns(gram: Gram, place: int, levels: Ints, unit: Floats) -> Gram:
    """Return a Gram whose fixed columns are unit ones of a factor's levels, nothing else."""
    q = len(unit)
    width = len(levels) * q
    factors = []
    for k, factor in enumerate(gram.factors):
        fixed = np.zeros((*factor.within.shape[:2], width + 1))
        if k == place:
            columns = np.arange(width).reshape(-1, q)
            fixed[levels[:, None], :, columns] = unit.T
        factors.append(replace(factor, with_fixed=fixed))
    return replace(
        gram,
        coef=tuple(map(str, range(width))),
        factors=tuple(factors),
        scale=np.eye(width),
        slope=np.zeros(width),
        cross=np.eye(width + 1),
    )
