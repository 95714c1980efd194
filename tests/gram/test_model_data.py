"""What a fit needs of its data: a design and its cross-products tell the same."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.design.model_data import ModelData
from bayeslmm.gram.gram import Gram, gram_of
from bayeslmm.gram.gram_design import GramDesign, design_of

FORMULA = "Reaction ~ Days + (Days || Subject)"


@pytest.fixture(scope="module")
def table():
    return bl.load_dataset("sleepstudy")


@pytest.fixture(scope="module")
def design(table):
    return design_of(FORMULA, table)


@pytest.fixture(scope="module")
def summed(design):
    return design_of(FORMULA, Gram.from_design(design))


def test_both_are_the_data_of_a_model(design, summed):
    assert (type(design), type(summed)) == (bl.Design, GramDesign)
    for data in (design, summed):
        assert isinstance(data, ModelData)
        assert design_of(data) is data
    assert not isinstance(design.formula, ModelData)


@pytest.mark.parametrize("name", ["formula", "response", "coef", "n", "state", "scales"])
def test_both_tell_the_same(design, summed, name):
    mine, theirs = getattr(summed, name), getattr(design, name)
    if name == "scales":
        mine, theirs = mine.to_dict(), theirs.to_dict()
    assert (str(mine), mine == theirs) == (str(theirs), True)


def test_both_name_the_same_factors(design, summed):
    for mine, theirs in zip(summed.factors, design.factors, strict=True):
        assert (mine.name, mine.terms, mine.blocks) == (theirs.name, theirs.terms, theirs.blocks)
        assert mine.levels.tolist() == theirs.levels.tolist()


def test_rows_are_had_from_a_design_only(design, summed):
    assert (design.has_rows, summed.has_rows) == (True, False)
    assert design.coded_rows is design
    assert design.response_rows is design.y
    assert summed.response_rows.shape == (0,)
    assert summed.weights is summed.offset is None
    with pytest.raises(bl.DataError, match=r"^Design\.X needs the rows themselves, and this model"):
        _ = summed.coded_rows
    for name in ("y", "X", "data", "rows"):
        with pytest.raises(bl.DataError, match=rf"^Design\.{name} needs the rows themselves"):
            getattr(summed, name)
    with pytest.raises(AttributeError, match="has no 'columns'"):
        _ = summed.columns


def test_a_fingerprint_is_that_of_the_numbers(design, summed, table):
    assert gram_of(summed) is summed.gram
    assert fingerprint(summed) == fingerprint(design_of(FORMULA, summed.gram))
    assert fingerprint(summed) != fingerprint(design)
    changed = table.assign(Reaction=np.where(np.arange(len(table)) == 7, 1.0, table["Reaction"]))
    other = design_of(FORMULA, changed)
    assert fingerprint(other) != fingerprint(design)
    assert fingerprint(design_of(FORMULA, Gram.from_design(other))) != fingerprint(summed)
    weighted = [design_of(FORMULA, table, weights=np.full(len(table), w)) for w in (1.0, 2.0)]
    assert len({*map(fingerprint, (design, *weighted))}) == 3
