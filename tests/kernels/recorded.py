"""Calls of kernels by small fits, recorded; and the same calls made again where all is compiled."""

import copy
import importlib
import json
import pickle
import sys
import warnings

import numpy as np

import bayeslmm as bl
from bayeslmm.kernels.compiler.jit import Kernel
from bayeslmm.kernels.structured.rows import add_slopes

SLOPES = "Reaction ~ Days + (Days | Subject)"
CROSSED = "diameter ~ 1 + (1 | plate) + (1 | sample)"


def fit_in_every_way():
    sleepstudy, penicillin = bl.load_dataset("sleepstudy"), bl.load_dataset("penicillin")
    quick = {"parametrization": "marginal", "sampler": "importance", "progressbar": False}
    for formula, data in ((SLOPES, sleepstudy), (CROSSED, penicillin)):
        _ = bl.fit_reml(formula, data).random_effects
        bl.fit_bayes(formula, data, draws=100, random_seed=1, **quick)
    series = {"formula": "Reaction ~ Days + (1 | Subject)", "residual": "ar1(Days | Subject)"}
    bl.fit_reml(data=sleepstudy, **series)
    bl.fit_bayes(data=sleepstudy, draws=100, random_seed=1, **series, **quick)
    # Only tables of very many different gaps pass over the rows.
    rng = np.random.default_rng(5)
    place, first, second = (rng.integers(k, 9, 40) for k in (-1, 0, 0))
    left, right = rng.normal(size=(9, 2)), rng.normal(size=(9, 3))
    add_slopes(place, first, second, left, right, rng.normal(size=(9, 2, 3)), np.zeros(40))
    # What NUTS starts from takes the density with its gradient.
    bl.fit_bayes(
        SLOPES, sleepstudy, draws=20, tune=50, chains=1, random_seed=1, progressbar=False,
        parametrization="marginal", sampler="nutpie",
    )  # fmt: skip


def flat(value):
    """Yield the numbers and arrays of nested tuples."""
    if isinstance(value, tuple):
        for part in value:
            yield from flat(part)
    elif value is not None:
        yield np.asarray(value, dtype=float)


def record(run, most=6):
    """Return name, arguments before, arguments after and result of up to `most` calls a kernel.

    Every kernel that Python calls in `run` is there, whether or not its machine code was shipped.
    """
    calls = {}
    call = Kernel.__call__

    def recording(kernel, *arguments):
        mine = calls.setdefault(kernel.name, [])
        if len(mine) == most:
            return call(kernel, *arguments)
        before = copy.deepcopy(arguments)
        result = call(kernel, *arguments)
        mine.append((before, copy.deepcopy(arguments), copy.deepcopy(result)))
        return result

    Kernel.__call__ = recording
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
    finally:
        Kernel.__call__ = call
    return calls


def distance(mine, other):
    """The largest difference of two results' values, and of all else, relative to their size."""
    value = rest = 0.0
    for at, (a, b) in enumerate(zip(flat(mine), flat(other), strict=True)):
        assert a.shape == b.shape
        assert np.array_equal(np.isfinite(a), np.isfinite(b))
        finite = np.isfinite(a)
        off = np.max(np.abs(a[finite] - b[finite]), initial=0.0)
        off /= np.max(np.abs(b[finite]), initial=1.0)
        if at == 0:
            value = off
        rest = max(rest, off)
    return value, rest


def repeat(file):
    """Make recorded calls again in this process; write each kernel's largest differences."""
    with open(file, "rb") as source:  # noqa: PTH123
        calls = pickle.load(source)  # noqa: S301
    found = {}
    for name, made in calls.items():
        module, _, function = name.partition(":")
        kernel = getattr(importlib.import_module(module), function)
        assert kernel.shipped is None, "this process was to compile"
        worst = (0.0, 0.0)
        for before, after, result in made:
            value, rest = distance(result, kernel(*before))
            _, filled = distance(after, before)
            worst = max(worst[0], value), max(worst[1], rest, filled)
        found[name] = worst
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    repeat(sys.argv[1])
