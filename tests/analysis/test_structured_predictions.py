"""Predictions and replicates of fits with a residual structure, against dense covariances."""

import numpy as np
import pytest
import structured_twin as twin
import trees

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError

T = trees.STRUCTURED
Y, G = T["y"], T["g"]
# Rounding of ten-by-ten inverses.
EXACT = {"rtol": 1e-9, "atol": 1e-11}
# Rows after, between and beyond the fit's, of known groups.
NEW = {
    "x": np.array([1.0, 0.0, 2.0, 1.0]),
    "g": np.array(["a", "c", "a", "c"]),
    "arm": np.array(["v", "v", "v", "v"]),
    "week": np.array([4.0, 3.0, 6.0, 7.0]),
    "visit": np.array(["four", "three", "one", "two"]),
    "sei": np.array([0.5, 0.4, 0.3, 0.2]),
}


@pytest.fixture(scope="module", params=trees.STRUCTURES | trees.IN_SIGMA)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def idata(name):
    return trees.structured_tree(name)


@pytest.fixture(scope="module")
def R(idata, name):  # noqa: N802 - as it is written
    return twin.covariance(idata, name)


def flat(array):
    """Draws (s, n) of an array (chain, draw, obs)."""
    return array.to_numpy().reshape(-1, array.shape[-1])


def moments(values, mean, cov):
    """Hold standardized draws to the standard normal distribution: (s, n) of many seeds."""
    white = np.stack(
        [
            np.linalg.solve(np.linalg.cholesky(c), v - m)
            for v, m, c in zip(values, mean, cov, strict=True)
        ]
    )
    n = len(white)
    assert np.abs(white.mean(axis=0)).max() < 5 / np.sqrt(n)
    # Products of two standard normals have standard deviation 1, squares sqrt(2).
    assert np.abs(white.T @ white / n - np.eye(white.shape[1])).max() < 5 * np.sqrt(2 / n)


def test_replicates_of_a_group_are_drawn_together(idata, R):
    seeds = range(20)
    drawn = [flat(bl.predict(idata, kind="response", random_seed=seed)) for seed in seeds]
    mean = twin.eta(idata)
    moments(np.concatenate(drawn), np.tile(mean, (20, 1)), np.tile(R, (20, 1, 1)))
    added = bl.add_posterior_predictive(idata, random_seed=3)
    np.testing.assert_array_equal(flat(added["posterior_predictive"]["y"]), drawn[3])


def test_groups_are_checked_with_their_own_replicates(idata, name, R):
    found = bl.check_groups(idata, statistic="mean", random_seed=1)
    means = twin.eta(idata)
    for place, g in enumerate("abc"):
        rows = np.flatnonzero(g == G)
        variance = R[:, rows[:, None], rows].mean(axis=(1, 2)).mean() / len(means)
        assert abs(found["mean"][place] - means[:, rows].mean()) < 5 * np.sqrt(variance)


def joint(idata, name):
    """R of the fit's rows and `NEW`, and the conditional moments of the latter."""
    both = {k: np.concatenate([np.asarray(T[k]), NEW[k]]) for k in NEW}
    R, n = twin.covariance(idata, name, both), len(Y)
    if name == "cs":
        # Rows without times are told apart by being different rows.
        assert (np.einsum("sii->si", R) > R[:, 0, -1:]).all()
    A = np.swapaxes(np.linalg.solve(R[:, :n, :n], R[:, :n, n:]), 1, 2)
    mean = twin.eta(idata, NEW) + np.einsum("sij,sj->si", A, Y - twin.eta(idata))
    return R[:, n:, n:], mean, R[:, n:, n:] - A @ R[:, :n, n:]


def one_row_each(name):
    """Of structures on visits only one new row of each group is at another visit."""
    return slice(0, 2) if name.startswith("us") or name == "ar1h" else slice(0, 4)


def taken(rows):
    return {key: values[rows] for key, values in NEW.items()}


def test_new_rows_are_drawn_with_their_covariance(idata, name):
    rows = one_row_each(name)
    cov, _, _ = joint(idata, name)
    drawn = [
        flat(bl.predict(idata, taken(rows), kind="response", random_seed=seed))
        for seed in range(20)
    ]
    mean = np.tile(twin.eta(idata, NEW)[:, rows], (20, 1))
    moments(np.concatenate(drawn), mean, np.tile(cov[:, rows, rows], (20, 1, 1)))


def test_new_rows_are_foretold_from_their_groups_residuals(idata, name):
    rows = one_row_each(name)
    _, mean, cov = joint(idata, name)
    options = {"residual": "conditional", "random_seed": 1}
    found = bl.predict(idata, taken(rows), **options)
    np.testing.assert_allclose(flat(found), mean[:, rows], **EXACT)
    if name in twin.GROUPS:
        assert found.attrs["residual"] == "conditional"
    link = bl.predict(idata, taken(rows), kind="link", **options)
    np.testing.assert_allclose(flat(link), mean[:, rows], **EXACT)
    table = bl.predict_table(idata, taken(rows), **options)
    np.testing.assert_allclose(table["mean"], mean[:, rows].mean(axis=0), **EXACT)
    drawn = [
        flat(
            bl.predict(
                idata, taken(rows), kind="response", residual="conditional", random_seed=seed
            )
        )
        for seed in range(20)
    ]
    both = np.tile(mean[:, rows], (20, 1)), np.tile(cov[:, rows, rows], (20, 1, 1))
    moments(np.concatenate(drawn), *both)


def test_tables_of_predictions_are_those_of_predict(idata):
    options = {"kind": "response", "random_seed": 4}
    table, drawn = bl.predict_table(idata, **options), bl.predict(idata, **options)
    np.testing.assert_allclose(table["mean"], flat(drawn).mean(axis=0), rtol=1e-12)


def test_a_forecast_of_a_series_decays():
    idata = trees.structured_tree("ar1")
    last = {"x": np.zeros(3), "g": np.array(["a"] * 3), "week": np.array([4.0, 5.0, 7.0])}
    ahead = flat(bl.predict(idata, last, residual="conditional")) - flat(bl.predict(idata, last))
    row = np.flatnonzero((G == "a") & (T["week"] == 3.0))[0]
    rest = (Y - twin.eta(idata))[:, row]
    rho = twin._draws(idata, "rho_residual")
    for k, h in enumerate((1.0, 2.0, 4.0)):
        np.testing.assert_allclose(ahead[:, k], rho**h * rest, **EXACT)


def test_a_row_at_a_fitted_time_repeats_its_residual():
    idata = trees.structured_tree("us")
    same = {key: np.asarray(values)[:2] for key, values in T.items()}
    found = flat(bl.predict(idata, same, residual="conditional"))
    np.testing.assert_allclose(found, np.tile(Y[:2], (60, 1)), rtol=1e-9)


def test_rows_of_new_groups_have_nothing_to_be_foretold_from():
    idata = trees.structured_tree("ar1")
    row = {"x": [1.0], "g": ["new"], "week": [1.0]}
    options = {"new_levels": "population"}
    one = bl.predict(idata, row, residual="conditional", **options)
    np.testing.assert_allclose(one, bl.predict(idata, row, **options))


def test_what_new_rows_need_is_told():
    visits = trees.structured_tree("us")
    row = {"x": [1.0], "g": ["a"], "visit": ["five"], "arm": ["v"], "week": [9.0]}
    with pytest.raises(DataError, match=r"'visit' is 'five' in some rows, and no training row was"):
        bl.predict(visits, row, kind="response")
    assert bl.predict(visits, row).shape == (2, 30, 1)  # means read no visit
    strata = trees.structured_tree("strata")
    with pytest.raises(DataError, match=r"Column 'arm'.*'u'"):
        bl.predict(strata, {**row, "arm": ["u"]}, kind="response")
    known = trees.structured_tree("known")
    with pytest.raises(ArgumentError, match=r"known standard errors, and these rows have none"):
        bl.predict(known, row, kind="response")
    assert bl.predict(known, row, kind="response", se=[0.5]).shape == (2, 30, 1)
    with pytest.raises(ArgumentError, match=r"the rows of the fit had none: leave it out"):
        bl.predict(visits, row, se=[0.5])
    arms = trees.structured_tree("us by arm")
    with pytest.raises(DataError, match=r"g 'a' is in arm 'v' and in 'w'|in 'w' and in 'v'"):
        bl.predict(arms, {**row, "arm": ["w"], "visit": ["four"]}, residual="conditional")
    with pytest.raises(ArgumentError, match=r"without data= there are no others"):
        bl.predict(visits, residual="conditional")


def test_labelled_steps_keep_their_places_in_new_rows():
    said, visits = {"residual": "ar1(visit | g)"}, ["one", "two", "three", "four"]
    values = trees.random_draws(trees.TINY_FORMULA, T, chains=2, draws=30, **said)
    idata = trees.make_tree(trees.TINY_FORMULA, T, values, **said)
    row = {"x": [0.0], "g": ["a"], "visit": ["four"]}
    ahead = flat(bl.predict(idata, row, residual="conditional")) - flat(bl.predict(idata, row))
    last = np.flatnonzero((G == "a") & (np.asarray(T["visit"]) == "three"))[0]
    expected = twin._draws(idata, "rho_residual") * (Y - twin.eta(idata))[:, last]
    np.testing.assert_allclose(ahead[:, 0], expected, **EXACT)
    assert visits == list(T["visit"].categories)
    with pytest.raises(DataError, match=r"'visit' is 'five'.*ar1\(\) does not know when it is"):
        bl.predict(idata, {**row, "visit": ["five"]}, residual="conditional")
    with pytest.raises(DataError, match=r"held labels of visits .* and holds numbers now"):
        bl.predict(idata, {**row, "visit": [4]}, residual="conditional")
    numbers = trees.structured_tree("ar1")
    with pytest.raises(DataError, match=r"held numbers .* and holds categories now"):
        bl.predict(numbers, {**row, "week": T["visit"][:1]}, residual="conditional")
