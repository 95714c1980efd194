"""Scaling in rows, levels, crossed levels and columns; peers as far as the time given to them goes.

Ours and lme4 are timed at REML; Bambi and rstanarm at a posterior of 4 x (1000 + 1000). A peer that
needs longer than its time at one size is not asked for the next. Each point is a process of its
own, whose peak memory is what the operating system says.
"""

import json
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from parts.runner import CHAINS, CORES, DRAWS, PEERS, ours, peer_python, r_has, run
from parts.workloads import (
    columns_formula,
    columns_table,
    crossed_table,
    simulated,
    write_rows,
)

FORMULA = "y ~ x + (x | g)"


def rows(settings):
    """From Parquet: two passes in bounded memory, then REML and a posterior from the Gram."""
    found = []
    with tempfile.TemporaryDirectory(dir=settings.scratch) as scratch:
        peers = Peers(settings, Path(scratch))
        for n in settings.sizes or [10**k for k in range(4, 9)]:
            m = min(10_000, n // 100)
            folder = Path(scratch) / f"rows{n}"
            write_rows(folder, n, m)
            row = {"rows": n, "levels": m}
            mine = ours("stream_rows", folder, n, m, timeout=settings.seconds)
            if mine:
                row |= {
                    k: mine[k] for k in ("pass s", "REML s", "posterior s", "pass MB", "peak MB")
                }
                row["rows/s"] = n / mine["pass s"]
            found.append(row | peers.at(n, folder))
            shutil.rmtree(folder)
            print(f"  {n:,} rows: {found[-1]}")
    return pd.DataFrame(found), ""


class Peers:
    """Programs that are asked for larger tables until one takes too long."""

    def __init__(self, settings, scratch):
        self.settings, self.scratch = settings, scratch
        python = peer_python()
        self.left = {"lme4": r_has("lme4"), "rstanarm": r_has("rstanarm"), "Bambi": python}
        self.left = {name: how for name, how in self.left.items() if how}

    def at(self, n, folder):
        """Time each peer that is left at one size."""
        if not self.left or n > 10**7:
            return {}
        path = self.scratch / "rows.csv"
        pd.read_parquet(folder).to_csv(path, index=False)
        out, seconds = self.scratch / "draws", self.settings.peer_seconds
        options = json.dumps(
            {"sampler": "nutpie", "draws": DRAWS, "chains": CHAINS, "cores": CORES,
             "dtype": {"g": "str"}}
        )  # fmt: skip
        commands = {
            "lme4": ["Rscript", PEERS / "lmer_fit.R", path, FORMULA, "g", 1],
            "rstanarm": ["Rscript", PEERS / "stan_fit.R", "rstanarm", path, FORMULA, out, 1, "g",
                         DRAWS, CHAINS, CORES],
            "Bambi": [self.left.get("Bambi"), PEERS / "bambi_fit.py", path, FORMULA, out, 1,
                      options],
        }  # fmt: skip
        row = {}
        for name in list(self.left):
            result = run(commands[name], timeout=seconds)
            if result is None:
                del self.left[name]
                row[f"{name} s"] = f"> {seconds:.0f}"
            else:
                row |= {f"{name} s": result["totals"][0], f"{name} MB": result["peak MB"]}
        path.unlink()
        return row


def against_lmer(settings, points, formula, workload, table_of):
    """Time ours and lmer at each point, until lmer takes too long."""
    found, lmer = [], bool(r_has("lme4"))
    with tempfile.TemporaryDirectory(dir=settings.scratch) as scratch:
        for point in points:
            mine = ours(workload, *point.values(), timeout=settings.seconds)
            row = dict(point)
            if mine:
                keep = ("rows", "REML call s", "Gram s", "search s", "evaluations", "peak MB")
                row |= {name: mine[name] for name in keep}
            if lmer:
                path = Path(scratch) / "table.csv"
                pd.DataFrame(table_of(*point.values())).to_csv(path, index=False)
                wanted = formula(*point.values()) if callable(formula) else formula
                labels = ",".join(name for name in ("g", "h") if f"| {name})" in wanted)
                command = ["Rscript", PEERS / "lmer_fit.R", path, wanted, labels, 1]
                result = run(command, timeout=settings.peer_seconds)
                lmer = result is not None
                row["lme4 s"] = result["totals"][0] if lmer else f"> {settings.peer_seconds:.0f}"
                if lmer and mine:
                    row["lme4 x"] = result["totals"][0] / mine["REML call s"]
            found.append(row)
            print(f"  {row}")
    return pd.DataFrame(found), ""


def levels(settings):
    """Levels of one factor, ten rows each, correlated slope."""
    points = [{"levels": m} for m in settings.sizes or (100, 1_000, 10_000, 100_000, 1_000_000)]
    return against_lmer(settings, points, FORMULA, "fit_levels", lambda m: simulated(10 * m, m))


def crossed(settings):
    """Two crossed factors of as many levels each, ten rows per level."""
    points = [{"levels of each": m} for m in settings.sizes or (100, 300, 1_000, 3_000)]
    formula = "y ~ 1 + (1 | g) + (1 | h)"
    return against_lmer(settings, points, formula, "fit_crossed", crossed_table)


def iterations(settings):
    """The same without a dense matrix; lme4 and a dense matrix end before the largest."""
    found = []
    for m in settings.sizes or (3_000, 10_000, 30_000):
        mine = ours("fit_by_iterations", m, timeout=settings.seconds)
        if mine:
            found.append({"levels of each": m} | mine)
            print(f"  {found[-1]}")
    return pd.DataFrame(found), ""


def columns(settings):
    """Fixed-effect columns, and columns with random slopes among them."""
    sizes = [(1, 1), (3, 3), (6, 6), (10, 1), (50, 1), (200, 1)]
    points = [{"fixed columns": p, "slopes": q} for p, q in sizes]
    return against_lmer(settings, points, columns_formula, "fit_columns", columns_table)
