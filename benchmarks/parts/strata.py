"""A residual standard deviation per stratum on a large crossed table, by REML, beside glmmTMB."""

import tempfile
import time
from pathlib import Path

import pandas as pd

import bayeslmm as bl
from parts.reference import FILES
from parts.runner import PEERS, r_has, run

FORMULA, STRATUM = "y ~ 1 + (1 | s) + (1 | d)", "service"
LABELS = ("s", "d", STRATUM)


def measure(settings):
    """One row per program: the whole call, and what it found."""
    table = pd.read_csv(FILES / "InstEval.csv.gz", dtype=dict.fromkeys(LABELS, "str"))
    rows = [ours(table)]
    if r_has("glmmTMB"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.csv"
            table.to_csv(path, index=False)
            command = ["Rscript", PEERS / "glmmtmb_fit.R", path, FORMULA, f"~ 0 + {STRATUM}"]
            found = run([*command, ",".join(LABELS)], timeout=settings.seconds)
        if found:
            figures = (found["seconds"], found["cpu"], found["criterion"], found["sigmas"])
            rows.append(row(f"glmmTMB {found['version']}", *figures))
    return pd.DataFrame(rows), ""


def ours(table):
    """A second call: compiled code is loaded."""
    bl.fit_reml(FORMULA, table, sigma=f"~ 0 + {STRATUM}")
    wall, cpu = time.perf_counter(), time.process_time()
    fit = bl.fit_reml(FORMULA, table, sigma=f"~ 0 + {STRATUM}")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"  bayeslmm: {wall:.2f} s")
    return row("bayeslmm", wall, cpu, fit.criterion, fit.residual_parameters["estimate"])


def row(program, wall, cpu, criterion, sigmas):
    """One program's figures."""
    named = {f"sigma, {STRATUM} {k}": value for k, value in enumerate(sigmas)}
    return {"program": program, "s": wall, "CPU s": cpu, "criterion": criterion, **named}
