"""`REMLFit`: estimates of a fitted model, computed from the Gram and Lambda when asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.design.factors.arms import own_covariances, own_effects
from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.gram.border.choice import DENSE, Border
from bayeslmm.gram.border.moments import conditional_by_probes
from bayeslmm.gram.likelihood import conditional
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.factors import theta_from_factor, theta_names
from bayeslmm.model.covariance.theta import theta_order
from bayeslmm.reml.components import component_rows
from bayeslmm.reml.parameters import list_targets, values_of
from bayeslmm.reml.text import fit_head, fit_html, fit_remarks, fit_text
from bayeslmm.resources import single_blas_thread

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.gram.gram import Gram
    from bayeslmm.gram.told import Conditional
    from bayeslmm.reml.krylov.record import ProbeRecord
    from bayeslmm.reml.starts import Mode
    from bayeslmm.reml.structured.fitted import FittedResiduals

type Method = Literal["REML", "ML"]
_DENSE = Border(DENSE, "nothing was chosen")


class ByFactor[T](dict[str, T]):
    """Values by grouping factor, which name the factors that there are when asked for another.

    Examples
    --------
    >>> ByFactor(Subject=1)["subject"]
    Traceback (most recent call last):
    bayeslmm.errors.ArgumentError: There is no grouping factor 'subject'. Did you mean 'Subject'? \
The model has: Subject.
    """

    def __missing__(self, name: str) -> T:
        raise ArgumentError(
            f"There is no grouping factor {name!r}.{nearest(str(name), self)} The model has: "
            f"{', '.join(self) or 'none'}."
        )


@dataclass(frozen=True, eq=False, repr=False)
class REMLFit:
    """A linear mixed model fitted by (restricted) maximum likelihood.

    Attributes
    ----------
    formula : str
        The model, in canonical form.
    method : {"REML", "ML"}
        Which likelihood was maximised.
    gram : Gram
        The cross-products that it was maximised on; with a residual structure, those of rows
        scaled by R_0^(-1/2).
    factors : tuple of ndarray, shapes (q, q)
        Relative factors Lambda_k (G_k = scale^2 Lambda_k Lambda_k'), lower triangular, in the
        formula's order of grouping factors.
    scale : float
        s of the residuals' covariance R = s^2 R_0, with R_0 = W^-1 (then s is sigma) or that of
        the residual structure; one where such a structure has no common scale.
    criterion : float
        -2 log-likelihood (ML) or -2 log restricted likelihood (REML), constants as in lme4.
    is_singular : bool
        Whether a variance component is on the boundary: some standard deviation zero, or a
        correlation matrix of lower rank.
    converged : bool
        Whether a further Newton step would lower the criterion by less than 1e-6.
    n_evaluations : int
        Evaluations of the criterion.
    data : ModelData
        What it was fitted to: the rows, coded, or cross-products where those were given.
    residual : FittedResiduals or None
        The residual structure at its estimates; None where residuals are independent with one
        sigma.
    at_bound : tuple of str
        In words, numbers of structured random effects' correlations that are on their bounds, and
        a sigma that is zero beside them.
    modes : tuple of Mode
        Other minima of the criterion that the search has come upon; see `other_modes`.
    border : Border
        How crossed effects were solved for, and why.
    by_probes : ProbeRecord or None
        What chance there is in it where that was by iterations.

    Examples
    --------
    >>> from bayeslmm.tables.datasets import load_dataset
    >>> from bayeslmm.reml.fit import fit_reml
    >>> fit = fit_reml("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    >>> fit.fixed_effects.round(2)
               estimate  std_error
    coef
    Intercept    251.41       6.82
    Days          10.47       1.55
    >>> fit.theta.round(4).tolist()
    [0.9667, 0.0152, 0.2309]
    """

    formula: str
    method: Method
    gram: Gram
    factors: tuple[Floats, ...]
    scale: float
    criterion: float
    is_singular: bool
    converged: bool
    n_evaluations: int
    data: ModelData
    residual: FittedResiduals | None = None
    at_bound: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()
    border: Border = _DENSE
    by_probes: ProbeRecord | None = None

    def __repr__(self) -> str:
        return fit_text(self, fit_head(self), fit_remarks(self), "t value", self._residual_tables)

    def _repr_html_(self) -> str:
        return fit_html(self, fit_head(self), fit_remarks(self), "t value", self._residual_tables)

    @property
    def sigma(self) -> float:
        """Residual standard deviation, in the response's unit.

        With a formula of log(sigma) it is that at the columns' means; beside known standard errors
        it is what residuals have besides.

        Raises
        ------
        ArgumentError
            Where there is no such number: strata and visits have one each, and known standard
            errors alone leave none.
        """
        if self.residual is None:
            return self.scale
        known = self.residual.table["estimate"]
        if names.SIGMA in known.index:
            return float(known[names.SIGMA])
        raise ArgumentError(
            "This fit has no single sigma: see fit.residual_parameters."
            if len(known)
            else "This fit has no sigma: its residuals' standard errors are known."
        )

    @cached_property
    def residual_parameters(self) -> pd.DataFrame:
        """Parameters of the residuals' covariance, by name: column ``estimate``.

        ``sigma``, or with a residual structure ``sigma_by[level]``, ``beta_sigma[column]``,
        ``rho_residual``, ``sd_residual[visit]``, ``corr_residual[visit, visit]`` and others, called
        as in a result tree.
        """
        if self.residual is not None:
            return self.residual.table
        index = pd.Index([names.SIGMA], name="parameter")
        return pd.DataFrame({"estimate": [self.scale]}, index)

    def residual_covariance(self, by: str | None = None) -> pd.DataFrame:
        """Return R of the group with the most rows, by visit or time.

        Parameters
        ----------
        by : str, optional
            Among the groups of this stratum, where each has parameters of its own.

        Raises
        ------
        ArgumentError
            If residuals are independent, or there is no such stratum.
        """
        if self.residual is None:
            raise ArgumentError(
                "The residuals of this fit are independent, with variance sigma^2 / w."
            )
        return self.residual.covariance(by)

    @property
    def log_likelihood(self) -> float:
        """Log (restricted) likelihood at the estimates, ``-criterion / 2``."""
        return -0.5 * self.criterion

    @property
    def loglik_se(self) -> float:
        """Standard error of `log_likelihood` by the chance of probes; zero where there are none."""
        return 0.0 if self.by_probes is None else self.by_probes.loglik_se

    @property
    def probe_error(self) -> pd.Series:
        """Chance of probes in each variance parameter's estimate, in its standard errors."""
        known = {} if self.by_probes is None else self.by_probes.error
        return pd.Series(known, pd.Index(known, name="parameter"), float, "probe_error")

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        return self.gram.n

    @property
    def n_levels(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        return {factor.name: len(factor.levels) for factor in self.gram.factors}

    @property
    def n_parameters(self) -> int:
        """Fixed effects, parameters of G, and sigma or the residual structure's parameters."""
        covariances = [covariance_of(factor) for factor in self.gram.factors]
        free = sum(covariance.n_sds + covariance.n_partials for covariance in covariances)
        of_residuals = 1 if self.residual is None else self.residual.structure.size
        return len(self.gram.coef) + free + of_residuals

    @property
    def aic(self) -> float:
        """Akaike's criterion, ``criterion + 2 n_parameters``."""
        return self.criterion + 2.0 * self.n_parameters

    @property
    def bic(self) -> float:
        """Schwarz's criterion, ``criterion + log(n_obs) n_parameters``."""
        return self.criterion + float(np.log(self.n_obs)) * self.n_parameters

    @cached_property
    def conditional(self) -> Conditional:
        """Moments of all effects given y at the estimates; zero of those that a level has not."""
        at, own = (self.gram, self.factors, self.scale), self.by_probes
        with single_blas_thread():
            if own is None:
                found = conditional(*at)
            else:
                found = conditional_by_probes(*at, count=own.probes, seed=own.seed)
        return replace(
            found,
            modes=tuple(map(own_effects, self.gram.factors, found.modes)),
            cov=tuple(map(own_covariances, self.gram.factors, found.cov)),
            marginal_cov=tuple(map(own_covariances, self.gram.factors, found.marginal_cov)),
        )

    @cached_property
    def fixed_effects(self) -> pd.DataFrame:
        """Generalised least-squares estimates and standard errors, by coefficient."""
        errors = np.sqrt(np.diag(self.conditional.beta_cov))
        return pd.DataFrame(
            {"estimate": self.conditional.beta, "std_error": errors},
            index=pd.Index(self.gram.coef, name="coef"),
        )

    @cached_property
    def vcov(self) -> pd.DataFrame:
        """Covariance matrix of the fixed effects, (X'Cov(y)^-1 X)^-1."""
        coef = pd.Index(self.gram.coef, name="coef")
        return pd.DataFrame(self.conditional.beta_cov, index=coef, columns=coef)

    @cached_property
    def variance_components(self) -> pd.DataFrame:
        """Standard deviations, variances and correlations, by factor and term.

        Columns ``sd`` (the response's unit per unit of the column), ``variance``, and
        ``corr_<term>`` with each earlier term that it is correlated with (NaN elsewhere); of
        structures with a correlation of their own ``rho`` instead, in the row of their first term,
        and one row for terms that share their standard deviation. The last row,
        ``("Residual", "")``, is sigma; of strata and visits there is a row each, of known
        standard errors none.
        """
        rows = component_rows(self.gram.factors, self._scaled)
        sigmas = {"": self.scale} if self.residual is None else self.residual.sigmas
        own = [
            {"factor": "Residual", "term": term, "sd": sd, "variance": sd**2}
            for term, sd in sigmas.items()
        ]
        columns = ["factor", "term", "sd", "variance"]
        table = pd.DataFrame([*rows, *own], columns=None if rows or own else columns)
        return table.set_index(["factor", "term"])

    @cached_property
    def other_modes(self) -> pd.DataFrame:
        """Other minima of the criterion, a row each: ``criterion``, then parameters by name.

        Searches of models in which random effects have few numbers for their covariance begin in
        several places, and the lowest end is the fit. Minima more than 20 above it are not told.
        """
        targets = list_targets(self.gram, self.residual)
        free = {name: target for name, target in targets.items() if target.kind != names.BETA}
        rows = []
        for mode in self.modes:
            rest = np.array([mode.scale])
            if self.residual is not None:
                rest = self.residual.values(mode.phi)
            values = values_of(self.gram, free, np.zeros(0), mode.roots, rest)
            rows.append({"criterion": mode.criterion} | values)
        return pd.DataFrame(rows, columns=["criterion", *free])

    @cached_property
    def covariance(self) -> dict[str, pd.DataFrame]:
        """G_k = scale^2 Lambda_k Lambda_k' of each grouping factor."""
        out: dict[str, pd.DataFrame] = ByFactor()
        for factor, L in zip(self.gram.factors, self._scaled, strict=True):
            terms = pd.Index(factor.terms, name="term")
            out[factor.name] = pd.DataFrame(L @ L.T, index=terms, columns=terms)
        return out

    @property
    def theta(self) -> Floats:
        """Entries of Lambda in lme4's order; see `theta_names`.

        They are free where the random effects are correlated freely or not at all.
        """
        parts = [
            theta_from_factor(self.factors[k][np.ix_(columns, columns)])
            for k, columns in theta_order(self.formula, self.gram.factors)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)

    @property
    def theta_names(self) -> list[str]:
        """Names of theta's entries, ``factor.term`` or ``factor.row.column``.

        In lme4's order: terms by decreasing number of levels, equal ones as lme4 turns them.
        """
        return [
            name
            for k, columns in theta_order(self.formula, self.gram.factors)
            for name in theta_names(
                self.gram.factors[k].name, [self.gram.factors[k].terms[j] for j in columns]
            )
        ]

    @cached_property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """Conditional modes of each factor's random effects, levels by terms."""
        found = {
            factor.name: pd.DataFrame(
                modes,
                index=pd.Index(factor.levels, name=factor.name),
                columns=pd.Index(factor.terms, name="term"),
            )
            for factor, modes in zip(self.gram.factors, self.conditional.modes, strict=True)
        }
        return ByFactor(found)

    @property
    def conditional_covariance(self) -> dict[str, Floats]:
        """Var(b_i | y, beta, theta) for each factor, (m, q, q): lme4's ``condVar``."""
        factors = [factor.name for factor in self.gram.factors]
        return ByFactor(zip(factors, self.conditional.cov, strict=True))

    @property
    def prediction_error_covariance(self) -> dict[str, Floats]:
        """Var(b_i | y, theta) for each factor, (m, q, q): with the uncertainty of beta.

        Under a flat prior on beta this is the posterior covariance given theta and sigma.
        """
        factors = [factor.name for factor in self.gram.factors]
        return ByFactor(zip(factors, self.conditional.marginal_cov, strict=True))

    @property
    def _scaled(self) -> list[Floats]:
        return [self.scale * lam for lam in self.factors]

    @property
    def _residual_tables(self) -> dict[str, pd.DataFrame]:
        return {} if self.residual is None else self.residual.tables()


def require_fit(fit: Any, instead: str) -> None:
    """Raise unless this is the result of `fit_reml`.

    Parameters
    ----------
    fit : REMLFit
        What was given.
    instead : str
        What to use with a posterior.

    Raises
    ------
    ArgumentError
        With what to do instead.
    """
    if isinstance(fit, REMLFit):
        return
    if type(fit).__name__ == "DataTree":
        raise ArgumentError(
            f"This is a posterior (fit_bayes), and a result of fit_reml is needed. {instead} "
            "bl.refit_reml(fit) fits the same model by REML."
        )
    raise ArgumentError(f"A result of fit_reml is needed, not a {type(fit).__name__}.")
