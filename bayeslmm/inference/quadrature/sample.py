"""A posterior with the effects of one factor integrated out numerically: weighted draws, or NUTS.

The density is exact up to the error of quadrature, which is measured and told; nothing is replaced
by Laplace's approximation.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import ArgumentError, SamplingWarning, warn
from bayeslmm.inference.importance.algorithm import sample_at_modes
from bayeslmm.inference.importance.weigh import extend_to, sample_stats, weigh_on_best_scales
from bayeslmm.inference.laplace import find_mode, find_modes
from bayeslmm.inference.nuts.marginal import compiles
from bayeslmm.inference.nuts.sample import NUTS
from bayeslmm.inference.parametrization import AUTO as AUTO_PARAMETRIZATION
from bayeslmm.inference.parametrization import MARGINAL, NONCENTERED
from bayeslmm.inference.quadrature.laplace_error import laplace_error
from bayeslmm.inference.quadrature.nuts import run_nuts
from bayeslmm.inference.quadrature.recovery import recover_posterior
from bayeslmm.inference.quadrature.start import starting_points, with_enough_nodes
from bayeslmm.inference.quadrature.target import QuadratureTarget
from bayeslmm.inference.result import finish_tree
from bayeslmm.inference.reweighting import MAX_PARETO_K, resample
from bayeslmm.inference.settings import EXACT, NUTPIE
from bayeslmm.model.quadrature.enough_nodes import LADDERS, TOLERANCE
from bayeslmm.model.quadrature.level_rows import why_not
from bayeslmm.resources import single_blas_thread
from bayeslmm.results.kept_effects import KeptEffects
from bayeslmm.results.write import UnconstrainedDraws

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr

    from bayeslmm.arrays import Floats
    from bayeslmm.inference.importance.algorithm import WeightedPoints
    from bayeslmm.inference.laplace import Start
    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model
    from bayeslmm.model.quadrature.enough_nodes import NodeError
    from bayeslmm.results.kept_effects import EffectsStore

# Points per draw, and the fewest whose weights have a tail to speak of.
_POINTS_PER_DRAW, _FEWEST_POINTS = 2, 4000
# Draws of the prior that look for modes elsewhere.
_EXPLORATORY_POINTS = 250
# With more coordinates independent proposals are worth too little.
MOST_COORDINATES = 15


@dataclass(frozen=True)
class QuadratureSampling:
    """Draws of everything but the effects, exact up to quadrature, then the effects; see `Method`.

    References
    ----------
    .. [1] Pinheiro & Bates (1995). Approximations to the log-likelihood function in the nonlinear
       mixed-effects model. JCGS 4:12-35. doi:10.1080/10618600.1995.10474663
    .. [2] Vehtari, Simpson, Gelman, Yao & Gabry (2024). Pareto smoothed importance sampling. JMLR
       25(72):1-58.
    """

    parametrizations: tuple[str, ...] = (MARGINAL,)

    def suits(self, model: Model, settings: SamplerSettings) -> tuple[bool, str]:
        """Return whether there is one grouping factor of one or two columns."""
        if model.family.gaussian_scale is not None:
            return False, ""
        if settings.parametrization not in (MARGINAL, AUTO_PARAMETRIZATION):
            return False, f"the {settings.parametrization} form keeps the effects as parameters"
        if settings.target_accept is not None:
            return False, "target_accept was given, and only NUTS has an acceptance rate"
        if why := why_not(model.design.coded_rows):
            return False, why
        return True, "effects of one grouping factor are integrated out by quadrature"

    def fit(self, model: Model, settings: SamplerSettings) -> xr.DataTree:
        """Sample a model's posterior; see `Method.fit`.

        Parameters
        ----------
        model : Model
            Of a response that is not Gaussian, with one grouping factor of one or two columns.
        settings : SamplerSettings
            Chains, draws and seed; tuning only where NUTS takes over.

        Returns
        -------
        xarray.DataTree
            As `fit_bayes` describes it, with the attributes ``engine`` (``"quadrature"``; where
            NUTS took over ``"quadrature, nuts"``, or ``"nuts"`` with all effects) and ``exact``.
            ``sample_stats`` holds what `ImportanceSampling` leaves there, or NUTS, and the
            attributes ``nodes``, ``node_error``, ``log_integral_variance``, ``laplace_bias``,
            ``effects_acceptance`` and ``effects_steps``.

        Raises
        ------
        ArgumentError
            If the model is another one.

        Warns
        -----
        SamplingWarning
            Where the most nodes that are tried are not enough, or NUTS took over.
        """
        _require(model)
        return _Fit(model, settings).tree()


def _require(model: Model) -> None:
    if model.family.gaussian_scale is not None:
        raise ArgumentError(
            f"sampler='quadrature' is for responses that are not Gaussian, and the family is "
            f"{model.family.name!r}, whose effects are integrated out exactly: leave the choice to "
            "sampler='auto'."
        )
    if why := why_not(model.design.coded_rows):
        raise ArgumentError(
            f"sampler='quadrature' cannot be used: {why}. sampler='nutpie' samples every model."
        )


class _Fit:
    """One fit on its way from a model to its tree."""

    def __init__(self, model: Model, settings: SamplerSettings) -> None:
        self.model, self.asked = model, settings
        self.settings = settings.resolved()
        self.kept = KeptEffects.of(model.design, settings.effects)
        self.rng = np.random.default_rng([self.settings.random_seed or 0, 2])
        self.started = time.perf_counter()

    def tree(self) -> xr.DataTree:
        # Quantiles of extreme priors overflow on the way; what is left of them is weighed.
        with np.errstate(all="ignore"), single_blas_thread():
            first = LADDERS[len(self.model.design.factors[0].terms)][0]
            target = QuadratureTarget(self.model, first, self.settings.cores or 1)
            target, start, error = with_enough_nodes(target, starting_points(target, self.model))
            if target.size > MOST_COORDINATES:
                why = f"{target.size} parameters are left, too many for independent draws"
                return self._by_nuts(target, start, error, why)
            best, found = self._weigh(target, start)
        if not found.usable:
            why = (
                f"importance sampling had k-hat {found.pareto_k:.2f}, and weights can be used "
                f"below {MAX_PARETO_K}"
                if np.isfinite(found.pareto_k)
                else "importance sampling found no mode that its draws could stand for"
            )
            return self._by_nuts(target, start, error, why)
        shape = (self.settings.chains, self.settings.draws)
        rng = np.random.default_rng([self.settings.random_seed or 0, 3])
        places = resample(found.weights, rng, shape[0] * shape[1]).reshape(shape)
        stats = sample_stats(best.names, found, places)
        free = UnconstrainedDraws({}, stats, 0.0, time.perf_counter() - self.started)
        return self._finish(best, found.points[places], free, error, found.log_density[places])

    def _weigh(
        self, target: QuadratureTarget, start: Start
    ) -> tuple[QuadratureTarget, WeightedPoints]:
        draws = self.settings.chains * self.settings.draws
        count = max(_POINTS_PER_DRAW * draws, _FEWEST_POINTS)
        # The first start has led to the mode that is known.
        known = [target.parameters(peak.point) for peak in start.known]
        others = [target.parameters(point) for point in start.points[len(known) :]]

        def weigh(scaled: QuadratureTarget) -> WeightedPoints:
            if scaled is target:
                peaks, units, starts = start.known, start.units, others
            else:
                peaks, units = (), starting_points(scaled, self.model).units
                starts = [*known, *others]
            found = find_modes(scaled, [scaled.point(values) for values in starts], units, peaks)
            exploratory = scaled.point(scaled.prior_draws(_EXPLORATORY_POINTS, self.rng))
            return sample_at_modes(scaled, found, units, count, self.rng, exploratory=exploratory)

        best, found = weigh_on_best_scales(target, weigh)
        return best, extend_to(best, found, draws, count, self.rng)

    def _by_nuts(
        self, target: QuadratureTarget, start: Start, error: NodeError, why: str
    ) -> xr.DataTree:
        """Sample by NUTS: on the same density where that compiles, else with all effects."""
        peak = find_mode(target, start.points[0], start.units)
        whole = peak is None or not compiles(target)
        warn(
            f"The posterior was sampled by NUTS{', with all effects' if whole else ''}: {why}. Its "
            "diagnostics are those of any NUTS fit; sampler='nutpie' asks for NUTS at once.",
            SamplingWarning,
        )
        if peak is None or whole:
            settings = dataclasses.replace(self.asked, sampler=NUTPIE, parametrization=NONCENTERED)
            tree = NUTS().fit(self.model, settings)
            tree.attrs |= {"engine": "nuts", "exact": EXACT, "sampler_reason": why}
            return tree
        spread = np.sqrt(np.diag(peak.covariance))
        points, free = run_nuts(target, peak.point, spread, self.settings)
        tree = self._finish(target, points, free, error)
        reason = f"effects are integrated out by quadrature, and NUTS sampled the rest; {why}"
        tree.attrs |= {"engine": "quadrature, nuts", "sampler_reason": reason}
        return tree

    def _finish(
        self,
        target: QuadratureTarget,
        points: Floats,
        free: UnconstrainedDraws,
        error: NodeError,
        log_density: Floats | None = None,
    ) -> xr.DataTree:
        known = None if log_density is None else log_density.ravel()
        approximation = laplace_error(target, points.reshape(-1, target.size), known)
        free.stats.attrs |= {
            "nodes": error.n_nodes,
            "node_error": error.error,
            "log_integral_variance": approximation.log_integral_variance,
            "laplace_bias": approximation.bias,
        }

        def recover(store: EffectsStore) -> Mapping[str, Floats]:
            variables, about = recover_posterior(self.model, target, points, store)
            free.stats.attrs |= about
            return variables

        tree = finish_tree(
            self.model, free, recover,
            shape=points.shape[:2], settings=self.settings, kept=self.kept,
        )  # fmt: skip
        exact = f"to quadrature error {error.error:.0e} near the mode"
        tree.attrs |= {"engine": "quadrature", "exact": exact}
        if not error.enough:
            warn(
                f"{error.n_nodes} nodes leave the log-likelihood an error of {error.error:.2g}, "
                f"where {TOLERANCE:g} was wanted: levels' densities are far from normal, as under "
                "separation. Tighter priors of the standard deviations help, or sampler='nutpie'.",
                SamplingWarning,
            )
        return tree
