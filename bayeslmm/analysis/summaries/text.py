"""The printed summary of a fit, in the order in which a mixed-model user reads one."""

from __future__ import annotations

import html
import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm.analysis.several.observations import observed_responses
from bayeslmm.analysis.several.response_of import layout_of
from bayeslmm.analysis.summaries.tables import RESIDUAL, fixed_effects, variance_components
from bayeslmm.design.beside.censoring import WORDS, statements_of
from bayeslmm.design.state import state_content
from bayeslmm.design.text import WIDTH
from bayeslmm.errors import names_keywords
from bayeslmm.families.derived.censored import uncensored
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.results import read
from bayeslmm.results.convergence import (
    MAX_PARETO_K,
    MAX_RHAT,
    MIN_ESS_PER_CHAIN,
    Problem,
    assess,
)
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, interval_names
from bayeslmm.results.family import family
from bayeslmm.results.record import has_several, recorded
from bayeslmm.results.residual import has_errors, has_structure
from bayeslmm.results.rows import n_rows
from bayeslmm.results.smooths import grouping_factors
from bayeslmm.results.weights import DrawWeights, draw_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import xarray as xr

KIND_WORDS = {"eti": "equal-tailed", "hdi": "highest-density"}
EN_SPACE = "  "


# More would be zeros: smaller numbers are printed with their power of ten.
_MOST_DECIMALS = 8


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """What a fit says, as tables; prints itself as text and, in notebooks, as HTML.

    Attributes
    ----------
    heading : tuple of str
        The model, how it was sampled, and the sizes of the data.
    fixed : DataFrame
        Result of `fixed_effects`.
    components : DataFrame
        Result of `variance_components`.
    problems : tuple of Problem
        Reasons not to trust the draws; empty when there are none.
    ci_prob : float
        Probability of the intervals.
    ci_kind : str
        Their kind.
    chains, draws : int
        How many chains were drawn, and how many draws in all of them.
    weights : DrawWeights or None
        How good the importance weights were, where there are no Markov chains.
    """

    heading: tuple[str, ...]
    fixed: pd.DataFrame
    components: pd.DataFrame
    problems: tuple[Problem, ...]
    ci_prob: float
    ci_kind: str
    chains: int
    draws: int
    weights: DrawWeights | None = None

    def __str__(self) -> str:
        parts = ["\n".join(map(_filled, self.heading))]
        parts += [f"{title}\n{_text_table(*table)}" for title, table in self._tables()]
        parts.append("\n".join(map(_filled, self._verdict())))
        return "\n\n".join(parts) + "\n"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        first, *rest = (html.escape(line) for line in self.heading)
        parts = [f"<p><strong>{first}</strong><br>{'<br>'.join(rest)}</p>"]
        for title, table in self._tables():
            parts.append(f"<p>{html.escape(title)}</p>{_html_table(*table)}")
        parts.append(f"<p>{'<br>'.join(html.escape(line) for line in self._verdict())}</p>")
        return "<div>" + "".join(parts) + "</div>"

    def _tables(self) -> list[tuple[str, tuple[list[str], list[list[str]]]]]:
        interval = f"{100 * self.ci_prob:g} % {KIND_WORDS[self.ci_kind]} interval"
        tables = [
            (f"Fixed effects ({interval})", self._fixed_rows()),
            (f"Variance components ({interval})", self._component_rows()),
            *self._residual_tables(),
        ]
        # Known standard errors without random effects leave no variance to estimate.
        return [(title, (header, rows)) for title, (header, rows) in tables if rows]

    def _fixed_rows(self) -> tuple[list[str], list[list[str]]]:
        low, high = interval_names(self.ci_prob, self.ci_kind)
        header = ["", "mean", "sd", low, high, "ess_bulk", "ess_tail", "r_hat"]
        rows = [
            [str(coef), *_numbers(row, ("mean", "sd", low, high)), *_trust(row)]
            for coef, row in self.fixed.iterrows()
        ]
        return header, rows

    def _component_rows(self) -> tuple[list[str], list[list[str]]]:
        low, high = interval_names(self.ci_prob, self.ci_kind)
        header = ["", "", "mean", low, high, "variance", "ess_bulk", "r_hat"]
        table = self.components
        variances = {
            (row["factor"], row["term"]): _digits(row["mean"])
            for _, row in table[table["quantity"] == "variance"].iterrows()
        }
        rows = []
        in_tables = self._residual_correlations()
        for _, row in table[(table["quantity"] != "variance") & ~in_tables].iterrows():
            what = f"{row['quantity']} {row['term']}".rstrip()
            variance = ""
            if row["quantity"] == "sd":
                variance = variances.get((row["factor"], row["term"]), "")
            if row["quantity"] == "corr":
                what = f"corr {row['term']}, {row['term_bis']}"
            bulk, _, r_hat = _trust(row)
            shown = _numbers(row, ("mean", low, high))
            rows.append([str(row["factor"]), what, *shown, variance, bulk, r_hat])
        return header, _without_repeats(rows)

    def _residual_correlations(self) -> pd.Series[bool]:
        table = self.components
        return table["factor"].str.startswith(RESIDUAL) & (table["quantity"] == "corr")

    def _residual_tables(self) -> list[tuple[str, tuple[list[str], list[list[str]]]]]:
        """Lay out each matrix of residual correlations, with standard deviations beside it."""
        table, tables = self.components, []
        for factor, corr in table[self._residual_correlations()].groupby("factor", sort=False):
            means = {(r["term"], r["term_bis"]): r["mean"] for _, r in corr.iterrows()}
            visits = list(dict.fromkeys(visit for pair in means for visit in pair))
            own = table[(table["factor"] == factor) & (table["quantity"] == "sd")]
            sds = dict(zip(own["term"], own["mean"], strict=True))
            rows = [
                [
                    visit,
                    _digits(sds[visit]) if visit in sds else "",
                    *(f"{means[other, visit]:.2f}" for other in visits[:k]),
                    *[""] * (len(visits) - 1 - k),
                ]
                for k, visit in enumerate(visits)
            ]
            title = f"{factor}: sd and correlations (posterior means)"
            tables.append((title, (["", "sd", *visits[:-1]], rows)))
        return tables

    def _verdict(self) -> list[str]:
        if not self.problems:
            limit = MIN_ESS_PER_CHAIN * self.chains
            good = f"R-hat <= {MAX_RHAT} or by chance, effective sizes >= {limit}, no divergences"
            if self.weights is not None:
                good = f"k-hat below {MAX_PARETO_K}, weights worth {limit} draws or more"
                if self.draws < limit:
                    good += f"; but {self.draws} draws are few: means and intervals are noisy"
            return [f"Diagnostics: no problem found ({good})."]
        return [
            "Diagnostics: do not trust these draws yet.",
            *(f"- {problem}" for problem in self.problems),
        ]


@names_keywords
def summary(
    idata: xr.DataTree, *, ci_prob: float = CI_PROB, ci_kind: str = CI_KIND
) -> ModelSummary:
    """Summarise a fit: model, data, fixed effects, variance components, and whether to trust it.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`, or a saved one read back.
    ci_prob : float
        Probability of the credible intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density intervals.

    Returns
    -------
    ModelSummary
        Prints as text and, in a notebook, as HTML; its tables are attributes.

    Raises
    ------
    TreeError
        When `idata` is no tree of this package.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> print(*bl.summary(idata).heading, sep=chr(10))
    Bayesian linear mixed model: y ~ 1 + x + (1 + x | g)
    Data: 9 rows; g: 3 levels
    Draws: 4 chains of 250 after 10 of tuning, noncentered by nutpie, seed 1
    """
    fixed = fixed_effects(idata, ci_prob=ci_prob, ci_kind=ci_kind)
    components = variance_components(idata, ci_prob=ci_prob, ci_kind=ci_kind)
    chains, draws = read.sample_shape(idata)
    return ModelSummary(
        heading=tuple(_heading(idata)),
        fixed=fixed,
        components=components,
        problems=tuple(assess(idata)),
        ci_prob=ci_prob,
        ci_kind=ci_kind,
        chains=chains,
        draws=chains * draws,
        weights=draw_weights(idata),
    )


def _heading(idata: xr.DataTree) -> list[str]:
    attrs = idata.attrs
    how = " by ".join(str(attrs[key]) for key in ("parametrization", "sampler") if key in attrs)
    seed = f", seed {attrs['random_seed']}" if attrs.get("random_seed") not in (None, "") else ""
    sizes = [f"{n_rows(idata)} rows{_responses(idata)}"]
    # A tree may keep the effects of some levels only; the model had all of them.
    counts = recorded(idata, "n_levels")
    sizes += [
        f"{info.name}: {counts.get(info.name, len(info.levels))} levels"
        for info in grouping_factors(idata)
    ]
    member = uncensored(family(idata))
    kind = "linear" if member.name == GAUSSIAN.name else f"{member.name} ({member.link.name})"
    return [
        f"Bayesian {kind} mixed model: {attrs['formula']}",
        f"Data: {'; '.join(sizes)}",
        *_coded(idata),
        *_censored(idata),
        *_residuals(idata),
        f"Draws: {_sampled(idata)}, {how}{seed}".rstrip(", "),
    ]


def _coded(idata: xr.DataTree) -> list[str]:
    """Say which category of a binary response is 1, where it was of two, or their order."""
    if has_several(idata):
        first, *others = layout_of(idata).categories or ("",)
        return [f"Response: {', '.join(others)} against {first}"] if others else []
    levels = state_content(str(idata.attrs["design"])).get("response_levels")
    if levels is None:
        return []
    if family(idata).response.ordered:
        return [f"Response: {' < '.join(levels)}"]
    return [f"Response: 1 is {idata.attrs['response']} = {levels[1]!r}, 0 is {levels[0]!r}"]


def _responses(idata: xr.DataTree) -> str:
    """Say how many rows have each of several responses, where some lack one."""
    if not has_several(idata) or (layout := layout_of(idata)).categories:
        return ""
    observed = observed_responses(idata, layout)
    there = np.sum(~np.isnan(observed), axis=0)
    if np.all(there == len(observed)):
        return ""
    counts = zip(layout.names, there, strict=True)
    return f" ({', '.join(f'{name} {count}' for name, count in counts)})"


def _censored(idata: xr.DataTree) -> list[str]:
    """Say of how many rows the response was seen, and what is known of the others."""
    ends = None if "constant_data" not in idata.children else read.constant(idata, "ends")
    if ends is None:
        return []
    kinds = statements_of(read.response(idata), ends)["cens"]
    counts = {word: int(np.sum(kinds == number)) for word, number in WORDS.items()}
    seen = counts.pop("none")
    others = [f"{count} censored ({word})" for word, count in counts.items() if count]
    return [f"Response: seen in {', '.join([f'{seen} rows', *others])}"]


def _residuals(idata: xr.DataTree) -> list[str]:
    """Say what is assumed of the residuals, where it is more than one sigma."""
    if not has_structure(idata):
        return []
    content = state_content(str(idata.attrs["design"]))
    parts = [content["residual"]] if content.get("residual") else []
    parts += [f"sigma {content['sigma']}"] if content.get("sigma") else []
    if has_errors(idata):
        column = content.get("se")
        parts.append(f"known standard errors{f' {column}' if column else ''}")
    return [f"Residuals: {', '.join(parts)}"]


def _sampled(idata: xr.DataTree) -> str:
    chains, draws = read.sample_shape(idata)
    weights = draw_weights(idata)
    if weights is not None:
        return f"{chains} x {draws} independent ones ({weights})"
    settings = recorded(idata, "settings")
    own = idata.attrs.get("sampler") == "laplace_chain"  # a warm-up of its own, whatever `tune`
    tune = f" after {settings['tune']} of tuning" if "tune" in settings and not own else ""
    return f"{chains} chains of {draws}{tune}"


def _numbers(row: pd.Series[Any], columns: Sequence[str]) -> list[str]:
    """Print numbers with three significant digits of the posterior sd: more would be noise."""
    spread = float(row["sd"])
    if not math.isfinite(spread) or spread <= 0:
        return [_digits(float(row[column])) for column in columns]
    decimals = max(2 - math.floor(math.log10(spread)), 0)
    if decimals > _MOST_DECIMALS:
        return [_scientific(float(row[column]), decimals) for column in columns]
    return [f"{float(row[column]):.{decimals}f}" for column in columns]


def _scientific(value: float, decimals: int) -> str:
    """Print a number up to its digit at this decimal, as 2.031e-09."""
    size = math.floor(math.log10(abs(value))) if value else -decimals
    return f"{value:.{max(decimals + size, 0)}e}"


def _digits(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _trust(row: pd.Series[Any]) -> tuple[str, str, str]:
    shown = [
        f"{row[name]:.0f}" if math.isfinite(row[name]) else "-" for name in ("ess_bulk", "ess_tail")
    ]
    r_hat = f"{row['r_hat']:.3f}" if math.isfinite(row["r_hat"]) else "-"
    return shown[0], shown[1], r_hat


def _without_repeats(rows: list[list[str]]) -> list[list[str]]:
    """Blank a factor's name where the row above already has it."""
    shown, last = [], None
    for row in rows:
        name = "" if row[0] == last else row[0]
        last = row[0]
        shown.append([name, *row[1:]])
    return shown


def _filled(line: str) -> str:
    """Break a sentence between words."""
    return textwrap.fill(
        line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _text_table(header: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    labels = _label_columns(header)
    # Where two blanks between columns make a table too wide, one does.
    wide = sum(widths) + len(EN_SPACE) * len(widths) > WIDTH
    gap = " " if wide else EN_SPACE
    lines = []
    for row in [header, *rows]:
        cells = [
            cell.ljust(width) if i < labels else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((EN_SPACE + gap.join(cells)).rstrip())
    return "\n".join(lines)


def _label_columns(header: list[str]) -> int:
    return sum(name == "" for name in header)


def _html_table(header: list[str], rows: list[list[str]]) -> str:
    labels = _label_columns(header)

    def cell(tag: str, position: int, text: str) -> str:
        side = "left" if position < labels else "right"
        return f'<{tag} style="text-align: {side}">{html.escape(text)}</{tag}>'

    head = "".join(cell("th", i, name) for i, name in enumerate(header))
    body = "".join(
        "<tr>" + "".join(cell("td", i, text) for i, text in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
