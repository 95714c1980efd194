"""The page of the census: every model, what became of it, and what that adds up to."""

import numpy as np
import pandas as pd

from parts.page import markdown

KINDS = {"fixed": "fixed effects", "sd": "standard deviations", "family": "family parameters"}
MAX_K_HAT, MAX_R_HAT = 0.7, 1.01

HEAD = """# A census of models

Which models do people fit? {models} hierarchical ones were taken from public code (brms, rstanarm,
Bambi, PyMC, lme4, glmmTMB and MCMCglmm) and from issues, forums and courses, in November 2026.
Each is spelt here in the grammar of this package, with names of our own, and with a table of its
shape that was simulated from parameters at moderate values. Packages are not weighted by their
users, so that shares are no estimates.

Each model is fitted by the plain call, `fit_bayes(formula, table, ...)` with its family and what
else the model says, and default priors. `python benchmarks/run_census.py` does it anew, and
`tests/test_census.py` holds that all of them build.
"""
TABLE = """
*Method* is what the plain call chose. Seconds are of the call, in one process, with what is
compiled once for all models compiled before; *CPU s* are of all cores, and depend less on what else
the machine did. *k-hat* (below 0.7) judges weighted draws, *R-hat* (at most 1.01) the worst
population parameter of chains. *Held* counts 95 % intervals of fixed effects, standard deviations
and family parameters that hold the number that the table was drawn from.
"""
REFUSED = """
## What is refused

These are not among the package's models; what stands there instead of a fit names the nearest
thing.
"""


def write_page(rows, results, page):
    """Write the page from the specs and what was measured.

    Parameters
    ----------
    rows : dict of int to Row
    results : DataFrame
        A line for each model that was fitted.
    page : Path
    """
    fitted = results.set_index("number")
    sections = [HEAD.format(models=len(rows)), *_sums(rows, fitted), "## The models", TABLE]
    sections.append(markdown(pd.DataFrame([_line(row, fitted) for row in rows.values()
                                           if not row.refused])))  # fmt: skip
    changes = [f"- {row.number}: {row.changed}." for row in rows.values() if row.changed]
    sections += ["", "Of some, the table or the model is not quite the one that was found:", ""]
    sections += [*changes, REFUSED]
    sections.append(markdown(pd.DataFrame([
        {"#": row.number, "model": _code(row.formula, {}), "family": row.family,
         "found in": _found(row)} for row in rows.values() if row.refused])))  # fmt: skip
    page.write_text("\n".join(sections) + "\n", "utf-8")


def _sums(rows, fitted):
    """How many models fit and converge, how long they take, and how often intervals hold."""
    refused = sum(bool(row.refused) for row in rows.values())
    good = _good(fitted)
    seconds = fitted["seconds"]
    yield (
        f"{len(fitted)} of {len(rows)} are fitted, {good.sum()} of these with k-hat below "
        f"{MAX_K_HAT} or R-hat at most {MAX_R_HAT}; {refused} are refused by name. The others, "
        "without numbers below, are spelt, and were not fitted yet."
    )
    yield (
        f"Half of them take {np.median(seconds):.1f} seconds or less, nine of ten at most "
        f"{np.quantile(seconds, 0.9):.0f}; the longest takes {seconds.max():.0f}. Machine: two "
        "cores, with other work on them.\n"
    )
    yield markdown(pd.DataFrame([
        {"95 % intervals of": name, "in all": int(fitted[f"{kind}_asked"].sum()),
         "held, %": _percent(fitted, [kind])} for kind, name in KINDS.items()
    ] + [{"95 % intervals of": "all", "in all": int(sum(fitted[f"{k}_asked"].sum() for k in KINDS)),
          "held, %": _percent(fitted, list(KINDS))}]))  # fmt: skip
    yield (
        "\nThe number after ± is the Monte Carlo standard error, by models (intervals of one model "
        "go together).\n"
    )
    methods = fitted.groupby("method")["seconds"].agg(["size", "median", "max"]).reset_index()
    methods.columns = ["method", "models", "median s", "longest s"]
    yield markdown(methods.sort_values("models", ascending=False))
    yield ""


def _good(fitted):
    return (fitted["k_hat"] < MAX_K_HAT) | (fitted["r_hat"] <= MAX_R_HAT)


def _percent(fitted, kinds):
    asked = sum(fitted[f"{kind}_asked"] for kind in kinds)
    held = sum(fitted[f"{kind}_held"] for kind in kinds)
    share = held.sum() / asked.sum()
    error = np.sqrt(np.square(held - share * asked).sum()) / asked.sum()
    return f"{100 * share:.1f} ± {100 * error:.1f}"


def _line(row, fitted):
    line = {
        "#": row.number,
        "model": _code(row.formula, row.coding),
        "family": row.family,
        "found in": _found(row),
        "rows": row.n,
    }
    if row.number not in fitted.index:
        return line | dict.fromkeys(("method", "s", "CPU s", "k-hat or R-hat", "held"))
    found = fitted.loc[row.number]
    held, asked = (int(sum(found[f"{k}_{what}"] for k in KINDS)) for what in ("held", "asked"))
    return line | {
        "method": found["method"],
        "s": found["seconds"],
        "CPU s": found["cpu_seconds"],
        "k-hat or R-hat": _judged(found),
        "held": f"{held} of {asked}",
    }


def _judged(found):
    if np.isnan(found["r_hat"]):
        return f"k-hat {found['k_hat']:.2f}"
    return f"R-hat {found['r_hat']:.3f}"


def _code(formula, coding):
    return ", ".join([f"`{formula}`", *(f"`{name}={text!r}`" for name, text in coding.items())])


def _found(row):
    return row.software if row.source == "public code" else row.source
