"""Fits by maximum likelihood as text, for terminals and notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from bayeslmm import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bayeslmm.gram.border.choice import Border
    from bayeslmm.reml.krylov.record import ProbeRecord
    from bayeslmm.reml.structured.fitted import FittedResiduals


class Fit(Protocol):
    """What a fit shows of itself."""

    @property
    def log_likelihood(self) -> float:
        """At the estimates."""
        ...

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        ...

    @property
    def bic(self) -> float:
        """Schwarz's criterion."""
        ...

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        ...

    @property
    def n_levels(self) -> dict[str, int]:
        """Number of levels of each grouping factor."""
        ...

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        ...

    @property
    def fixed_effects(self) -> pd.DataFrame:
        """Estimates and standard errors."""
        ...

    @property
    def variance_components(self) -> pd.DataFrame:
        """Standard deviations, variances and correlations."""
        ...


class LinearFit(Fit, Protocol):
    """What a fit of a linear model shows beside that."""

    @property
    def method(self) -> str:
        """How it was fitted, ``"REML"`` or ``"ML"``."""
        ...

    @property
    def formula(self) -> str:
        """The model."""
        ...

    @property
    def criterion(self) -> float:
        """Minus twice the log-likelihood."""
        ...

    @property
    def is_singular(self) -> bool:
        """Whether a variance component is on its boundary."""
        ...

    @property
    def converged(self) -> bool:
        """Whether the criterion cannot be lowered."""
        ...

    @property
    def other_modes(self) -> pd.DataFrame:
        """Other minima of the criterion, a row each."""
        ...

    @property
    def residual(self) -> FittedResiduals | None:
        """The residuals' structure, if any."""
        ...

    @property
    def border(self) -> Border:
        """How crossed effects were solved for."""
        ...

    @property
    def by_probes(self) -> ProbeRecord | None:
        """What random probes told, if there were any."""
        ...

    @property
    def probe_error(self) -> pd.Series:
        """Their chance in each variance parameter, in standard errors."""
        ...

    @property
    def loglik_se(self) -> float:
        """Their chance in the log-likelihood."""
        ...


def fit_text(
    fit: Fit,
    head: Sequence[str],
    remarks: Sequence[str],
    statistic: str,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """Write a fit for a terminal.

    Parameters
    ----------
    fit : Fit
        The fit.
    head : sequence of str
        The first lines.
    remarks : sequence of str
        The last ones.
    statistic : str
        What estimates over standard errors are called.
    tables : mapping of str to DataFrame, optional
        Title -> what else is shown of the variances.

    Returns
    -------
    str
        Several lines.
    """
    parts = ["\n".join(head)]
    if len(fit.variance_components):
        parts.append("Random effects:\n" + _random(fit).to_string(index=False, na_rep=""))
    parts += [f"{title}:\n{_shown(table).to_string()}" for title, table in (tables or {}).items()]
    fixed = _fixed(fit, statistic)
    return "\n\n".join([*parts, _sizes(fit), "Fixed effects:\n" + fixed.to_string(), *remarks])


def fit_html(
    fit: Fit,
    head: Sequence[str],
    remarks: Sequence[str],
    statistic: str,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> str:
    """Write a fit for a notebook; arguments as of `fit_text`.

    Returns
    -------
    str
        An HTML fragment.
    """
    lines = "<br>".join(escape(line) for line in head)
    said = "".join(f"<p><em>{escape(remark)}</em></p>" for remark in remarks)
    random = ""
    if len(fit.variance_components):
        table = _random(fit).to_html(index=False, na_rep="")
        random = f"<p><strong>Random effects</strong></p>{table}"
    for title, told in (tables or {}).items():
        random += f"<p><strong>{escape(title)}</strong></p>{_shown(told).to_html()}"
    return (
        f"<div><p>{lines}</p>{random}"
        f"<p>{escape(_sizes(fit))}</p>"
        f"<p><strong>Fixed effects</strong></p>{_fixed(fit, statistic).to_html()}{said}</div>"
    )


def likelihood_line(fit: Fit) -> str:
    """Write criteria of a fit by full maximum likelihood in one line."""
    return (
        f"AIC {fit.aic:.1f}   BIC {fit.bic:.1f}   log-likelihood {fit.log_likelihood:.4f}   "
        f"deviance {-2.0 * fit.log_likelihood:.4f}   residual df {fit.n_obs - fit.n_parameters}"
    )


def _random(fit: Fit) -> pd.DataFrame:
    table = fit.variance_components.reset_index()
    repeated = table["factor"].duplicated()
    shown = pd.DataFrame(
        {
            "Factor": table["factor"].mask(repeated, ""),
            "Term": table["term"],
            "Variance": [f"{value:.5g}" for value in table["variance"]],
            "SD": [f"{value:.5g}" for value in table["sd"]],
        }
    )
    if names.RHO in table:
        shown["Rho"] = [_number(value, ".2f") for value in table[names.RHO]]
    correlations = [name for name in table if str(name).startswith("corr_")]
    if correlations:
        shown["Corr"] = [
            " ".join(f"{value:.2f}" for value in row if not np.isnan(value))
            for row in table[correlations].to_numpy(dtype=float)
        ]
    return shown


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    """Write a table's numbers, and nothing where there is none."""
    text = table.map(lambda value: _number(value, ".4g"))
    return text.rename_axis(index=None, columns=None)


def _sizes(fit: Fit) -> str:
    groups = "; ".join(f"{name}, {m}" for name, m in fit.n_levels.items())
    return f"Number of rows: {fit.n_obs}" + (f", levels: {groups}" if groups else "")


def _fixed(fit: Fit, statistic: str) -> pd.DataFrame:
    table = fit.fixed_effects
    return pd.DataFrame(
        {
            "Estimate": [f"{value:.5g}" for value in table["estimate"]],
            "Std. error": [_number(value, ".5g") for value in table["std_error"]],
            statistic: [_number(value, ".3f") for value in table["estimate"] / table["std_error"]],
        },
        index=pd.Index(table.index, name=None),
    )


def _number(value: float, form: str) -> str:
    """Write a number; nothing where there is none."""
    return "" if np.isnan(value) else f"{value:{form}}"


def fit_head(fit: LinearFit) -> list[str]:
    """Return the first lines of a fit by `fit_reml`."""
    title = {"REML": "REML", "ML": "maximum likelihood"}[fit.method]
    said = [] if fit.residual is None else [f"Residuals: {fit.residual.name}"]
    lines = [f"Linear mixed model fit by {title}", f"Formula: {fit.formula}", *said]
    reml = fit.method == "REML"
    return [*lines, f"REML criterion: {fit.criterion:.4f}" if reml else likelihood_line(fit)]


def fit_remarks(fit: LinearFit) -> list[str]:
    """Return its last lines: what to know before its numbers are used."""
    singular = "Singular fit: a variance component is estimated on its boundary."
    remarks = [singular] if fit.is_singular else []
    if fit.by_probes is not None:
        largest = float(fit.probe_error.max())
        remarks.append(
            f"Crossed effects by iterations ({fit.border.reason}): {fit.by_probes.probes} probes "
            f"leave a chance of {largest:.1g} standard errors in variance parameters, and of "
            f"{fit.by_probes.loglik_se:.1g} in the log-likelihood."
        )
    remarks += [] if fit.converged else ["Not converged: the criterion can still be lowered."]
    for _, row in fit.other_modes.iterrows():
        where = ", ".join(f"{name} {value:.3g}" for name, value in row.iloc[1:].dropna().items())
        remarks.append(
            f"The likelihood has another mode, {row['criterion'] - fit.criterion:.3g} above in "
            f"{fit.method} criterion: {where}."
        )
    return remarks
