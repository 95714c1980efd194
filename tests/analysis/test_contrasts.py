import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.analysis.prediction.contrasts import compare_predictions
from bayeslmm.analysis.prediction.predictions import predict
from bayeslmm.errors import ArgumentError, DataError

DATA = {
    **trees.TINY,
    "f": np.array(list("pqrpqrpqr")),
    "z": np.array([0.3, 0.1, 0.7, 0.2, 0.9, 0.5, 0.4, 0.8, 0.6]),
}


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree("y ~ x * f + z + I(z**2) + (x | g)", DATA, draws=50)


def beta(idata, name):
    return idata["posterior"]["beta"].sel(coef=name).to_numpy().ravel()


def test_an_average_contrast_weighs_the_rows(idata):
    table = compare_predictions(idata, {"x": [0, 2]})
    f = DATA["f"]
    expected = 2 * (
        beta(idata, "x")
        + beta(idata, "x:f[T.q]") * np.mean(f == "q")
        + beta(idata, "x:f[T.r]") * np.mean(f == "r")
    )
    assert table["contrast"].tolist() == ["x: 2 - 0"]
    assert table.loc[0, "mean"] == pytest.approx(expected.mean())
    assert table.loc[0, "eti95_ub"] == pytest.approx(np.quantile(expected, 0.975))
    assert table.loc[0, "p_positive"] == np.mean(expected > 0)


def test_conditional_contrasts_stand_at_each_grid_point(idata):
    table = compare_predictions(idata, {"x": [0, 1]}, at={"f": ["p", "r"]})
    assert table["f"].tolist() == ["p", "r"]
    assert table.loc[0, "mean"] == pytest.approx(beta(idata, "x").mean())
    expected = (beta(idata, "x") + beta(idata, "x:f[T.r]")).mean()
    assert table.loc[1, "mean"] == pytest.approx(expected)


def test_every_pair_of_labels(idata):
    table = compare_predictions(idata, {"f": None}, at={"x": 0})
    assert table["contrast"].tolist() == ["f: q - p", "f: r - p", "f: r - q"]
    expected = (beta(idata, "f[T.r]") - beta(idata, "f[T.q]")).mean()
    assert table.loc[2, "mean"] == pytest.approx(expected)


def test_the_slope_of_a_curve_at_a_point_is_its_derivative(idata):
    rows = {name: values[:1] for name, values in DATA.items()}
    table = compare_predictions(idata, {"z": "slope"}, data={**rows, "z": np.array([0.5])})
    expected = (beta(idata, "z") + 2 * 0.5 * beta(idata, "I(z ** 2)")).mean()
    # Central differences are exact for a parabola but for cancellation: 1e-16 over a step of 1e-4.
    assert table.loc[0, "mean"] == pytest.approx(expected, abs=1e-9)


def test_without_averaging_each_row_keeps_its_difference(idata):
    table = compare_predictions(idata, {"x": [0, 1]}, average=False, random_effects="all")
    assert table["obs"].tolist() == list(range(9))
    own = idata["posterior"]["b_g"].sel(g="c", g_term="x").to_numpy().ravel()
    expected = beta(idata, "x") + beta(idata, "x:f[T.r]") + own
    assert table.loc[8, "mean"] == pytest.approx(expected.mean())


@pytest.mark.parametrize(
    ("contrast", "options", "message"),
    [
        ({}, {}, "one covariate"),
        ({"X": [0, 1]}, {}, "Did you mean 'x'"),
        (["x"], {}, "one covariate"),
        ({"x": [0]}, {}, "two values"),
        ({"x": 3}, {}, "two values"),
        ({"f": "slope"}, {}, "labels"),
        ({"x": "slop"}, {}, "'slope'"),
        ({"x": [0, 1]}, {"at": {"x": [1]}}, "leave it out"),
        ({"x": [0, 1]}, {"at": {"q": [1]}}, "does not use"),
    ],
)
def test_wrong_contrasts_are_refused(idata, contrast, options, message):
    with pytest.raises(ArgumentError, match=message):
        compare_predictions(idata, contrast, **options)


@pytest.fixture(scope="module")
def nested():
    data = {**DATA, "h": np.array(list("ppqqqqrrr"))}
    return trees.random_tree("log(y) ~ x + (z | g) + (1 | h)", data, draws=50)


@pytest.mark.parametrize("argument", ["contrast", "at"])
@pytest.mark.parametrize(
    ("item", "included", "message"),
    [
        (("y", [1.0, 2.0]), "all", "the response 'y'"),
        (("g", ["a", "b"]), "none", "depend through random effects only.*random_effects='all'"),
        (("g", ["a", "b"]), ["h"], r"those of 'g' are left out"),
        (("z", [0.0, 1.0]), "none", "depend through random effects only"),
    ],
)
def test_what_no_prediction_depends_on_is_refused(nested, argument, item, included, message):
    name, values = item
    asked = [{name: values}] if argument == "contrast" else [{"x": [0, 1]}]
    at = {name: values} if argument == "at" else None
    with pytest.raises(ArgumentError, match=message):
        compare_predictions(nested, *asked, at=at, random_effects=included)


@pytest.mark.parametrize(("name", "values"), [("g", ["a", "b"]), ("z", [0, 1])])
def test_the_way_out_answers(nested, name, values):
    table = compare_predictions(nested, {name: values}, random_effects="all")
    assert table.loc[0, "sd"] > 0


@pytest.mark.parametrize("values", [[0, 1], "slope"])
def test_an_effect_in_a_new_group_has_the_groups_spread(idata, values):
    rows = {"x": [0.0], "f": ["p"], "z": [0.0], "g": ["new"]}
    asked = {"data": rows, "random_effects": "all", "random_seed": 1}
    with pytest.raises(DataError, match="`compare_predictions` take them"):
        compare_predictions(idata, {"x": values}, **asked)
    typical = compare_predictions(idata, {"x": values}, new_levels="population", **asked)
    drawn = compare_predictions(idata, {"x": values}, new_levels="sample", **asked)
    assert typical.loc[0, "mean"] == pytest.approx(beta(idata, "x").mean())
    by_hand = [
        predict(idata, rows | {"x": [x]}, new_levels="sample", random_seed=1) for x in (0.0, 1.0)
    ]
    assert drawn.loc[0, "sd"] == pytest.approx(float((by_hand[1] - by_hand[0]).std(ddof=1)))
    again = compare_predictions(idata, {"x": values}, new_levels="sample", **asked)
    assert again.equals(drawn)


GROWTH = {
    "x": 10 ** np.random.default_rng(6).uniform(-6, 2, 60),
    "t": np.tile(np.arange(6.0), 10),
    "g": np.repeat(list("abcdefghij"), 6),
    "y": np.random.default_rng(7).normal(size=60),
}


@pytest.mark.parametrize(
    ("call", "derivative"),
    [
        ("log(x)", lambda x: 1 / x),
        ("sqrt(x)", lambda x: 0.5 / np.sqrt(x)),
        ("I(1 / x)", lambda x: -1 / x**2),
        ("I(x ** 0.1)", lambda x: 0.1 * x**-0.9),
        ("log1p(x)", lambda x: 1 / (1 + x)),
    ],
)
def test_slopes_of_curves_that_end_or_bend_within_a_step(call, derivative):
    idata = trees.random_tree(f"y ~ {call} + ({call} | g)", GROWTH, draws=20)
    b = idata["posterior"]["beta"].mean(("chain", "draw")).to_numpy()[1]
    table = compare_predictions(idata, {"x": "slope"}, average=False)
    np.testing.assert_allclose(table["mean"], b * derivative(GROWTH["x"]), rtol=1e-5)
    averaged = compare_predictions(idata, {"x": "slope"})
    assert averaged.loc[0, "mean"] == pytest.approx(b * derivative(GROWTH["x"]).mean(), rel=1e-5)
    small = compare_predictions(idata, {"x": "slope"}, data={"x": [1e-4]})
    assert small.loc[0, "mean"] == pytest.approx(b * derivative(1e-4), rel=1e-5)
    own = compare_predictions(
        idata, {"x": "slope"}, data={"x": [1e-4], "g": ["c"]}, random_effects="all"
    )
    b_c = idata["posterior"]["b_g"].mean(("chain", "draw")).to_numpy()[2, 1]
    assert own.loc[0, "mean"] == pytest.approx((b + b_c) * derivative(1e-4), rel=1e-5)


@pytest.mark.parametrize(
    "basis", ["bs(t, df=5)", "bs(t, df=4, degree=2)", "cr(t, df=4)", "poly(t, 3)"]
)
def test_slopes_at_the_ends_of_a_spline_are_those_from_within(basis):
    idata = trees.random_tree(f"y ~ 0 + {basis} + (1 | g)", GROWTH, draws=20)
    ends = compare_predictions(idata, {"t": "slope"}, data={"t": [0.0, 5.0]}, average=False)
    inside = [
        compare_predictions(idata, {"t": [a, b]}, data={"t": [0.0]}).loc[0, "mean"] / (b - a)
        for a, b in ((0.0, 1e-6), (5.0 - 1e-6, 5.0))
    ]
    np.testing.assert_allclose(ends["mean"], inside, rtol=1e-4, atol=1e-4)
    assert len(compare_predictions(idata, {"t": "slope"})) == 1


@pytest.mark.parametrize(("call", "x"), [("sqrt(t)", 0.0), ("I(t > 3)", 3.0), ("I(t >= 2)", 2.0)])
def test_a_slope_that_is_not_finite_is_refused(call, x):
    idata = trees.random_tree(f"y ~ {call} + (1 | g)", GROWTH, draws=20)
    with pytest.raises(ArgumentError, match=f"slope in 't' is not finite where t is {x:g}"):
        compare_predictions(idata, {"t": "slope"})
    assert len(compare_predictions(idata, {"t": "slope"}, data={"t": [4.5]})) == 1
    assert len(compare_predictions(idata, {"t": [0, 5]})) == 1


@pytest.fixture(scope="module")
def sites():
    """Sites nested in regions: region "o" is the sum of its sites, and one column is dropped."""
    rng = np.random.default_rng(4)
    rows = pd.DataFrame(
        {
            "region": np.repeat(["n", "o"], 24),
            "site": np.repeat(["s1", "s2", "s3", "s4"], 12),
            "x": np.tile(np.arange(12.0), 4),
            "g": [f"g{k}" for k in np.tile(np.arange(8), 6)],
        }
    )
    rows["y"] = 0.3 * rows.x + np.tile(rng.normal(0, 2, 8), 6) + rng.normal(size=48)
    return rows


@pytest.fixture(scope="module")
def lower_rank(sites):
    formula = "y ~ x * region + x * site + (1 | g)"
    how = {"rank_deficient": "drop", "parametrization": "marginal", "sampler": "importance"}
    with pytest.warns(bl.RankDeficiencyWarning):
        return bl.fit_bayes(formula, sites, draws=50, chains=2, random_seed=1, **how)


@pytest.mark.parametrize(
    ("contrast", "options", "message"),
    [
        ({"region": ["n", "o"]}, {}, r"contrast region: o - n: the fit dropped .*as data="),
        ({"region": ["n", "o"]}, {"average": False}, r"contrast region: o - n in row 0"),
        ({"x": [0, 1]}, {"at": {"region": ["n", "o"]}}, r"contrast x: 1 - 0, region = n"),
        ({"x": "slope"}, {"at": {"region": ["o"]}}, r"contrast d/dx, region = o"),
    ],
)
def test_a_contrast_that_the_data_do_not_determine_is_refused(
    lower_rank, contrast, options, message
):
    with pytest.raises(ArgumentError, match=f"do not determine the {message}"):
        compare_predictions(lower_rank, contrast, **options)


def test_contrasts_of_a_fit_that_dropped_columns_are_those_of_the_full_rank(sites, lower_rank):
    least_squares = bl.fit_reml("y ~ 0 + site + x:site + (1 | g)", sites)
    slopes = least_squares.fixed_effects["estimate"].to_numpy()[4:]
    found = compare_predictions(lower_rank, {"x": [0, 1]})
    slope = compare_predictions(lower_rank, {"x": "slope"}, average=False)
    assert abs(found.loc[0, "mean"] - slopes.mean()) < 0.5 * found.loc[0, "sd"]
    assert slope["mean"].mean() == pytest.approx(found.loc[0, "mean"], rel=1e-7)  # differences
    within = compare_predictions(
        lower_rank, {"site": ["s1", "s2"]}, data=sites[sites.region == "n"]
    )
    assert within.loc[0, "sd"] > 0


def test_rows_that_the_data_do_not_determine_are_refused(sites, lower_rank):
    rows = pd.DataFrame({"x": [1.0, 1.0], "region": ["n", "o"], "site": "s1", "g": "g1", "y": 0.0})
    message = r"expected value of row 1 \(x = 1.0, region = o, site = s1\).*were observed"
    with pytest.warns(bl.RankDeficiencyWarning):
        reml = bl.fit_reml("y ~ x * region + x * site + (1 | g)", sites)
    for call, fit in (
        (bl.predict, lower_rank),
        (bl.predict_table, lower_rank),
        (bl.fitted, lower_rank),
        (bl.fitted, reml),
        (bl.residuals, lower_rank),
        (bl.residuals, reml),
        (bl.log_likelihood, lower_rank),
    ):
        with pytest.raises(ArgumentError, match=message):
            call(fit, rows)
        assert len(call(fit, rows[:1])) > 0
    # The rows themselves are determined.
    np.testing.assert_allclose(bl.predict(lower_rank, sites), bl.predict(lower_rank), rtol=1e-12)
