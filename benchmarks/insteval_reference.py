"""Long non-centered NUTS runs on InstEval, summarised: what crossed posteriors are held against.

    python benchmarks/insteval_reference.py insteval_2    # or insteval_3; minutes each

writes tests/reference/posterior/<name>.json: for every parameter and a systematic sample of the
random effects mean, standard deviation and 5, 50 and 95 % quantile with their Monte Carlo standard
errors, bulk ESS and R-hat, and how they were made.
"""

import datetime as dt
import json
import platform
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd

import bayeslmm as bl

REFERENCE = Path(__file__).parent.parent / "tests" / "reference"
FORMULAS = {
    "insteval_2": "y ~ 1 + (1 | s) + (1 | d)",
    "insteval_3": "y ~ 1 + (1 | s) + (1 | d) + (1 | dept)",
}
# Every so manyeth level: some sixty of each large factor, all of a small one.
EVERY = {"s": 50, "d": 20, "dept": 1}
SETTINGS = {"draws": 1500, "tune": 1000, "chains": 4, "cores": 2, "random_seed": 20261122}
PROBABILITIES = (0.05, 0.5, 0.95)


def summarise(draws):
    """Mean, sd and quantiles of (chain, draw) values, each with its Monte Carlo standard error."""
    axes = {"chain_axis": 0, "draw_axis": 1}
    kinds = [
        ("mean", float(draws.mean()), {"method": "mean"}),
        ("sd", float(draws.std()), {"method": "sd"}),
        *(
            (f"q{100 * p:.0f}", float(np.quantile(draws, p)), {"method": "quantile", "prob": p})
            for p in PROBABILITIES
        ),
    ]
    result = {}
    for name, value, how in kinds:
        result[name] = value
        result[f"mcse_{name}"] = float(az.mcse(draws, **axes, **how))
    result["ess"] = float(az.ess(draws, **axes))
    result["rhat"] = float(az.rhat(draws, **axes))
    return result


def chosen_values(posterior):
    """Label and draws of each parameter, and of the chosen levels' effects."""
    for name in ("beta", "sigma", *(n for n in posterior if str(n).startswith("sd_"))):
        values = posterior[name].to_numpy()
        yield name, values.reshape(values.shape[:2])
    for factor, step in EVERY.items():
        if f"b_{factor}" not in posterior:
            continue
        array = posterior[f"b_{factor}"]
        labels = array[factor].to_numpy()
        for level in range(0, len(labels), step):
            yield f"b_{factor}[{labels[level]}]", array[:, :, level, 0].to_numpy()


def main(name):
    table = pd.read_csv(REFERENCE / "data" / "InstEval.csv.gz", dtype=dict.fromkeys(EVERY, str))
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bl.SamplingWarning)  # recorded below, by quantity
        tree = bl.fit_bayes(
            FORMULAS[name], table, parametrization="noncentered", progressbar=False, **SETTINGS
        )
    posterior = tree["posterior"].to_dataset()
    values = {label: summarise(draws) for label, draws in chosen_values(posterior)}
    packages = ("bayeslmm", "pymc", "nutpie", "numba", "arviz")
    content = {
        "formula": FORMULAS[name],
        "data": "InstEval.csv.gz; s, d and dept as text",
        "made_by": "benchmarks/insteval_reference.py",
        "date": f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}",
        "program": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "parametrization": "noncentered",
        "sampler": "nutpie, target_accept 0.95",
        "settings": SETTINGS,
        "priors": json.loads(tree.attrs["priors"]),
        "seconds": {
            "call": time.perf_counter() - started,
            "sampling": tree["sample_stats"].attrs["sampling_time"],
        },
        "divergences": int(tree["sample_stats"]["diverging"].sum()),
        "values": values,
    }
    target = REFERENCE / "posterior" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(content, indent=1), "utf-8")
    for label in list(values)[:6]:
        print(label, {k: round(v, 5) for k, v in values[label].items()})
    print(f"{target.name}: {content['seconds']}, {content['divergences']} divergences")


if __name__ == "__main__":
    main(sys.argv[1])
