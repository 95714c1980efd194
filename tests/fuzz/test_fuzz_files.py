"""Files and texts that were cut, changed or made up."""

import json
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from fits import posteriors, table
from hypothesis import strategies as st
from outcome import fuzzed, outcome

import bayeslmm as bl

SEEDS = st.integers(0, 2**64 - 1)
MODELS = Path(__file__).parents[2] / "models"
TOML = ["3", "-1", "1.5", "true", "''", "'text'", "[]", "[1, 'a']", "{}", "{a = 1}", "nan", "inf",
        "2020-01-01", "[[]]", "'y ~ x'", "10000000000000000000000", '"\\u0000"']  # fmt: skip
JSON = [None, -1, 1e400, "x", [], {}, True, [[0, 99]]]


@cache
def specs():
    return [path.read_text() for path in sorted(MODELS.glob("*.toml"))]


def changed_toml(rng, text):
    lines = text.split("\n")
    at = int(rng.integers(len(lines)))
    how = rng.integers(7)
    if how == 0:
        return text[: int(rng.integers(len(text)))]
    if how == 1:
        place, odd = int(rng.integers(len(text))), "\x00\ud7ff\"'[]{}=,.#\n9"
        return text[:place] + odd[int(rng.integers(len(odd)))] + text[place + rng.integers(3) :]
    if how == 2:
        del lines[at]
    elif how == 3:
        lines.insert(at, lines[int(rng.integers(len(lines)))])
    else:
        keys = [k for k, line in enumerate(lines) if " = " in line and not line.startswith("#")]
        at = int(rng.choice(keys)) if keys else at
        lines[at] = lines[at].split(" = ")[0] + " = " + TOML[rng.integers(len(TOML))]
    return "\n".join(lines)


@fuzzed(15, seed=SEEDS)
def test_a_model_file_is_read_or_refused(seed):
    rng = np.random.default_rng(seed)
    text = specs()[rng.integers(len(specs()))]
    for _ in range(rng.integers(1, 3)):
        text = changed_toml(rng, text or " ")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.toml")
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        outcome(bl.read_spec, path)


@fuzzed(
    10,
    path=st.sampled_from(
        [None, 3, "", "/", "nowhere.toml", "\0", b"x", MODELS, [], "x" * 5000, {}, 1.5]
    ),
)
def test_a_path_is_no_file_or_refused(path):
    for read in (bl.read_spec, bl.Gram.load, bl.load_dataset):
        assert outcome(read, path) is None


@cache
def gram_file():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "g.npz")
        bl.gram_from_table("y ~ x + (x | g)", table()).save(path)
        return path.read_bytes()


@fuzzed(10, seed=SEEDS)
def test_a_gram_file_with_other_bytes_is_read_or_refused(seed):
    rng = np.random.default_rng(seed)
    held = bytearray(gram_file())
    if rng.random() < 0.3:
        held = held[: int(rng.integers(len(held)))]
    for _ in range(rng.integers(0, 4) if held else 0):
        held[int(rng.integers(len(held)))] = int(rng.integers(256))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "g.npz")
        path.write_bytes(bytes(held))
        outcome(bl.Gram.load, path)


def changed_json(rng, text):
    if rng.random() < 0.5:
        at, odd = int(rng.integers(len(text))), ["", "0", '"', "null", "[]", "{", "}", ",", "-1"]
        return text[:at] + odd[rng.integers(len(odd))] + text[at + int(rng.integers(4)) :]
    content, places = json.loads(text), []

    def visit(node):
        inner = node.items() if isinstance(node, dict) else ()
        for key, value in enumerate(node) if isinstance(node, list) else inner:
            places.append((node, key))
            visit(value)

    visit(content)
    node, key = places[rng.integers(len(places))]
    node[key] = JSON[rng.integers(len(JSON))]
    return json.dumps(content)


@fuzzed(15, seed=SEEDS)
def test_json_is_read_or_refused(seed):
    rng = np.random.default_rng(seed)
    tree = posteriors()[0]
    priors = outcome(bl.Priors.from_json, changed_json(rng, tree.attrs["priors"]))
    assert priors is None or str(priors)
    levels = {"g": ["a", "b", "c"], "h": ["0", "1", "2", "3"]}
    text = changed_json(rng, tree.attrs["design"])
    state = outcome(bl.DesignState.from_json, text, levels=levels)
    if state is not None:
        outcome(bl.rebuild_design, state, table())
