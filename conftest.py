"""Examples in docstrings look at one known result tree, under the name `idata`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

mpl.use("Agg")  # examples draw too
# What tests share stands in tests/ and, for one wing, in its folder.
TESTS = Path(__file__).parent / "tests"
sys.path[:0] = map(str, (TESTS, *sorted({path.parent for path in TESTS.glob("*/test_*.py")})))


@pytest.fixture(autouse=True)
def known_tree(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> Iterator[None]:
    """Give every example the tree that `tests/trees.py` documents, and close its pictures."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    import matplotlib.pyplot as plt  # noqa: PLC0415 -- only examples need it
    import trees  # noqa: PLC0415

    doctest_namespace["idata"] = trees.documented_tree()
    yield
    plt.close("all")
