"""Effective draws per CPU second of one model by several programs, each with its defaults.

All in one run, each program in its own process with its default priors, 4 chains of 1000 + 1000 or
as many draws. CPU seconds of one fit count every thread: its second one in a process, compiled
code being loaded, but for Bambi's compilation, which is part of each of its fits. Effective draws
are those of the worst population parameter, at most as many as there are draws.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

import bayeslmm as bl
from parts.reference import worst_ess
from parts.runner import CHAINS, CORES, DRAWS, PEERS, brms, ours, peer_python, r_has, run


@dataclass(frozen=True)
class Model:
    """A model and who fits it.

    Attributes
    ----------
    data : str or callable
        Bundled table, or what makes one.
    formula : str
        Our formula.
    given : dict
        What our call takes beside formula and table.
    bambi : str or None
        Bambi's formula; None where it has no such model.
    scaled : mapping of str to float
        Columns that the peers get divided by these, without which Bambi does not come to an end.
    brms, brms_family : str or None, str
        R code of brms's model, None where it has none, and of its family.
    """

    data: str | Callable
    formula: str
    given: dict = field(default_factory=dict)
    bambi: str | None = None
    scaled: tuple[tuple[str, float], ...] = ()
    brms: str | None = None
    brms_family: str = "gaussian()"

    def table(self):
        """Read or make the rows."""
        return bl.load_dataset(self.data) if isinstance(self.data, str) else self.data()


PLAIN = "bayeslmm, plain call"
OURS = {PLAIN: {}, "bayeslmm, non-centered NUTS": {"sampler": "nutpie"}}
_BAMBI_FAMILIES = {
    "negbinomial": "negativebinomial",
    "zero_inflated_negbinomial": "zero_inflated_negativebinomial",
}


def measure(models, settings):
    """One row per model and program, and a note."""
    python = peer_python()
    has_brms = r_has("brms")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            if settings.models and not any(word in name for word in settings.models):
                continue
            task = Task(name, model, Path(folder), settings)
            rows += task.ours()
            if python and model.bambi:
                rows.append(task.bambi(python))
            if has_brms and model.brms:
                rows.append(task.brms())
    table = pd.DataFrame([row for row in rows if row])
    return with_ratios(table), "" if has_brms else "Not on this machine, so left out: brms."


def with_ratios(table):
    """Add how many times another program's effective draws per CPU second the plain call's are."""
    speed = table[table["program"] == PLAIN].set_index("model")["ESS/CPU s"]
    table["ESS/CPU s x"] = table["model"].map(speed) / table["ESS/CPU s"]
    return table


class Task:
    """One model's table, to be fitted by each program in turn."""

    def __init__(self, name, model, folder, settings):
        self.name, self.model, self.settings = name, model, settings
        self.path, self.out = folder / "table.csv", folder / "draws.npz"
        table = model.table()
        self.labels = [c for c in table if not pd.api.types.is_numeric_dtype(table[c])]
        table.to_csv(self.path, index=False)
        for column, unit in model.scaled:
            table[column] /= unit
        self.peers_path = folder / "scaled.csv"
        table.to_csv(self.peers_path, index=False)

    def ours(self):
        """Rows of the plain call and of NUTS on the explicit effects."""
        model, kinds = self.model, dict.fromkeys(self.labels, "str")
        shared = {"draws": DRAWS, "dtype": kinds, **model.given}
        for program, options in OURS.items():
            given = json.dumps({**shared, **options})
            arguments = (self.path, model.formula, self.out, 2, given)
            found = ours("posterior", *arguments, timeout=self.settings.seconds)
            yield row_of(self.name, program, found, self.out)

    def bambi(self, python):
        """Row of Bambi."""
        family = self.model.given.get("family", "gaussian")
        family = _BAMBI_FAMILIES.get(family, family)
        options = {
            "sampler": "nutpie", "chains": CHAINS, "cores": CORES, "family": family, "draws": DRAWS,
            "dtype": dict.fromkeys(self.labels, "str"),
            "ordered": [self.model.formula.split(" ~ ")[0]] if family == "cumulative" else [],
        }  # fmt: skip
        command = [
            python, PEERS / "bambi_fit.py", self.peers_path, self.model.bambi, self.out, 2,
            json.dumps(options),
        ]  # fmt: skip
        found = run(command, timeout=self.settings.peer_seconds)
        return row_of(self.name, "Bambi, nutpie", found, self.out)

    def brms(self):
        """Row of brms."""
        options = {"labels": self.labels, "family": self.model.brms_family}
        seconds = self.settings.peer_seconds
        found = brms(self.peers_path, self.model.brms, options, self.out, timeout=seconds)
        return row_of(self.name, "brms", found, self.out, sampler="Stan")


def row_of(name, program, found, out, *, sampler="nutpie"):
    """What one program took, and what its draws are worth; None where it gave nothing."""
    print(f"  {name}: {program} {'' if found else 'gave nothing in time'}", flush=True)
    if not found:
        return None
    with np.load(out) as saved:
        ess = worst_ess({key: saved[key] for key in saved.files}, found.get("ess"))
    ess = min(ess, CHAINS * DRAWS)
    return {
        "model": name,
        "program": program,
        "sampler": found.get("sampler", sampler),
        "first s": found["totals"][0],
        "again s": found["totals"][-1],
        "again CPU s": found["cpu totals"][-1],
        "ESS": ess,
        "ESS/CPU s": ess / found["cpu totals"][-1],
    }
