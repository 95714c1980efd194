"""What the likelihood of the rows is made of, in PyMC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.inference.graph import log_densities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bayeslmm.arrays import Floats


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
    suffix : str
        What tells data of these rows from those of other responses.
    """

    name: str
    link: str
    eta: Any
    parameters: Mapping[str, Any]
    known: Floats | None
    observed: Mapping[str, Any]
    suffix: str = ""

    def data(self, name: str, values: Any) -> Any:
        """Add what is known of the rows to the open model."""
        return pm.Data(f"{name}{self.suffix}_data", values, dims=self.observed["dims"])

    def log_means(self) -> tuple[Any, Any]:
        """Return log mu and log(1 - mu)."""
        return log_densities.LOG_MEANS[self.link](self.eta)

    def scale(self) -> Any:
        """Return sigma / sqrt(w)."""
        sigma = self.parameters[names.SIGMA]
        if self.known is None:
            return sigma
        return sigma * self.data("row_scale", 1 / np.sqrt(self.known))

    def trials(self) -> Any:
        """Return numbers of trials, ones where there are none."""
        if self.known is None:
            return pt.ones_like(self.observed["observed"])
        return self.data("trials", self.known.astype(np.int64))

    def observe(
        self, parameters: tuple[Any, ...], logp: Callable[..., Any], drawn: Callable[..., Any]
    ) -> None:
        """Observe a response with this log-density, which PyMC draws as its distributions."""
        pm.CustomDist(self.name, *parameters, dist=drawn, logp=logp, **self.observed)
