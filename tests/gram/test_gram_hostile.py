"""Gram files from strangers: whatever they hold is a fit or a DataError, never a crash."""

import io
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.gram.check import check_gram
from bayeslmm.gram.elimination_plan import build_plan
from bayeslmm.gram.file import encode_header, to_arrays, write_arrays

FORMULA = "y ~ x + (x | g) + (1 | h) + (1 | k)"


def rows(n=90):
    rng = np.random.default_rng(5)
    g, h = np.arange(n) % 12, rng.integers(0, 4, n)
    table = {"x": rng.normal(5, 2, n), "g": g, "k": g // 4, "h": h, "w": rng.uniform(1, 2, n)}
    return {**table, "y": rng.normal(size=12)[g] + rng.normal(size=4)[h] + rng.normal(size=n)}


@pytest.fixture(scope="module")
def gram():
    return bl.gram_from_batches(FORMULA, [rows()], weights="w", progressbar=False)


def stored(gram):
    arrays = to_arrays(gram)
    return arrays, json.loads(arrays["header"].tobytes())


def refused(path, arrays, header, words):
    write_arrays(path, {**arrays, "header": encode_header(header)})
    with pytest.raises(bl.DataError, match=words):
        bl.Gram.load(path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("pair_0_rows", np.zeros_like, "leaves out levels that have rows"),
        ("pair_0_rows", lambda a: a[::-1].copy(), "not in order"),
        (
            "pair_0_rows",
            lambda a: np.repeat(a, 2)[: len(a)],
            "in order, or names a pair|leaves out",
        ),
        ("pair_1_cols", lambda a: -a - 1_000_000, "levels that are not there"),
        ("pair_0_rows", lambda a: a + 0.5, "float64 and not int64"),
        ("pair_0_rows", lambda a: a.astype(np.int32), "int32 and not int64"),
        ("pair_0_values", lambda a: 9.0 * a, "larger than cross-products"),
        ("pair_0_values", lambda a: a.astype(np.float32), "float32 and not float64"),
        ("factor_0_within", lambda a: a.astype(complex), "complex128 and not float64"),
        ("factor_0_within", lambda a: -a, "factor_0_within is not positive semidefinite"),
        ("factor_0_within", lambda a: a * [[1, 1], [2, 1]], "not symmetric"),
        ("factor_0_within", lambda a: a[:, :1], "shape"),
        ("factor_0_with_fixed", lambda a: 9.0 * a, "explains more than cross holds"),
        ("factor_0_counts", lambda a: -a, "negative"),
        ("factor_0_counts", lambda a: a + 1, "not to n = 90"),
        ("factor_0_levels", np.zeros_like, "not distinct"),
        ("factor_0_scale", lambda a: a + np.eye(2)[::-1], "not upper triangular"),
        ("factor_0_scale", np.zeros_like, "cannot be inverted"),
        ("scale", lambda a: np.diag([1.0, 0.0]), "cannot be inverted"),
        ("cross", lambda a: -a, "cross is not positive semidefinite"),
        ("cross", lambda a: a + np.arange(9.0).reshape(3, 3), "cross is not symmetric"),
        ("cross", lambda a: 1e-6 * a, "explains more than cross holds"),
        ("slope", lambda a: a * np.inf, "not finite"),
    ],
)
def test_an_array_that_is_no_sum_is_refused_by_its_name(gram, tmp_path, name, change, words):
    arrays, header = stored(gram)
    refused(tmp_path / "g", {**arrays, name: change(arrays[name])}, header, words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda h: h["empty"].update(pair_0_rows=[[10**13], "<i8"]), "is not empty"),
        (lambda h: h["empty"].update(slope=[[0], "O"]), "is not empty"),
        (lambda h: h.update(n=-1), "n is -1"),
        (lambda h: h.update(n=10**30), "not a number of rows"),
        (lambda h: h.update(n=90.5), "n is 90.5"),
        (lambda h: h.update(sum_log_weights=float("nan")), "sum_log_weights"),
        (lambda h: h["factors"][0].update(blocks=[[0, 99]]), "do not part its 2 terms"),
        (lambda h: h["factors"][0].update(blocks=[[0, 1], [1]]), "do not part its 2 terms"),
        (lambda h: h["factors"][0].update(terms=["a", "a"]), "terms are not distinct"),
        (lambda h: h["factors"][1].update(name="g"), "lacks the levels|not distinct"),
        (lambda h: h["pairs"][0].update(second=0), "pairs are"),
        (lambda h: h["pairs"].reverse(), "pairs are"),
        (lambda h: h["coef"].reverse(), "other columns"),
        (lambda h: h.update(factors=7), "TypeError"),
        (lambda h: h["scales"].update(fixed=[]), "other columns"),
        (lambda h: h["scales"]["response"].update(squares=-1.0), "scales hold"),
        (lambda h: h["state"]["columns"]["x"].update(kind="rocket"), "has no kind"),
        (lambda h: h["state"].update(terms=[]), "whole Gram"),
        (lambda h: h["state"].update(dependence={"scale": [1.0], "parts": {"9": {}}}), "whole"),
        (lambda h: h["state"].update(dependence={"scale": ["a"], "parts": {}}), "whole Gram"),
        (lambda h: h["state"].update(dependence=3), "whole Gram"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(gram, tmp_path, change, words):
    arrays, header = stored(gram)
    change(header)
    refused(tmp_path / "g", arrays, header, words)


def test_deep_json_is_refused(gram, tmp_path):
    deep = np.frombuffer(b"[" * 100_000 + b"]" * 100_000, np.uint8)
    write_arrays(tmp_path / "g", {**to_arrays(gram), "header": deep})
    with pytest.raises(bl.DataError, match="no header"):
        bl.Gram.load(tmp_path / "g")


def npy(shape, descr="<f8", body=b""):
    file = io.BytesIO()
    head = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)
    return file.getvalue() + body


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (npy((10**12,)), "size that its header tells"),
        (npy((2,), body=b"\0" * 24), "size that its header tells"),
        (npy((-1,), body=b"\0" * 8), "size that its header tells"),
        (npy((10**12,), "<U0"), "neither numbers nor text"),
        (npy((1,), [("a", "<f8")], b"\0" * 8), "neither numbers nor text"),
        (npy((80_000_000,), "|u1", b"\0" * 80_000_000), "would become"),
        (b"\x93NUMPY\x01\x00\xff\xff{'a", "junk.npy|EOF"),
        (b"\x93NUMPY\x09\x00", "npz|version"),
        (b"", "npz|magic"),
    ],
)
def test_entries_are_refused_before_they_are_allocated(gram, tmp_path, entry, words):
    gram.save(tmp_path / "g")
    with zipfile.ZipFile(tmp_path / "g", "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("junk.npy", entry)
    with pytest.raises(bl.DataError, match=words):
        bl.Gram.load(tmp_path / "g")


def test_other_layouts_of_the_same_numbers_are_read(gram, tmp_path):
    swapped = {
        name: np.asfortranarray(a.astype(a.dtype.newbyteorder(">")))
        for name, a in to_arrays(gram).items()
    }
    np.savez_compressed(tmp_path / "g.npz", **swapped)
    back = bl.Gram.load(tmp_path / "g.npz")
    check_gram(back)
    for name, array in to_arrays(back).items():
        np.testing.assert_array_equal(array, to_arrays(gram)[name])


def test_a_child_that_meets_what_its_parent_does_not_is_refused(gram):
    """g is nested in k, and h is crossed: a pair (k, h) less leaves children without a place."""
    names = [f.name for f in gram.factors]
    at = next(
        j for j, pair in enumerate(gram.pairs)
        if {names[pair.first], names[pair.second]} == {"h", "k"}
    )  # fmt: skip
    pair = gram.pairs[at]
    less = replace(pair, rows=pair.rows[1:], cols=pair.cols[1:], values=pair.values[1:])
    pairs = (*gram.pairs[:at], less, *gram.pairs[at + 1 :])
    with pytest.raises(bl.DataError, match="contradict each other"):
        build_plan(replace(gram, pairs=pairs))


MUTATIONS = """
    import json, sys
    import numpy as np
    import bayeslmm as bl
    from bayeslmm.gram.file import encode_header, write_arrays

    path, formula = sys.argv[1:]
    whole = dict(np.load(path))
    header = json.loads(whole["header"].tobytes())
    places = [
        lambda a: a[:-1], lambda a: a[::-1], lambda a: np.roll(a, 1), lambda a: a * 0,
        lambda a: a + 1, lambda a: -a, lambda a: a * 10**9, lambda a: a.astype("f4"),
        lambda a: a.astype("i2"), lambda a: a[None], lambda a: a * 1e300, lambda a: a * np.nan,
        lambda a: np.asfortranarray(a), lambda a: np.full_like(a, 7), lambda a: a * 1e-300,
    ]
    loaded = refused = 0

    def attempt(arrays):
        global loaded, refused
        write_arrays(path, arrays)
        try:
            fit = bl.fit_reml(formula, bl.Gram.load(path))
            assert not fit.fixed_effects.isna().to_numpy().any()
            loaded += 1
        except bl.BayesLMMError:
            refused += 1

    for name, array in whole.items():
        for change in places if name != "header" else ():
            try:
                with np.errstate(all="ignore"):
                    changed = change(array)
            except (TypeError, ValueError, np.exceptions.DTypePromotionError):
                continue
            attempt({**whole, name: changed})
        attempt({other: a for other, a in whole.items() if other != name})

    def leaves(node, at=()):
        yield at
        inner = node.items() if isinstance(node, dict) else ()
        for key, value in enumerate(node) if isinstance(node, list) else inner:
            yield from leaves(value, (*at, key))

    for at in list(leaves(header))[1:]:
        for value in (None, -1, 10**13, 1.5, "x", [], {}, [[0, 99]], True):
            copy = json.loads(json.dumps(header))
            node = copy
            for key in at[:-1]:
                node = node[key]
            node[at[-1]] = value
            attempt({**whole, "header": encode_header(copy)})
    print(loaded, refused)
"""


def test_no_single_change_of_a_file_ends_the_interpreter(gram, tmp_path):
    path = tmp_path / "g.npz"
    gram.save(path)
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(MUTATIONS), str(path), FORMULA],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(bl.__file__).parents[1])},
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    loaded, refused_ = map(int, run.stdout.split())
    assert refused_ > 5 * loaded > 0
