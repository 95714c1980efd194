"""Priors of one grouping factor's random effects, of the mean or of log(sigma)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayeslmm.model.covariance.block_covariance import BlockCovariance
from bayeslmm.model.covariance.kinds import blocks_of_plain, said_to_plain
from bayeslmm.model.priors.prior import Prior
from bayeslmm.model.priors.shift import NO_SHIFT, Shift

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class FactorPriors:
    """Priors of one grouping factor.

    Attributes
    ----------
    covariance : BlockCovariance
        The structure of its G.
    sd : tuple of Prior, length n_sds
        One per column, or per set of columns that share a standard deviation.
    corr : Prior or None
        LKJ prior of the structure's correlations; None where it has none.
    shift : Shift
        Where the priors stand: of the effects as they are, or at the columns' means.
    """

    covariance: BlockCovariance
    sd: tuple[Prior, ...]
    corr: Prior | None
    shift: Shift = NO_SHIFT

    @property
    def name(self) -> str:
        """The factor."""
        return self.covariance.name

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of its random-effect columns."""
        return self.covariance.terms

    @property
    def eta(self) -> float:
        """Concentration of the LKJ prior; only where the structure has correlations."""
        if self.corr is None:
            raise ValueError(f"The random effects by {self.name!r} have no correlations.")
        return self.corr.numbers[0]

    @property
    def partial_priors(self) -> tuple[Prior | float, ...]:
        """Priors of the partials; a number a stands for 2 Beta(a, a) - 1."""
        shapes = self.covariance.partial_shapes(self.eta if self.corr else 1.0).tolist()
        return tuple(
            Prior.of("Beta", alpha=a, beta=b) if unit else a
            for (a, b), unit in zip(shapes, self.covariance.in_unit_interval, strict=True)
        )


def factor_as_json(factor: FactorPriors) -> dict[str, Any]:
    """Return a factor's priors in JSON's types."""
    return {
        "name": factor.name,
        "terms": factor.terms,
        "blocks": factor.covariance.independent,
        "sd": [prior_as_json(prior) for prior in factor.sd],
        "corr": None if factor.corr is None else prior_as_json(factor.corr),
        "shift": factor.shift.to_json(),
        **({"structures": said_to_plain(said)} if (said := factor.covariance.said) else {}),
    }


def factor_from_json(content: Mapping[str, Any]) -> FactorPriors:
    """Return what `factor_as_json` wrote."""
    said = blocks_of_plain(content)
    return FactorPriors(
        BlockCovariance.of_blocks(content["name"], tuple(content["terms"]), *said),
        tuple(prior_from_json(prior) for prior in content["sd"]),
        None if content["corr"] is None else prior_from_json(content["corr"]),
        Shift.from_json(content.get("shift")),
    )


def prior_as_json(prior: Prior) -> dict[str, Any]:
    """Return a prior in JSON's types."""
    # JSON has no infinity; text keeps it (and every digit) exactly.
    return {"family": prior.family, "parameters": {k: repr(v) for k, v in prior.parameters}}


def prior_from_json(content: Mapping[str, Any]) -> Prior:
    """Return what `prior_as_json` wrote."""
    parameters = {name: float(value) for name, value in content["parameters"].items()}
    return Prior(content["family"], tuple(parameters.items()))
