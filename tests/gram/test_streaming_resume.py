"""A sum over batches that is killed goes on, to the same bits; what does not belong is refused."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from batches import assert_same_bits, cut, table

from bayeslmm.errors import DataError
from bayeslmm.gram.file import decode_header, read_arrays
from bayeslmm.gram.streaming.checkpoint import Checkpoint, Progress
from bayeslmm.gram.streaming.first_pass import Reading
from bayeslmm.gram.streaming.from_batches import gram_from_batches
from bayeslmm.gram.streaming.second_pass import BatchCoding

SCRIPT = """
import sys
sys.path[:0] = sys.argv[2:]
import bayeslmm.gram.streaming.checkpoint as checkpoint
from bayeslmm.gram.streaming.from_batches import gram_from_batches
from test_streaming_resume import FOR_KILLING, slow_batches

checkpoint.INTERVAL = checkpoint.LEAST_SHARE = 0.0
gram_from_batches(
    FOR_KILLING, slow_batches, checkpoint=sys.argv[1], cores=2, progressbar=False
)
"""
FOR_KILLING = "y ~ scale(x) + (x | g)"


def batches_for_killing():
    for k in range(12):
        rng = np.random.default_rng(k)
        x = rng.normal(1e3, 1, 400)
        g = rng.integers(0, 20, 400)
        yield pd.DataFrame({"x": x, "g": g, "y": x + g + rng.normal(size=400)})


def slow_batches():
    for batch in batches_for_killing():
        sys.stdout.write("batch\n")
        sys.stdout.flush()
        time.sleep(0.1)
        yield batch


@pytest.mark.parametrize("stop_after", [5, 18])  # batches: in the first pass, and in the second
def test_a_killed_sum_goes_on_to_the_same_bits(tmp_path, stop_after):
    checkpoint = tmp_path / "part.npz"
    here = Path(__file__).parent
    command = [sys.executable, "-c", SCRIPT, str(checkpoint), str(here), str(here.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as victim:  # noqa: S603
        for _ in range(stop_after):
            assert victim.stdout.readline() == "batch\n"
        until = time.monotonic() + 60
        while not checkpoint.exists() and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(victim.pid, signal.SIGKILL)
        assert victim.wait() == -signal.SIGKILL
    assert checkpoint.exists()
    resumed = gram_from_batches(
        FOR_KILLING, batches_for_killing, checkpoint=checkpoint, progressbar=False
    )
    assert not checkpoint.exists()
    assert_same_bits(
        resumed, gram_from_batches(FOR_KILLING, batches_for_killing, progressbar=False)
    )


class StopError(Exception):
    pass


def interrupted(batches, after):
    yield from batches[:after]
    raise StopError


def test_a_checkpoint_of_other_rows_or_another_job_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bayeslmm.gram.streaming.checkpoint.INTERVAL", 0.0)
    monkeypatch.setattr("bayeslmm.gram.streaming.checkpoint.LEAST_SHARE", 0.0)
    data = table(300)
    batches = cut(data, 100, 200)
    path = tmp_path / "part.npz"
    formula = "y ~ x + (1 | g)"
    with pytest.raises(StopError):
        gram_from_batches(
            formula, lambda: interrupted(batches, 2), checkpoint=path, cores=1, progressbar=False
        )
    with pytest.raises(DataError, match=r"belongs to another sum: its formula is y ~ 1 \+ x"):
        gram_from_batches("y ~ z + (1 | g)", batches, checkpoint=path, progressbar=False)
    with pytest.raises(DataError, match=r"Batch 0.*has 50 rows, and had 100"):
        gram_from_batches(formula, cut(data, 50), checkpoint=path, progressbar=False)
    with pytest.raises(DataError, match="checkpoint holds 2 batches, and there are 1 now"):
        gram_from_batches(formula, batches[:1], checkpoint=path, progressbar=False)
    gram = gram_from_batches(formula, batches, checkpoint=path, progressbar=False)
    assert_same_bits(gram, gram_from_batches(formula, batches, progressbar=False))
    path.write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match=r"part\.npz' is no npz file, or a damaged one"):
        gram_from_batches(formula, batches, checkpoint=path, progressbar=False)


def test_a_batch_that_fails_leaves_whole_batches_in_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("bayeslmm.gram.streaming.checkpoint.INTERVAL", 0.0)
    monkeypatch.setattr("bayeslmm.gram.streaming.checkpoint.LEAST_SHARE", 0.0)
    data = table(300)
    good = cut(data, 100, 200)
    bad = [*good[:2], good[2].assign(x="text")]
    path = tmp_path / "part.npz"
    with pytest.raises(DataError, match="text in another"):
        gram_from_batches("y ~ x + (1 | g)", bad, checkpoint=path, progressbar=False)
    gram = gram_from_batches("y ~ x + (1 | g)", good, checkpoint=path, progressbar=False)
    assert_same_bits(gram, gram_from_batches("y ~ x + (1 | g)", good, progressbar=False))


# As files hold them: readings, codings and checkpoints written by earlier releases must be read.
READING = (
    '{"version": 1, "formula": "y ~ 1 + center(x) + C(f) + poly(x, 2, raw=True) + (1 | g)", '
    '"weights": null, "missing": "drop", "n_rows": 4, "n": 4, '
    '"lacking": {"y": 0, "x": 0, "f": 0, "g": 0}, '
    '"kinds": {"y": "number", "x": "number", "f": "text", "g": "text"}, '
    '"levels": {"g": {"kind": "text", "dtype": "<U1", "members": ["p", "q"], "used": null}, '
    '"f": {"kind": "text", "dtype": "<U1", "members": ["u", "v"], "used": null}}, '
    '"combinations": {}, '
    '"learnt": {"center(x)": [4, 2.5, 5.0, 1.0, 4.0], '
    '"C(f)": {"kind": "text", "dtype": "<U1", "members": ["u", "v"], "used": null}}}'
)
CODING = (
    '{"state": {"version": 1, "formula": "y ~ 1 + center(x) + C(f) + poly(x, 2, raw=True) + '
    '(1 | g)", "columns": {"x": {"kind": "number", "levels": null}, '
    '"f": {"kind": "label", "levels": ["u", "v"]}}, '
    '"transforms": {"poly(x, 2, raw=True)": {"learnt": true}, '
    '"center(x)": {"ddof": 1, "center": 2.5, "scale": null, "learnt": true}, '
    '"C(f)": {"levels": ["u", "v"]}}, '
    '"coef": ["Intercept", "center(x)", "C(f)[T.v]", "poly(x, 2, raw=True)[1]", '
    '"poly(x, 2, raw=True)[2]"], "dropped": [], "terms": {"g": ["Intercept"]}, '
    '"levels": {"g": ["p", "q"]}}, '
    '"kinds": {"y": "number", "x": "number", "f": "text", "g": "text"}, "weights": null, '
    '"missing": "drop", "n_rows": 4, "n": 4, "lacking": {"y": 0, "x": 0, "f": 0, "g": 0}}'
)


def test_readings_and_codings_keep_the_form_that_files_hold():
    rows = {"y": [1.0, 2.0, 4.0, 3.0], "x": [1, 2, 3, 4], "f": list("uvuv"), "g": list("ppqq")}
    formula = "y ~ center(x) + C(f) + poly(x, 2, raw=True) + (1 | g)"
    reading = Reading.of(formula, rows)
    assert reading.to_json() == READING
    assert Reading.from_json(READING).to_json() == READING
    assert Reading.from_json(READING).settle().to_json() == CODING
    assert BatchCoding.from_json(CODING).to_json() == CODING


def test_a_checkpoint_keeps_the_form_that_files_hold(tmp_path):
    path = tmp_path / "part.npz"
    coding = BatchCoding.from_json(CODING)
    progress = Progress({"formula": "y"}, (3, 1), 4, Reading.from_json(READING), coding)
    Checkpoint(path).keep(progress, now=True)
    arrays = read_arrays(path)
    assert sorted(arrays) == ["header", "sizes"]
    assert decode_header(arrays, "bayeslmm.checkpoint", 1, "") == {
        "format": "bayeslmm.checkpoint",
        "version": 1,
        "job": {"formula": "y"},
        "total": 4,
        "reading": READING,
        "settled": CODING,
        "lacking": None,
    }
    back = Checkpoint(path).resume({"formula": "y"})
    assert (back.sizes, back.total) == ((3, 1), 4)
    assert (back.reading.to_json(), back.coding.to_json()) == (READING, CODING)
