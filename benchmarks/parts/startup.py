"""What passes before the first draw: imports, and a first fit with and without caches."""

import statistics
import sys

import pandas as pd

from parts.runner import peer_python, run

IMPORTS = {
    "import bayeslmm": "import bayeslmm",
    "from bayeslmm import fit_reml": "from bayeslmm import fit_reml",
    "from bayeslmm import fit_bayes": "from bayeslmm import fit_bayes",
    "from bayeslmm import fit_bayes, fit_reml": "from bayeslmm import fit_bayes, fit_reml",
    "import pymc": "import pymc",
}


def imports(settings):
    """Median seconds of whole processes, less those of a bare interpreter."""
    from first_posterior import write_bytecode

    write_bytecode()
    rows = []
    python = peer_python()
    programs = [(sys.executable, what, code) for what, code in IMPORTS.items()]
    if python:
        programs.append((python, "import bambi", "import bambi"))
    for interpreter, what, code in programs:
        bare = middle([interpreter, "-c", "pass"], settings)
        whole = middle([interpreter, "-c", code], settings)
        rows.append({"statement": what} | {name: whole[name] - bare[name] for name in whole})
        print(f"  {rows[-1]}")
    return pd.DataFrame(rows), ""


def middle(command, settings):
    """Median seconds of a command; its first run, which fills the system's caches, is left out."""
    found = [run(command, timeout=settings.seconds) for _ in range(settings.runs + 1)]
    return {
        shown: statistics.median(result[name] for result in found[1:] if result)
        for shown, name in (("seconds", "process s"), ("processor s", "cpu s"))
    }


def first_posterior(settings):  # noqa: ARG001 -- every part takes the settings
    """Fits in processes of their own: empty caches, filled caches, and once more."""
    from first_posterior import FITS, measure_all

    rows = []
    for name in FITS:
        for label, row in measure_all(name).items():
            rows.append({"fit": name, "caches": label} | row)
            print(f"  {rows[-1]}")
    return pd.DataFrame(rows), ""
