"""The response given its linear predictor, in PyMC: one function per family, held to NumPy's.

What a family is stands in `bayeslmm.families`; a test holds the densities here to
`Family.log_density` at random points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.families.beta import PHI, Beta
from bayeslmm.families.binomial import Bernoulli, Binomial
from bayeslmm.families.gamma import SHAPE as GAMMA_SHAPE
from bayeslmm.families.gamma import Gamma
from bayeslmm.families.gaussian import Gaussian
from bayeslmm.families.lognormal import LogNormal
from bayeslmm.families.negbinomial import SHAPE as COUNT_SHAPE
from bayeslmm.families.negbinomial import NegativeBinomial
from bayeslmm.families.ordered import AdjacentCategory, Cumulative, StoppingRatio
from bayeslmm.families.poisson import Poisson
from bayeslmm.families.registry import family_of
from bayeslmm.families.sticks import THRESHOLD
from bayeslmm.families.student import NU, StudentT
from bayeslmm.inference.graph import log_densities, ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.arrays import Floats
    from bayeslmm.design.design import Design
    from bayeslmm.families.family import Family

# PyMC's variables of these are whole numbers, and so are their data.
WHOLE_NUMBERS = {
    Bernoulli.name, Binomial.name, Poisson.name, NegativeBinomial.name, Cumulative.name,
    StoppingRatio.name, AdjacentCategory.name,
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """What the likelihood of the rows is made of.

    Attributes
    ----------
    name : str
        Name of the response.
    link : str
        Name of the link.
    eta : tensor, shape (n,)
        Linear predictors.
    parameters : mapping of str to tensor
        The family's parameters.
    known : ndarray, shape (n,), or None
        Weights or trials.
    observed : mapping of str to Any
        The response's data and dimension, as any PyMC distribution takes them.
    """

    name: str
    link: str
    eta: Any
    parameters: Mapping[str, Any]
    known: Floats | None
    observed: Mapping[str, Any]

    def log_means(self) -> tuple[Any, Any]:
        """Return log mu and log(1 - mu)."""
        return log_densities.LOG_MEANS[self.link](self.eta)

    def scale(self) -> Any:
        """Return sigma / sqrt(w)."""
        sigma = self.parameters[names.SIGMA]
        if self.known is None:
            return sigma
        return sigma * pm.Data("row_scale_data", 1 / np.sqrt(self.known), dims=names.OBS)


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
    parameters : mapping of str to tensor, shape ()
        The family's parameters phi by name.
    """
    y = design.y.astype(np.int64) if family.name in WHOLE_NUMBERS else design.y
    observed = {
        "observed": pm.Data("response_data", y, dims=names.OBS),
        "dims": names.OBS,
    }
    name = names.stored(design.response)
    LIKELIHOODS[family.name](Rows(name, family.link.name, eta, parameters, design.known, observed))


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


def _poisson(rows: Rows) -> None:
    pm.Poisson(rows.name, mu=pt.exp(rows.eta), **rows.observed)


def _bernoulli(rows: Rows) -> None:
    def drawn(log_mean: Any, log_rest: Any, size: Any) -> Any:  # noqa: ARG001
        return pm.Bernoulli.dist(p=pt.exp(log_mean), size=size)

    _custom(rows, rows.log_means(), log_densities.bernoulli, drawn)


def _binomial(rows: Rows) -> None:
    def drawn(trials: Any, log_mean: Any, log_rest: Any, size: Any) -> Any:  # noqa: ARG001
        return pm.Binomial.dist(n=trials, p=pt.exp(log_mean), size=size)

    trials: Any = pt.ones_like(rows.observed["observed"])
    if rows.known is not None:
        trials = pm.Data("trials_data", rows.known.astype(np.int64), dims=names.OBS)
    _custom(rows, (trials, *rows.log_means()), log_densities.binomial, drawn)


def _negbinomial(rows: Rows) -> None:
    def drawn(eta: Any, shape: Any, size: Any) -> Any:
        return pm.NegativeBinomial.dist(mu=pt.exp(eta), alpha=shape, size=size)

    parameters = (rows.eta, rows.parameters[COUNT_SHAPE.name])
    _custom(rows, parameters, log_densities.negbinomial, drawn)


def _beta(rows: Rows) -> None:
    def drawn(log_mean: Any, log_rest: Any, phi: Any, size: Any) -> Any:
        return pm.Beta.dist(alpha=phi * pt.exp(log_mean), beta=phi * pt.exp(log_rest), size=size)

    parameters = (*rows.log_means(), rows.parameters[PHI.name])
    _custom(rows, parameters, log_densities.beta, drawn)


def _ordered(family: str) -> Callable[[Rows], None]:
    """Return what observes a response of ordered categories."""

    def add(rows: Rows) -> None:
        member = family_of(family, rows.link)

        def drawn(eta: Any, cuts: Any, rng: Any = None, size: Any = None) -> Any:  # noqa: ARG001
            return member.draw(eta, {THRESHOLD: cuts}, None, rng).astype(np.int64)

        pm.CustomDist(
            rows.name, rows.eta, rows.parameters[THRESHOLD], random=drawn, dtype="int64",
            logp=ordered.log_density(family, rows.link), signature="(n),(c)->(n)", **rows.observed,
        )  # fmt: skip

    return add


def _custom(
    rows: Rows,
    parameters: tuple[Any, ...],
    logp: Callable[..., Any],
    drawn: Callable[..., Any],
) -> None:
    """Observe a response with this log-density, which PyMC draws as one of its distributions."""
    pm.CustomDist(rows.name, *parameters, dist=drawn, logp=logp, **rows.observed)


LIKELIHOODS: Mapping[str, Callable[[Rows], None]] = {
    Gaussian.name: _gaussian,
    Bernoulli.name: _bernoulli,
    Binomial.name: _binomial,
    Poisson.name: _poisson,
    NegativeBinomial.name: _negbinomial,
    Gamma.name: _gamma,
    LogNormal.name: _lognormal,
    Beta.name: _beta,
    StudentT.name: _student,
    **{name: _ordered(name) for name in ordered.DENSITIES},
}
