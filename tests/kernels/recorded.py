"""Calls of kernels by small fits, recorded; and the same calls made again where all is compiled."""

import copy
import importlib
import json
import pickle
import sys
import warnings

import numpy as np
import scipy.sparse

import bayeslmm as bl
from bayeslmm.kernels.compiler.jit import Kernel
from bayeslmm.kernels.families.codes import QUICK
from bayeslmm.kernels.families.rows import rows
from bayeslmm.kernels.laplace_chain.curvature import Curvature
from bayeslmm.kernels.quadrature.draw import draw_effects
from bayeslmm.kernels.quadrature.level import QUICKLY, ROW_BY_ROW
from bayeslmm.kernels.quadrature.marginal import log_marginal_and_slopes, log_marginals
from bayeslmm.kernels.sparse.cholesky import SparsePattern
from bayeslmm.kernels.structured.rows import add_slopes
from bayeslmm.model.quadrature.rules import equally_spaced, gauss_hermite

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


def call_kernels_of_families():
    """Call the kernels of every family at random points: rows, levels of one column and of two."""
    # Not where calls are made again: a process of its own that knows of no tests.
    from levels import made_rows
    from test_family_rows import CODES, case

    for code in CODES:
        eta, y, known, phi = case(code)
        rows(code, eta, y, known, phi)
        for q in (1, 2):
            rng = np.random.default_rng([code, q])
            levels = made_rows(0, q, levels=5, rows=12)[0]
            levels = levels._replace(code=code, y=y[:60].copy(), known=known[:60].copy())
            call_kernels_of_levels(levels, phi, q, rng)


def call_kernels_of_levels(levels, phi, q, rng):
    """Integrate levels at some points, differentiate at one, and draw the effects."""
    s, J, p = 3, len(levels.starts) - 1, levels.X.shape[1]
    Ls = np.tril(rng.uniform(0.2, 1.0, (s, q, q)))
    betas = 0.3 * rng.normal(size=(s, p))
    numbers, modes = np.tile(phi, (s, 1)), np.zeros((J, q))
    for task in (QUICKLY, ROW_BY_ROW):
        log_marginals(
            levels, gauss_hermite(7), Ls, betas, numbers, modes, 1e-8, task, np.empty((s, J)),
            np.empty(s),
        )  # fmt: skip
    log_marginal_and_slopes(
        levels, gauss_hermite(7), Ls[0], betas[0], phi, modes, 1e-8, np.empty((q, q)),
        np.empty(p), np.empty(len(phi)),
    )  # fmt: skip
    rule = equally_spaced(dear=levels.code not in QUICK) if q == 1 else gauss_hermite(1)
    draw_effects(
        levels, rule, Ls, betas, numbers, modes, np.full(J, 4), 7, np.empty((s, J, q)),
        np.zeros(J, np.int64),
    )  # fmt: skip


BINOMIAL = {"family": "binomial", "trials": "size"}


def fit_by_quadrature():
    """Sample by importance on the integral over each level's effects."""
    data = bl.load_dataset("cbpp")
    bl.fit_bayes(
        "incidence ~ 1 + (1 | herd)", data, **BINOMIAL, sampler="quadrature", draws=100,
        random_seed=1, progressbar=False,
    )  # fmt: skip


def fit_families_in_every_way():
    """Fit by quadrature, by the chain, and by maximum likelihood."""
    data = bl.load_dataset("cbpp")
    one, two = "incidence ~ 1 + (1 | herd)", "incidence ~ 1 + (1 | herd) + (1 | period)"
    quick = {"draws": 50, "chains": 1, "random_seed": 1, "progressbar": False}
    fit_by_quadrature()
    for formula in (one, two):
        bl.fit_bayes(formula, data, **BINOMIAL, sampler="laplace_chain", **quick)
        bl.fit_ml(formula, data, **BINOMIAL)
    # Of a family that is not log-concave Laplace's approximation is with the observed curvature.
    shares = data.assign(y=(data["incidence"] + 0.5) / (data["size"] + 1.0))
    bl.fit_ml("y ~ 1 + (1 | herd) + (1 | period)", shares, family="beta")


def factor_a_sparse_matrix():
    """Order, factor, solve and invert."""
    root = scipy.sparse.random(40, 40, 0.04, rng=np.random.default_rng(1))
    A = scipy.sparse.csc_array(root @ root.T + scipy.sparse.eye_array(40))
    A.sort_indices()
    pattern = SparsePattern.of(A.indptr.astype(np.int64), A.indices.astype(np.int64), 10**6)
    found = pattern.factorize(A.data)
    found.solve(np.ones((40, 2)))
    found.inverse_diagonal()


def flat(value):
    """Yield the numbers and arrays of nested tuples; of a factor the triangle that is read."""
    if isinstance(value, Curvature):
        value = value._replace(border=np.tril(value.border))
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
