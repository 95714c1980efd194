"""Smooths' columns: bases against other programs, penalties against integrals, new rows."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from formulaic.transforms import TRANSFORMS
from hypothesis import given
from hypothesis import strategies as st

import bayeslmm as bl
from bayeslmm.design.smooths.basis import SplineBasis, place_knots
from bayeslmm.design.smooths.transformation import SmoothTransformation
from bayeslmm.errors import DataError, DataWarning, FormulaError

RNG = np.random.default_rng(3)
X = np.sort(RNG.uniform(-2.0, 5.0, 80)) ** 3
KINDS = ("cr", "cc", "ps")


def table(n=60):
    rng = np.random.default_rng(5)
    x = rng.uniform(0.0, 10.0, n)
    return pd.DataFrame(
        {"y": np.sin(x) + rng.normal(0, 0.2, n), "x": x, "z": rng.normal(size=n),
         "f": rng.choice(["u", "v", "w"], n), "few": np.arange(n) % 4}
    )  # fmt: skip


def basis_of(kind, k=9, x=X):
    return SplineBasis(kind, place_knots(kind, x, k))


@pytest.mark.parametrize(("kind", "call"), [("cr", "cr"), ("cc", "cc")])
def test_cubic_bases_are_formulaics(kind, call):
    basis = basis_of(kind)
    knots = basis.knots
    theirs = TRANSFORMS[call](
        X, knots=knots[1:-1].tolist(), lower_bound=knots[0], upper_bound=knots[-1], _state={}
    )
    # Both solve the same tridiagonal system, of condition 1e2 here, in another order.
    np.testing.assert_allclose(
        basis.columns(X), np.column_stack([theirs[name] for name in theirs]), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_basis_holds_constants_and_lines_without_penalty(kind):
    basis = basis_of(kind)
    beyond = X if kind == "cc" else np.concatenate([X, X.min() - [1.0, 50.0], [X.max() + 3.0]])
    free = basis.columns(beyond) @ basis.unpenalized
    np.testing.assert_allclose(free[:, 0], 1.0, rtol=1e-12)
    if kind != "cc":
        np.testing.assert_allclose(free[:, 1], beyond, rtol=1e-11, atol=1e-11 * np.ptp(X))
    # Second differences of numbers of the knots' size, rounded.
    size = np.abs(basis.root) @ np.abs(basis.unpenalized)
    assert np.all(np.abs(basis.root @ basis.unpenalized) <= 1e-13 * size.max(axis=0))


@pytest.mark.parametrize("kind", ["cr", "cc"])
def test_the_penalty_is_the_integral_of_the_squared_second_derivative(kind):
    basis = basis_of(kind)
    # f'' is linear between knots: Simpson's rule is exact for its square.
    width = np.diff(basis.knots)
    ends = basis.columns(basis.knots, 2)
    if kind == "cc":  # the last knot is the first one
        ends = basis._spline(basis.knots, 2)
    middle = basis._spline(basis.knots[:-1] + width / 2, 2)
    integral = sum(
        w / 6 * (np.outer(a, a) + 4 * np.outer(m, m) + np.outer(b, b))
        for w, a, m, b in zip(width, ends[:-1], middle, ends[1:], strict=True)
    )
    ours = basis.root.T @ basis.root / (basis.high - basis.low) ** 3
    np.testing.assert_allclose(ours, integral, rtol=1e-10, atol=1e-12 * np.abs(integral).max())


def test_the_penalty_of_p_splines_is_of_second_differences():
    root = basis_of("ps", 7).root
    np.testing.assert_array_equal(root[0], [1, -2, 1, 0, 0, 0, 0])
    assert root.shape == (5, 7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_are_limits_of_differences(kind, order):
    basis = basis_of(kind)
    # Away from knots, and beyond both ends.
    span = basis.high - basis.low
    at = basis.low + span * np.array([-0.21, 0.013, 0.33, 0.71, 0.987, 1.4])
    h = 1e-5 * span
    difference = (basis.columns(at + h, order - 1) - basis.columns(at - h, order - 1)) / (2 * h)
    exact = basis.columns(at, order)
    # Central differences of cubics: h^2 f''' / 6, and rounding 1e-16 / h.
    np.testing.assert_allclose(difference, exact, rtol=0, atol=2e-6 * np.abs(exact).max() + 1e-12)


@pytest.mark.parametrize("kind", ["cr", "ps"])
def test_beyond_the_ends_curves_are_straight_lines(kind):
    basis = basis_of(kind)
    at = basis.high + np.array([0.0, 1.0, 2.0, 5.0])
    values = basis.columns(at)
    slope = basis.columns(at[:1], 1)
    np.testing.assert_allclose(values, values[:1] + (at - at[0])[:, None] * slope, atol=1e-10)
    assert not basis.columns(at[1:], 2).any()


def test_a_cyclic_curve_repeats_and_is_smooth_where_it_closes():
    basis = SplineBasis("cc", np.linspace(0.0, 24.0, 8))
    at = np.array([0.0, 5.5, 23.0])
    np.testing.assert_allclose(basis.columns(at + 24.0), basis.columns(at), atol=1e-12)
    np.testing.assert_allclose(basis.columns(at - 48.0), basis.columns(at), atol=1e-12)
    for order in (0, 1, 2):
        before, after = (basis.columns(np.array([x]), order) for x in (24.0 - 1e-9, 1e-9))
        np.testing.assert_allclose(before, after, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_penalised_columns_are_a_penalised_least_squares_fit(kind, shift):
    """argmin |y - B g|^2 + lambda g'Sg, with B and S as they come, is that of the mixed model."""
    x = RNG.uniform(0.0, 3.0, 50) + shift
    y = np.cos(2 * (x - shift)) + RNG.normal(0, 0.3, 50)
    basis = basis_of(kind, 8, x)
    smooth = SmoothTransformation.of(basis, x)
    B, R = basis.columns(x), basis.root
    Z = smooth.penalized(x)
    free = np.column_stack([np.ones(50), *([smooth.line(x)] if smooth.straight else [])])
    # T'ST is a multiple of the identity: that multiple carries lambda over.
    inner = smooth.turn.T @ R.T @ R @ smooth.turn
    np.testing.assert_allclose(
        inner, inner[0, 0] * np.eye(len(inner)), rtol=1e-7, atol=1e-7 * inner[0, 0]
    )
    penalty = 0.7
    plain = np.linalg.lstsq(
        np.vstack([B, np.sqrt(penalty / inner[0, 0]) * R]),
        np.concatenate([y, np.zeros(len(R))]),
        rcond=None,
    )[0]
    W = np.column_stack([free, Z])
    ridge = np.diag(np.r_[np.zeros(free.shape[1]), np.full(Z.shape[1], penalty)])
    mixed = np.linalg.solve(W.T @ W + ridge, W.T @ y)
    np.testing.assert_allclose(W @ mixed, B @ plain, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_orthogonal_over_the_rows_and_of_size_one_together(kind):
    smooth = SmoothTransformation.of(basis_of(kind), X)
    Z, n = smooth.penalized(X), len(X)
    products = Z.T @ Z / n
    assert np.trace(products) == pytest.approx(1.0, rel=1e-12)
    assert np.all(np.diff(np.diag(products)) < 1e-12), "the smoothest first"
    np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-10)
    np.testing.assert_allclose(Z.sum(axis=0), 0.0, atol=1e-10 * n)
    if smooth.straight:
        np.testing.assert_allclose(Z.T @ smooth.line(X), 0.0, atol=1e-10 * np.abs(X).sum())


@given(st.integers(4, 12), st.sampled_from(KINDS), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
def test_columns_do_not_depend_on_the_unit_of_x(k, kind, shift, scale):
    x = np.linspace(0.0, 1.0, 40) ** 2
    one = SmoothTransformation.of(basis_of(kind, k, x), x).penalized(x)
    there = shift + scale * x
    if np.ptp(there) < 1e-7 * np.abs(there).max():  # x itself is rounded to a few digits
        return
    other = SmoothTransformation.of(basis_of(kind, k, there), there).penalized(there)
    # Rounding of x, of its size by its range, comes back in the curve; axes of cyclic curves
    # may turn where two have one roughness.
    lost = 1e-16 * np.abs(there).max() / np.ptp(there)
    np.testing.assert_allclose(one @ one.T, other @ other.T, atol=1e-8 + 1e3 * k**2 * lost)


def test_a_design_has_the_line_in_x_and_the_rest_in_a_factor_of_one_level():
    design = bl.build_design("y ~ z + s(x, k=7)", table())
    assert design.coef == ("Intercept", "z", "s(x)[linear]")
    x = table().x.to_numpy()
    np.testing.assert_allclose(design.X[:, 2], x - x.mean())
    (smooth,) = design.factors
    assert smooth.name == "s(x)"
    assert smooth.levels.tolist() == ["s(x)"]
    assert smooth.columns.shape == (60, 5)
    assert smooth.terms[:2] == ("curve[1]", "curve[2]")
    assert "s(x): a smooth with 5 penalised columns" in str(design)


def test_by_labels_there_is_a_curve_for_each_on_the_rows_that_have_them():
    data = table()
    design = bl.build_design("y ~ f + s(x, k=6, by=f)", data)
    one = bl.build_design("y ~ s(x, k=6)", data)
    assert design.coef[3:] == tuple(f"s(x, by=f)[linear, {level}]" for level in "uvw")
    (smooth,) = design.factors
    assert smooth.terms[3:5] == ("u[4]", "v[1]")
    for place, level in enumerate("uvw"):
        own = smooth.columns[:, 4 * place : 4 * place + 4]
        here = (data.f == level).to_numpy()
        assert not own[~here].any()
        np.testing.assert_allclose(own[here], one.factors[0].columns[here])
        np.testing.assert_allclose(design.X[here, 3 + place], one.X[here, 1])


def test_by_a_number_the_curve_is_multiplied_and_not_centred():
    data = table()
    design = bl.build_design("y ~ s(x, k=6, by=z)", data)
    one = bl.build_design("y ~ s(x, k=6)", data)
    assert design.coef == ("Intercept", "s(x, by=z)[constant]", "s(x, by=z)[linear]")
    z = data.z.to_numpy()
    np.testing.assert_allclose(design.X[:, 1], z)
    np.testing.assert_allclose(design.X[:, 2], z * one.X[:, 1])
    np.testing.assert_allclose(design.factors[0].columns, z[:, None] * one.factors[0].columns)


def test_curves_of_levels_without_the_levels_own_means_are_told_of():
    with pytest.warns(DataWarning, match=r"zero on average.*f \+ s\(x, by=f\)"):
        bl.build_design("y ~ s(x, by=f)", table())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bl.build_design("y ~ s(x, by=f) + (1 | f)", table())


def test_truth_values_have_a_curve_each():
    data = table().assign(b=table().z > 0)
    design = bl.build_design("y ~ b + s(x, k=5, by=b)", data)
    assert design.coef[2:] == ("s(x, by=b)[linear, False]", "s(x, by=b)[linear, True]")


@pytest.mark.parametrize(
    "formula",
    ["y ~ s(x)", "y ~ f + s(x, by=f) + s(z, bs='ps')", "y ~ s(log(x), bs='cc', by=z) + (1 | f)"],
)
def test_new_rows_are_coded_by_the_knots_of_the_training_rows(formula):
    data = table()
    design = bl.build_design(formula, data)
    state = bl.DesignState.from_json(design.state.to_json())
    assert state == design.state
    some = data.iloc[[7, 3, 30]]
    again = bl.rebuild_design(state, some)
    np.testing.assert_array_equal(again.X, design.X[[7, 3, 30]])
    for new, old in zip(again.factors, design.factors, strict=True):
        np.testing.assert_allclose(new.columns, old.columns[[7, 3, 30]], rtol=0, atol=1e-14)
        assert new.levels.tolist() == old.levels.tolist()
    none = bl.rebuild_design(state, some, factors=())
    assert [f.name for f in none.factors] == [t.name for t in design.formula.smooths]
    json.loads(design.state.to_json())


def test_rows_beyond_the_training_rows_are_told_of():
    design = bl.build_design("y ~ s(x)", table())
    with pytest.warns(DataWarning, match=r"1 of 2 rows have x beyond .* straight line"):
        bl.rebuild_design(design.state, {"x": [5.0, 11.0]})
    cyclic = bl.build_design("y ~ s(x, bs='cc')", table())
    bl.rebuild_design(cyclic.state, {"x": [5.0, 11.0]})


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ s(few)", r"k=10 functions, and the rows have 4 distinct values of few: write k=4"),
        ("y ~ s(few, bs='ps', k=5)", r"4 distinct values of few: write k=4"),
        ("y ~ s(one, k=3)", r"2 distinct .* a curve takes 3; write one for a straight line"),
        ("y ~ s(f)", r"takes numbers, and f holds labels: write C\(f\)"),
        ("y ~ s(x, knots=[2, 8])", r"reach from 2 to 8, and the rows' x from"),
    ],
)
def test_what_a_basis_cannot_be_made_of_is_pointed_at(formula, message):
    data = table().assign(one=np.arange(60) % 2)
    with pytest.raises(FormulaError, match=message) as caught:
        bl.build_design(formula, data)
    assert formula[slice(*caught.value.span)] == formula[4:]


def test_what_is_not_finite_is_named_by_its_row():
    with pytest.raises(DataError, match=r"'log\(z\)' is not finite in .* of 60 rows"):
        bl.build_design("y ~ s(log(z))", table())


def test_the_line_of_x_beside_its_smooth_is_the_same_column():
    with pytest.raises(DataError, match=r"s\(x\)\[linear\] = .*s\(x\) holds the straight line"):
        bl.build_design("y ~ x + s(x)", table())
    with pytest.warns(bl.RankDeficiencyWarning):
        dropped = bl.build_design("y ~ x + s(x)", table(), rank_deficient="drop")
    assert dropped.coef == ("Intercept", "x")


def test_batches_and_cross_products_have_no_smooths():
    data = table()
    with pytest.raises(DataError, match=r"s\(x\) learns knots"):
        bl.gram_from_batches("y ~ s(x) + (1 | f)", [data])
    gram = bl.Gram.from_design(bl.build_design("y ~ s(x) + (1 | f)", data))
    with pytest.raises(DataError, match=r"no smooths, and the formula has s\(x\)"):
        bl.fit_bayes("y ~ s(x) + (1 | f)", gram)


def test_a_grouping_column_is_not_called_as_smooths_are():
    data = table().rename(columns={"f": "s(x)"})
    with pytest.raises(DataError, match="called as smooths are"):
        bl.build_model("y ~ x + (1 | `s(x)`)", data)
