"""Responses that are simulated with a residual covariance have it."""

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import ArgumentError

TABLE = {
    "y": np.zeros(6),
    "x": np.array([0.0, 1.0, 2.0, 0.0, 1.0, 2.0]),
    "g": np.array(["b", "a", "a", "b", "a", "b"]),
    "visit": np.array(["u", "w", "u", "w", "v", "v"]),
    "arm": np.array(["one", "two", "two", "one", "two", "one"]),
    "week": np.array([1.0, 4.0, 1.0, 3.0, 2.0, 2.0]),
    "sei": np.array([0.3, 0.1, 0.2, 0.4, 0.5, 0.3]),
}
SAME = TABLE["g"][:, None] == TABLE["g"]
GAP = np.abs(np.subtract.outer(TABLE["week"], TABLE["week"]))
SD = np.array([1.0, 2.0, 0.5])[np.searchsorted(list("uvw"), TABLE["visit"])]
CORR = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 1.0]])
PLACE = np.searchsorted(list("uvw"), TABLE["visit"])
BY_ARM = np.where(TABLE["arm"] == "one", 2.0, 0.5)

CASES = {
    "strata": (
        {"sigma": "~ 0 + arm"},
        {"sigma_by[one]": 2.0, "sigma_by[two]": 0.5},
        np.diag(BY_ARM**2),
    ),
    "known": ({"se": "sei"}, {}, np.diag(TABLE["sei"] ** 2)),
    "known and sigma": (
        {"se": "sei", "sigma": "~ 1"},
        {"sigma": 1.5},
        np.diag(TABLE["sei"] ** 2 + 1.5**2),
    ),
    "ar1": (
        {"residual": "ar1(week | g)"},
        {"sigma": 2.0, "rho_residual": 0.6},
        4.0 * np.where(SAME, 0.6**GAP, 0.0),
    ),
    "us": (
        {"residual": "us(visit | g)"},
        {"sd_residual": [1.0, 2.0, 0.5], "corr_residual": CORR},
        np.where(SAME, CORR[PLACE[:, None], PLACE], 0.0) * SD[:, None] * SD,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_covariance_is_the_stated_one(case):
    said, parameters, R = CASES[case]
    design = bl.build_design("y ~ x", TABLE, **said)
    generator = np.random.default_rng(1)
    drawn = np.stack(
        [
            bl.simulate_response(
                design, beta=[1.0, 2.0], parameters=parameters, random_seed=generator
            )[0]
            for _ in range(4000)
        ]
    )
    white = np.linalg.solve(np.linalg.cholesky(R), (drawn - 1.0 - 2.0 * TABLE["x"]).T)
    # Products of standard normals have standard deviations of one, squares of sqrt(2).
    assert np.abs(white @ white.T / 4000 - np.eye(6)).max() < 5 * np.sqrt(2 / 4000)
    assert np.abs(white.mean(axis=1)).max() < 5 / np.sqrt(4000)


def test_what_lacks_and_what_is_too_much_is_told():
    design = bl.build_design("y ~ x", TABLE, sigma="~ 0 + arm")
    given = {"beta": [1.0, 2.0]}
    with pytest.raises(ArgumentError, match=r"have the parameter 'sigma_by\[one\]'"):
        bl.simulate_response(design, **given)
    both = {"sigma_by": [1.0, 2.0]}
    with pytest.raises(ArgumentError, match=r"have no parameter 'sigma'"):
        bl.simulate_response(design, **given, parameters=both, sigma=1.0)
    with pytest.raises(ArgumentError, match=r"sigma_by\[one\] lies between 0 and inf; it was -1"):
        bl.simulate_response(design, **given, parameters={"sigma_by": [-1.0, 2.0]})
    with pytest.raises(ArgumentError, match=r"sigma_by has shape \(3,\); \(2,\) is due"):
        bl.simulate_response(design, **given, parameters={"sigma_by": [1.0, 2.0, 3.0]})


def test_log_normal_responses_are_exponentials():
    table = {**TABLE, "y": np.ones(6)}
    said = {"residual": "ar1(week | g)"}
    parameters = {"sigma": 0.5, "rho_residual": 0.6}
    options = {"beta": [1.0, 2.0], "parameters": parameters, "random_seed": 1}
    plain = bl.simulate_response(bl.build_design("y ~ x", table, **said), **options)[0]
    design = bl.build_design("y ~ x", table, family="lognormal", **said)
    np.testing.assert_allclose(bl.simulate_response(design, **options)[0], np.exp(plain))


def test_effects_are_drawn_from_the_structure_of_the_formula():
    rng = np.random.default_rng(2)
    n = 40
    table = pd.DataFrame({"y": rng.normal(size=n), "g": np.repeat(list("abcdefghij"), 4),
                          "week": np.tile([0, 1, 2, 4], 10)})  # fmt: skip
    design = bl.build_design("y ~ 1 + ar1(0 + week | g)", table)
    given = {"beta": [0.0], "sigma": 0.1}
    weeks = np.array([0, 1, 2, 4])
    R = 0.5 ** np.abs(np.subtract.outer(weeks, weeks))
    drawn = [
        bl.simulate_response(design, sd={"g": 2.0}, corr={"g": corr}, random_seed=3, **given)[0]
        for corr in (0.5, R)
    ]
    # A number is the correlation of neighbours; the roots of one matrix are rounding apart.
    assert np.allclose(drawn[0], drawn[1], rtol=0.0, atol=1e-6)
    with pytest.raises(ArgumentError, match="none that the structure of the formula has"):
        bl.simulate_response(design, sd={"g": 2.0}, corr={"g": np.where(R < 1, 0.5, 1)}, **given)
    with pytest.raises(ArgumentError, match="one standard deviation for several columns"):
        bl.simulate_response(design, sd={"g": [1.0, 2, 2, 2]}, corr={"g": 0.5}, **given)
    with pytest.raises(ArgumentError, match=r"is from -1 to 1; it was 1\.5"):
        bl.simulate_response(design, sd={"g": 2.0}, corr={"g": 1.5}, **given)
