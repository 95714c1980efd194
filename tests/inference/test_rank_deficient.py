"""`rank_deficient="drop"` in Bayesian fits: what is dropped is said and kept in the tree."""

import json

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl

HOW = {"parametrization": "marginal", "sampler": "importance", "progressbar": False,
       "random_seed": 1, "draws": 200}  # fmt: skip
RNG = np.random.default_rng(3)
CELLS = [
    (s, m) for s in ("clay", "loam", "sand") for m in ("dry", "wet") if (s, m) != ("sand", "wet")
]
TABLE = pd.DataFrame(CELLS * 12, columns=["soil", "moisture"])
TABLE["field"] = RNG.integers(1, 7, len(TABLE))
TABLE["x"] = RNG.normal(size=len(TABLE))
TABLE["twice"] = 2 * TABLE.x
TABLE["growth"] = (
    TABLE.x + (TABLE.soil == "loam") + RNG.normal(size=7)[TABLE.field] + RNG.normal(size=len(TABLE))
)
# With a dependent column; without it, in other words; what is dropped.
PAIRS = {
    "a multiple": ("x + twice", "x", ["twice"]),
    "an empty cell": (
        "soil * moisture",
        "soil + moisture + I((soil == 'loam') * (moisture == 'wet'))",
        ["soil[T.sand]:moisture[T.wet]"],
    ),
    "a sum of categories": (
        "soil + I(soil == 'sand') + x", "soil + x", ["I(soil == 'sand')[T.True]"],
    ),
}  # fmt: skip


def full(name, **how):
    return f"growth ~ {PAIRS[name][0]} + (1 | field)", {"rank_deficient": "drop", **how}


def fitted(name):
    formula, how = full(name)
    with pytest.warns(bl.RankDeficiencyWarning, match="Dropped fixed-effects columns"):
        return bl.fit_bayes(formula, TABLE, **how, **HOW)


@pytest.mark.parametrize("name", PAIRS)
def test_the_posterior_and_its_predictions_are_those_of_the_model_without(name):
    got, dropped = fitted(name), PAIRS[name][2]
    assert json.loads(got.attrs["dropped_columns"]) == dropped
    assert got["posterior"]["coef"].to_numpy().tolist() == [
        each for each in got["posterior"]["coef"].to_numpy() if each not in dropped
    ]
    alone = bl.fit_bayes(f"growth ~ {PAIRS[name][1]} + (1 | field)", TABLE, **HOW)
    assert "dropped_columns" not in alone.attrs
    # The same columns, draws and seed: only sums of rows may be ordered differently.
    for variable in ("sigma", "sd_field", "beta"):
        np.testing.assert_allclose(
            got["posterior"][variable], alone["posterior"][variable], rtol=1e-6, atol=1e-8
        )
    new = TABLE.iloc[[3, 0, 14]].assign(x=[0.3, -1.0, 2.0], twice=[0.6, -2.0, 4.0])
    for rows in (None, new):
        pair = [bl.predict_table(fit, rows)["mean"] for fit in (got, alone)]
        np.testing.assert_allclose(*pair, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", PAIRS)
def test_every_verb_takes_it_and_agrees(name):
    formula, how = full(name)
    with pytest.warns(bl.RankDeficiencyWarning):
        kept = bl.build_design(formula, TABLE, **how).coef
    for ask in (
        lambda: bl.describe_priors(formula, TABLE, **how).index[: len(kept)],
        lambda: bl.sample_prior(formula, TABLE, **how)["prior"].to_dataset().indexes["coef"],
        lambda: bl.build_model(formula, TABLE, **how).coords["coef"],
        lambda: bl.fit_reml(formula, TABLE, **how).fixed_effects.index,
        lambda: bl.gram_from_batches(formula, [TABLE], progressbar=False, **how).coef,
    ):
        with pytest.warns(bl.RankDeficiencyWarning):
            assert tuple(ask()) == kept


def test_a_study_says_once_what_it_dropped():
    formula, how = full("a multiple")
    settings = {key: value for key, value in HOW.items() if key != "random_seed"}
    with pytest.warns(bl.RankDeficiencyWarning) as caught:
        study = bl.prior_study(formula, TABLE, ["brms"], reweight=False, **how, **settings)
    assert len([w for w in caught if w.category is bl.RankDeficiencyWarning]) == 1
    assert json.loads(study.attrs["dropped_columns"]) == ["twice"]


@pytest.mark.parametrize("name", PAIRS)
def test_the_advice_of_the_refusal_works(name):
    formula, how = full(name)
    with pytest.raises(bl.DataError, match='rank_deficient="drop"'):
        bl.fit_bayes(formula, TABLE, **HOW)
    cells = TABLE.assign(cell=TABLE.soil + TABLE.moisture)
    bl.build_design("growth ~ cell + (1 | field)", cells)
    with pytest.raises(bl.ArgumentError, match="rank_deficient"):
        bl.fit_bayes(formula, TABLE, **{**how, "rank_deficient": "keep"}, **HOW)


def of_batches(name, table=TABLE):
    formula, how = full(name)
    batches = [table[:30], table[30:]]
    with pytest.warns(bl.RankDeficiencyWarning):
        return bl.gram_from_batches(formula, batches, progressbar=False, **how)


NEVER_SEEN = {"a multiple": {"twice": [7.0]}, "an empty cell": {"soil": ["sand"]}}


@pytest.mark.parametrize("name", PAIRS)
def test_fits_to_cross_products_predict_what_fits_to_rows_predict(name, tmp_path):
    of_batches(name).save(tmp_path / "rows.gram")
    gram = bl.Gram.load(tmp_path / "rows.gram")
    fit = bl.fit_bayes(full(name)[0], gram, **HOW)
    rows, new = fitted(name), TABLE[:7]
    for ours, theirs in (
        (bl.predict(fit, new), bl.predict(rows, new)),
        (bl.predict(fit, new, random_effects="none"), bl.predict(rows, new, random_effects="none")),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)
    if name in NEVER_SEEN:
        row = {key: [value] for key, value in TABLE.iloc[5].items()}
        row |= {"moisture": ["wet"], **NEVER_SEEN[name]}
        for either in (fit, rows):
            with pytest.raises(bl.ArgumentError, match="do not determine the expected value"):
                bl.predict(either, row)


def test_sums_of_rows_in_which_columns_follow_from_each_other_in_two_ways_do_not_predict():
    one = of_batches("a multiple")
    again = one + of_batches("a multiple", TABLE[::-1])
    other = one + of_batches("a multiple", TABLE.assign(twice=3 * TABLE.x))
    for gram, fails in ((again, False), (other, True)):
        fit = bl.fit_bayes(full("a multiple")[0], gram, **HOW)
        if fails:
            with pytest.raises(bl.ArgumentError, match="followed from others in other ways"):
                bl.predict(fit, TABLE[:3])
        else:
            assert np.isfinite(bl.predict(fit, TABLE[:3])).all()
