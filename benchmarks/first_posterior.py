"""Time from the call of a fit to its result: in a new process, and once more.

Each row is a process of its own. "Compiled" starts with empty compile caches and without the
machine code that installing built, "cold" with empty caches, "loaded" so too, but with all foreign
libraries imported before the call; "warm" finds the caches that the cold one left, "again" is a
second fit of the same structure in the warm process. Run it on a quiet machine:
`python benchmarks/first_posterior.py [FIT ...]`. With `--wheel` a wheel is built, and fits in an
environment that holds nothing else; it was never run before.
"""

import argparse
import compileall
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
SLEEPSTUDY = ("Reaction ~ Days + (Days | Subject)", "sleepstudy")
MARGINAL = {"parametrization": "marginal"}
# Formula and table, and what else is said.
FITS = {
    "REML": (*SLEEPSTUDY, None),
    "importance": (*SLEEPSTUDY, {"sampler": "importance", **MARGINAL}),
    "quadrature": (
        "incidence ~ period + (1 | herd)", "cbpp", {"family": "binomial", "trials": "size"},
    ),
    "marginal NUTS": (*SLEEPSTUDY, {"sampler": "nutpie", **MARGINAL}),
    "noncentered NUTS": (*SLEEPSTUDY, {"sampler": "nutpie", "parametrization": "noncentered"}),
}  # fmt: skip
COLUMNS = ["total", "compile", "sample", "rest", "cpu", "import"]


def fit_and_report(name, libraries):
    """Print rows of seconds of two fits, and the foreign libraries that they loaded."""
    formula, table, settings = FITS[name]
    started = time.perf_counter()
    from bayeslmm import fit_bayes, fit_reml, load_dataset

    imported = time.perf_counter() - started
    for library in libraries:
        try:
            importlib.import_module(library)
        except ImportError:  # parts of others, which are there when these are
            continue
    data = load_dataset(table)
    rows = []
    for _ in range(2):
        started, cpu = time.perf_counter(), time.process_time()
        if settings is None:
            fit_reml(formula, data)
            stats = {}
        else:
            tree = fit_bayes(formula, data, random_seed=1, progressbar=False, **settings)
            stats = tree["sample_stats"].attrs
        row = {
            "total": time.perf_counter() - started,
            "compile": stats.get("compile_time", 0.0),
            "sample": stats.get("sampling_time", 0.0),
            "cpu": time.process_time() - cpu,
            "import": imported,
        }
        row["rest"] = row["total"] - row["compile"] - row["sample"]
        rows.append(row)
    foreign = sorted(name for name in sys.modules if name.partition(".")[0] != "bayeslmm")
    print(json.dumps([rows, [name for name in foreign if not name.startswith("__")]]))


def measure(name, cache, *, compiled=False, libraries=(), python=sys.executable):
    """Return a process's rows and the libraries that it loaded."""
    listed = Path(cache) / "libraries.json"
    listed.write_text(json.dumps(list(libraries)))
    environment = {
        **os.environ,
        "BAYESLMM_COMPILE": "1" if compiled else "",
        "PYTENSOR_FLAGS": f"base_compiledir={cache}/pytensor",
        "NUMBA_CACHE_DIR": f"{cache}/numba",
    }
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)
    run = subprocess.run(
        [python, __file__, "--report", listed, name],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return json.loads(run.stdout.splitlines()[-1])


def write_bytecode():
    """Compile the package's sources, as installing does; a checkout may be without (0.3 s)."""
    compileall.compile_dir(ROOT / "bayeslmm", quiet=1)


def measure_all(name, python=sys.executable, *, compiled=True):
    """Rows of seconds by the state of the caches."""
    if python == sys.executable:
        write_bytecode()
    with tempfile.TemporaryDirectory() as cache:
        (cold, _), libraries = measure(name, cache, python=python)
        (warm, again), _ = measure(name, cache, python=python)
    with tempfile.TemporaryDirectory() as cache:
        (loaded, _), _ = measure(name, cache, libraries=libraries, python=python)
    rows = {"cold": cold, "loaded": loaded, "warm": warm, "again": again}
    if compiled:
        with tempfile.TemporaryDirectory() as cache:
            rows = {"compiled": measure(name, cache, compiled=True, python=python)[0][0], **rows}
    return rows


def bare_environment(folder):
    """Build a wheel, install it beside nothing but what it asks for, and return that Python."""
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    run = [sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run(run, check=True)
    (wheel,) = Path(folder).glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", Path(folder) / "bare"], check=True)
    python = str(Path(folder) / "bare" / "bin" / "python")
    install = [python, *pip, "install", "--constraint", ROOT / "constraints.txt", wheel]
    subprocess.run(install, check=True)
    return python


def show(names, python, *, compiled):
    """Print a table of seconds."""
    print("seconds".ljust(28), *(c.rjust(8) for c in COLUMNS))
    for name in names:
        for label, row in measure_all(name, python, compiled=compiled).items():
            print(f"{name} {label}".ljust(28), *(f"{row[c]:8.2f}" for c in COLUMNS))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("fits", nargs="*", metavar="FIT", default=[], help=", ".join(FITS))
    parser.add_argument("--wheel", action="store_true", help="in a bare environment")
    parser.add_argument("--report", metavar="LIBRARIES", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.report:
        fit_and_report(*asked.fits, json.loads(Path(asked.report).read_text()))
        return
    names = asked.fits or list(FITS)
    if not asked.wheel:
        show(names, sys.executable, compiled=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        show(names, bare_environment(folder), compiled=False)


if __name__ == "__main__":
    main()
