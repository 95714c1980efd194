"""The response given its linear predictor, in PyMC: one function per family, held to NumPy's.

What a family is stands in `bayeslmm.families`; a test holds the densities here to
`Family.log_density` at random points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.families.beta import PHI, Beta
from bayeslmm.families.binomial import Bernoulli, Binomial
from bayeslmm.families.derived.censored import Censored
from bayeslmm.families.derived.custom import CustomFamily
from bayeslmm.families.gamma import SHAPE as GAMMA_SHAPE
from bayeslmm.families.gamma import Gamma
from bayeslmm.families.gaussian import Gaussian
from bayeslmm.families.lognormal import LogNormal
from bayeslmm.families.negbinomial import SHAPE as COUNT_SHAPE
from bayeslmm.families.negbinomial import NegativeBinomial
from bayeslmm.families.ordinal.discrimination import DISC
from bayeslmm.families.ordinal.sticks import THRESHOLD
from bayeslmm.families.poisson import Poisson
from bayeslmm.families.registry import family_of
from bayeslmm.families.tails.skew_normal import ALPHA, ROOT_2_OVER_PI, SkewNormal
from bayeslmm.families.tails.student import NU, StudentT
from bayeslmm.families.times.inverse_gaussian import SHAPE as PASSAGE_SHAPE
from bayeslmm.families.times.inverse_gaussian import InverseGaussian
from bayeslmm.families.times.shifted_lognormal import NDT, ShiftedLogNormal
from bayeslmm.families.times.weibull import SHAPE as TIME_SHAPE
from bayeslmm.families.times.weibull import Exponential, Weibull
from bayeslmm.inference.graph import log_densities
from bayeslmm.inference.graph.censored import add_censored
from bayeslmm.inference.graph.custom_family import log_density_of
from bayeslmm.inference.graph.rows import Rows
from bayeslmm.inference.graph.zeros import WITH_ZEROS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.families.family import Family


def add_response(family: Family, design: Design, eta: Any, parameters: Mapping[str, Any]) -> None:
    """Add the observed response to the open PyMC model: y_i ~ p(. | eta_i, phi, w_i).

    Parameters
    ----------
    family : Family
        How responses are distributed.
    design : Design
        Their rows.
    eta : tensor, shape (n,)
        The linear predictor.
    parameters : mapping of str to tensor, shape () or (n,)
        The family's parameters phi by name, of each row where they have predictors.
    """
    name, likweights = names.stored(design.response), design.likweights
    if isinstance(family, Censored):
        add_censored(family, design, eta, parameters)
    else:
        _add_whole(family, design, name, eta, parameters)
    if likweights is not None:
        _count(name, likweights)


def _count(name: str, weights: Floats) -> None:
    """Let the log-density of each row of the observed response count so many times."""
    model = pm.modelcontext(None)
    response = model[name]
    density = pm.logp(response, model.rvs_to_values[response])
    less_one = pm.Data("likweights_less_one_data", weights - 1.0, dims=names.OBS)
    pm.Potential(f"{name}_counted", pt.sum(less_one * density))


def _add_whole(
    family: Family, design: Design, name: str, eta: Any, parameters: Mapping[str, Any]
) -> None:
    # PyMC's discrete variables are whole numbers, and so are their data.
    y = design.y.astype(np.int64) if family.discrete else design.y
    observed = {
        "observed": pm.Data("response_data", y, dims=names.OBS),
        "dims": names.OBS,
    }
    add_rows(family, Rows(name, family.link.name, eta, parameters, design.known, observed))


def add_rows(family: Family, rows: Rows) -> None:
    """Add observed rows to the open PyMC model; see `add_response`."""
    if isinstance(family, CustomFamily):
        _of_the_users(family, rows)
    else:
        LIKELIHOODS[family.name](rows)


def _gaussian(rows: Rows) -> None:
    pm.Normal(rows.name, mu=rows.eta, sigma=rows.scale(), **rows.observed)


def _student(rows: Rows) -> None:
    pm.StudentT(
        rows.name, nu=rows.parameters[NU.name], mu=rows.eta, sigma=rows.scale(), **rows.observed
    )


def _lognormal(rows: Rows) -> None:
    pm.LogNormal(rows.name, mu=rows.eta, sigma=rows.parameters[names.SIGMA], **rows.observed)


def _gamma(rows: Rows) -> None:
    shape = rows.parameters[GAMMA_SHAPE.name]
    pm.Gamma(rows.name, alpha=shape, beta=shape * pt.exp(-rows.eta), **rows.observed)


def _exponential(rows: Rows) -> None:
    pm.Exponential(rows.name, scale=pt.exp(rows.eta), **rows.observed)


def _weibull(rows: Rows) -> None:
    def drawn(eta: Any, shape: Any, size: Any) -> Any:
        scale = pt.exp(eta - pt.gammaln(1.0 + 1.0 / shape))
        return pm.Weibull.dist(alpha=shape, beta=scale, size=size)

    parameters = (rows.eta, rows.parameters[TIME_SHAPE.name])
    rows.observe(parameters, log_densities.weibull, drawn)


def _inverse_gaussian(rows: Rows) -> None:
    def drawn(eta: Any, shape: Any, size: Any) -> Any:
        return pm.Wald.dist(mu=pt.exp(eta), lam=shape, size=size)

    parameters = (rows.eta, rows.parameters[PASSAGE_SHAPE.name])
    rows.observe(parameters, log_densities.inverse_gaussian, drawn)


def _shifted_lognormal(rows: Rows) -> None:
    def drawn(eta: Any, sigma: Any, shift: Any, size: Any) -> Any:
        return shift + pm.LogNormal.dist(mu=eta, sigma=sigma, size=size)

    own = (rows.parameters[names.SIGMA], rows.parameters[NDT.name])
    rows.observe((rows.eta, *own), log_densities.shifted_lognormal, drawn)


def _skew_normal(rows: Rows) -> None:
    def drawn(location: Any, scale: Any, alpha: Any, size: Any) -> Any:
        return pm.SkewNormal.dist(mu=location, sigma=scale, alpha=alpha, size=size)

    alpha = rows.parameters[ALPHA.name]
    shift = ROOT_2_OVER_PI * alpha / pt.sqrt(1.0 + alpha**2)
    scale = rows.scale() / pt.sqrt(1.0 - shift**2)
    rows.observe((rows.eta - scale * shift, scale, alpha), log_densities.skew_normal, drawn)


def _poisson(rows: Rows) -> None:
    pm.Poisson(rows.name, mu=pt.exp(rows.eta), **rows.observed)


def _bernoulli(rows: Rows) -> None:
    def drawn(log_mean: Any, log_rest: Any, size: Any) -> Any:  # noqa: ARG001
        return pm.Bernoulli.dist(p=pt.exp(log_mean), size=size)

    rows.observe(rows.log_means(), log_densities.bernoulli, drawn)


def _binomial(rows: Rows) -> None:
    def drawn(trials: Any, log_mean: Any, log_rest: Any, size: Any) -> Any:  # noqa: ARG001
        return pm.Binomial.dist(n=trials, p=pt.exp(log_mean), size=size)

    rows.observe((rows.trials(), *rows.log_means()), log_densities.binomial, drawn)


def _negbinomial(rows: Rows) -> None:
    def drawn(eta: Any, shape: Any, size: Any) -> Any:
        return pm.NegativeBinomial.dist(mu=pt.exp(eta), alpha=shape, size=size)

    parameters = (rows.eta, rows.parameters[COUNT_SHAPE.name])
    rows.observe(parameters, log_densities.negbinomial, drawn)


def _beta(rows: Rows) -> None:
    def drawn(log_mean: Any, log_rest: Any, phi: Any, size: Any) -> Any:
        return pm.Beta.dist(alpha=phi * pt.exp(log_mean), beta=phi * pt.exp(log_rest), size=size)

    parameters = (*rows.log_means(), rows.parameters[PHI.name])
    rows.observe(parameters, log_densities.beta, drawn)


def _ordered(family: str) -> Callable[[Rows], None]:
    """Return what observes a response of ordered categories."""

    def add(rows: Rows) -> None:
        member = family_of(family, rows.link)
        tensors = [rows.eta, rows.parameters[THRESHOLD]]
        if DISC in rows.parameters:
            tensors.append(rows.parameters[DISC])

        def drawn(eta: Any, cuts: Any, *disc: Any, rng: Any = None, size: Any = None) -> Any:  # noqa: ARG001
            phi = {THRESHOLD: cuts, **dict(zip([DISC], disc, strict=False))}
            return member.draw(eta, phi, None, rng).astype(np.int64)

        pm.CustomDist(
            rows.name, *tensors, random=drawn, dtype="int64",
            logp=log_densities.ordered(family, rows.link),
            signature=f"(n),(c){',(n)' * (len(tensors) - 2)}->(n)", **rows.observed,
        )  # fmt: skip

    return add


def _of_the_users(family: CustomFamily, rows: Rows) -> None:
    others = {parameter.name: rows.parameters[parameter.name] for parameter in family.parameters}
    if rows.known is not None:
        others["trials"] = rows.data("trials", rows.known.astype(np.int64))

    def logp(y: Any, *tensors: Any) -> Any:
        return log_density_of(family.name, family.logp, y, *tensors, names=tuple(others))

    pm.CustomDist(rows.name, rows.eta, *others.values(), logp=logp, **rows.observed)


LIKELIHOODS: Mapping[str, Callable[[Rows], None]] = {
    Gaussian.name: _gaussian,
    Bernoulli.name: _bernoulli,
    Binomial.name: _binomial,
    Poisson.name: _poisson,
    NegativeBinomial.name: _negbinomial,
    Gamma.name: _gamma,
    LogNormal.name: _lognormal,
    Weibull.name: _weibull,
    Exponential.name: _exponential,
    InverseGaussian.name: _inverse_gaussian,
    ShiftedLogNormal.name: _shifted_lognormal,
    Beta.name: _beta,
    StudentT.name: _student,
    SkewNormal.name: _skew_normal,
    **{name: _ordered(name) for name in log_densities.ORDERED},
    **WITH_ZEROS,
}
