"""Effects for thousands of draws from a few hundred factorizations.

Where each distinct relative factor costs a dense factorization, draws whose relative factors are
close share one: the draws are cut into cells of neighbours, and beta and the random effects of a
whole cell are drawn given the relative factor of one of its members, picked at random, and given
each draw's own sigma.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.errors import SamplingWarning, warn
from bayeslmm.gram.border.sparse.draws import draw_sparsely
from bayeslmm.gram.likelihood import beta_prior, split_columns, unpack_factors
from bayeslmm.gram.reduction import Reduced
from bayeslmm.inference.importance.interpolated_target import (
    InterpolatedTarget,
    ReducedTarget,
    interpolation_error,
)
from bayeslmm.inference.importance.interpolation import FactorCoordinates, Whitening
from bayeslmm.inference.importance.surrogate import TOLERANCE
from bayeslmm.inference.marginal.recovery import variance_variables
from bayeslmm.inference.result import each_batch
from bayeslmm.inference.reweighting import smoothed_weights
from bayeslmm.kernels.elimination.draws import draw_joint
from bayeslmm.model.priors.fixed_effects import normal_prior
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.gram.gram import Gram
    from bayeslmm.inference.marginal.recovery import MarginalDraws
    from bayeslmm.model.priors.priors import Priors
    from bayeslmm.results.kept_effects import EffectsStore

    Places = NDArray[np.intp]
    from bayeslmm.inference.settings import SamplerSettings

# Random effects drawn at a time: 8 million numbers are 64 MB, held some three times over.
_BATCH_VALUES = 8_000_000


@dataclass(frozen=True, eq=False)
class Cells:
    """Draws that share a factorization.

    Attributes
    ----------
    members : tuple of ndarray of int
        Places of the draws of each cell; together every draw once.
    anchors : ndarray of int, shape (n_cells,)
        The draw of each cell whose relative factor stands for all.
    """

    members: tuple[Places, ...]
    anchors: Places


def cut_cells(points: Floats, count: int, rng: np.random.Generator) -> Cells:
    """Split draws into cells of neighbours, of equal size up to one, each with a random member.

    Every draw's anchor is a fair sample of its cell and cells are equally large, so the anchors
    are a stratified sample of the draws: averages over cells are unbiased and vary less than
    those over as many draws picked at random.

    Parameters
    ----------
    points : ndarray, shape (s, d)
        Coordinates in which closeness is meant.
    count : int
        Cells at most.
    rng : numpy.random.Generator
        Picks the anchors.

    Returns
    -------
    Cells
        As many cells as distinct points, if those are fewer.

    References
    ----------
    Cochran (1977). Sampling Techniques, 3rd edition, chapter 5. Wiley.

    Examples
    --------
    >>> cells = cut_cells(np.array([[0.0], [5.0], [0.1], [5.1]]), 2, np.random.default_rng(1))
    >>> [sorted(member.tolist()) for member in cells.members]
    [[0, 2], [1, 3]]
    """
    distinct, which = np.unique(points, axis=0, return_inverse=True)
    if len(distinct) <= count:
        members = tuple(np.flatnonzero(which == k) for k in range(len(distinct)))
    else:
        members = tuple(_halve(points, np.arange(len(points)), count))
    return Cells(members, np.array([rng.choice(member) for member in members], dtype=np.intp))


def _halve(points: Floats, places: Places, count: int) -> list[Places]:
    """Split places across the widest direction until there are `count` parts."""
    if count == 1:
        return [places]
    part = points[places]
    axis = int(np.argmax(part.max(axis=0) - part.min(axis=0)))
    order = places[np.argsort(part[:, axis], kind="stable")]
    left = count // 2
    cut = round(len(places) * left / count)
    return _halve(points, order[:cut], left) + _halve(points, order[cut:], count - left)


@dataclass(frozen=True, eq=False)
class SharedEffects:
    """What drawing effects by cells gives besides the effects, which go into their store.

    Attributes
    ----------
    beta : ndarray, shape (s, p)
        Fixed effects.
    anchors : ndarray of int, shape (n_cells,)
        The draws whose relative factors were used.
    exact : Reduced
        Exact log|V| and T there.
    """

    beta: Floats
    anchors: Places
    exact: Reduced


def draw_shared_effects(
    gram: Gram,
    packed: Floats,
    sigma: Floats,
    store: EffectsStore,
    *,
    n_cells: int,
    prior_precision: Floats | None = None,
    prior_mean: Floats | None = None,
    fixed_effects: Floats | None = None,
    threads: int = 1,
) -> SharedEffects:
    r"""Draw beta and the random effects for all draws, with one factorization per cell.

    .. math:: (\beta, b)_i \sim p(\beta, b \mid y, \Lambda_{a(i)}, \sigma_i)

    where a(i) is a neighbour of draw i, itself a draw. Means over all draws are unbiased; the joint
    distribution of effects and relative factors is blurred by the width of a cell.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    packed : ndarray, shape (s, n_lambda)
        Relative factors of the draws.
    sigma : ndarray, shape (s,)
        Their residual standard deviations.
    store : EffectsStore
        Takes the random effects; its generator draws them.
    n_cells : int
        Distinct relative factors at most.
    prior_precision, prior_mean : ndarray, optional
        Of beta's normal prior; flat without them.
    fixed_effects : ndarray, shape (s, p), optional
        Draws of beta, where they are known already.
    threads : int
        Cells that are worked on side by side.

    Returns
    -------
    SharedEffects
        With the exact log|V| and T that the factorizations gave.
    """
    coordinates = FactorCoordinates(gram)(packed)
    whitened = Whitening(coordinates, np.ones(len(packed)))(coordinates)
    cells, p = cut_cells(whitened, n_cells, store.rng), len(gram.coef)
    mean, precision = beta_prior(gram, prior_mean, prior_precision)
    given = fixed_effects is not None
    beta = np.array(fixed_effects) if given else np.empty((len(packed), p))
    if gram.by_nodes:
        draws = packed, sigma, beta if given else None
        beta, exact = _draw_by_nodes(gram, draws, cells, (mean, precision), store)
        return SharedEffects(beta, cells.anchors, exact)
    parts = []
    with single_blas_thread(), ThreadPoolExecutor(threads) as pool:
        for some in _batches(cells, gram, threads, store.progressbar):
            places = np.concatenate(cells.members[some])
            fixed = beta[places] if given else store.rng.standard_normal((len(places), p))
            random = store.rng.standard_normal((len(places), gram.plan.n_columns))
            jobs = [
                pool.submit(
                    draw_joint, gram.plan.ints, gram.plan.floats, lams, starts,
                    sigma[places[rows]], mean, precision, fixed[rows], random[rows], given, True,
                )
                for lams, starts, rows in _shares(packed, cells, some, threads)
            ]  # fmt: skip
            parts += [job.result() for job in jobs]
            beta[places] = fixed
            store.add(split_columns(gram, random), places)
    logdet, cross = (np.concatenate(values) for values in zip(*parts, strict=True))
    return SharedEffects(beta, cells.anchors, Reduced(logdet, cross))


def _draw_by_nodes(
    gram: Gram,
    draws: tuple[Floats, Floats, Floats | None],
    cells: Cells,
    prior: tuple[Floats, Floats],
    store: EffectsStore,
) -> tuple[Floats, Reduced]:
    """Draw beta and the effects cell by cell, with a sparse factor for each."""
    packed, sigma, given = draws
    beta, w = np.empty((len(packed), len(gram.coef))), len(gram.coef) + 1
    logdet, cross = np.empty(len(cells.anchors)), np.empty((len(cells.anchors), w, w))
    shown = each_batch(cells.members, progressbar=store.progressbar)
    with single_blas_thread():
        for k, places in enumerate(shown):
            found = draw_sparsely(
                gram, unpack_factors(gram, packed[cells.anchors[k]]), sigma[places], store.rng,
                prior=prior, beta=None if given is None else given[places],
            )  # fmt: skip
            store.add(found.effects, places)
            beta[places], logdet[k], cross[k] = found.beta, found.logdet, found.cross
    return beta, Reduced(logdet, cross)


def _batches(cells: Cells, gram: Gram, threads: int, progressbar: bool) -> Iterable[slice]:
    """Split the cells into batches whose effects fit in memory, and show how far they are."""
    largest = max(len(member) for member in cells.members)
    size = max(threads, _BATCH_VALUES // (max(gram.n_effects, 1) * largest))
    firsts = range(0, len(cells.anchors), size)
    for first in each_batch(firsts, progressbar=progressbar):
        yield slice(first, min(first + size, len(cells.anchors)))


def _shares(
    packed: Floats, cells: Cells, some: slice, threads: int
) -> list[tuple[Floats, NDArray[np.int64], slice]]:
    """Split a batch of cells into one contiguous share per thread."""
    sizes = np.array([len(member) for member in cells.members[some]])
    ends = np.concatenate([[0], np.cumsum(sizes)])
    bounds = np.linspace(0, len(sizes), min(threads, len(sizes)) + 1).astype(int)
    return [
        (
            np.ascontiguousarray(packed[cells.anchors[some][a:b]]),
            (ends[a : b + 1] - ends[a]).astype(np.int64),
            slice(int(ends[a]), int(ends[b])),
        )
        for a, b in pairwise(bounds)
    ]


def recover_shared(
    gram: Gram,
    priors: Priors,
    draws: MarginalDraws,
    store: EffectsStore,
    *,
    n_cells: int,
    threads: int = 1,
) -> tuple[dict[str, Floats], SharedEffects]:
    """Return the posterior's variables as `recover_posterior` does, from few factorizations.

    Parameters
    ----------
    gram : Gram
        The cross-products.
    priors : Priors
        Every prior.
    draws : MarginalDraws
        Leading dimensions (chain, draw).
    store : EffectsStore
        Takes the random effects, and has the generator.
    n_cells : int
        Factorizations at most.
    threads : int
        Of which so many side by side.

    Returns
    -------
    variables : dict of str to ndarray, shapes (chain, draw, ...)
        ``sigma``, ``sd_<factor>``, ``corr_<factor>`` and ``beta``, by the contract's names.
    shared : SharedEffects
        Which draws the factorizations were at, and what they gave.
    """
    result, packed = variance_variables(priors, draws)
    given = None if draws.beta is None else draws.beta.reshape(draws.sigma.size, -1)
    mean, precision = (None, None) if given is not None else normal_prior(priors)
    shared = draw_shared_effects(
        gram, packed, draws.sigma.ravel(), store, n_cells=n_cells, prior_precision=precision,
        prior_mean=mean, fixed_effects=given, threads=threads,
    )  # fmt: skip
    if priors.coef:
        result[names.BETA] = shared.beta.reshape(*draws.sigma.shape, -1)
    return result, shared


# Factorizations for the effects of all draws. Effects vary far more given the variance parameters
# than with them (InstEval: means of effects move by at most 6 % of their sd), so that so many
# strata of relative factors leave means and sds of effects their full number of draws.
N_CELLS = 200
# The promise is made on 16 checks a round; by chance some interpolations keep it not quite.
_TOO_LARGE = 2.0 * TOLERANCE


def recover_effects_by_cell(
    target: ReducedTarget,
    points: Floats,
    draws: MarginalDraws,
    store: EffectsStore,
    settings: SamplerSettings,
) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Draw the effects from a few hundred factorizations, which also check an interpolation.

    Parameters
    ----------
    target : ReducedTarget
        The posterior.
    points : ndarray, shape (chains * draws, size)
        Coordinates of the draws.
    draws : MarginalDraws
        The same, by kind, with leading dimensions (chain, draw).
    store : EffectsStore
        Takes the random effects.
    settings : SamplerSettings
        How many cores.

    Returns
    -------
    variables : dict of str to ndarray, shapes (chain, draw, ...)
        The posterior's, by the contract's names.
    about : dict
        For the result's record: ``effects_points``, at how many relative factors the effects were
        drawn; ``surrogate``, whether densities were interpolated or why not; and where they were,
        ``surrogate_n_exact``, exact values that it took, ``surrogate_error_sd`` and
        ``surrogate_error_max``, of exact minus interpolated log-density over those relative
        factors (posterior draws that the interpolation never saw), and ``surrogate_pareto_k``,
        of exact over interpolated densities there.

    Warns
    -----
    SamplingWarning
        If that error is more than twice what was promised.
    """
    threads = settings.cores or 1
    posterior, shared = recover_shared(
        target.gram, target.priors, draws, store, n_cells=N_CELLS, threads=threads
    )
    about: dict[str, Any] = {
        "effects_points": len(shared.anchors),
        "surrogate": "interpolated" if target.record.converged else target.record.reason,
    }
    if isinstance(target, InterpolatedTarget):
        error = interpolation_error(target, points[shared.anchors], shared.exact)
        about |= {
            "surrogate_n_exact": target.record.n_exact,
            "surrogate_error_sd": float(error.std()),
            "surrogate_error_max": float(np.abs(error).max()),
            "surrogate_pareto_k": smoothed_weights(error)[1],
        }
        _warn_if_inaccurate(about["surrogate_error_sd"])
    return posterior, about


def _warn_if_inaccurate(error_sd: float) -> None:
    if error_sd > _TOO_LARGE:
        warn(
            f"The interpolated log-density errs by {error_sd:.2g} (standard deviation over "
            f"posterior draws; {TOLERANCE} was promised): posterior means may be off by that many "
            "posterior standard deviations. Another random_seed interpolates between other "
            "points; sampler='nutpie' interpolates nothing.",
            SamplingWarning,
        )
