r"""The integrated likelihood by a sparse Cholesky factor of all effects, and its gradient.

Everything follows from log|V| and :math:`T = [X\ y]' V^{-1} [X\ y]`: of the log-density with beta
given, or integrated out under a normal prior,

.. math:: \frac{\partial \ell}{\partial F} = \Big\langle \frac{\partial \ell}{\partial T},
          \frac{\partial T}{\partial F} \Big\rangle
          - \frac12 \frac{\partial \log|Q|}{\partial F}, \qquad F = M \Lambda,

whose second term takes entries of :math:`Q^{-1}` that stand where Q has entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayeslmm.gram.border.solution import slopes_of_T
from bayeslmm.gram.border.sparse_factor import (
    half_of_fixed,
    pattern_of,
    solve_effects,
    sparse_effects,
)
from bayeslmm.kernels.reduce import densities_from_reduced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram

# Seconds of a value on one core, from trees and pedigrees: at least; for each entry of the factor,
# each multiplication, and each number of Z'[X y].
_AT_LEAST, _PER_ENTRY, _PER_MULTIPLICATION, _PER_NUMBER = 1e-4, 2e-8, 1e-9, 1e-8


class Slopes(NamedTuple):
    """A log-density's gradient."""

    lams: list[Floats]  # of each Lambda, (q, q), at fixed sigma
    sigma: float  # at fixed Lambda
    beta: Floats  # (p,) on the original scale; zero where it is integrated out


class At(NamedTuple):
    """Parameters of a likelihood."""

    lams: Sequence[Floats]
    sigma: float
    beta: Floats | None  # on the original scale; None where it is integrated out
    mean: Floats  # of beta's normal prior
    precision: Floats


def sparse_seconds(gram: Gram) -> float:
    """Estimate what one value costs on one core, by counting, so that every machine tells alike.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    """
    pattern = sparse_effects(gram).pattern()
    if pattern is None:
        return np.inf
    numbers = len(pattern.order) * (len(gram.coef) + 1)
    return float(
        _AT_LEAST
        + _PER_ENTRY * (len(pattern.below) + len(pattern.rows))
        + _PER_MULTIPLICATION * pattern.operations
        + _PER_NUMBER * numbers
    )


def reduce_sparsely(gram: Gram, lams: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Compute log|V| and T at several relative factors.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    lams : sequence of ndarray, shapes (s, q, q)
        Lambda of each factor.

    Returns
    -------
    logdet : ndarray, shape (s,)
        -inf where Q cannot be factored.
    cross : ndarray, shape (s, p + 1, p + 1)
    """
    effects = sparse_effects(gram)
    pattern, w, count = pattern_of(effects), len(gram.cross), len(lams[0])
    logdet, cross = np.full(count, -np.inf), np.zeros((count, w, w))
    for k in range(count):
        F = [of.scale @ lam[k] for of, lam in zip(gram.factors, lams, strict=True)]
        factor = effects.factorize(pattern, F)
        if factor is None:
            continue
        half = half_of_fixed(effects, factor, F)
        logdet[k] = effects.log_determinant(factor)
        cross[k] = gram.cross - half.T @ half
    return logdet, cross


def density_sparsely(gram: Gram, at: At, *, gradient: bool = True) -> tuple[float, Slopes]:
    """Compute log p(y | Lambda, sigma), or of y given beta too.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    at : At
        The parameters.
    gradient : bool
        Whether to compute it; zero otherwise.

    Returns
    -------
    value : float
        -inf where it cannot be computed.
    slopes : Slopes
    """
    effects, p = sparse_effects(gram), len(gram.coef)
    F = [of.scale @ lam for of, lam in zip(gram.factors, at.lams, strict=True)]
    nothing = Slopes([np.zeros(lam.shape) for lam in at.lams], 0.0, np.zeros(p))
    factor = effects.factorize(pattern_of(effects), F)
    if factor is None or not at.sigma > 0.0:
        return -np.inf, nothing
    T, joint = solve_effects(effects, factor, F, gram.cross)
    logdet = effects.log_determinant(factor)
    value = _value(gram, at, T, logdet)
    if not gradient or not np.isfinite(value):
        return value, nothing
    Tbar, d_sigma, d_beta = _slopes_of_reduced(gram, at, T)
    left = effects.fixed - effects.multiply(effects.turned(F, joint))
    ends = effects.starts[1:-1]
    of_T = slopes_of_T(Tbar, np.split(left, ends), np.split(joint, ends), [len(own) for own in F])
    of_logdet = effects.logdet_slopes(F, factor)
    lams = [
        of.scale.T @ (a - 0.5 * b)
        for of, a, b in zip(gram.factors, of_T, of_logdet, strict=True)
    ]  # fmt: skip
    return value, Slopes(lams, d_sigma, d_beta)


def _value(gram: Gram, at: At, T: Floats, logdet: float) -> float:
    plan = gram.scales_plan
    beta = np.empty((1, 0)) if at.beta is None else at.beta[None]
    found = densities_from_reduced(
        plan.ints, plan.floats, np.array([logdet]), T[None], np.array([at.sigma]),
        np.ascontiguousarray(beta), at.mean, at.precision,
    )  # fmt: skip
    return float(found[0])


def _slopes_of_reduced(gram: Gram, at: At, T: Floats) -> tuple[Floats, float, Floats]:
    """Compute derivatives of the log-density in T, in sigma at fixed T, and in beta."""
    p, square = len(gram.coef), at.sigma**2
    information = np.zeros((p, p))
    if at.beta is None:
        inverse = np.linalg.inv(gram.scale)
        prior = inverse.T @ at.precision @ inverse
        information = np.linalg.inv(T[:p, :p] / square + prior)
        pulled = prior @ (gram.scale @ (at.mean - gram.origin))
        moved = information @ (T[:p, p] / square + pulled)
    else:
        moved = gram.scale @ (at.beta - gram.origin)
    direction = np.append(-moved, 1.0)
    Tbar = np.outer(direction, direction)
    Tbar[:p, :p] += information
    Tbar *= -0.5 / square
    d_sigma = -gram.power / at.sigma - 2.0 * float(np.sum(Tbar * T)) / at.sigma
    d_beta = np.zeros(p)
    if at.beta is not None:
        d_beta = gram.scale.T @ (T @ direction)[:p] / square
    return Tbar, float(d_sigma), d_beta
