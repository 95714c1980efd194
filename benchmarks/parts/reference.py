"""Reference models: wall time and effective draws per second, against Bambi, brms and rstanarm.

All in one run, each program in its own process and environment with its default priors, 4 chains of
1000 + 1000. Effective draws are ArviZ's bulk ESS of the worst population parameter, computed here
from every program's draws alike. Bambi 0.21 fits `(x | g)` without correlation, so it stands beside
our `(x || g)`.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd

import bayeslmm as bl
from parts.runner import (
    CHAINS,
    CORES,
    DRAWS,
    PEERS,
    ROOT,
    keep_long_draws,
    ours,
    peer_python,
    r_has,
    run,
)


@dataclass(frozen=True)
class Model:
    """A reference model and who fits it.

    Attributes
    ----------
    data, formula : str
        Bundled data set (or a file under tests/reference/data), and our formula, which is Stan's.
    bambi : str or None
        Bambi's formula for the same model; None where it has none.
    labels : tuple of str
        Columns that are labels.
    large : bool
        Fitted once, by Bambi with nutpie and ourselves only; marginal NUTS with a tenth of the
        draws, because each of its gradients factors a dense border.
    """

    data: str
    formula: str
    bambi: str | None
    labels: tuple[str, ...]
    large: bool = False

    def table(self):
        """Read the rows."""
        if self.large:
            kinds = dict.fromkeys(self.labels, "str")
            return pd.read_csv(FILES / f"{self.data}.csv.gz", dtype=kinds)
        return bl.load_dataset(self.data)


FILES = ROOT / "tests" / "reference" / "data"
MODELS = {
    "sleepstudy (Days | Subject)": Model(
        "sleepstudy", "Reaction ~ Days + (Days | Subject)", None, ("Subject",)
    ),
    "sleepstudy (Days || Subject)": Model(
        "sleepstudy", "Reaction ~ Days + (Days || Subject)", "Reaction ~ Days + (Days | Subject)",
        ("Subject",),
    ),
    "penicillin, crossed": Model(
        "penicillin", *["diameter ~ 1 + (1 | plate) + (1 | sample)"] * 2, ("plate", "sample")
    ),
    "mathachieve (cses | School)": Model(
        "mathachieve", "MathAch ~ MEANSES + Sector + cses + (cses | School)", None, ("School",)
    ),
    "mathachieve (cses || School)": Model(
        "mathachieve", "MathAch ~ cses + (cses || School)", "MathAch ~ cses + (cses | School)",
        ("School",),
    ),
    "exam (standLRT || school)": Model(
        "exam", "normexam ~ standLRT + (standLRT || school)",
        "normexam ~ standLRT + (standLRT | school)", ("school",),
    ),
    "InstEval, 4,100 crossed effects": Model(
        "InstEval", *["y ~ 1 + (1 | s) + (1 | d)"] * 2, ("s", "d"), large=True
    ),
}  # fmt: skip
PLAIN, MARGINAL = "bayeslmm, plain call", "bayeslmm, marginal NUTS"
OURS = {
    PLAIN: {},
    "bayeslmm, importance": {"parametrization": "marginal", "sampler": "importance"},
    MARGINAL: {"parametrization": "marginal", "sampler": "nutpie"},
    "bayeslmm, non-centered NUTS": {"parametrization": "noncentered", "sampler": "nutpie"},
}
FIRST = PLAIN


def measure(settings):
    """One row per model and program."""
    python = peer_python()
    stan = [package for package in ("rstanarm", "brms") if r_has(package)]
    skipped = [p for p in ("rstanarm", "brms") if p not in stan]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, model in MODELS.items():
            if settings.models and not any(word in name for word in settings.models):
                continue
            path = Path(folder) / f"{model.data}.csv"
            model.table().to_csv(path, index=False)
            task = Task(name, path, model, settings=settings)
            rows += [task.ours(program, options) for program, options in OURS.items()]
            if python and model.bambi:
                samplers = ("nutpie",) if model.large else ("nutpie", "pymc")
                rows += [task.bambi(python, sampler) for sampler in samplers]
            rows += [task.stan(package) for package in stan if not model.large]
    table = pd.DataFrame([row for row in rows if row])
    base = table[table["program"] == FIRST].set_index("model")["again s"]
    speed = table[table["program"] == FIRST].set_index("model")["ESS/s"]
    table["time x"] = table["again s"] / table["model"].map(base)
    # Marginal NUTS had a tenth of the draws there: only draws per second compare.
    large = table["model"].isin([name for name, m in MODELS.items() if m.large])
    table.loc[large & (table["program"] == MARGINAL), "time x"] = None
    table["ESS/s x"] = table["ESS/s"] / table["model"].map(speed)
    note = f"Not on this machine, so left out: {', '.join(skipped)}." if skipped else ""
    return table, note


class Task:
    """One model's table and formula, to be fitted by each program in turn."""

    def __init__(self, name, path, model, *, settings):
        self.name, self.path, self.model = name, path, model
        self.out = path.with_name("draws.npz")
        self.settings, self.runs = settings, 1 if model.large else settings.runs
        self.kinds = {"dtype": dict.fromkeys(model.labels, "str")}

    def ours(self, program, options):
        few = self.model.large and program == MARGINAL
        options = json.dumps({**options, **self.kinds, "draws": DRAWS // 10 if few else DRAWS})
        arguments = (self.path, self.model.formula, self.out, self.runs, options)
        return self.row(program, ours("posterior", *arguments, timeout=self.settings.seconds))

    def bambi(self, python, sampler):
        options = {"sampler": sampler, "draws": DRAWS, "chains": CHAINS, "cores": CORES}
        options = json.dumps({**options, **self.kinds})
        script = PEERS / "bambi_fit.py"
        command = [python, script, self.path, self.model.bambi, self.out, self.runs, options]
        found = run(command, timeout=self.settings.seconds)
        return self.row(f"Bambi, {'nutpie' if sampler == 'nutpie' else 'default'}", found)

    def stan(self, package):
        out = self.out.with_suffix(".csv")
        script = PEERS / "stan_fit.R"
        command = [
            "Rscript", script, package, self.path, self.model.formula, out, self.runs,
            ",".join(self.model.labels), DRAWS, CHAINS, CORES,
        ]  # fmt: skip
        found = run(command, timeout=self.settings.seconds)
        if found:
            keep_long_draws(out, self.out)
        return self.row(package, found)

    def row(self, program, found):
        """Say what a program took, and how many draws its draws are worth."""
        print(f"  {self.name}: {program} {'' if found else 'gave nothing in time'}")
        if not found:
            return None
        with np.load(self.out) as saved:
            draws = {name: saved[name] for name in saved.files}
        again = found["totals"][1:] or found["totals"]
        ess = worst_ess(draws, found.get("ess"))
        return {
            "model": self.name,
            "program": f"{program}",
            "version": found.get("version", bl.__version__),
            "first s": found["totals"][0],
            "again s": float(np.median(again)),
            "ESS": ess,
            "ESS/s": ess / float(np.median(again)),
            "import s": found["import s"],
            "process CPU s": found["cpu s"],
            "peak MB": found["peak MB"],
            "sigma": float(next(v for k, v in draws.items() if k.startswith("sigma")).mean()),
        }


def worst_ess(draws, stated):
    """Bulk ESS of the worst parameter; what draws resampled from weighted points are worth."""
    if stated is not None:
        return stated
    moving = {name: values for name, values in draws.items() if np.ptp(values) > 0}
    return float(min(az.ess(values) for values in moving.values()))
