"""Every prior of one model as a frozen value: densities, description, JSON both ways."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from bayeslmm import names
from bayeslmm.errors import PriorError
from bayeslmm.model.priors.content import check_parts, parameters_in
from bayeslmm.model.priors.factor_priors import (
    FactorPriors,
    factor_as_json,
    factor_from_json,
    prior_as_json,
    prior_from_json,
)
from bayeslmm.model.priors.lkj import lkj_marginal_shape
from bayeslmm.model.priors.of_variables import by_variable, log_density_of, sum_log_density
from bayeslmm.model.priors.prior import LKJ, Prior

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats


# That a text shows; `describe` has all.
_MOST_COEFFICIENTS = 20


@dataclass(frozen=True, repr=False)
class Priors:
    """Every prior of a model.

    Attributes
    ----------
    coef : tuple of str
        Names of the fixed effects.
    beta : tuple of Prior
        One per fixed effect; the intercept's is set at `centers`.
    centers : tuple of float
        Mean of each fixed-effect column where the model has an intercept, else zeros: the
        intercept's prior is a prior on ``beta[0] + sum(centers[k] * beta[k])``. Those of ordered
        categories are on what their probabilities are there.
    factors : tuple of FactorPriors
        In the design's order.
    parameters : mapping of str to Prior
        Of the response family's parameters by name: of ``sigma``, the residual standard deviation,
        for the Gaussian; or of a residual structure's, such as ``sigma_by[Male]``.
    origins : mapping of str to str
        Parameter -> ``"default"`` or ``"user"``.
    matrices : mapping of str to int
        Of those parameters that are correlation matrices, the number of columns.
    parameter_factors : tuple of FactorPriors
        Of random effects in parameters, sigma's first, in the order of their formulas.
    predictor_centers : mapping of str to tuple of float
        Of parameters with formulas, by their variables, what `centers` are of `beta`: the
        intercept's prior is at the columns' means.
    intercepts : tuple of int
        Of several responses: where the intercept of each coefficient's own response stands, at
        whose columns' means its prior is set, or the coefficient itself where there is none.
        Empty of one response, whose intercept is the first coefficient.
    """

    coef: tuple[str, ...]
    beta: tuple[Prior, ...]
    centers: tuple[float, ...]
    factors: tuple[FactorPriors, ...]
    parameters: Mapping[str, Prior]
    origins: Mapping[str, str]
    matrices: Mapping[str, int] = field(default_factory=dict)
    parameter_factors: tuple[FactorPriors, ...] = ()
    predictor_centers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    intercepts: tuple[int, ...] = ()

    @property
    def all_factors(self) -> tuple[FactorPriors, ...]:
        """Those of the random effects in the mean, then of those in parameters."""
        return (*self.factors, *self.parameter_factors)

    @property
    def sigma(self) -> Prior:
        """The prior of the residual standard deviation, of families that have one."""
        return self.parameters[names.SIGMA]

    def __repr__(self) -> str:
        """Return one line a parameter: its prior, and whose choice it is."""
        return "\n".join(["Priors", *self._shown()])

    def _shown(self) -> list[str]:
        rows = [(name, str(prior), self.origins.get(name, "")) for name, prior in self.entries()]
        left_out = max(len(self.coef) - _MOST_COEFFICIENTS, 0)
        rows[_MOST_COEFFICIENTS : _MOST_COEFFICIENTS + left_out] = []
        widths = [max(len(row[k]) for row in rows) for k in range(2)]
        lines = [f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}".rstrip() for a, b, c in rows]
        if left_out:
            lines.insert(_MOST_COEFFICIENTS, f"  (and {left_out} fixed effects more)")
        if any(self.centers):
            of = "The intercept's is" if self.has_intercept else "Those of sticks are"
            lines.append(f"{of} for predictors at their means.")
        for factor in self.all_factors:
            if moved := factor.shift.columns:
                terms = ", ".join(factor.covariance.terms[k] for k in moved)
                lines.append(f"Those of {factor.name} ({terms}) are for columns at their means.")
        return lines

    def _repr_html_(self) -> str:
        table = self.describe().to_html(float_format="{:.4g}".format)
        return f"<div><p><strong>Priors</strong></p>{table}</div>"

    @property
    def has_intercept(self) -> bool:
        """Whether the first fixed effect is an intercept, or that of some response is."""
        return bool(self.intercepts) or self.coef[:1] == (names.INTERCEPT,)

    @property
    def own_intercept(self) -> NDArray[np.intp]:
        """Which coefficient is the intercept that each one's center belongs to, shape (p,)."""
        return np.array(self.intercepts or (0,) * len(self.coef), dtype=np.intp)

    def center_columns(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return columns X of fixed effects less their means, where their rows have them.

        Parameters
        ----------
        columns : ndarray, shape (n, p)
            Those of the design.
        """
        if not self.intercepts:
            return np.asarray(columns - np.asarray(self.centers))
        return np.asarray(columns - columns[:, self.own_intercept] * np.asarray(self.centers))

    def centered_slope(self, d_beta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Carry a gradient in the fixed effects to those of centered columns, shape (p,)."""
        if not self.has_intercept:
            return d_beta
        return np.asarray(d_beta - d_beta[self.own_intercept] * np.asarray(self.centers))

    def _moved(self, beta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what the columns' means add to each intercept, shape (..., p)."""
        moved = np.zeros_like(beta)
        for place in dict.fromkeys(self.intercepts or (0,)):
            own = self.own_intercept == place
            moved[..., place] = beta[..., own] @ np.asarray(self.centers)[own]
        return moved

    def centered_beta(self, beta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute what priors are on: fixed effects with the intercept at the predictors' means.

        Parameters
        ----------
        beta : ndarray, shape (..., p)
            Fixed effects on the original scale.

        Returns
        -------
        ndarray, shape (..., p)
            The same with ``beta[0] + sum(centers * beta)`` in the intercept's place; of several
            responses, in each intercept's place the sum over its own coefficients.
        """
        if not self.has_intercept:
            return beta
        return beta + self._moved(beta)

    def raw_beta(self, centered: NDArray[np.float64]) -> NDArray[np.float64]:
        """Compute the fixed effects on the original scale, the inverse of `centered_beta`."""
        if not self.has_intercept:
            return centered
        return centered - self._moved(centered)

    def centered_predictor(self, variable: str, values: Floats) -> Floats:
        """Compute what priors of a parameter's coefficients are on, as `centered_beta` does.

        Parameters
        ----------
        variable : str
            Such as ``"beta_zi"``.
        values : ndarray, shape (..., r)
            Coefficients as result trees have them.
        """
        centered = values.copy()
        if variable in self.predictor_centers:
            centered[..., 0] += values @ np.asarray(self.predictor_centers[variable])
        return centered

    def raw_predictor(self, variable: str, centered: Floats) -> Floats:
        """Compute a parameter's coefficients themselves, the inverse of `centered_predictor`."""
        values = centered.copy()
        if variable in self.predictor_centers:
            values[..., 0] -= centered @ np.asarray(self.predictor_centers[variable])
        return values

    def level(self, beta: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """Compute X beta at the predictors' means, shape (...), where it is no intercept's prior.

        Parameters
        ----------
        beta : ndarray, shape (..., p), or None
            Fixed effects; None where there are none.
        """
        if beta is None or self.has_intercept:
            return np.zeros(())
        return np.asarray(beta @ np.asarray(self.centers))

    def log_densities(
        self, posterior: Mapping[str, NDArray[np.float64]]
    ) -> dict[str, NDArray[np.float64]]:
        """Evaluate the log prior density of draws, one variable per prior a user can set.

        Densities are with respect to the quantities that priors are stated on (``beta``, standard
        deviations and correlations, of the effects at the columns' means where a `Shift` says so,
        the family's parameters): offsets of a non-centered model and the random effects themselves
        are not priors and take no part.

        Parameters
        ----------
        posterior : mapping of str to ndarray
            ``beta`` (..., p), the family's parameters such as ``sigma`` (...), ``sd_<factor>``
            (..., q) and ``corr_<factor>`` (..., q, q).

        Returns
        -------
        dict of str to ndarray, shape (...)
            Log-densities by variable.
        """
        result: dict[str, NDArray[np.float64]] = {}
        if self.coef:
            centered = self.centered_beta(posterior[names.BETA])
            result[names.BETA] = sum_log_density(self.beta, centered)
        for factor in self.all_factors:
            covariance = factor.covariance
            sd, corr = factor.shift.to_means(
                posterior[covariance.sd_name], posterior.get(covariance.corr_name)
            )
            own = sd if covariance.compiles else sd[..., covariance.sd_leads]
            result[covariance.sd_name] = sum_log_density(factor.sd, own)
            if corr is not None:
                result[covariance.corr_name] = covariance.log_prior(corr, factor.eta)
        for variable, priors in by_variable(self.parameters).items():
            single, values = variable in self.parameters, posterior[variable]
            if variable in self.predictor_centers:
                values = self.centered_predictor(variable, values)
            result[variable] = log_density_of(priors, values, single=single)
        return result

    def log_volume(self, posterior: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        r"""Evaluate the log-volume from named quantities to those that priors are stated on.

        G has the same volume at the columns' means, :math:`|d(T G T') / dG| = 1`, and
        :math:`|dG / d(s, R)| = 2^q \prod_i s_i^q`. With it densities of priors that stand in
        different places can be compared.

        Parameters
        ----------
        posterior : mapping of str to ndarray
            As in `log_densities`.

        Returns
        -------
        ndarray, shape (...) or ()
            Zero where all priors are of the effects as they are.
        """
        total = np.zeros(())
        for factor in self.all_factors:
            if not factor.shift.columns:
                continue
            sd = posterior[factor.covariance.sd_name]
            there, _ = factor.shift.to_means(sd, posterior[factor.covariance.corr_name])
            ratio = np.log(sd / there)
            for block, _ in factor.shift.sets:
                total = total + len(block) * ratio[..., list(block)].sum(axis=-1)
        return total

    def raw_scales(self, values: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return values with standard deviations and correlations of the effects as they are.

        Parameters
        ----------
        values : mapping of str to ndarray
            With ``sd_<factor>`` (..., q) and ``corr_<factor>`` (..., q, q) of what the priors are
            stated on; others are passed on.

        Returns
        -------
        dict of str to ndarray
        """
        out = dict(values)
        for factor in self.all_factors:
            sd, corr = factor.covariance.sd_name, factor.covariance.corr_name
            if factor.shift.columns:
                out[sd], out[corr] = factor.shift.to_origin(values[sd], values[corr])
        return out

    def entries(self) -> list[tuple[str, Prior]]:
        """Return (parameter, prior) in the order of a summary."""
        listed = list(zip(self.coef, self.beta, strict=True))
        for factor in self.all_factors:
            listed += zip(factor.covariance.sd_names, factor.sd, strict=True)
            if factor.corr is not None:
                listed.append((factor.covariance.corr_name, factor.corr))
        return [*listed, *self.parameters.items()]

    def describe(self) -> pd.DataFrame:
        """Return a table of the priors: distribution, 5/50/95 % quantiles, origin.

        Returns
        -------
        DataFrame
            Indexed by parameter; ``q5``, ``q50``, ``q95`` are on the parameter's own scale
            (for a correlation: of each single correlation).
        """
        rows = []
        for parameter, prior in self.entries():
            quantiles = self._quantiles(parameter, prior)
            rows.append((parameter, str(prior), *quantiles, self.origins[parameter]))
        columns = ["parameter", "distribution", "q5", "q50", "q95", "origin"]
        return pd.DataFrame(rows, columns=columns).set_index("parameter")

    def _quantiles(self, parameter: str, prior: Prior) -> NDArray[np.float64]:
        levels = np.array([0.05, 0.5, 0.95])
        if prior.family != LKJ:
            return prior.quantile(levels)
        if parameter in self.matrices:
            a = lkj_marginal_shape(self.matrices[parameter], prior.numbers[0])
        else:
            factor = next(f for f in self.all_factors if f.covariance.corr_name == parameter)
            # Of several matrices the largest one's correlations: they are closest to zero.
            return factor.covariance.correlation_quantiles(factor.eta, levels)
        return np.asarray(2 * betaincinv(a, a, levels) - 1)

    def to_json(self) -> str:
        """Return the priors as JSON text that `from_json` reads back exactly."""
        content: dict[str, Any] = {
            "coef": self.coef,
            "beta": [prior_as_json(prior) for prior in self.beta],
            "centers": self.centers,
            "factors": [factor_as_json(factor) for factor in self.factors],
            "parameters": {name: prior_as_json(prior) for name, prior in self.parameters.items()},
            "origins": dict(self.origins),
            # These only where there are any: the JSON of other models stays as it was.
            **({"matrices": dict(self.matrices)} if self.matrices else {}),
        }
        if self.intercepts:
            content["intercepts"] = self.intercepts
        if self.parameter_factors:
            others = [factor_as_json(factor) for factor in self.parameter_factors]
            content["parameter_factors"] = others
        if self.predictor_centers:
            content["predictor_centers"] = dict(self.predictor_centers)
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> Priors:
        """Return the priors that `to_json` wrote.

        Raises
        ------
        PriorError
            If the text is no such JSON.
        """
        try:
            return cls._of(json.loads(text))
        except PriorError:
            raise
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError,
                ValueError) as error:  # fmt: skip
            raise PriorError(f"This is not the JSON of a model's priors: {error!r}.") from None

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> Priors:
        factors = tuple(map(factor_from_json, content["factors"]))
        others = tuple(map(factor_from_json, content.get("parameter_factors", ())))
        check_parts(content, (*factors, *others))
        return cls(
            tuple(content["coef"]),
            tuple(prior_from_json(prior) for prior in content["beta"]),
            tuple(map(float, content["centers"])),
            factors,
            {name: prior_from_json(prior) for name, prior in parameters_in(content).items()},
            dict(content["origins"]),
            {str(name): int(q) for name, q in content.get("matrices", {}).items()},
            others,
            {
                str(name): tuple(map(float, centers))
                for name, centers in content.get("predictor_centers", {}).items()
            },
            tuple(map(int, content.get("intercepts", ()))),
        )
