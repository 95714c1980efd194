"""The two flat arrays of a plan: written and read by one file, the same both ways."""

import ast
from pathlib import Path

import designs
import numpy as np
import pytest

import bayeslmm
from bayeslmm.gram.gram import Gram
from bayeslmm.kernels import layout

PACKAGE = Path(bayeslmm.__file__).parent
# Compiled code has no other way in from Python.
open_layout, open_working = layout.open_layout.py_func, layout.open_working.py_func


@pytest.fixture
def interpreted(monkeypatch):
    monkeypatch.setattr(layout, "factor_table", layout.factor_table.py_func)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("kind", designs.KINDS)
@pytest.mark.parametrize("p", [0, 3])
def test_what_was_packed_is_read_back(kind, p):
    design = designs.random_design(kind, seed=1, p=p, weighted=True)
    gram = Gram.from_design(design)
    ints, floats = gram.plan.ints, gram.plan.floats
    stretches, working = open_layout(ints, floats), open_working(ints, floats)
    again = layout.pack(stretches, working)
    np.testing.assert_array_equal(again[0], ints)
    np.testing.assert_array_equal(again[1], floats)
    # Every number belongs to one stretch, but the table of factors to both.
    parts = [part for part in (*stretches, *working[:-1]) if isinstance(part, np.ndarray)]
    assert sum(part.size for part in parts) + layout.HEADER + layout.SCALES == len(ints) + len(
        floats
    )


@pytest.mark.usefixtures("interpreted")
def test_the_stretches_hold_what_their_names_say():
    gram = Gram.from_design(designs.random_design("crossed", seed=1, weighted=True))
    plan = gram.plan
    stretches, working = open_layout(plan.ints, plan.floats), open_working(plan.ints, plan.floats)
    assert (working.n, working.sum_log_weights) == (gram.n, gram.sum_log_weights)
    np.testing.assert_array_equal(working.R, gram.scale)
    np.testing.assert_allclose(working.R_inverse @ gram.scale, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(working.origin, gram.origin)
    np.testing.assert_array_equal(working.M, designs.pack([f.scale for f in gram.factors]))
    np.testing.assert_array_equal(stretches.cross, gram.cross)
    table = working.factors
    for row, k in zip(table, plan.order, strict=True):
        m, q = gram.factors[k].within.shape[:2]
        assert (row[layout.LEVELS], row[layout.WIDTH]) == (m, q)
        assert row[layout.COLUMN] == plan.columns[k]
    chain = plan.order[: stretches.n_chain]
    assert len(stretches.nodes) == 1 + sum(len(gram.factors[k].levels) for k in chain)
    for node in stretches.nodes[:-1]:
        start, q = node[layout.START], table[node[layout.FACTOR], layout.WIDTH]
        panel = stretches.panels[start : start + q * node[layout.PANEL]].reshape(q, -1)
        at = table[node[layout.FACTOR], layout.NODE]
        level = np.flatnonzero((stretches.nodes == node).all(axis=1))[0] - at
        factor = gram.factors[plan.order[node[layout.FACTOR]]]
        np.testing.assert_array_equal(panel[:, :q], factor.within[level])
        np.testing.assert_array_equal(panel[:, -4:], factor.with_fixed[level])


def test_nobody_else_spells_an_offset():
    for path in set(PACKAGE.rglob("*.py")) - {Path(layout.__file__)}:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
                assert node.value.id not in {"ints", "floats"}, f"{path}:{node.lineno}"
