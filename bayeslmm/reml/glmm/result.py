"""`MLFit`: estimates of a mixed model of any response family by maximum likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayeslmm.design.factors.arms import own_effects
from bayeslmm.reml.components import component_rows
from bayeslmm.reml.result import ByFactor
from bayeslmm.reml.text import fit_html, fit_text, likelihood_line

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.families.family import Family
    from bayeslmm.reml.glmm.search import Approximation

_STATISTIC = "z value"


@dataclass(frozen=True, eq=False, repr=False)
class MLFit:
    """A generalised linear mixed model fitted by maximum likelihood.

    The family's parameters are attributes under their own names, such as ``fit.shape``.

    Attributes
    ----------
    formula : str
        The model, in canonical form.
    family : Family
        The response family with its link.
    data : ModelData
        What it was fitted to.
    estimates : DataFrame
        ``estimate`` and ``std_error`` of every parameter: coefficients, ``sd_<factor>[term]``,
        ``corr_<factor>[term, term]``, the family's parameters. Standard errors are from the
        Hessian of the log-likelihood in all of them, by the delta method; NaN where the estimate
        is on a boundary or infinite. Those of standard deviations near zero say little, and the
        text says of which.
    vcov : DataFrame
        Covariance matrix of the fixed effects.
    factors : tuple of ndarray, shapes (q, q)
        Lower triangular L_k with G_k = L_k L_k', on the link's scale.
    modes : tuple of ndarray, shapes (m, q)
        Conditional modes of the effects, levels by terms, given the estimates.
    log_likelihood : float
        With all constants of the response, so that it compares among families; as approximated.
    approximation : {"exact", "quadrature", "laplace"}
        How the effects were integrated out.
    nodes : int or None
        Quadrature nodes per column.
    node_error : float or None
        By how much doubling the nodes changes the log-likelihood.
    is_singular : bool
        Whether a variance component is on its boundary.
    converged : bool
        Whether a further Newton step would raise the log-likelihood by less than 5e-7.
    convergence : str
        The same in words.
    n_evaluations : int
        Evaluations of the likelihood.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> fit = bl.fit_ml("y ~ lbase4 + trt + (1 | subject)", bl.load_dataset("epil"),
    ...                 family="poisson")
    >>> fit.variance_components["sd"].round(3).tolist()
    [0.524]
    """

    formula: str
    family: Family
    data: ModelData
    estimates: pd.DataFrame
    vcov: pd.DataFrame
    factors: tuple[Floats, ...]
    modes: tuple[Floats, ...]
    log_likelihood: float
    approximation: Approximation
    nodes: int | None
    node_error: float | None
    is_singular: bool
    converged: bool
    convergence: str
    n_evaluations: int

    def __repr__(self) -> str:
        return fit_text(self, self._head(), self._remarks(), _STATISTIC)

    def _repr_html_(self) -> str:
        return fit_html(self, self._head(), self._remarks(), _STATISTIC)

    def __getattr__(self, name: str) -> float:
        # Only names that are not found otherwise come here; `family` is not set while unpickling.
        family = self.__dict__.get("family")
        known = [] if family is None else [n for one in family.parameters for n in one.entries]
        if name in known:
            return float(self.estimates.loc[name, "estimate"])  # type: ignore[arg-type]
        raise AttributeError(
            f"An MLFit has no {name!r}; the parameters of its family are: "
            f"{', '.join(known) or 'none'}."
        )

    @property
    def criterion(self) -> float:
        """-2 log-likelihood."""
        return -2.0 * self.log_likelihood

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        return self.data.n

    @property
    def n_levels(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {factor.name: len(factor.levels) for factor in self.data.factors}

    @property
    def n_parameters(self) -> int:
        """Fixed effects, variances and correlations, and the family's parameters."""
        return len(self.estimates)

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``criterion + 2 n_parameters``."""
        return self.criterion + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``criterion + log(n_obs) n_parameters``."""
        return self.criterion + float(np.log(self.n_obs)) * self.n_parameters

    @cached_property
    def fixed_effects(self) -> pd.DataFrame:
        """Estimates and standard errors, by coefficient, on the link's scale."""
        table = self.estimates.iloc[: len(self.data.coef)].copy()
        table.index = pd.Index(self.data.coef, name="coef")
        return table

    @cached_property
    def variance_components(self) -> pd.DataFrame:
        """Standard deviations, variances and correlations, by factor and term.

        Columns ``sd``, ``variance``, and ``corr_<term>`` with each earlier term that it is
        correlated with (NaN elsewhere), on the link's scale. The family's parameters are not among
        them: see `estimates`.
        """
        rows = component_rows(self.data.factors, self.factors)
        table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=_NO_COMPONENTS)
        return table.set_index(["factor", "term"])

    @cached_property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """Conditional modes of each factor's random effects, levels by terms."""
        return ByFactor(
            {
                factor.name: pd.DataFrame(
                    own_effects(factor, modes),
                    index=pd.Index(factor.levels, name=factor.name),
                    columns=pd.Index(factor.terms, name="term"),
                )
                for factor, modes in zip(self.data.factors, self.modes, strict=True)
            }
        )

    @property
    def parameters(self) -> dict[str, float]:
        """The family's parameters by name."""
        names = [name for one in self.family.parameters for name in one.entries]
        return {name: float(getattr(self, name)) for name in names}

    def _near_zero(self) -> list[str]:
        """Name standard deviations whose Wald intervals of 95 % reach zero."""
        own = self.estimates.iloc[len(self.data.coef) :]
        is_sd = own.index.str.startswith("sd_")
        near = own["estimate"] < 2.0 * own["std_error"]
        return [str(name) for name in own.index[is_sd & near]]

    def _head(self) -> list[str]:
        title = "Generalised linear mixed model" if self.factors else "Generalised linear model"
        how = {
            "exact": "maximum likelihood",
            "laplace": "maximum likelihood (Laplace's approximation)",
            "quadrature": f"maximum likelihood (adaptive quadrature, {self.nodes} nodes)",
        }[self.approximation]
        own = "".join(f"   {name} {value:.5g}" for name, value in self.parameters.items())
        return [
            f"{title} fit by {how}",
            f"Family: {self.family.name} ({self.family.link.name}){own}",
            f"Formula: {self.formula}",
            likelihood_line(self),
        ]

    def _remarks(self) -> list[str]:
        remarks = []
        if self.is_singular:
            remarks.append("Singular fit: a variance component is estimated on its boundary.")
        near = self._near_zero()
        if near:
            remarks.append(
                f"Within two standard errors of zero: {', '.join(near)}. There a standard error "
                "says little, since the log-likelihood is no parabola in an sd; "
                "likelihood_ratio_test with a fit that leaves the term out says more."
            )
        infinite = self.estimates.index[~np.isfinite(self.estimates["estimate"])]
        if len(infinite):
            remarks.append(f"Without a finite estimate: {', '.join(map(str, infinite))}.")
        if not self.converged:
            remarks.append(self.convergence)
        return remarks


_NO_COMPONENTS = ["factor", "term", "sd", "variance"]
