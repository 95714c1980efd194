"""Responses that are not Gaussian: effective draws per CPU second, against NUTS and Bambi.

All in one run, each program in its own process with its default priors, 4 chains of 1000 + 1000 or
as many draws. CPU seconds of one fit count every thread: its second one in a process, compiled
code being loaded, but for Bambi's compilation, which is part of each of its fits. Effective draws
are those of the worst population parameter, at most as many as there are draws.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import bayeslmm as bl
from parts.reference import worst_ess
from parts.runner import CHAINS, CORES, DRAWS, PEERS, ours, peer_python, run


@dataclass(frozen=True)
class Model:
    """A reference model.

    Attributes
    ----------
    data, formula, family : str
        Bundled table, formula and family.
    trials : str or None
        The column of trials.
    bambi : str or None
        Bambi's formula; None where it has no such model.
    scaled : mapping of str to float
        Columns that Bambi gets divided by these, without which it does not come to an end.
    """

    data: str
    formula: str
    family: str
    trials: str | None = None
    bambi: str | None = None
    scaled: tuple[tuple[str, float], ...] = ()


def crossed_table(rows=20_000, users=1_000, items=100):
    """Yes-or-no answers of users to items, each with an effect of its own."""
    rng = np.random.default_rng(7)
    user, item = rng.integers(users, size=rows), rng.integers(items, size=rows)
    x = rng.normal(size=rows)
    eta = -0.5 + 0.5 * x + rng.normal(size=users)[user] + 0.7 * rng.normal(size=items)[item]
    y = (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame(
        {"y": y, "x": x, "user": [f"u{k}" for k in user], "item": [f"i{k}" for k in item]}
    )


MODELS = {
    "cbpp": Model(
        "cbpp", "incidence ~ C(period) + (1 | herd)", "binomial", "size",
        "p(incidence, size) ~ C(period) + (1 | herd)",
    ),
    "contraception (1 | district)": Model(
        "contraception", "use01 ~ age + I(age**2) + urban + livch + (1 | district)", "bernoulli",
        bambi="use01 ~ age + I(age**2) + urban + livch + (1 | district)", scaled=(("age", 10.0),),
    ),
    "contraception (urban | district)": Model(
        "contraception", "use01 ~ age + I(age**2) + urban + livch + (urban | district)",
        "bernoulli",
    ),
    "toenail": Model(
        "toenail", "severe ~ treatment*time + (1 | patientID)", "bernoulli",
        bambi="severe ~ treatment*time + (1 | patientID)",
    ),
    "epil, Poisson": Model(
        "epil", "y ~ lbase4*trt + lage + V4 + (1 | subject)", "poisson",
        bambi="y ~ lbase4*trt + lage + V4 + (1 | subject)",
    ),
    "epil, negative binomial": Model(
        "epil", "y ~ lbase4*trt + lage + V4 + (1 | subject)", "negbinomial",
        bambi="y ~ lbase4*trt + lage + V4 + (1 | subject)",
    ),
    "grouseticks": Model(
        "grouseticks", "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
        "poisson",
        bambi="TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)",
    ),
    "crossed, 20,000 rows": Model(
        "crossed", *["y ~ x + (1 | user) + (1 | item)"], "bernoulli",
        bambi="y ~ x + (1 | user) + (1 | item)",
    ),
}  # fmt: skip
PLAIN = "bayeslmm, plain call"
OURS = {PLAIN: {}, "bayeslmm, non-centered NUTS": {"sampler": "nutpie"}}
_BAMBI_FAMILIES = {"negbinomial": "negativebinomial"}


def measure(settings):
    """One row per model and program."""
    python = peer_python()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, model in MODELS.items():
            if settings.models and not any(word in name for word in settings.models):
                continue
            rows += _rows(name, model, Path(folder), settings, python)
    table = pd.DataFrame([row for row in rows if row])
    speed = table[table["program"] == PLAIN].set_index("model")["ESS/CPU s"]
    table["ESS/CPU s x"] = table["model"].map(speed) / table["ESS/CPU s"]
    return table, ""


def _rows(name, model, folder, settings, python):
    table = crossed_table() if model.data == "crossed" else bl.load_dataset(model.data)
    labels = [c for c in table if not pd.api.types.is_numeric_dtype(table[c])]
    path, out = folder / f"{model.data}.csv", folder / "draws.npz"
    table.to_csv(path, index=False)
    shared = {"draws": DRAWS, "dtype": dict.fromkeys(labels, "str")}
    known = {"family": model.family} | ({"trials": model.trials} if model.trials else {})
    for program, options in OURS.items():
        given = json.dumps({**shared, **known, **options})
        found = ours("posterior", path, model.formula, out, 2, given, timeout=settings.seconds)
        yield _row(name, program, found, out)
    if python and model.bambi:
        for column, unit in model.scaled:
            table[column] /= unit
        table.to_csv(path, index=False)
        family = _BAMBI_FAMILIES.get(model.family, model.family)
        options = {"sampler": "nutpie", "chains": CHAINS, "cores": CORES, "family": family}
        given = json.dumps({**shared, **options})
        command = [python, PEERS / "bambi_fit.py", path, model.bambi, out, 2, given]
        yield _row(name, "Bambi, nutpie", run(command, timeout=settings.peer_seconds), out)


def _row(name, program, found, out):
    print(f"  {name}: {program} {'' if found else 'gave nothing in time'}", flush=True)
    if not found:
        return None
    with np.load(out) as saved:
        ess = worst_ess({key: saved[key] for key in saved.files}, found.get("ess"))
    ess = min(ess, CHAINS * DRAWS)
    return {
        "model": name,
        "program": program,
        "sampler": found.get("sampler", "nutpie"),
        "first s": found["totals"][0],
        "again s": found["totals"][-1],
        "again CPU s": found["cpu totals"][-1],
        "ESS": ess,
        "ESS/CPU s": ess / found["cpu totals"][-1],
    }
