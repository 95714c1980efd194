"""Random effects, and fixed effects with normal priors, integrated out of the posterior.

NUTS moves in the standard deviations, correlations and sigma only; the cost of a step does not
depend on the number of rows. The effects are drawn back exactly from their joint conditional.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.inference.graph import components
from bayeslmm.inference.graph.covariance import (
    correlation_factor_graph,
    correlation_graph,
    name_scales,
    origin_of,
)
from bayeslmm.inference.graph.ops import LogArcsinhTransform, MarginalDensity
from bayeslmm.inference.graph.prior_vectors import prior_vector, read_vector
from bayeslmm.inference.marginal.recovery import MarginalDraws, recover_posterior
from bayeslmm.inference.marginal.sd_coordinates import has_positive_support, sd_coordinates
from bayeslmm.inference.memory import require_marginal_border
from bayeslmm.model.covariance.compiled import covariance_table
from bayeslmm.model.priors.fixed_effects import integrates_beta, normal_prior
from bayeslmm.model.simulate import simulate_response

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.model import Model
    from bayeslmm.model.priors.factor_priors import FactorPriors
    from bayeslmm.results.kept_effects import EffectsStore


def build(model: Model) -> pm.Model:
    """Build the model: y ~ N(X beta, Z G Z' + sigma^2 W^-1), beta integrated out if it can be."""
    design, priors, gram = model.design, model.priors, model.dense_gram
    require_marginal_border(design, gram)
    with components.open_model(design) as graph:
        beta = pt.zeros(0)
        if design.coef and not integrates_beta(priors):
            beta = components.fixed_coefficients(priors)
        coordinates = sd_coordinates(gram, priors)
        sds = [_sds(*pair) for pair in zip(priors.factors, coordinates, strict=True)]
        pairs = list(zip(priors.factors, sds, strict=True))
        partials = [_partials(f, sd) for f, sd in pairs if f.covariance.has_correlations]
        sigma = prior_vector(names.SIGMA, (priors.sigma,), None, scalar=True)
        _likelihood(model, (_joined(sds), _joined(partials), sigma, beta))
        graph.integrates_effects = True
    return graph


def recover(model: Model, values: Values, store: EffectsStore) -> dict[str, Floats]:
    """Return the contract's variables: the effects by exact draws from their conditional."""
    sigma = values[names.SIGMA]
    design, priors = model.design, model.priors
    beta = None
    if design.coef and not integrates_beta(priors):
        beta = components.recover_beta(priors, values)
    sds = [read_vector(_sd_name(f), f.sd, values) for f in priors.factors]
    partials = [_read_partials(f, values, sigma.shape) for f in priors.factors]
    draws = MarginalDraws(sds, partials, sigma, beta)
    return recover_posterior(model.dense_gram, priors, draws, store)


def _sds(factor: FactorPriors, coordinates: tuple[Floats, Floats]) -> Any:
    """Add a factor's sds; those that can be any positive number on their log-arcsinh scale."""

    def transform(name: str, places: list[int]) -> LogArcsinhTransform | None:
        if not all(has_positive_support(factor.sd[k]) for k in places):
            return None
        scale, bend = (values[places] for values in coordinates)
        return LogArcsinhTransform(pm.Data(f"{name}_at_zero", scale), pm.Data(f"{name}_bend", bend))

    dim = names.term_dim(factor.name)
    return prior_vector(_sd_name(factor), factor.sd, dim, transform=transform)


def _sd_name(factor: FactorPriors) -> str:
    """Name the variable of the sds: of the effects at zero, or at the means where priors are."""
    return names.sd(factor.name) + ("_at_means" if factor.shift.columns else "")


def _partials_name(factor: str) -> str:
    return f"partial_corr_{factor}"


def _partials(factor: FactorPriors, sd: Any) -> Any:
    """Add the canonical partial correlations whose Beta priors make the matrix LKJ."""
    name, covariance = _partials_name(factor.name), factor.covariance
    offsets = covariance.shape_offsets
    shapes = pm.Data(f"{name}_eta", factor.eta) + offsets
    halves = pm.Beta(name, shapes, shapes, shape=len(offsets))
    partials = 2.0 * halves - 1.0
    if origin := origin_of(factor):
        unit = correlation_factor_graph(partials, covariance)
        name_scales(covariance, origin.raw_root(sd[:, None] * unit))
        return partials
    term = names.term_dim(factor.name)
    pm.Deterministic(
        covariance.corr_name,
        correlation_graph(partials, covariance),
        dims=(term, names.term_dim_bis(factor.name)),
    )
    return partials


def _read_partials(factor: FactorPriors, values: Values, shape: tuple[int, ...]) -> Floats:
    if not factor.covariance.has_correlations:
        return np.zeros((*shape, 0))
    return 2.0 * values[_partials_name(factor.name)] - 1.0


def _joined(parts: list[Any]) -> Any:
    return pt.concatenate(parts) if parts else pt.zeros(0)


def _likelihood(model: Model, parameters: tuple[Any, Any, Any, Any]) -> None:
    """Add the response as one distribution: density by cross-products, draws by rows."""
    design, priors, gram = model.design, model.priors, model.dense_gram
    integrated = integrates_beta(priors)
    mean, precision = normal_prior(priors) if integrated else _no_prior(len(design.coef))
    table = covariance_table(factor.covariance for factor in priors.factors)
    data = [
        _wide_integers("plan_integers", gram.plan.ints),
        pm.Data("plan_floats", gram.plan.floats),
        pt.constant(table),
        pm.Data("beta_prior_mean", mean),
        pm.Data("beta_prior_precision", precision),
    ]
    y = design.response_rows
    offset = np.zeros(len(y)) if design.offset is None else design.offset

    def logp(_value: Any, _offset: Any, *point: Any) -> Any:
        # The response enters through its cross-products, which are part of the plan's floats.
        return MarginalDensity()(*point, *data)[0]

    def draw(_offset: Any, *point: Any, rng: Any = None, size: Any = None) -> Any:  # noqa: ARG001
        return _draw_response(model, point, rng)

    pm.CustomDist(
        names.stored(design.response),
        offset,
        *parameters,
        logp=logp,
        random=draw,
        signature="(n),(s),(c),(),(p)->(n)",
        dtype="float64",
        # No `pm.Data`: exchanging rows would leave the cross-products as they were, silently.
        observed=y,
        dims=names.OBS,
    )


def _wide_integers(name: str, values: NDArray[np.int64]) -> Any:
    """Add integers as data without `pm.Data`'s conversion to 32 bits."""
    variable = pytensor.shared(values, name=name)
    pm.modelcontext(None).register_data_var(variable)
    return variable


def _no_prior(p: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.zeros(p), np.zeros((p, p))


def _draw_response(model: Model, point: tuple[Any, ...], rng: np.random.Generator) -> Floats:
    """Draw a response given the parameters, effects included."""
    priors = model.priors
    sds, partials, sigma, beta = (np.asarray(value) for value in point)
    if integrates_beta(priors):
        numbers = np.array([prior.numbers for prior in priors.beta]).reshape(-1, 2)
        centered = rng.normal(numbers[:, 0], numbers[:, 1])
        beta = priors.raw_beta(centered)
    sd, corr = {}, {}
    column = at = 0
    for factor in priors.factors:
        q, count = factor.covariance.n_columns, factor.covariance.n_partials
        unit = factor.covariance.correlation_factor(partials[at : at + count])
        sd[factor.name] = sds[column : column + q]
        corr[factor.name] = unit @ unit.T
        column, at = column + q, at + count
    y, _ = simulate_response(
        model.design.coded_rows, beta=beta, sd=sd, corr=corr, sigma=float(sigma), random_seed=rng
    )
    return y
