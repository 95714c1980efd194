"""Convergence diagnostics of draws, with advice."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayeslmm.errors import names_keywords
from bayeslmm.results.convergence import Problem, checks, problems_of
from bayeslmm.results.diagnostics import diagnostics_table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Verdict on the draws, with its reasons and what to try next.

    Attributes
    ----------
    ok : bool
        True when no problem was found.
    problems : tuple of Problem
        What was found.
    table : DataFrame
        R-hat, effective sample sizes and Monte Carlo error of every scalar, worst R-hat first.
    checked : tuple of str
        What was looked at, in words.
    """

    ok: bool
    problems: tuple[Problem, ...]
    table: pd.DataFrame
    checked: tuple[str, ...]

    @property
    def text(self) -> str:
        """The verdict in words."""
        lines = ["No problem was found." if self.ok else "Do not trust these draws yet."]
        lines += [f"- {problem}" for problem in self.problems]
        lines.append("Checked: " + "; ".join(self.checked) + ".")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = "<br>".join(html.escape(line) for line in self.text.splitlines())
        return f"<p>{lines}</p>{self.table.head(10).to_html()}"


@names_keywords
def diagnose(idata: xr.DataTree) -> Diagnosis:
    """Judge the draws: R-hat, effective sample sizes, divergences, E-BFMI and tree depth; or k-hat.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.

    Returns
    -------
    Diagnosis
        Prints in words. All random effects are looked at, some 5 ms each.

    Raises
    ------
    TreeError
        When `idata` is no tree of this package.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Analysis 16(2):667-718,
    doi 10.1214/20-BA1221; Betancourt (2016), arXiv:1604.00695, for E-BFMI.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> print(bl.diagnose(idata).checked[0])
    R-hat at most 1.01, or what chance gives
    """
    table = diagnostics_table(idata).sort_values("r_hat", ascending=False)
    problems = problems_of(idata, table)
    return Diagnosis(not problems, tuple(problems), table, tuple(checks(idata)))
