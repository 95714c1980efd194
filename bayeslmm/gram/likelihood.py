"""The integrated likelihood of a `Gram`: density, gradient, conditional moments, exact draws.

Model: y = X beta + sum_k Z_k b_k + e, with b_ki ~ N(0, sigma^2 Lambda_k Lambda_k') for each level i
of factor k and e ~ N(0, sigma^2 / w).
With V = I + Z Lambda Lambda' Z' (rows scaled by sqrt(w)) and Q = I + Lambda' Z'Z Lambda, everything
follows from T = [X y]' V^-1 [X y] and log|V| = log|Q|, whose cost does not depend on the rows.

These are the functions for Python callers. Compiled callers (a PyTensor `Op`) pass
``gram.plan.ints``, ``gram.plan.floats`` and packed factors to `densities.evaluate` and
`draws.draw_joint` themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.arrays import for_kernels
from bayeslmm.errors import NumericalError
from bayeslmm.gram.border.sparse.criteria import criterion_sparsely
from bayeslmm.gram.border.sparse.density import At, density_sparsely
from bayeslmm.gram.border.sparse.draws import draw_sparsely
from bayeslmm.gram.border.sparse_factor import conditional_sparsely
from bayeslmm.gram.told import Conditional, Solved, by_factor, conditional_from
from bayeslmm.kernels.densities import DENSITY, ML, REML, evaluate
from bayeslmm.kernels.elimination.draws import condition, draw_joint
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram


def pack_factors(gram: Gram, factors: Sequence[ArrayLike]) -> Floats:
    """Return relative factors as compiled code takes them.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    factors : sequence of array_like, shapes (q, q)
        Lambda of each grouping factor, in the Gram's order.

    Returns
    -------
    ndarray, shape (n_lambda,)
        Their entries, row-major, one factor after the other.

    Raises
    ------
    ValueError
        If there are not as many factors, or a shape differs.
    """
    shapes = [2 * (len(f.terms),) for f in gram.factors]
    arrays = [np.asarray(lam, dtype=float) for lam in factors]
    if [a.shape for a in arrays] != shapes:
        names = ", ".join(f"{f.name}: {s}" for f, s in zip(gram.factors, shapes, strict=True))
        msg = f"Relative factors have shapes {[a.shape for a in arrays]}; expected {names}."
        raise ValueError(msg)
    return np.concatenate([a.ravel() for a in arrays]) if arrays else np.zeros(0)


def unpack_factors(gram: Gram, packed: Floats) -> list[Floats]:
    """Return one q-by-q matrix per grouping factor of a packed array (factors, or a gradient).

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (..., n_lambda)
        As `pack_factors` makes it.

    Returns
    -------
    list of ndarray, shapes (..., q, q)
        In the Gram's order.
    """
    widths = [len(f.terms) for f in gram.factors]
    ends = np.cumsum([0, *(q * q for q in widths)])
    return [
        packed[..., a : a + q * q].reshape(*packed.shape[:-1], q, q)
        for a, q in zip(ends, widths, strict=False)
    ]


def flat_prior(gram: Gram) -> tuple[Floats, Floats]:
    """Return a mean and a precision that say nothing about beta: both zero.

    Parameters
    ----------
    gram : Gram
        The cross-products.

    Returns
    -------
    mean : ndarray, shape (p,)
    precision : ndarray, shape (p, p)
    """
    p = len(gram.coef)
    return np.zeros(p), np.zeros((p, p))


def beta_prior(gram: Gram, mean: Floats | None, precision: Floats | None) -> tuple[Floats, Floats]:
    """Return mean and precision as compiled code reads them; zero where they are not given."""
    flat, p = flat_prior(gram), len(gram.coef)
    return (
        for_kernels("prior_mean", flat[0] if mean is None else mean, np.float64, (p,)),
        for_kernels(
            "prior_precision", flat[1] if precision is None else precision, np.float64, (p, p)
        ),
    )


def log_density(
    gram: Gram,
    factors: Sequence[ArrayLike],
    sigma: float,
    prior_mean: Floats | None = None,
    prior_precision: Floats | None = None,
    *,
    gradient: bool = True,
) -> tuple[float, list[Floats], float]:
    """Compute log p(y | Lambda, sigma) with random and fixed effects integrated out.

    -1/2 {n log(2 pi sigma^2) - sum log w + log|V| + log|S| + log|X'V^-1 X / sigma^2 + S^-1|
    + min over beta of [(y - X beta)'V^-1(y - X beta) / sigma^2 + (beta - m)'S^-1(beta - m)]}

    Parameters
    ----------
    gram : Gram
        The cross-products.
    factors : sequence of array_like, shapes (q, q)
        Relative factors Lambda.
    sigma : float
        Residual standard deviation, in the response's unit.
    prior_mean, prior_precision : ndarray, shapes (p,) and (p, p), optional
        m and S^-1 of beta's normal prior. Without them the prior is flat, and this is the
        restricted log-likelihood.
    gradient : bool
        Whether to compute it; zero otherwise.

    Returns
    -------
    value : float
        The log-density.
    d_factors : list of ndarray, shapes (q, q)
        Gradient with respect to each Lambda's lower triangle, at fixed sigma.
    d_sigma : float
        Derivative with respect to sigma, at fixed Lambda.
    """
    mean, precision = beta_prior(gram, prior_mean, prior_precision)
    packed = pack_factors(gram, factors)
    if gram.by_nodes:
        at = At(unpack_factors(gram, packed), float(sigma), None, mean, precision)
        value, slopes = density_sparsely(gram, at, gradient=gradient)
        return value, [np.tril(g) for g in slopes.lams], slopes.sigma
    plan = gram.plan
    value, slope, d_sigma = evaluate(
        plan.ints, plan.floats, packed, float(sigma), mean, precision, DENSITY, gradient
    )
    return value, [np.tril(g) for g in unpack_factors(gram, slope)], d_sigma


def profiled_criterion(
    gram: Gram, packed: Floats, *, restricted: bool, gradient: bool = True
) -> tuple[float, Floats, float]:
    """Compute -2 log (restricted) likelihood with beta and sigma at their best for Lambda.

    (n - p)(1 + log(2 pi r / (n - p))) + log|V| + log|X'V^-1 X| - sum log w, r the generalised
    residual sum of squares; without `restricted`, n for n - p and no log|X'V^-1 X|.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (n_lambda,)
        Relative factors, from `pack_factors`.
    restricted : bool
        REML rather than ML.
    gradient : bool
        Whether to compute it.

    Returns
    -------
    criterion : float
        +inf where it cannot be computed.
    d_packed : ndarray, shape (n_lambda,)
        With respect to all q * q entries of each Lambda.
    sigma : float
        sqrt(r / (n - p)), or sqrt(r / n).
    """
    return criterion(gram, packed, REML if restricted else ML, gradient=gradient)


def criterion(
    gram: Gram, packed: Floats, kind: int, sigma: float = 1.0, *, gradient: bool = True
) -> tuple[float, Floats, float]:
    """Compute one of the criteria of `densities.evaluate`, which know no prior of beta.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (n_lambda,)
        Relative factors, from `pack_factors`.
    kind : int
        `REML`, `ML` or `ML_AT_SIGMA`.
    sigma : float
        Where it is held.
    gradient : bool
        Whether to compute it.

    Returns
    -------
    value, d_packed, extra : float, ndarray, float
        As `densities.evaluate` gives them.
    """
    if gram.by_nodes:
        held = sigma, np.zeros(len(gram.coef))
        lams = unpack_factors(gram, packed)
        return criterion_sparsely(gram, lams, kind, held, gradient=gradient)
    packed = for_kernels("packed", packed, np.float64, (gram.plan.n_lambda,))
    result: tuple[float, Floats, float] = evaluate(
        gram.plan.ints, gram.plan.floats, packed, sigma, *flat_prior(gram), kind, gradient
    )
    return result


def conditional(
    gram: Gram,
    factors: Sequence[ArrayLike],
    sigma: float,
    prior_precision: Floats | None = None,
    prior_mean: Floats | None = None,
) -> Conditional:
    """Compute means and covariances of all effects given y, Lambda and sigma.

    Cov(beta | y) = (X'V^-1 X / sigma^2 + S^-1)^-1, E[b | y, beta] = Lambda U (-beta, 1) with
    U = Lambda'Z'V^-1[X y], Var(b_i | y, beta) = sigma^2 Lambda [Q^-1]_ii Lambda'.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    factors : sequence of array_like, shapes (q, q)
        Relative factors Lambda.
    sigma : float
        Residual standard deviation.
    prior_precision, prior_mean : ndarray, optional
        Of beta's normal prior; flat without them.

    Returns
    -------
    Conditional
        The moments.

    Raises
    ------
    NumericalError
        If the matrices cannot be factored.
    """
    lams = [np.asarray(lam, dtype=float) for lam in factors]
    if gram.by_nodes:
        return conditional_sparsely(gram, lams, sigma, (prior_precision, prior_mean))
    plan = gram.plan
    ok, _, T, joint, blocks = condition(plan.ints, plan.floats, pack_factors(gram, lams))
    if not ok:
        msg = "The random effects' precision cannot be factored: a relative factor is too large."
        raise NumericalError(msg)
    parts = [joint[plan.places(k)] for k in range(len(lams))]
    solved = Solved(T, parts, by_factor(gram, blocks))
    return conditional_from(gram, lams, sigma, solved, (prior_precision, prior_mean))


def draw_effects(
    gram: Gram,
    packed: Floats,
    sigma: Floats,
    rng: np.random.Generator,
    prior_precision: Floats | None = None,
    prior_mean: Floats | None = None,
    *,
    fixed_effects: Floats | None = None,
) -> tuple[Floats, list[Floats]]:
    """Draw beta and all random effects from their exact joint conditional, one per parameter draw.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (n_draws, n_lambda)
        Relative factors, each row as from `pack_factors`.
    sigma : ndarray, shape (n_draws,)
        Residual standard deviations.
    rng : numpy.random.Generator
        Source of the standard normals.
    prior_precision, prior_mean : ndarray, optional
        Of beta's normal prior; flat without them.
    fixed_effects : ndarray, shape (n_draws, p), optional
        Draws of beta, where they are known already; the random effects are drawn given them.

    Returns
    -------
    beta : ndarray, shape (n_draws, p)
    effects : list of ndarray, shapes (n_draws, m, q)
        One array per grouping factor.
    """
    mean, precision = beta_prior(gram, prior_mean, prior_precision)
    if gram.by_nodes:
        return _draw_by_nodes(gram, packed, sigma, rng, (mean, precision), fixed_effects)
    plan = gram.plan
    lams = for_kernels("packed", packed, np.float64, (None, plan.n_lambda))
    given = fixed_effects is not None
    beta = (
        for_kernels("beta", np.array(fixed_effects), np.float64, (len(lams), len(gram.coef)))
        if given
        else rng.standard_normal((len(lams), len(gram.coef)))
    )
    joint = rng.standard_normal((len(lams), plan.n_columns))
    with single_blas_thread():
        draw_joint(
            plan.ints,
            plan.floats,
            lams,
            np.arange(len(lams) + 1),  # cells of one draw each
            for_kernels("sigma", sigma, np.float64, (len(lams),)),
            mean,
            precision,
            beta,
            joint,
            given,
            False,
        )
    return beta, split_columns(gram, joint)


def _draw_by_nodes(
    gram: Gram,
    packed: Floats,
    sigma: Floats,
    rng: np.random.Generator,
    prior: tuple[Floats, Floats],
    beta: Floats | None,
) -> tuple[Floats, list[Floats]]:
    """Draw as `draw_effects` does, with a sparse factor for each draw."""
    drawn = [
        draw_sparsely(
            gram, unpack_factors(gram, own), sigma[k : k + 1], rng, prior=prior,
            beta=None if beta is None else beta[k : k + 1],
        )
        for k, own in enumerate(packed)
    ]  # fmt: skip
    effects = zip(*(each.effects for each in drawn), strict=True)
    return (
        np.concatenate([each.beta for each in drawn]),
        [np.concatenate(of_factor) for of_factor in effects],
    )


def split_columns(gram: Gram, joint: Floats) -> list[Floats]:
    """Return one (m, q) array per grouping factor of a joint vector of random effects.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    joint : ndarray, shape (..., n_columns)
        In the plan's order of columns.

    Returns
    -------
    list of ndarray, shapes (..., m, q)
        In the Gram's order; of factors with latent levels what results tell of these.
    """
    out = []
    for k, factor in enumerate(gram.factors):
        m, q = factor.within.shape[:2]
        drawn = joint[..., gram.plan.places(k)].reshape(*joint.shape[:-1], m, q)
        out.append(drawn if factor.latent is None else factor.latent.told(drawn))
    return out
