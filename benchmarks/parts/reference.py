"""Reference models: wall time and effective draws per second, against Bambi, brms and rstanarm.

All in one run, each program in its own process and environment with its default priors, 4 chains of
1000 + 1000. Effective draws are ArviZ's bulk ESS of the worst population parameter, computed here
from every program's draws alike. Bambi 0.21 fits `(x | g)` without correlation, so it stands beside
our `(x || g)`.
"""

import json
import tempfile
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd

import bayeslmm as bl
from parts.runner import CHAINS, CORES, DRAWS, PEERS, ours, peer_python, r_has, run

# name: data, our formula (and Stan's), Bambi's formula for the same model, columns that are labels
MODELS = {
    "sleepstudy (Days | Subject)": (
        "sleepstudy", "Reaction ~ Days + (Days | Subject)", None, ["Subject"],
    ),
    "sleepstudy (Days || Subject)": (
        "sleepstudy", "Reaction ~ Days + (Days || Subject)",
        "Reaction ~ Days + (Days | Subject)", ["Subject"],
    ),
    "penicillin, crossed": (
        "penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)",
        "diameter ~ 1 + (1 | plate) + (1 | sample)", ["plate", "sample"],
    ),
    "mathachieve (cses || School)": (
        "mathachieve", "MathAch ~ cses + (cses || School)",
        "MathAch ~ cses + (cses | School)", ["School"],
    ),
}  # fmt: skip
OURS = {
    "bayeslmm, importance": {"parametrization": "marginal", "sampler": "importance"},
    "bayeslmm, marginal NUTS": {"parametrization": "marginal", "sampler": "nutpie"},
    "bayeslmm, non-centered NUTS": {"parametrization": "noncentered", "sampler": "nutpie"},
}
FIRST = "bayeslmm, marginal NUTS"


def measure(settings):
    """One row per model and program."""
    python = peer_python()
    stan = [package for package in ("rstanarm", "brms") if r_has(package)]
    skipped = [p for p in ("rstanarm", "brms") if p not in stan]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model, (data, formula, for_bambi, labels) in MODELS.items():
            if settings.models and not any(word in model for word in settings.models):
                continue
            path = Path(folder) / f"{data}.csv"
            bl.load_dataset(data).to_csv(path, index=False)
            task = Task(model, path, formula, labels, settings=settings)
            rows += [task.ours(name, options) for name, options in OURS.items()]
            if python and for_bambi:
                rows += [task.bambi(python, for_bambi, s) for s in ("nutpie", "pymc")]
            rows += [task.stan(package) for package in stan]
    table = pd.DataFrame([row for row in rows if row])
    base = table[table["program"] == FIRST].set_index("model")["again s"]
    speed = table[table["program"] == FIRST].set_index("model")["ESS/s"]
    table["time x"] = table["again s"] / table["model"].map(base)
    table["ESS/s x"] = table["ESS/s"] / table["model"].map(speed)
    note = f"Not on this machine, so left out: {', '.join(skipped)}." if skipped else ""
    return table, note


class Task:
    """One model's table and formula, to be fitted by each program in turn."""

    def __init__(self, model, path, formula, labels, *, settings):
        self.model, self.path, self.formula, self.labels = model, path, formula, labels
        self.out = path.with_name("draws.npz")
        self.settings = settings

    def ours(self, name, options):
        options = json.dumps({**options, "dtype": dict.fromkeys(self.labels, "str")})
        arguments = (self.path, self.formula, self.out, self.settings.runs, options)
        return self.row(name, ours("posterior", *arguments, timeout=self.settings.seconds))

    def bambi(self, python, formula, sampler):
        options = {"sampler": sampler, "draws": DRAWS, "chains": CHAINS, "cores": CORES}
        options = json.dumps({**options, "dtype": dict.fromkeys(self.labels, "str")})
        script = PEERS / "bambi_fit.py"
        command = [python, script, self.path, formula, self.out, self.settings.runs, options]
        found = run(command, timeout=self.settings.seconds)
        return self.row(f"Bambi, {'nutpie' if sampler == 'nutpie' else 'default'}", found)

    def stan(self, package):
        out = self.out.with_suffix(".csv")
        script = PEERS / "stan_fit.R"
        command = [
            "Rscript", script, package, self.path, self.formula, out, self.settings.runs,
            ",".join(self.labels), DRAWS, CHAINS, CORES,
        ]  # fmt: skip
        found = run(command, timeout=self.settings.seconds)
        if found:
            table = pd.read_csv(out)
            chains = [chain.drop(columns="chain").to_numpy() for _, chain in table.groupby("chain")]
            values = np.stack(chains)
            names = [name for name in table.columns if name != "chain"]
            draws = {name: values[..., k] for k, name in enumerate(names)}
            np.savez(self.out, **{name.replace("/", "|"): v for name, v in draws.items()})
        return self.row(package, found)

    def row(self, program, found):
        """Say what a program took, and how many draws its draws are worth."""
        print(f"  {self.model}: {program} {'' if found else 'gave nothing in time'}")
        if not found:
            return None
        with np.load(self.out) as saved:
            draws = {name: saved[name] for name in saved.files}
        again = found["totals"][1:] or found["totals"]
        ess = worst_ess(draws, found.get("ess"))
        return {
            "model": self.model,
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
    """Bulk ESS of the worst parameter; for draws resampled from weighted points, that of both."""
    if stated is not None:
        size = next(iter(draws.values())).size
        return 1.0 / (1.0 / size + 1.0 / stated)
    moving = {name: values for name, values in draws.items() if np.ptp(values) > 0}
    return float(min(az.ess(values) for values in moving.values()))
