"""Identities of functions: what does the same and what does not, in this process and in others."""

import math
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from bayeslmm.errors import ArgumentError
from bayeslmm.studies.files import function_identity

FACTOR = 3.0


def scaled(posterior):
    return FACTOR * posterior


def through(posterior):
    return scaled(posterior) + 1


def countdown(n):
    return countdown(n - 1) if n else 0


class Stateful:
    def method(self, posterior):
        return posterior


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (lambda p: p + 1, lambda p: p + 2),
        (lambda p: p["a"], lambda p: p["b"]),
        (lambda p: p.min(), lambda p: p.max()),
        (lambda p: np.exp(p) + 1, lambda p: np.log(p) + 1),
        (lambda p, by=1: p * by, lambda p, by=2: p * by),
        (lambda p: [q + 1 for q in p], lambda p: [q + 2 for q in p]),
        (np.exp, np.log),
        (math.sin, math.cos),
        (np.mean, np.median),
        (partial(scaled, 1), partial(scaled, 2)),
        ("ab".join, "ba".join),
        ("sigma + 1", "sigma + 2"),
        (lambda p: p[1:2], lambda p: p[1:3]),
    ],
)
def test_functions_that_differ_have_different_identities(one, two):
    assert function_identity(one) != function_identity(two)
    assert function_identity(one) == function_identity(one)


def test_values_that_a_function_refers_to_count(monkeypatch):
    before = function_identity(through)
    assert function_identity(through) == before
    monkeypatch.setattr(sys.modules[__name__], "FACTOR", 4.0)
    assert function_identity(through) != before


def test_arrays_that_a_function_encloses_count():
    def weighted(w):
        return lambda p: p @ w

    one = function_identity(weighted(np.arange(3.0)))
    assert function_identity(weighted(np.arange(3.0))) == one
    assert function_identity(weighted(np.arange(4.0))) != one
    assert function_identity(weighted(np.arange(3))) != one


def test_a_recursive_function_has_an_identity():
    assert len(function_identity(countdown)) == 64


@pytest.mark.parametrize("value", [Stateful().method, Stateful, print.__self__.open, object()])
def test_what_has_hidden_state_is_refused(value):
    if value is print.__self__.open:
        assert function_identity(value)  # of Python itself: its name says what it does
        return
    with pytest.raises(ArgumentError, match="cannot be compared between sessions"):
        function_identity(value)


def test_identities_last_from_one_process_to_the_next():
    code = (
        "from bayeslmm.studies.files import function_identity\n"
        "import numpy as np\n"
        "known = {'a', 'b', 'c', 'd'}\n"
        "f = lambda p: np.mean([q for q in p if q in {'x', 'y', 'z'} or q in known])\n"
        "print(function_identity(f))\n"
    )

    def run(seed):
        return subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", code], check=True, capture_output=True, text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout  # fmt: skip

    assert run("1") == run("2")
