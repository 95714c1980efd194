"""Time from the call of `fit_bayes` to its tree on sleepstudy: cold, warm, and once more.

Each row is a process of its own. "Compiled" starts with empty compile caches and without the
machine code that installing built, "cold" with empty caches, "warm" finds the caches that the cold
one left, "again" is a second fit of the same structure in the warm process. Run it on a quiet
machine: `python benchmarks/first_posterior.py`.
"""

import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FORMULA = "Reaction ~ Days + (Days | Subject)"


def fit_and_report(parametrization):
    started = time.perf_counter()
    # What every form needs; the non-centered one loads PyMC too, which its total then holds.
    import arviz  # noqa: F401
    import nutpie  # noqa: F401

    import bayeslmm as bl
    import bayeslmm.inference.fit
    import bayeslmm.inference.nuts.compile

    imported = time.perf_counter() - started
    data = bl.load_dataset("sleepstudy")
    rows = []
    for _ in range(2):
        started, cpu = time.perf_counter(), time.process_time()
        tree = bl.fit_bayes(
            FORMULA, data, random_seed=1, progressbar=False, parametrization=parametrization
        )
        stats = tree["sample_stats"].attrs
        row = {
            "total": time.perf_counter() - started,
            "compile": stats["compile_time"],
            "sample": stats["sampling_time"],
            "cpu": time.process_time() - cpu,
            "import": imported,
        }
        row["rest"] = row["total"] - row["compile"] - row["sample"]
        rows.append(row)
    print(json.dumps(rows))


def run_with(cache, *arguments, compiled=False):
    environment = {
        **os.environ,
        "BAYESLMM_COMPILE": "1" if compiled else "",
        "PYTENSOR_FLAGS": f"base_compiledir={cache}/pytensor",
        "NUMBA_CACHE_DIR": f"{cache}/numba",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True)


def measure(parametrization, cache, *, compiled=False):
    run = run_with(cache, __file__, "--fit", parametrization, compiled=compiled)
    return json.loads(run.stdout.splitlines()[-1])


def write_bytecode():
    """Compile the package's sources, as installing does; a checkout may be without (0.3 s)."""
    compileall.compile_dir(Path(__file__).parent.parent / "bayeslmm", quiet=1)


def measure_all(parametrization):
    """Rows of seconds by the state of the caches."""
    write_bytecode()
    with tempfile.TemporaryDirectory() as cache:
        cold, _ = measure(parametrization, cache)
        warm, again = measure(parametrization, cache)
    with tempfile.TemporaryDirectory() as cache:
        compiled, _ = measure(parametrization, cache, compiled=True)
    return {"compiled": compiled, "cold": cold, "warm": warm, "again": again}


def main():
    parametrizations = sys.argv[1:] or ["auto"]
    columns = ["total", "compile", "sample", "rest", "cpu", "import"]
    print("seconds".ljust(24), *(c.rjust(8) for c in columns))
    for parametrization in parametrizations:
        rows = measure_all(parametrization)
        for label, row in rows.items():
            name = f"{parametrization} {label}".ljust(24)
            print(name, *(f"{row[c]:8.2f}" for c in columns))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fit"]:
        fit_and_report(sys.argv[2])
    else:
        main()
