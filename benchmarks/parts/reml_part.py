"""REML on every reference model against statsmodels' MixedLM and lme4, by `benchmarks/reml.py`."""

import json
import os
import subprocess
import sys

import pandas as pd

from parts.runner import PINNED, ROOT

SCRIPT = ROOT / "benchmarks" / "reml.py"


def measure(settings):
    """Run the script with pinned threads and read its table."""
    words = [word for model in settings.models for word in model.split()]
    done = subprocess.run(
        [sys.executable, SCRIPT, "--json", *words],
        env={**os.environ, **PINNED},
        capture_output=True,
        text=True,
        check=False,
        timeout=settings.seconds * 6,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    table = pd.DataFrame(found["models"]).T.reset_index(names="model")
    return table, "" if found["rscript"] else "Rscript is not here: lme4's own column is left out."
