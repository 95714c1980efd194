"""Linear functions of the effects: draws of a posterior, or REML's estimates and covariance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri

from bayeslmm.results.diagnostics import describe, interval
from bayeslmm.results.shares import share_of_draws

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats

# Columns that the tables of linear functions may have, whatever the fit.
NUMBERS = (
    "mean", "sd", "median", "estimate", "std_error", "lower", "upper", "p_positive", "p_above_one",
)  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class Drawn:
    """Draws of k linear functions.

    Attributes
    ----------
    draws : ndarray, shape (chain, draw, k)
    """

    draws: Floats

    @property
    def centre(self) -> Floats:
        """Posterior means, shape (k,)."""
        return np.asarray(self.draws.mean(axis=(0, 1)))

    def combine(self, weights: Floats) -> Drawn:
        """Return the combinations whose weights are the rows of a matrix (c, k)."""
        return Drawn(self.draws @ weights.T)

    def interval(self, ci_prob: float, ci_kind: str) -> tuple[Floats, Floats]:
        """Return the bounds of the credible intervals, shape (k,) each."""
        return interval(self.draws.reshape(-1, self.draws.shape[-1]), ci_prob, ci_kind)

    def table(
        self, ci_prob: float, ci_kind: str, *, sign: bool, ratio: bool = False
    ) -> dict[str, Floats]:
        """Return mean, sd, median, interval and, of contrasts, the probability of one sign.

        Of differences that they are above zero, of ratios that they are above one.
        """
        numbers = describe(self.draws, ci_prob, ci_kind, diagnostics=False)
        if sign:
            name, none = ("p_above_one", 1.0) if ratio else ("p_positive", 0.0)
            numbers[name] = share_of_draws(self.draws > none)
        return numbers


@dataclass(frozen=True, eq=False, slots=True)
class Estimated:
    """REML's estimates of k linear functions of the fixed effects.

    Attributes
    ----------
    value : ndarray, shape (k,)
        L beta.
    covariance : ndarray, shape (k, k)
        L Var(beta) L'.
    """

    value: Floats
    covariance: Floats

    @property
    def centre(self) -> Floats:
        """The estimates, shape (k,)."""
        return self.value

    @property
    def errors(self) -> Floats:
        """Standard errors, shape (k,)."""
        # What is zero but for rounding may come out below it.
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    def combine(self, weights: Floats) -> Estimated:
        """Return the combinations whose weights are the rows of a matrix (c, k)."""
        return replace(
            self, value=weights @ self.value, covariance=weights @ self.covariance @ weights.T
        )

    def interval(self, ci_prob: float, ci_kind: str) -> tuple[Floats, Floats]:
        """Return Wald's limits, shape (k,) each; of a normal, both kinds of interval are one."""
        del ci_kind
        half = float(ndtri(0.5 + 0.5 * ci_prob)) * self.errors
        return self.value - half, self.value + half

    def table(
        self, ci_prob: float, ci_kind: str, *, sign: bool, ratio: bool = False
    ) -> dict[str, Floats]:
        """Return estimate, standard error and Wald's limits, as `confidence_intervals` has them."""
        del sign, ratio
        lower, upper = self.interval(ci_prob, ci_kind)
        return {"estimate": self.value, "std_error": self.errors, "lower": lower, "upper": upper}


type Estimates = Drawn | Estimated
