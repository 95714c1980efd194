"""Every model that lme4 was run on: the same rows, coefficients, levels and columns."""

import csv
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reml_reference

from bayeslmm.design.build import build_design
from bayeslmm.tables.datasets import load_dataset

FOLDER = Path(__file__).parents[1] / "reference"
# Rows with missing values, and the warning that drops them, are for the tests of the table.
NAMES = [n for n in reml_reference.NAMES if not n.endswith("missing")]


def reference(name):
    return json.loads((FOLDER / "reml" / f"{name}.json").read_text())


def table(name):
    """Read a table of the folder, where quoted columns are text, or one that is bundled."""
    (path,) = (FOLDER / "data").glob(f"{name}.csv*") or [None]
    open_ = gzip.open if path.suffix == ".gz" else open
    with open_(path, "rt", newline="") as file:
        rows = csv.reader(file, quoting=csv.QUOTE_NONNUMERIC)
        header = next(rows)
        return pd.DataFrame(list(rows), columns=header)


def data_of(fit):
    try:
        data = load_dataset(fit["dataset"].lower())
    except ValueError:
        data = table(fit["dataset"])
    for column, levels in fit["factor_levels"].items():
        if column in data and not isinstance(data[column].dtype, pd.CategoricalDtype):
            labels = [str(v).removesuffix(".0") for v in data[column]]
            data[column] = pd.Categorical(labels, categories=levels)
    return data


def as_in_r(name):
    return (
        re.sub(r"\[(?:T\.)?([^]]*)\]", r"\1", name)
        .replace("Intercept", "(Intercept)")
        .replace(" ** ", "^")
    )


def test_there_are_references():
    assert len(NAMES) >= 23


@pytest.mark.parametrize("name", NAMES)
def test_the_design_is_the_one_that_lme4_fitted(name):
    fit = reference(name)
    design = build_design(fit["formula"], data_of(fit))
    assert len(design.y) == fit["nobs"]
    assert [as_in_r(c) for c in design.coef] == fit["reml"]["fixef"]["names"]
    ours = {frozenset(f.variables): len(f.levels) for f in design.factors}
    assert ours == {frozenset(g.split(":")): m for g, m in fit["groups"].items()}
    blocks = {
        (frozenset(f.variables), tuple(as_in_r(f.terms[j]) for j in block))
        for f in design.factors
        for block in f.blocks
    }
    theirs = {(frozenset(t["group"].split(":")), tuple(t["terms"])) for t in fit["reml"]["varcorr"]}
    assert blocks == theirs
    for factor in design.factors:
        order = fit["factor_levels"].get(factor.name)
        if order is not None:
            assert factor.levels.tolist() == order


def test_generalized_least_squares_from_the_design_gives_lme4s_coefficients():
    # The design's numbers, not only its names: V from lme4's own variance components.
    fit = reference("machines_cat")
    design = build_design(fit["formula"], data_of(fit))
    (factor,) = design.factors
    n, q = factor.columns.shape
    Z = np.zeros((n, len(factor.levels) * q))
    for i, level in enumerate(factor.index):
        Z[i, level * q : (level + 1) * q] = factor.columns[i]
    (varcorr,) = fit["reml"]["varcorr"]
    G = np.kron(np.eye(len(factor.levels)), np.array(varcorr["cov"]))
    V = Z @ G @ Z.T + fit["reml"]["sigma"] ** 2 * np.eye(n)
    XtVi = np.linalg.solve(V, design.X).T
    beta = np.linalg.solve(XtVi @ design.X, XtVi @ design.y)
    # lme4's numbers have 15 digits; its optimum is converged to about 1e-7 in theta, to which the
    # coefficients of this balanced design do not respond.
    np.testing.assert_allclose(beta, fit["reml"]["fixef"]["estimate"], rtol=1e-8)
