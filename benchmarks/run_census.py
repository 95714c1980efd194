"""Fit the census's models by the plain call, and write what became of them, and the page.

    python benchmarks/run_census.py                # all that are not refused: an hour and more
    python benchmarks/run_census.py 4 12 107       # these, beside what is there of the others
    python benchmarks/run_census.py --missing      # those without a result
    python benchmarks/run_census.py --limit 900    # none of them longer than so many seconds
    python benchmarks/run_census.py --page         # the page anew from the results

Results stand in `docs/benchmarks/census.csv`, a line for each model, the page in `docs/census.md`.
"""

import argparse
import multiprocessing
import sys
import time
import traceback
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "tests")]

from census.fit import KINDS, fit  # noqa: E402
from census.rows import ROWS  # noqa: E402
from parts.census_page import write_page  # noqa: E402

import bayeslmm as bl  # noqa: E402

DOCS = HERE.parent / "docs"
RESULTS = DOCS / "benchmarks" / "census.csv"
# One of each method, so that no row's seconds hold what is compiled once for all of them.
FIRST = (107, 25, 46, 201)


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("numbers", type=int, nargs="*", help="models to fit; all without")
    parser.add_argument("--missing", action="store_true", help="those without a result")
    parser.add_argument("--skip", type=int, nargs="*", default=[], help="not these")
    parser.add_argument("--limit", type=float, help="seconds after which a model is given up")
    parser.add_argument("--page", action="store_true", help="write the page, fit nothing")
    settings = parser.parse_args(words)
    if not settings.page:
        numbers = settings.numbers or list(ROWS)
        if settings.missing:
            numbers = [number for number in numbers if number not in set(results()["number"])]
        measure([n for n in numbers if n not in settings.skip], settings.limit)
    write_page(ROWS, results(), DOCS / "census.md")


def results():
    if RESULTS.exists():
        return pd.read_csv(RESULTS)
    return pd.DataFrame({"number": []})


def measure(numbers, limit=None):
    """Fit models one after the other and keep each one's line as soon as it is there."""
    worker = Worker(FIRST if len(numbers) > 1 else ())
    for number in numbers:
        found = worker.fit(number, limit)
        if isinstance(found, str):
            print(f"{number}: {found}", flush=True)
            continue
        keep(number, found)
        print(
            f"{number}: {found.method}, {found.seconds:.1f} s, k-hat {found.k_hat:.2f}, R-hat "
            f"{found.r_hat:.3f}, {sum(found.held.values())} of {sum(found.asked.values())} "
            f"{', '.join(found.outside)}",
            flush=True,
        )
    worker.end()


class Worker:
    """A process that fits models, has compiled what they share, and is replaced when it hangs."""

    def __init__(self, first):
        self._first = first
        self._start()

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._first), daemon=True)
        self._process.start()
        self._pipe.recv()

    def fit(self, number, limit):
        """Return the outcome of a model, or what stood in its way."""
        self._pipe.send(number)
        if self._pipe.poll(limit):
            return self._pipe.recv()
        self.end()
        self._start()
        return f"given up after {limit:.0f} s"

    def end(self):
        self._process.kill()
        self._process.join()


def serve(pipe, first):
    """Fit these once, so that what models share is compiled, and answer numbers by outcomes."""
    for number in first:
        fit(ROWS[number])
    pipe.send("ready")
    while True:
        try:
            pipe.send(fit(ROWS[pipe.recv()]))
        except bl.BayesLMMError as error:
            pipe.send(f"{type(error).__name__}: {str(error).splitlines()[0]}")
        except Exception:  # noqa: BLE001  one model's fault does not hide what the others do
            pipe.send(traceback.format_exc())


def keep(number, found):
    """Write one model's line, in the place of an earlier one."""
    line = {
        "number": number,
        "method": found.method,
        "seconds": round(found.seconds, 2),
        "cpu_seconds": round(found.cpu_seconds, 2),
        "k_hat": round(found.k_hat, 2),
        "r_hat": round(found.r_hat, 4),
        "divergences": found.divergences,
        **{f"{kind}_asked": found.asked[kind] for kind in KINDS},
        **{f"{kind}_held": found.held[kind] for kind in KINDS},
        "outside": "; ".join(found.outside),
        "date": time.strftime("%Y-%m-%d"),
    }
    lines = [other for other in results().to_dict("records") if other["number"] != number]
    pd.DataFrame([*lines, line]).sort_values("number").to_csv(RESULTS, index=False)


if __name__ == "__main__":
    main(sys.argv[1:])
