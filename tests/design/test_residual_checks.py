"""What rows must be for a structure of visits, and what is said where they are not."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.model.residual.of_design import structured_residuals

VISITS = ["week 4", "week 8", "week 12"]


def a_table(n=12, visits=VISITS):
    """Every subject at every visit, as text."""
    rng = np.random.default_rng(7)
    rows = pd.DataFrame([(f"s{s:02d}", v) for s in range(n) for v in visits], columns=["id", "at"])
    return rows.assign(
        y=rng.normal(size=len(rows)),
        number=np.tile(np.arange(len(visits)), n),
        arm=np.where(rows.id < "s06", "a", "b"),
        x=rng.normal(size=len(rows)),
    )


def ordered(table):
    return table.assign(at=pd.Categorical(table["at"], VISITS, ordered=True))


def build(table, residual, **how):
    return bl.build_design("y ~ 1", table, residual=residual, **how)


@pytest.mark.parametrize("kind", ["toep", "toeph", "ad", "adh", "ar1h"])
def test_text_has_no_order(kind):
    table = a_table()
    with pytest.raises(bl.DataError, match=r"sorted.*week 12, week 4, week 8.*ordered=True\)"):
        build(table, f"{kind}(at | id)")
    assert build(ordered(table), f"{kind}(at | id)").residual.visits == tuple(VISITS)
    assert build(table, f"{kind}(number | id)").residual.visits == ("0", "1", "2")


@pytest.mark.parametrize("kind", ["us", "csh", "cs"])
def test_text_will_do_where_order_does_not_matter(kind):
    sorted_text = structured_residuals(build(a_table(), f"{kind}(at | id)").residual)
    given = structured_residuals(build(ordered(a_table()), f"{kind}(at | id)").residual)
    assert sorted_text.n_bases == given.n_bases


def test_a_visit_occurs_once_in_a_group():
    table = pd.concat([a_table(), a_table().head(1)], ignore_index=True)
    with pytest.raises(bl.DataError, match=r"'s00' has two rows at at week 4 \(rows 0 and 36\)"):
        build(table, "us(at | id)")


def test_a_group_belongs_to_one_arm():
    table = a_table()
    table.loc[0, "arm"] = "b"
    with pytest.raises(bl.DataError, match="'s00' is in arm"):
        build(table, "us(at | arm/id)")


@pytest.mark.parametrize(
    "residual", ["us(at | id)", "cs(1 | id)", "cs(at | id)", "ar1(number | id)"]
)
def test_one_row_a_group_has_no_correlation(residual):
    table = a_table(visits=["week 4"])
    with pytest.raises(bl.DataError, match=r"Each id has one row.*leave residual='.*' out"):
        build(table, residual)


def test_a_pair_of_visits_that_nobody_has_is_told():
    table = a_table()
    apart = table[(table["at"] != "week 4") | (table.id < "s03")]
    apart = apart[(apart["at"] != "week 12") | (apart.id >= "s03")]
    with pytest.warns(bl.IdentificationWarning, match="no id has rows at at 'week 12' and"):
        build(apart, "us(at | id)")
    with pytest.warns(bl.IdentificationWarning, match="no id in arm 'a' has rows"):
        build(apart, "us(at | arm/id)")
    # Lag two is seen nowhere, and each step is.
    with pytest.warns(bl.IdentificationWarning, match="at 'week 4' and 'week 12'"):
        build(ordered(apart), "toep(at | id)")
    build(ordered(apart), "ad(at | id)")
    build(apart, "csh(at | id)")


def test_a_step_is_told_by_visits_around_it():
    table = ordered(a_table())
    two = table[(table["at"] != "week 8") | (table.id == "s00")]
    build(two[(two["at"] == "week 8") | (two.id != "s00")], "ad(at | id)")
    alone = table[(table["at"] != "week 12") | (table.id == "s00")]
    alone = alone[(alone["at"] == "week 12") | (alone.id != "s00")]
    with pytest.warns(bl.IdentificationWarning, match="'week 8' and 'week 12'"):
        build(alone, "adh(at | id)")


@pytest.mark.parametrize("kind", ["toep", "ar1", "ar1h", "arma"])
def test_a_category_that_no_row_has_leaves_a_gap_out(kind):
    table = ordered(a_table())
    table = table[table["at"] != "week 8"].reset_index(drop=True)
    text = f"{kind}(at | id{', q=0' * (kind == 'arma')})"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        build(table, text)
    assert any("No row is at at 'week 8', so that" in str(one.message) for one in caught)


def test_a_visit_that_an_arm_has_not_is_told():
    table = a_table()
    apart = table[(table["at"] != "week 8") | (table.arm == "a")]
    with pytest.warns(bl.IdentificationWarning, match="no row in arm 'b' is at at 'week 8'"):
        build(apart, "csh(at | arm/id)")


@pytest.mark.parametrize("residual", ["us(at | id)", "cs(1 | id)", "toep(number | id)"])
def test_a_random_intercept_within_the_structure_is_told(residual):
    with pytest.warns(bl.IdentificationWarning, match=r"holds what \(1 \| id\) adds"):
        bl.build_design("y ~ 1 + (1 | id)", a_table(), residual=residual)
    # Another factor's, and beside structures that cannot hold it, are told apart.
    bl.build_design("y ~ 1 + (1 | arm)", a_table(), residual=residual)
    bl.build_design("y ~ 1 + (1 | id)", a_table(), residual="ar1h(number | id)")


def test_orders_of_arma_are_at_most_the_lags():
    with pytest.raises(bl.DataError, match=r"has 3 parameters, and the 3 times.*lower p or q"):
        build(a_table(), "arma(number | id, p=1, q=2)")
    with pytest.raises(bl.FormulaError, match="An order p= or q= of at least one"):
        build(a_table(), "arma(number | id, p=0, q=0)")
    build(a_table(), "arma(number | id, p=1, q=1)")


def test_too_many_patterns_are_refused_before_they_are_summed():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"id": np.repeat(np.arange(200), 40), "t": np.tile(np.arange(40), 200)})
    table = table.assign(y=rng.normal(size=8000))[rng.uniform(size=8000) < 0.5]
    design = build(table, "arma(t | id)")
    with pytest.raises(bl.ArgumentError, match=r"200 sets of 40 times.*ar1\(\), ou\(\)"):
        structured_residuals(design.residual)
    structured_residuals(build(table, "ar1h(t | id)").residual)
    structured_residuals(build(table, "ad(t | id)").residual)
    structured_residuals(build(table, "cs(t | id)").residual)


def test_steps_are_whole_numbers():
    table = a_table().assign(number=lambda t: t.number / 2)
    for kind in ("ar1h", "arma"):
        with pytest.raises(bl.DataError, match=r"whole numbers.*holds 0.5: ou\(number \| id\)"):
            build(table, f"{kind}(number | id)")


@pytest.mark.parametrize("kind", ["us", "csh", "toeph", "adh", "ar1h"])
def test_a_sigma_of_each_visit_leaves_none_to_a_formula(kind):
    with pytest.raises(bl.FormulaError, match=rf"{kind}\(\) has a standard deviation for each"):
        build(a_table(), f"{kind}(number | id)", sigma="~ 0 + arm")
    build(a_table(), f"{kind}(number | id)", sigma="~ 1")
    build(a_table(), "toep(number | id)", sigma="~ 0 + arm")


def test_an_arm_that_was_not_fitted_has_no_covariance():
    fitted = structured_residuals(build(a_table(), "us(at | arm/id)").residual)
    phi = np.array([[1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])[:, 6:]
    other = build(a_table().assign(arm="c"), "us(at | arm/id)").residual
    with pytest.raises(bl.DataError, match=r"'c' were in no training row.*a, b"):
        fitted.correlation.matrix(phi, other, np.arange(3))


@pytest.mark.parametrize("residual", ["ou(number | id)", "ar1(number | id)", "us(number | id)"])
def test_times_are_finite(residual):
    table = a_table().assign(number=lambda t: np.where(t.index == 5, np.inf, t.number))
    with pytest.raises(bl.DataError, match=r"'number' is not finite in 1 of 36 rows.*row 5"):
        build(table, residual)


def test_a_constant_has_no_slope_in_sigma():
    # The mean of 36 times 0.1 is not 0.1: rounding must not pass for a spread.
    table = a_table().assign(k=0.1)
    with pytest.raises(bl.DataError, match="'k' of sigma's formula is the same in all rows"):
        bl.resolve_priors(build(table, None, sigma="~ x + k"))


@pytest.mark.parametrize(
    "spelt",
    [{"residual": "ar1(numbr | id)"}, {"sigma": "~ numbr"}, {"sigma": "~ 0 + numbr"}],
)
def test_the_caret_stands_in_what_is_said_of_residuals(spelt):
    with pytest.raises(bl.FormulaError, match="no column 'numbr'") as caught:
        bl.build_design("y ~ x", a_table(), **spelt)
    *_, shown, caret = str(caught.value).splitlines()
    assert shown[caret.index("^") : caret.rindex("^") + 1] == "numbr"


def test_visits_and_subjects_that_changed_places_are_told():
    table = a_table(n=30)
    with pytest.raises(bl.DataError, match=r"465 variances.*residual='us\(at \| id\)'\?"):
        build(table, "us(id | at)")
    few = a_table(n=3).head(5)
    with pytest.raises(bl.DataError, match="fewer parameters, such as 'ar1'"):
        build(few, "us(at | id)")
    assert build(a_table(n=3), "us(at | id)").residual is not None


def test_other_families_are_told_which_formula_their_spread_has():
    table = a_table().assign(y=lambda t: (t["y"] - t["y"].min() + 1) / (np.ptp(t["y"]) + 2))
    with pytest.raises(bl.ArgumentError, match=r"follows from its mean and phi='~ x': leave it"):
        bl.build_design("y ~ 1", table, family="beta", sigma="~ at")
