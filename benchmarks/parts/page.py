"""The parts of the suite by name, and the page that shows what they found."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from parts import families_part, reference, reml_part, scaling, startup, strata, structures_part

HEAD = """# Benchmarks

Where bayeslmm stands beside its peers, and how it grows with the data. `make bench` measures all
of this anew (`python benchmarks/suite.py --list` names the parts, `--only` runs one). Linear
algebra is pinned to one thread per process; chains run side by side. Each part names its date,
machine and load: on a machine with other work, ratios within one part are worth more than its
seconds.
"""


# A load average above this, before or after, and the page says so; chains alone make it 2 to 4.
BUSY = 6.0
BUSY_NOTE = """
The machine was busy with other work while this was measured: seconds are too long, and ratios
rough. Measure again on a quiet one.
""".strip()


@dataclass(frozen=True)
class Part:
    """A part of the suite.

    Attributes
    ----------
    title, minutes, text : str
        For the page, and for `--list`.
    measure : callable
        Takes the settings; returns a table and a note.
    """

    title: str
    minutes: str
    measure: Callable
    text: str


REFERENCE = """
Four chains of 1,000 + 1,000 draws with each program's default priors. *First* is the first call in
a process (compilation included, caches as they are), *again* the median of the further calls; Bambi
compiles each time, brms does not (`update`). *ESS* is ArviZ's bulk effective sample size of the
worst population parameter, for importance sampling what its draws are worth (`ess_draws`).
Ratios are to bayeslmm's marginal NUTS: a *time x* of 5 took five times as long. *sigma* is the
posterior mean of the residual's standard deviation: the same model was fitted. *process CPU* is
what all calls took of all cores, imports and compilation with them; it depends least on what else
the machine did. Bambi 0.21 has no correlated random effects, so it has no row there. InstEval
(73,421 rows) was fitted once by each program; marginal NUTS, of which every gradient factors a
dense matrix of 1,128 columns, with a tenth of the draws.
"""
FAMILIES = """
Four chains of 1,000 + 1,000 draws, or as many draws, with each program's default priors. *again
CPU* is what the second fit in a process took of all cores; Bambi compiles in each, brms does not.
*ESS* as above. Ratios are of effective draws of the worst population parameter per CPU second: a
*x* of 20 means that the plain call gives twenty times as many. Bambi has no correlated random
effects. It and brms get the age of contraception in decades: with the square of age in years Bambi
does not come to an end. An *ESS* below ten says that chains did not meet; a ratio to it means
nothing.
"""
STRUCTURES = """
As above, for residual structures, a modelled sigma and known standard errors; brms 2.18 has no
unstructured residuals.
"""
STRATA = """
InstEval, 73,421 rows and 4,100 crossed effects, with a residual standard deviation for each kind of
lecture: `fit_reml("y ~ 1 + (1 | s) + (1 | d)", data, sigma="~ 0 + service")`, a second call.
"""
REML = """
*call* is the whole call from formula and table, *search* the optimisation alone. Ratios are to
*call*: an *lmer x* of 5 means that lmer took five times as long. *off by* is the criterion less
lme4's reference; MixedLM has a value where it can express the model and the table is small enough
for its dense algebra.
"""
ROWS = """
`y ~ x + (x | g)` from a folder of Parquet files (written before the clock starts): two passes for
the cross-products, then REML and a posterior of 4 x 1,000 draws from them, by importance sampling,
of which the random effects are kept as moments. *pass MB* is the process's largest memory until the
cross-products are there, *peak MB* to the end. Peers read the same rows as CSV (not timed); a peer
is asked for larger tables until it takes too long.
"""
FIRST = """
`Reaction ~ Days + (Days | Subject)`, and by quadrature `incidence ~ period + (1 | herd)`: seconds
from the call to its result. *Compiled* has neither caches nor the machine code of wheels; *cold*
has that, and is the first fit after installing; *loaded* so too, but foreign libraries were
imported before; *warm* finds the caches that the cold process left; *again* is its second fit. The
import of the package itself is not counted in *total*.
"""
CROSSED = "`y ~ 1 + (1 | g) + (1 | h)`, ten rows per level, paired at random, REML."
ITERATIONS = """The same formula and tables with `border="krylov"`: whole calls, one thread, and
posteriors with means and sds of all effects. Chances are those of random probes, in standard
errors, posterior standard deviations, and units of the log-likelihood. MixedModels.jl reports 667 s
for one evaluation at 200,948 x 84,432 levels and 32 million rows, in 56 GiB (arXiv 2505.11674).
"""
LEVELS = "`y ~ x + (x | g)`, ten rows per level, REML; a table in memory."
COLUMNS = "20,000 rows, 200 levels, REML; slopes are correlated with the intercept and each other."
IMPORTS = "Seconds of a process, less those of a bare interpreter."

PARTS = {
    "reference": Part("Posteriors of reference models", "60 minutes", reference.measure, REFERENCE),
    "families": Part(
        "Responses that are not Gaussian", "30 minutes", families_part.measure, FAMILIES
    ),
    "structures": Part("Residual structures", "15 minutes", structures_part.measure, STRUCTURES),
    "strata": Part("Residual strata by REML", "3 minutes", strata.measure, STRATA),
    "reml": Part("REML against statsmodels and lme4", "10 minutes", reml_part.measure, REML),
    "rows": Part("Rows", "40 minutes", scaling.rows, ROWS),
    "levels": Part("Levels of one factor", "15 minutes", scaling.levels, LEVELS),
    "crossed": Part("Crossed levels", "15 minutes", scaling.crossed, CROSSED),
    "iterations": Part(
        "Crossed levels by iterations", "10 minutes", scaling.iterations, ITERATIONS
    ),
    "columns": Part("Columns", "10 minutes", scaling.columns, COLUMNS),
    "imports": Part("Import", "2 minutes", startup.imports, IMPORTS),
    "first": Part("The first posterior: compilation", "10 minutes", startup.first_posterior, FIRST),
}


def write_page(results, page):
    """Write the page from every table that is there."""
    sections = [HEAD]
    for name, part in PARTS.items():
        if (results / f"{name}.csv").exists():
            sections.append(section(name, part, results))
    page.write_text("\n".join(sections), "utf-8")


def section(name, part, results):
    """One part's text, circumstances, table and picture."""
    table = pd.read_csv(results / f"{name}.csv")
    where = json.loads((results / f"{name}.json").read_text("utf-8"))
    versions = ", ".join(f"{k} {v}" for k, v in where["versions"].items())
    lines = [f"## {part.title}", "", part.text.strip(), "", markdown(table), ""]
    if (results / f"{name}.png").exists():
        lines += [f"![{part.title}](benchmarks/{name}.png)", ""]
    if max(where["load before"], where["load after"]) > BUSY:
        lines += [
            BUSY_NOTE,
            "",
        ]
    lines += [
        f"{where['date']}; {where['machine']}; {where['system']}; load {where['load before']} "
        f"before and {where['load after']} after; {versions}. {where['note']}".rstrip(),
        "",
    ]
    return "\n".join(lines)


def markdown(table):
    """A table with three significant figures."""
    head = [str(name).replace("|", "\\|") for name in table.columns]
    rows = [[shown(value) for value in row] for row in table.itertuples(index=False)]
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]
    rule = ["--:" if number else ":--" for number in numeric]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def shown(value):
    """Write one cell."""
    if isinstance(value, str):
        try:
            value = float(value)  # of a column that has "> 600", too
        except ValueError:
            return value.replace("|", "\\|")
    if pd.isna(value):
        return ""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
