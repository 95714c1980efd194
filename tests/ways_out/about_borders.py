"""Advice on large borders of crossed factors, each taken."""

from unittest import mock

import numpy as np
from registry import HOW, follows, posterior, table, told, works

import bayeslmm as bl
from bayeslmm.gram.border import limits, sparse_factor

CROSSED = "y ~ x + (1 | g) + (1 | h)"


@follows("border='dense'")
def _():
    told("border='dense'", bl.fit_reml, "y ~ x + (1 | g)", table(), border="krylov")
    works(bl.fit_reml, "y ~ x + (1 | g)", table(), border="dense")


@follows("border='krylov'")
def _():
    given = {**HOW, "border": "krylov"}
    told("leave border='krylov' out, or add sampler='importance'", bl.fit_bayes, CROSSED, table(),
         **(given | {"parametrization": "noncentered", "sampler": "auto"}))  # fmt: skip
    works(bl.fit_bayes, CROSSED, table(), **given)


@follows("probes=512")
def _():
    tree = bl.fit_bayes(CROSSED, table(), **HOW, border="krylov").copy(deep=True)
    count = len(tree["sample_stats"].attrs["probe_error"])
    tree["sample_stats"].attrs["probe_error"] = [0.2] * count
    assert "such as probes=512" in str(bl.diagnose(tree))
    works(bl.fit_bayes, CROSSED, table(), **HOW, border="krylov", probes=512)


@follows("bl.update()")
def _():
    tree = posterior(CROSSED)
    with mock.patch.object(limits, "LARGEST_DENSE", 2):
        told("bl.update(fit, priors=...)", bl.prior_sensitivity, tree)
    works(bl.update, tree, priors={"sigma": "HalfNormal(2)"}, progressbar=False)


@follows("border='sparse'")
def _():
    given = {**HOW, "border": "sparse"}
    told("leave border='sparse' out", bl.fit_bayes, CROSSED, table(),
         **(given | {"parametrization": "noncentered", "sampler": "auto"}))  # fmt: skip
    works(bl.fit_bayes, CROSSED, table(), **given)
    with mock.patch.object(sparse_factor, "_MOST", 1):
        told("give border='krylov'", bl.fit_reml, CROSSED, table(), border="sparse")
    works(bl.fit_reml, CROSSED, table(), border="sparse")


@follows("bl.precision()")
def _():
    formula, labels = "y ~ x + (1 | gr(g, cov=A))", sorted(set(table()["g"]))
    matrix = np.eye(len(labels)) + 0.5
    given = {"known": {"A": (matrix, labels)}, "border": "sparse"}
    told("bl.precision(Q, levels)", bl.fit_reml, formula, table(), **given)
    inverse = {"A": bl.precision(np.linalg.inv(matrix), labels)}
    works(bl.fit_reml, formula, table(), known=inverse, border="sparse")
