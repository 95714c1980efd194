"""AR(1) and Ornstein-Uhlenbeck residuals against covariance matrices written out in full."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from residual_twin import Twin, check, check_matrix

import bayeslmm as bl
from bayeslmm import names
from bayeslmm.errors import ArgumentError, DataError, IdentificationWarning
from bayeslmm.gram.structured.structured_gram import StructuredGram
from bayeslmm.model.residual.series_at_nodes import series_at_nodes

STEPS = [1, 2, 3, 5, 9, 10]
TIMES = [0.1, 0.2, 0.35, 1.0, 4.5, 4.6]


@pytest.fixture(scope="module")
def table():
    """Eight subjects at four sites, of three to six rows each, shuffled."""
    rng = np.random.default_rng(3)
    rows = [
        (f"s{s}", f"p{s // 2}", "ab"[s % 2], k)
        for s in range(8)
        for k in sorted(rng.choice(6, size=rng.integers(3, 7), replace=False))
    ]
    made = pd.DataFrame(rows, columns=["subject", "site", "arm", "k"])
    made["step"], made["time"] = np.array(STEPS)[made.k], np.array(TIMES)[made.k]
    made["x"], made["y"] = rng.normal(size=len(made)), rng.normal(size=len(made))
    made["item"] = [f"i{k}" for k in rng.integers(0, 5, len(made))]
    made["rater"] = [f"r{k}" for k in rng.integers(0, 3, len(made))]
    made["session"] = [f"{s}.{k // 2}" for s, k in zip(made.subject, made.k, strict=True)]
    made["row"] = [f"row{k}" for k in range(len(made))]
    made["half"] = np.where(rng.uniform(size=len(made)) < 0.5, "u", "v")
    return made.sample(frac=1.0, random_state=1).reset_index(drop=True)


def correlations(table, time, a):
    """C with correlation a(gap) within a subject."""
    t, g = table[time].to_numpy(float), table.subject.to_numpy()
    return np.where(g[:, None] == g, a(np.abs(t[:, None] - t)), 0.0)


FORMULAS = {
    "no effects": "y ~ x",
    "intercept": "y ~ x + (1 | subject)",
    "slope": "y ~ x + (x | subject)",
    "coarser": "y ~ x + (x | site)",
    "nested": "y ~ x + (x | site/subject)",
}
# Residuals of a subject join the levels of items and of occasions.
JOINED = {
    "crossed": "y ~ x + (x | subject) + (x | item)",
    "crossed with nested": "y ~ x + (1 | site/subject) + (x | item)",
    "items alone": "y ~ x + (x | item)",
    "two of them": "y ~ x + (1 | subject) + (1 | item) + (x | rater)",
    "finer": "y ~ x + (x | subject/session)",
    "rows": "y ~ x + (1 | subject) + (1 | row)",
}


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.4, 0.95])
def test_ar1_is_the_normal_distribution_with_powers_of_rho(table, formula, rho):
    twin, sigma = Twin(formula, table, residual="ar1(step | subject)"), 1.3
    R = sigma**2 * correlations(table, "step", lambda gap: rho**gap)
    check(twin, [sigma, rho], R)
    check_matrix(twin, [sigma, rho], R)


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
@pytest.mark.parametrize("length", [0.05, 1.0, 200.0])
def test_ou_is_the_normal_distribution_with_exponentials_of_gaps(table, formula, length):
    twin, sigma = Twin(formula, table, residual="ou(time | subject)"), 0.7
    R = sigma**2 * correlations(table, "time", lambda gap: np.exp(-gap / length))
    check(twin, [sigma, length], R)
    check_matrix(twin, [sigma, length], R)


@pytest.mark.parametrize("formula", JOINED.values(), ids=JOINED)
def test_residuals_join_levels_of_other_factors(table, formula):
    twin = Twin(formula, table, residual="ar1(step | subject)")
    check(twin, [1.2, -0.4], 1.44 * correlations(table, "step", lambda gap: (-0.4) ** gap))
    twin = Twin(formula, table, residual="ou(time | subject)", sigma="~ 0 + half")
    sd = np.where(table.half == "u", 0.8, 1.9)
    R = sd[:, None] * correlations(table, "time", lambda gap: np.exp(-gap / 1.5)) * sd
    check(twin, [0.8, 1.9, 1.5], R)


def test_only_factors_whose_levels_residuals_join_leave_the_chain(table):
    for formula, chain, border in (
        ("y ~ x + (x | site/subject)", 2, 0),
        ("y ~ x + (1 | subject) + (x | item)", 1, 2 * table.item.nunique()),
        ("y ~ x + (1 | subject) + (1 | row)", 1, len(table)),
        ("y ~ x + (1 | row)", 0, len(table)),
    ):
        plan = Twin(formula, table, residual="ar1(step | subject)").gram.plan
        assert (plan.n_chain, plan.n_border) == (chain, border)


def test_too_many_joined_levels_are_refused_in_a_sentence():
    n = 6002
    table = pd.DataFrame({"y": np.arange(n) % 7, "t": np.arange(n), "g": np.arange(n) // 20})
    table["pair"] = (table.t // 2).astype(str)
    table["row"] = table.t.astype(str)
    with pytest.raises(ArgumentError, match="within levels of 'row', or leave its random"):
        Twin("y ~ 1 + (1 | g) + (1 | row)", table, residual="ar1(t | g)")
    assert Twin("y ~ 1 + (1 | g) + (1 | pair)", table, residual="ar1(t | g)").gram.plan.n_border
    within = Twin("y ~ 1 + (1 | g) + (1 | pair)", table, residual="ar1(t | pair)")
    assert (within.gram.plan.n_chain, within.gram.plan.n_border) == (2, 0)


def test_series_have_a_sigma_in_each_stratum(table):
    twin = Twin("y ~ x + (1 | subject)", table, residual="ar1(step | subject)", sigma="~ 0 + half")
    sd = np.where(table.half == "u", 0.8, 2.0)
    R = sd[:, None] * correlations(table, "step", lambda gap: 0.5**gap) * sd
    check(twin, [0.8, 2.0, 0.5], R)
    check_matrix(twin, [0.8, 2.0, 0.5], R)


@pytest.mark.parametrize("kind", ["ar1", "ou"])
def test_each_arm_has_a_parameter_of_its_own(table, kind):
    time, own = {"ar1": ("step", [0.3, -0.5]), "ou": ("time", [0.4, 3.0])}[kind]
    twin = Twin("y ~ x + (1 | subject)", table, residual=f"{kind}({time} | arm/subject)")
    parameter = np.where(table.arm == "a", *own)[:, None]
    if kind == "ar1":
        C = correlations(table, time, lambda gap: parameter**gap)
    else:
        C = correlations(table, time, lambda gap: np.exp(-gap / parameter))
    sd = np.where(table.arm == "a", 1.3, 0.8)
    R = sd[:, None] * C * sd
    check(twin, [1.3, 0.8, *own], R)
    check_matrix(twin, [1.3, 0.8, *own], R)
    variable = {"ar1": names.RHO_RESIDUAL, "ou": names.RANGE_RESIDUAL}[kind]
    assert [entry.name for entry in twin.structure.entries[2:]] == [
        f"{variable}[a]",
        f"{variable}[b]",
    ]
    assert twin.structure.dims[variable] == (names.RESIDUAL_BY,)
    assert twin.structure.coords[names.RESIDUAL_BY] == ("a", "b")


def test_near_a_random_walk_no_digits_are_lost():
    # Neighbours' correlations are one but for 1e-9, so that 1 / (1 - a^2) is 5e8: the density of
    # the walk's steps, independent normals, is the exact twin.
    rng, n, length = np.random.default_rng(5), 40, 1e9
    y = np.cumsum(rng.normal(size=n))
    table = pd.DataFrame({"y": y, "time": np.arange(n) + 0.5, "g": "one"})
    twin = Twin("y ~ 0", table, residual="ou(time | g)")
    sigma, a = 2e4, np.exp(-1 / length)
    sds, means = sigma * np.sqrt(-np.expm1(-2 / length)) * np.ones(n), np.r_[0.0, a * y[:-1]]
    sds[0] = sigma
    exact = -0.5 * np.sum(((y - means) / sds) ** 2 + np.log(2 * np.pi * sds**2))
    found = twin.evaluate(np.array([sigma, length]))[0]
    np.testing.assert_allclose(found, exact, rtol=1e-9)


def test_parameters_have_the_trees_names_and_default_priors(table):
    ar1 = Twin("y ~ x", table, residual="ar1(step | subject)").model
    ou = Twin("y ~ x", table, residual="ou(time | subject)").model
    rho = ar1.priors.parameters[names.RHO_RESIDUAL]
    assert str(rho) == "Uniform(lower=-1, upper=1)"
    length = ou.priors.parameters[names.RANGE_RESIDUAL]
    gaps = table.sort_values(["subject", "time"]).groupby("subject").time.diff().dropna()
    # The median as a prior's text has it.
    np.testing.assert_allclose(length.quantile(0.5), np.median(gaps), rtol=1e-6)
    spread = np.log(length.quantile(0.8413447) / length.quantile(0.5))
    np.testing.assert_allclose(spread, 1.5, rtol=1e-6)
    told = ou.structured_residual.variables(np.array([[[1.0, 4.0]]]))
    np.testing.assert_allclose(told[names.RHO_RESIDUAL], np.exp(-0.25))
    np.testing.assert_array_equal(ou.structured_residual.phi(told), [[[1.0, 4.0]]])


def test_rho_is_positive_where_no_gap_tells_its_sign(table):
    even = table.assign(step=2 * table.step)
    entry = Twin("y ~ x", even, residual="ar1(step | subject)").structure.entries[1]
    assert (entry.lower, entry.default) == (0.0, "Uniform(0, 1)")


def test_gaps_that_are_equal_but_for_rounding_are_one_gap():
    tenths = pd.DataFrame({"y": np.arange(12.0), "t": 1990 + np.arange(12) / 10, "g": "one"})
    twin = Twin("y ~ 1", tenths, residual="ou(t | g)")
    assert twin.structure.n_bases == 3
    np.testing.assert_allclose(twin.structure.correlation.gaps, 0.1, rtol=1e-12)


def irregular(n=240, groups=12):
    """Rows at real times, from a hundredth to some units apart."""
    rng = np.random.default_rng(11)
    g = np.arange(n) % groups
    gaps = np.exp(rng.uniform(np.log(0.02), np.log(3.0), n))
    table = pd.DataFrame({"g": [f"g{k}" for k in g], "arm": [f"a{k % 2}" for k in g]})
    table["time"] = pd.Series(gaps).groupby(g).cumsum() + 100.0
    return table.assign(x=rng.normal(size=n), y=rng.normal(size=n))


def at_nodes(formula, table, residual):
    """A twin by nodes in place of gaps, and the exact structure."""
    twin = Twin(formula, table, residual=residual)
    exact = twin.structure
    twin.structure = replace(exact, correlation=series_at_nodes(exact.correlation))
    twin.gram = StructuredGram.from_design(
        twin.design, twin.structure.record_parts(), exact.records()
    )
    return twin, exact


@pytest.mark.parametrize("nested", ["g", "arm/g"])
def test_gaps_at_nodes_are_the_exact_ones_for_any_range(nested):
    table = irregular()
    twin, exact = at_nodes("y ~ x + (1 | g)", table, f"ou(time | {nested})")
    arms = 1 + ("/" in nested)
    # Ratio 150 of gaps takes some forty nodes, where there are two hundred gaps.
    assert 2 * 20 * arms < twin.structure.n_bases < 2 * 50 * arms + 2
    assert exact.n_bases > 400
    assert 0.0 < twin.structure.correlation.error <= 1e-10
    group, time = twin.design.residual.group, table.time.to_numpy()
    arm = np.zeros(len(table), int) if arms == 1 else (table.arm == "a1").to_numpy().astype(int)
    for length in (1e-3, 0.05, 1.0, 40.0, 1e3):
        sigma, own = np.array([1.1, 0.6])[:arms], length * np.array([1.0, 2.0])[:arms]
        C = np.exp(-np.abs(time[:, None] - time) / own[arm]) * (group[:, None] == group)
        point = np.r_[sigma, own, twin.packed]
        # 240 rows, each with the error of its coefficients.
        R = sigma[arm][:, None] * C * sigma[arm]
        np.testing.assert_allclose(twin.evaluate(point)[0], twin.dense(R), rtol=1e-8)
        phi = point[None, : 2 * arms]
        logs = [s.coefficients(phi)[1][0] for s in (twin.structure, exact)]
        np.testing.assert_allclose(*logs, rtol=1e-9, atol=1e-9)


def test_gradients_are_those_of_what_is_interpolated():
    twin, _ = at_nodes("y ~ x + (1 | g)", irregular(), "ou(time | g)")
    point = np.r_[1.1, 0.8, twin.packed]
    expected = twin.differences(point)
    # What central differences at 1e-5 leave.
    np.testing.assert_allclose(twin.evaluate(point)[1], expected, rtol=1e-6)


def test_nodes_are_taken_where_they_cost_less_than_gaps_and_rows():
    table = irregular().assign(row=lambda t: [f"r{k}" for k in range(len(t))])
    for formula, nodes in (("y ~ x + (1 | g)", True), ("y ~ x + (1 | g) + (1 | row)", False)):
        products = Twin(formula, table, residual="ou(time | g)").model.products
        assert (products.error > 0.0) == bool(products.attributes) == nodes
    few = table.assign(time=table.groupby("g").cumcount() ** 2)
    assert Twin("y ~ x + (1 | g)", few, residual="ou(time | g)").model.products.error == 0.0


def test_gaps_too_far_apart_for_nodes_stay_as_they_are():
    time = np.cumsum(10.0 ** np.random.default_rng(2).uniform(-9, 3, 200))
    table = pd.DataFrame({"y": np.arange(200.0) % 7, "time": time, "g": "one"})
    twin = Twin("y ~ 1", table, residual="ou(time | g)")
    assert series_at_nodes(twin.structure.correlation) is None


def test_an_arm_of_single_rows_has_its_prior_only(table):
    some = table[(table.arm == "a") | ~table.duplicated("subject")]
    with pytest.warns(IdentificationWarning, match="each subject in arm 'b' has one row"):
        bl.build_design("y ~ x", some, residual="ar1(step | arm/subject)")
    with pytest.raises(DataError, match="Each subject has one row"):
        bl.build_design("y ~ x", table.drop_duplicates("subject"), residual="ou(time | subject)")


@pytest.mark.parametrize(
    ("residual", "change", "words"),
    [
        ("ar1(word | subject)", {}, "give the number of each visit"),
        ("ar1(time | subject)", {}, "ou(time | subject) takes any times"),
        ("ou(step | subject)", {"step": 1}, "has two rows at step 1"),
        ("ar1(1 | subject)", {}, "needs the column of times"),
    ],
)
def test_what_is_no_series_is_refused_in_a_sentence(table, residual, change, words):
    table = table.assign(word=[f"w{k}" for k in table.k], **change)
    with pytest.raises(DataError, match=re.escape(words)):
        Twin("y ~ x", table, residual=residual)
