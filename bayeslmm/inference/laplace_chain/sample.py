"""`LaplaceChain`: the method for effects that neither closed forms nor quadrature integrate out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm import names
from bayeslmm.errors import ArgumentError
from bayeslmm.gram.border.limits import require_few
from bayeslmm.inference.laplace_chain.chains import ChainDraws, run_chains
from bayeslmm.inference.laplace_chain.latent import LatentModel, count_border_of, elimination_plan
from bayeslmm.inference.laplace_chain.proposal import LaplaceStage, laplace_stage
from bayeslmm.inference.laplace_chain.target import LaplaceTarget
from bayeslmm.inference.parametrization import AUTO as AUTO_PARAMETRIZATION
from bayeslmm.inference.parametrization import NONCENTERED
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.settings import EXACT, LAPLACE_CHAIN
from bayeslmm.kernels.families.codes import INFLATED, STUDENT
from bayeslmm.model.compiled_rows import family_code, why_not_compiled
from bayeslmm.model.family_numbers import family_variables, number_priors
from bayeslmm.model.priors.fixed_effects import integrates_beta, normal_prior
from bayeslmm.resources import single_blas_thread
from bayeslmm.results.kept_effects import KeptEffects
from bayeslmm.results.write import UnconstrainedDraws, sample_coordinates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model
    from bayeslmm.results.kept_effects import EffectsStore

# Beyond, a step of Newton's factors a matrix too large to be quick, or theta has too many
# coordinates for proposals around a mode.
LARGEST_BORDER, MOST_COORDINATES = 2000, 15
# Effects led back at a time: 16 million numbers are 128 MB.
_BATCH_VALUES = 16_000_000


@dataclass(frozen=True)
class LaplaceChain:
    r"""A chain in (theta, eps), with effects = mode(theta) + R(theta)^-1 eps; see `Method`.

    With :math:`H = R'R` the curvature of log p(y, u, beta | theta) at its mode, the target

    .. math:: w(\theta, \epsilon) \, N(\epsilon; 0, I), \quad
              w = p(y, u, \beta \mid \theta) \, p(\theta) \, |H|^{-1/2} e^{|\epsilon|^2 / 2}

    is the posterior of (theta, u, beta) exactly, and w is the same at every eps where Laplace's
    approximation is exact. A sweep proposes theta from a split t around the mode of Laplace's
    marginal posterior, eps kept, so that what is wrong with the approximation cancels; then eps
    moves along a Hamiltonian trajectory whose Gaussian part is integrated exactly.

    References
    ----------
    .. [1] Deligiannidis, Doucet & Pitt (2018). The correlated pseudomarginal method. JRSS B
       80:839-870. doi:10.1111/rssb.12280
    .. [2] Shahbaba, Lan, Johnson & Neal (2014). Split Hamiltonian Monte Carlo. Statistics and
       Computing 24:339-349. doi:10.1007/s11222-012-9373-1
    """

    parametrizations: tuple[str, ...] = (NONCENTERED,)

    def suits(self, model: Model, settings: SamplerSettings) -> tuple[bool, str]:
        """Return whether the model has effects that only a chain draws, and not too many."""
        if model.family.gaussian_scale is not None:
            return False, ""
        why = _not_asked_for(settings) or unsuited(model) or _too_much(model)
        return (
            not why,
            why or "effects of several factors or columns move best whitened at their mode",
        )

    def fit(self, model: Model, settings: SamplerSettings) -> xr.DataTree:
        """Sample a model's posterior; see `sample_chain`."""
        return sample_chain(model, settings)


def _not_asked_for(settings: SamplerSettings) -> str:
    if settings.parametrization != AUTO_PARAMETRIZATION:
        return f"the {settings.parametrization} form was asked for"
    if settings.target_accept is not None:
        return "target_accept was given, which is an acceptance rate of NUTS"
    return ""


def _too_much(model: Model) -> str:
    """Say why a chain would be slow to move or to mix; empty where it is not."""
    if why := _several_modes(model):
        return why
    border = count_border_of(model.design.coded_rows)
    if border > LARGEST_BORDER:
        return f"every step would factor a dense matrix of {border} columns"
    if (size := _size(model)) > MOST_COORDINATES:
        return f"{size} parameters are too many for proposals around a mode"
    return ""


def _several_modes(model: Model) -> str:
    """Say why effects may have modes far from each other given theta; empty where they have one.

    A density that is not concave in eta is no reason: rows of a level agree on one mode unless
    each of them has two explanations, as outliers have, and zeros of two kinds.
    """
    design = model.design.coded_rows
    code = family_code(design.family)
    if code == STUDENT:
        return "an outlier's effects may be large, or its residual: modes that a chain seldom joins"
    if code in INFLATED:
        for factor in design.factors:
            seen = np.bincount(factor.index, design.y > 0.0, minlength=len(factor.levels))
            if not seen.all():
                level = str(factor.levels[int(np.argmin(seen))])
                return (
                    f"all rows of {level!r} of {factor.name!r} are zeros, which have two "
                    "explanations each: modes that a chain seldom joins"
                )
    return ""


def unsuited(model: Model) -> str:
    """Say why the chain cannot sample a model; empty where it can."""
    closed = model.family.gaussian_scale is not None
    if model.sigma_factors:
        return "sigma has random effects of its own, and the chain takes formulas of fixed effects"
    if closed:
        return f"effects of a {model.family.name} response are integrated out in closed form"
    if not model.design.factors:
        return "the model has no random effects"
    if why := why_not_compiled(model.design.coded_rows) or _unsuited_effects(model):
        return why
    if not integrates_beta(model.priors):
        named = zip(model.priors.coef, model.priors.beta, strict=True)
        name, prior = next((n, p) for n, p in named if p.family != "Normal")
        return f"the prior of {name!r} is {prior}, and those of fixed effects must be normal"
    return ""


def _unsuited_effects(model: Model) -> str:
    for factor in model.design.factors:
        if factor.latent is not None:
            return f"rows have several latent levels of {factor.name!r}, and the chain takes one"
    return ""


def _size(model: Model) -> int:
    parts = [f.covariance.n_sds + f.covariance.n_partials for f in model.priors.factors]
    return sum(parts) + len(number_priors(model))


def sample_chain(model: Model, settings: SamplerSettings) -> xr.DataTree:
    """Sample a model's posterior by the chain.

    Parameters
    ----------
    model : Model
        What is assumed, of which data.
    settings : SamplerSettings
        Chains, draws and seed; the warm-up is short whatever is asked for.

    Returns
    -------
    xarray.DataTree
        As `fit_bayes` describes it, with the attributes ``engine`` and ``exact``.
        ``sample_stats`` holds per draw ``lp`` (log joint density of response, effects and
        coordinates of theta), ``log_ratio`` (log posterior less Laplace's), ``acceptance_theta``
        and ``acceptance_eps``; its attributes are the means of these two, ``trajectory_steps``
        of each chain, ``sweeps_per_draw``, ``random_walk``, ``proposal``, ``proposal_pareto_k``,
        ``coordinates``, ``log_ratio_variance`` (over Laplace's draws of all effects: it grows with
        their number) and ``laplace_bias`` (by how many posterior sds Laplace's mean of a fixed
        effect, sd, correlation or family parameter is off, at most; of some 400 draws, so that 0.05
        is none).

    Raises
    ------
    ArgumentError
        If the chain cannot sample this model, with what can.
    """
    if why := unsuited(model):
        raise ArgumentError(
            f"sampler={LAPLACE_CHAIN!r} cannot sample this model: {why}. Leave the choice to "
            "sampler='auto', or give sampler='nutpie'."
        )
    require_few(
        count_border_of(model.design.coded_rows),
        f"sampler={LAPLACE_CHAIN!r}",
        "give sampler='nutpie', which forms no such matrix.",
    )
    settings = settings.resolved()
    seed, threads = settings.random_seed or 0, settings.cores or 1
    kept = KeptEffects.of(model.design, settings.effects)
    started = time.perf_counter()
    target = LaplaceTarget(
        latent_model(model), model.priors, number_priors(model), threads, model.family
    )
    with single_blas_thread():
        stage = laplace_stage(target, np.random.default_rng([seed, 2]))
    found = run_chains(stage, settings.chains, settings.draws, threads=threads, seed=seed)
    beta = stage.target.latent.fixed_effects(found.effects)
    stats = _statistics(found).assign_attrs(_record(stage, found, beta))
    free = UnconstrainedDraws({}, stats, 0.0, time.perf_counter() - started)

    def recover(store: EffectsStore) -> Mapping[str, Floats]:
        _add_effects(store, stage.target, found)
        fixed = {names.BETA: beta} if model.priors.coef else {}
        return _variables(model, stage.target, found.points, fixed.get(names.BETA)) | fixed

    shape = (settings.chains, settings.draws)
    tree = finish_tree(model, free, recover, shape=shape, settings=settings, kept=kept)
    tree.attrs |= {"engine": LAPLACE_CHAIN, "exact": EXACT}
    return tree


def latent_model(model: Model) -> LatentModel:
    """Lay out a model's rows and the prior of its fixed effects."""
    rows, centers = model.design.coded_rows, model.priors.centers
    if model.family.response.ordered and any(centers):  # of which thresholds' priors speak
        rows = replace(rows, X=rows.X - np.asarray(centers))
    return LatentModel.of(rows, elimination_plan(rows), normal_prior(model.priors))


def _variables(
    model: Model, target: LaplaceTarget, points: Floats, beta: Floats | None
) -> dict[str, Floats]:
    """Name the parameters at points, shape (chain, draw, k)."""
    values, sd, partial = target.parameters(points), 0, target.n_sds
    first = target.n_sds + target.n_partials
    out = family_variables(model, values[..., first:], beta)
    for factor in model.priors.factors:
        covariance = factor.covariance
        m, count = covariance.n_sds, covariance.n_partials
        own = values[..., sd : sd + m], values[..., partial : partial + count]
        out |= covariance.variables(*own)
        sd, partial = sd + m, partial + count
    return out


def _add_effects(store: EffectsStore, target: LaplaceTarget, found: ChainDraws) -> None:
    """Lead standardised effects back to b = L u, in batches that bound the memory."""
    latent = target.latent
    effects = found.effects.reshape(-1, latent.size)
    points = found.points.reshape(len(effects), -1)
    count = max(1, _BATCH_VALUES // max(latent.n_random, 1))
    for first in range(0, len(effects), count):
        rows = slice(first, first + count)
        store.add(latent.random_effects(effects[rows], target.factors(points[rows])))


def _statistics(found: ChainDraws) -> xr.Dataset:
    per_draw = {
        "lp": found.log_joint,
        "log_ratio": found.log_ratio,
        "acceptance_theta": found.accepted_theta,
        "acceptance_eps": found.acceptance_eps,
    }
    return xr.Dataset(
        {name: (("chain", "draw"), values) for name, values in per_draw.items()},
        coords=sample_coordinates(found.log_joint.shape),
    )


def _record(stage: LaplaceStage, found: ChainDraws, beta: Floats) -> dict[str, Any]:
    """Say how the chains ran, and how good Laplace's posterior would have been."""
    about: dict[str, Any] = {
        "acceptance_theta": float(found.accepted_theta.mean()),
        "acceptance_eps": float(found.acceptance_eps.mean()),
        "trajectory_steps": list(found.steps),
        "sweeps_per_draw": found.sweeps,
        "random_walk": int(np.isfinite(found.accepted_walk).any()),
        "proposal": stage.found.how,
        "proposal_pareto_k": float(stage.found.pareto_k),
        "coordinates": list(stage.target.names),
        "log_ratio_variance": float(np.var(stage.log_ratio)),
    }
    exact = np.concatenate([beta, stage.target.parameters(found.points)], axis=-1)
    laplace = np.concatenate([stage.fixed, stage.target.parameters(stage.points)], axis=-1)
    sd = exact.std(axis=(0, 1))
    off = np.abs(laplace.mean(axis=0) - exact.mean(axis=(0, 1)))
    about["laplace_bias"] = float(np.max(off / np.where(sd > 0.0, sd, np.inf), initial=0.0))
    return about
