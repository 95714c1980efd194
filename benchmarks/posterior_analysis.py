"""Time of a summary, and memory of a million predictions.

    python benchmarks/posterior_analysis.py

A tree of 4 x 1,000 draws of sleepstudy's size (draws by formula: what they are makes no difference)
is summarised once to load the modules and then ten times; seconds are of the processor. Then a
million rows are predicted under 100 draws, row by row described: what the process holds more than
before, where all draws at once would take 800 MB.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

import bayeslmm as bl

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import trees

FORMULA = "Reaction ~ Days + (Days | Subject)"


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def summary_seconds(idata, repeats=10):
    bl.summary(idata)
    started = time.process_time()
    for _ in range(repeats):
        str(bl.summary(idata))
    return (time.process_time() - started) / repeats


def million_predictions(idata):
    n = 1_000_000
    subjects = idata["posterior"]["Subject"].to_numpy()
    rows = {"Days": np.linspace(0, 9, n), "Subject": np.resize(subjects, n)}
    bl.predict_table(idata, {name: values[:1000] for name, values in rows.items()}, draws=25)
    before, started = peak_megabytes(), time.process_time()
    table = bl.predict_table(idata, rows, draws=25)
    return len(table), time.process_time() - started, peak_megabytes() - before


def main():
    idata = trees.random_tree(FORMULA, bl.load_dataset("sleepstudy"), chains=4, draws=1000)
    print(f"summary of 4 x 1,000 draws: {summary_seconds(idata):.3f} s of processor time")
    rows, seconds, megabytes = million_predictions(idata)
    print(
        f"{rows:,} rows under 4 x 25 draws: {seconds:.1f} s of processor time, "
        f"{megabytes:.0f} MB more than before"
    )


if __name__ == "__main__":
    main()
