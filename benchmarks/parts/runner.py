"""Child processes with pinned threads, timed from outside; machine and versions."""

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent.parent
PEERS = ROOT / "benchmarks" / "peers"
BENCH_VENV = ROOT / ".venv-bench"
# One thread of linear algebra per process: chains are what runs in parallel, for all alike.
PINNED = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
CHAINS, DRAWS = 4, 1000
CORES = min(CHAINS, os.cpu_count() or 1)


def run(command, *, timeout=600.0, env=None):
    """Run a command and return what its last line of JSON says, with seconds and peak memory.

    None comes back where the command needs longer than `timeout`; a failure is told and gives None.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as problems:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=out,
            stderr=problems,
            env={**os.environ, **PINNED, **(env or {})},
            start_new_session=True,
        )
        killer = threading.Timer(timeout, kill_group, [process.pid])
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        killer.cancel()
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        problems.seek(0)
        if process.returncode != 0:
            if seconds < timeout:
                print(f"  {' '.join(map(str, command[:3]))} failed:\n{problems.read()[-1500:]}")
            return None
        lines = [line for line in out.read().splitlines() if line.startswith("{")]
        found = json.loads(lines[-1]) if lines else {}
    scale = 1 if sys.platform == "darwin" else 1024
    return {
        **found,
        "process s": seconds,
        "cpu s": usage.ru_utime + usage.ru_stime,
        "peak MB": usage.ru_maxrss * scale / 2**20,
    }


def kill_group(leader):
    """End a command and the chains that it started; it is the leader of a session of its own."""
    os.killpg(leader, 9)


def ours(code, *arguments, timeout=600.0, env=None):
    """Run a function of `benchmarks/parts/workloads.py` in a new process of this environment."""
    script = Path(__file__).with_name("workloads.py")
    return run([sys.executable, script, code, *map(str, arguments)], timeout=timeout, env=env)


def peer_python():
    """Make the environment for the Python peers once; None where that is not possible."""
    python = BENCH_VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not python.exists():
        print("Making .venv-bench for Bambi and statsmodels (some minutes)")
        subprocess.run([sys.executable, "-m", "venv", BENCH_VENV], check=True)
        install = ["-m", "pip", "install", "-q", "--disable-pip-version-check"]
        wanted = ["bambi==0.21.*", "nutpie", "statsmodels"]
        done = subprocess.run([python, *install, *wanted], check=False)
        if done.returncode:
            print("The peers could not be installed: Bambi and statsmodels are left out.")
            return None
    return python


def r_has(package):
    """Return the version of an R package, or None."""
    code = f'cat("{{\\"version\\":\\"", as.character(packageVersion("{package}")), "\\"}}", sep="")'
    try:
        done = subprocess.run(["Rscript", "-e", code], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return json.loads(done.stdout)["version"] if done.returncode == 0 else None


def brms(path, model, options, out, *, timeout=600.0):
    """Run brms on a CSV file; its draws go to `out`, an archive of NumPy."""
    long, given = out.with_suffix(".csv"), out.with_suffix(".json")
    given.write_text(json.dumps({"draws": DRAWS, "chains": CHAINS, "runs": 2, **options}))
    command = ["Rscript", PEERS / "brms_fit.R", path, model, given, long]
    found = run(command, timeout=timeout)
    if found:
        keep_long_draws(long, out)
    return found


def keep_long_draws(long, out):
    """Write the draws that R left, a column a parameter and chains below each other, as arrays."""
    table = pd.read_csv(long)
    chains = [chain.drop(columns="chain").to_numpy() for _, chain in table.groupby("chain")]
    values = np.stack(chains)
    names = [name.replace("/", "|") for name in table.columns if name != "chain"]
    np.savez(out, **{name: values[..., k] for k, name in enumerate(names)})


def machine():
    """Describe where and when a part ran."""
    names = ["bayeslmm", "numpy", "numba", "pymc", "pytensor", "nutpie", "arviz"]
    versions = {name: metadata.version(name) for name in names}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{processor()}, {os.cpu_count()} cores, {memory_gb():.0f} GB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load before": round(load, 2),
        "versions": versions,
    }


def processor():
    """Name the processor as well as the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def memory_gb():
    """Size of the memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError):
        return float("nan")


def spread(function, runs):
    """Median seconds of several calls, and what the last one returned."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2], result
