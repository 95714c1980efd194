"""Reading a result tree: its factors and coefficients come from what the fit wrote down."""

import numpy as np
import pytest
import trees

from bayeslmm import names
from bayeslmm.errors import DataError
from bayeslmm.formula import mixed_formula
from bayeslmm.results import read

DATA = trees.TINY | {"a": np.array(["u", "v", "u", "v", "u", "v", "u", "v", "u"])}


def test_factors_stand_in_the_formulas_order_whatever_order_a_file_gave_them(monkeypatch):
    tree = trees.random_tree("y ~ x + (1 | g) + (0 + x | a) + (0 + x | g)", DATA, draws=10)
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = posterior[sorted(map(str, posterior.data_vars))]
    monkeypatch.setattr(mixed_formula, "tokenize", pytest.fail)  # no parser is needed
    assert read.factor_names(tree) == ("g", "a")
    assert [info.terms for info in read.factors(tree)] == [("Intercept", "x"), ("x",)]


def test_a_fit_without_coefficients_needs_no_variable_of_them():
    tree = trees.random_tree("y ~ 0 + (1 | g)", DATA, draws=10)
    tree["posterior"] = tree["posterior"].to_dataset().drop_vars(names.BETA)
    assert read.coefficients(tree) == ()
    assert read.draws(tree, names.BETA).shape == (4, 10, 0)


@pytest.mark.parametrize("design", ["", "{}", "[]", "{", "null", '{"version": 0}'])
def test_a_tree_whose_coding_is_not_readable_is_refused(design):
    tree = trees.random_tree("y ~ x + (1 | g)", DATA, draws=10)
    tree.attrs["design"] = design
    with pytest.raises(DataError, match="design's state"):
        read.factor_names(tree)
