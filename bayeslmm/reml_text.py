"""A REML or ML fit as text and as HTML, in the order of an lme4 summary."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from bayeslmm.reml_fit import REMLFit


def fit_text(fit: REMLFit) -> str:
    """Write a fit for a terminal.

    Parameters
    ----------
    fit : REMLFit
        The fit.

    Returns
    -------
    str
        Several lines.
    """
    parts = [
        "\n".join(_head(fit)),
        "Random effects:\n" + _random(fit).to_string(index=False, na_rep=""),
        _sizes(fit),
        "Fixed effects:\n" + _fixed(fit).to_string(),
        *_remarks(fit),
    ]
    return "\n\n".join(parts)


def fit_html(fit: REMLFit) -> str:
    """Write a fit for a notebook.

    Parameters
    ----------
    fit : REMLFit
        The fit.

    Returns
    -------
    str
        An HTML fragment.
    """
    lines = "<br>".join(escape(line) for line in _head(fit))
    remarks = "".join(f"<p><em>{escape(remark)}</em></p>" for remark in _remarks(fit))
    return (
        f"<div><p>{lines}</p>"
        f"<p><strong>Random effects</strong></p>{_random(fit).to_html(index=False, na_rep='')}"
        f"<p>{escape(_sizes(fit))}</p>"
        f"<p><strong>Fixed effects</strong></p>{_fixed(fit).to_html()}{remarks}</div>"
    )


def _head(fit: REMLFit) -> list[str]:
    title = {"REML": "REML", "ML": "maximum likelihood"}[fit.method]
    lines = [f"Linear mixed model fit by {title}", f"Formula: {fit.formula}"]
    if fit.method == "REML":
        return [*lines, f"REML criterion: {fit.criterion:.4f}"]
    return [
        *lines,
        (
            f"AIC {fit.aic:.1f}   BIC {fit.bic:.1f}   log-likelihood {fit.log_likelihood:.4f}   "
            f"deviance {fit.criterion:.4f}   residual df {fit.n_obs - fit.n_parameters}"
        ),
    ]


def _random(fit: REMLFit) -> pd.DataFrame:
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
    correlations = [name for name in table if str(name).startswith("corr_")]
    if correlations:
        shown["Corr"] = [
            " ".join(f"{value:.2f}" for value in row if not np.isnan(value))
            for row in table[correlations].to_numpy(dtype=float)
        ]
    return shown


def _sizes(fit: REMLFit) -> str:
    groups = "; ".join(f"{name}, {m}" for name, m in fit.n_levels.items())
    return f"Number of rows: {fit.n_obs}" + (f", levels: {groups}" if groups else "")


def _fixed(fit: REMLFit) -> pd.DataFrame:
    table = fit.fixed_effects
    return pd.DataFrame(
        {
            "Estimate": [f"{value:.5g}" for value in table["estimate"]],
            "Std. error": [f"{value:.5g}" for value in table["std_error"]],
            "t value": [f"{value:.3f}" for value in table["estimate"] / table["std_error"]],
        },
        index=pd.Index(table.index, name=None),
    )


def _remarks(fit: REMLFit) -> list[str]:
    remarks = []
    if fit.is_singular:
        remarks.append("Singular fit: a variance component is estimated on its boundary.")
    if not fit.converged:
        remarks.append("Not converged: the criterion can still be lowered.")
    return remarks
