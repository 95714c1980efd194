"""Cross-products of gr(g, by=arm): batches, sums, files, and levels in two arms."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import DataError, FormulaError
from bayeslmm.gram.gram import Gram

FORMULA = "y ~ x + (x | gr(g, by=arm)) + (1 | h)"
RNG = np.random.default_rng(3)
N = 360
G, H = RNG.permutation(np.arange(N) % 24), RNG.choice(8, N)
TABLE = pd.DataFrame(
    {"g": [f"g{k:02d}" for k in G], "arm": np.array(["t", "c", "u"])[G % 3],
     "x": RNG.normal(5, 1, N), "h": np.array([f"h{k}" for k in H])}
)  # fmt: skip
TABLE["y"] = TABLE.x + RNG.normal(size=24)[G] * (1 + G % 3) + RNG.normal(size=N)
TABLE["y"] += RNG.normal(size=24)[G] * (TABLE.x - 5) + RNG.normal(size=8)[H]
CUT = [TABLE.iloc[:20], TABLE.iloc[20:21], TABLE.iloc[21:]]


@pytest.fixture(scope="module")
def whole():
    return Gram.from_design(bl.build_design(FORMULA, TABLE))


def criterion(gram):
    return bl.fit_reml(FORMULA, gram).criterion


LEVELS = {
    "g": [f"g{k:02d}" for k in range(24)],
    "arm": ["c", "t", "u"],
    "h": [f"h{k}" for k in range(8)],
}


@pytest.mark.parametrize("given", [None, LEVELS])
def test_batches_sum_to_the_rows(whole, given):
    gram = bl.gram_from_batches(FORMULA, CUT, levels=given, progressbar=False)
    assert gram.state == whole.state
    assert [f.arms for f in gram.factors] == [f.arms for f in whole.factors]
    # Sums in another order: rounding alone.
    assert criterion(gram) == pytest.approx(criterion(whole), abs=1e-9)
    for own, other in zip(gram.scales.random, whole.scales.random, strict=True):
        for a, b in zip(own, other, strict=True):
            assert (a.n, a.low, a.high) == (b.n, b.low, b.high)
            assert a.mean == pytest.approx(b.mean, rel=1e-14)


def test_a_table_that_an_engine_holds_sums_to_the_rows(whole):
    lazy = pytest.importorskip("polars").LazyFrame(TABLE.to_dict("list"))
    gram = bl.gram_from_table(FORMULA, lazy)
    assert gram.state == whole.state
    assert criterion(gram) == pytest.approx(criterion(whole), abs=1e-9)


def test_a_level_in_two_arms_is_found_across_batches():
    other = TABLE.assign(arm=[*TABLE.arm[:-1], "c" if TABLE.arm.iloc[-1] != "c" else "t"])
    where = {"t", "c"} if TABLE.arm.iloc[-1] != "c" else {"c", "t"}
    with pytest.raises(DataError, match=f"{TABLE.g.iloc[-1]!r} of 'g' is in two arms") as caught:
        bl.gram_from_batches(FORMULA, [other.iloc[:-1], other.iloc[-1:]], progressbar=False)
    assert any(repr(arm) in str(caught.value) for arm in where)


def test_levels_of_arms_must_be_given_for_one_pass():
    with pytest.raises(DataError, match="levels= leaves out 'arm'"):
        bl.gram_from_batches(FORMULA, CUT, levels={"g": ["a"], "h": ["p"]}, progressbar=False)


def test_an_arm_of_one_level_is_refused_of_batches_too():
    few = TABLE[(TABLE.arm != "u") | (TABLE.g == "g02")]
    with pytest.raises(DataError, match="The arm 'u' of 'arm' has one level only of 'g'"):
        bl.gram_from_batches(FORMULA, [few.iloc[:30], few.iloc[30:]], progressbar=False)


def test_a_column_that_batches_lack_is_pointed_at():
    with pytest.raises(FormulaError, match="no column 'arm'"):
        bl.gram_from_batches(FORMULA, [TABLE.drop(columns="arm")], progressbar=False)


def test_a_file_keeps_the_arms(whole, tmp_path):
    whole.save(tmp_path / "g.npz")
    again = Gram.load(tmp_path / "g.npz")
    assert again.state == whole.state
    assert again.factors[0].arms == whole.factors[0].arms
    assert again.factors[1].arms is None


def test_grams_with_and_without_arms_do_not_add(whole):
    spelt = "y ~ x + (0 + arm + arm:x | g) + (1 | h)"
    with pytest.raises(DataError, match="Grams of different models do not add"):
        whole + Gram.from_design(bl.build_design(spelt, TABLE))


@pytest.mark.filterwarnings("ignore::bayeslmm.SingularFitWarning")
def test_identifiability_is_judged_arm_by_arm():
    table = TABLE.assign(x=np.where(TABLE.arm == "u", 2.0, TABLE.x))
    with pytest.warns(bl.IdentificationWarning, match=r"'arm\[u\]' by 'g'"):
        bl.fit_reml(FORMULA, table)
