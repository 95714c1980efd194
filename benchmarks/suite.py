"""The benchmark suite: one command measures, and writes tables, pictures and the page of results.

    python benchmarks/suite.py                      # every part, an hour and more
    python benchmarks/suite.py --only levels        # one part; say it again for a further one
    python benchmarks/suite.py --page               # the page anew from the tables that are there
    python benchmarks/suite.py --list               # the parts and how long each takes

Each part writes `docs/benchmarks/<part>.csv`, `.json` (date, machine, load, versions) and where it
has one a picture; the page `docs/benchmarks.md` holds what is there, of whatever day.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from parts.page import PARTS, write_page  # noqa: E402
from parts.pictures import draw  # noqa: E402

RESULTS = HERE.parent / "docs" / "benchmarks"


def settings_from(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--only", action="append", choices=sorted(PARTS), help="a part to run")
    parser.add_argument("--list", action="store_true", help="list the parts")
    parser.add_argument("--page", action="store_true", help="write the page, measure nothing")
    parser.add_argument("--runs", type=int, default=3, help="runs to take the median of")
    parser.add_argument("--seconds", type=float, default=1800, help="time for one of our points")
    parser.add_argument("--peer-seconds", type=float, default=600, help="time for a peer's point")
    parser.add_argument("--sizes", type=int, nargs="+", help="sizes in place of the part's own")
    parser.add_argument(
        "--models",
        nargs="+",
        default=[],
        help="words in names of models: measure these, keep the rest",
    )
    parser.add_argument("--scratch", help="where to write large tables (the largest: 3 GB)")
    return parser.parse_args(words)


def main(words):
    warnings.simplefilter("ignore")
    settings = settings_from(words)
    if settings.list:
        for name, part in PARTS.items():
            print(f"{name:12} {part.minutes:>12}  {part.title}")
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in [] if settings.page else settings.only or PARTS:
        run_part(name, settings)
    for path in RESULTS.glob("*.csv"):
        draw(path.stem, pd.read_csv(path), path.with_suffix(".png"))
    write_page(RESULTS, RESULTS.with_suffix(".md"))


def run_part(name, settings):
    """Measure one part and keep its table, its picture, and where and when it ran."""
    from parts.runner import machine

    print(f"{PARTS[name].title} ({PARTS[name].minutes})")
    where = machine()
    table, note = PARTS[name].measure(settings)
    where |= {"note": note, "runs": settings.runs, "peer seconds": settings.peer_seconds}
    where["load after"] = machine()["load before"]
    if settings.models and (RESULTS / f"{name}.csv").exists():
        # Some models of a part: the others keep what an earlier run found.
        before = pd.read_csv(RESULTS / f"{name}.csv")
        if "model" in before and "model" in table:
            table = pd.concat([before[~before["model"].isin(table["model"])], table])
            where["note"] = f"{note} The models were measured one after the other.".strip()
    table.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.6g")
    (RESULTS / f"{name}.json").write_text(json.dumps(where, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
