"""Marginal means, contrasts and slopes of every family, by brute force from the draws."""

import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.design.build import build_design
from bayeslmm.errors import ArgumentError, NumericalError
from bayeslmm.families.registry import FAMILIES, family_of
from bayeslmm.results.family import family, family_draws

FORMULA = "y ~ arm + z + (1 | g)"
ARMS = ("a", "b", "c")
N = 24
_LINKS = {name: FAMILIES[name](None) for name in set(FAMILIES) - set(trees.ORDERED)}
ODDS = [name for name, member in _LINKS.items() if member.link.name == "logit"]
POSITIVE = [name for name, member in _LINKS.items() if member.mean_scale.name == "log"]
EXACT = {"rtol": 1e-9, "atol": 1e-12}


def make(name, link=None):
    rng = np.random.default_rng(2)
    data = pd.DataFrame(
        {
            "arm": rng.choice(ARMS, N),
            "z": rng.normal(size=N).round(2),
            "g": rng.choice(list("uvw"), N),
            "y": np.resize(trees.RESPONSES[name], N),
        }
    )
    trials = 6 if name in trees.OF_TRIALS else None
    response = {"family": name, "link": link, "trials": trials}
    values = trees.random_draws(FORMULA, data, chains=2, draws=25, **response)
    values |= {"nu": 4 * values["nu"]} if "nu" in values else {}
    return trees.make_tree(FORMULA, data, values, **response), data


@pytest.fixture(scope="module", params=FAMILIES)
def case(request):
    return make(request.param)


def means_at(case, arm=None, z=None, link=False):
    """E(y | eta), or eta, of all rows with the arm or z set, effects at zero, shape (n, s)."""
    idata, data = case
    beta = idata["posterior"]["beta"].to_numpy()
    beta = beta.reshape(-1, beta.shape[-1])
    arms = data["arm"].to_numpy() if arm is None else np.full(N, arm)
    zs = data["z"].to_numpy() if z is None else np.full(N, z)
    X = np.column_stack([np.ones(N), arms == "b", arms == "c", zs])
    # Thresholds stand in the place of an intercept.
    eta = X[:, 4 - beta.shape[1] :] @ beta.T
    return eta if link else family(idata).mean(eta, family_draws(idata))


def flat(array):
    return array.to_numpy().reshape(-1, array.shape[-1]).T


def odds(mu):
    return mu / (1 - mu)


def test_averages_are_of_the_means_and_not_means_of_averages(case):
    idata, data = case
    found = bl.marginal_means(idata, "arm", average="rows", as_draws=True)
    expected = np.array([means_at(case, arm).mean(axis=0) for arm in ARMS])
    np.testing.assert_allclose(flat(found), expected, **EXACT)
    balanced = bl.marginal_means(idata, "arm", as_draws=True)
    centred = np.array([means_at(case, arm, data["z"].mean())[0] for arm in ARMS])
    np.testing.assert_allclose(flat(balanced), centred, **EXACT)
    link = bl.marginal_means(idata, "arm", average="rows", scale="link", as_draws=True)
    etas = np.array([means_at(case, arm, link=True).mean(axis=0) for arm in ARMS])
    np.testing.assert_allclose(flat(link), etas, **EXACT)
    table = bl.marginal_means(idata, "arm", average="rows", contrasts="pairwise")
    differences = expected[[1, 2, 2]] - expected[[0, 0, 1]]
    np.testing.assert_allclose(table["mean"], differences.mean(axis=1), **EXACT)
    np.testing.assert_allclose(table["p_positive"], (differences > 0).mean(axis=1))


def test_means_of_known_groups_average_over_their_rows(case):
    idata, data = case
    found = bl.marginal_means(idata, "arm", average="rows", random_effects="all", as_draws=True)
    for place, arm in enumerate(ARMS):
        rows = data.drop(columns="y").assign(arm=arm)
        expected = bl.predict(idata, rows).mean("obs")
        np.testing.assert_allclose(found[..., place], expected, **EXACT)


def test_differences_and_slopes_of_means_are_averaged(case):
    idata, _ = case
    table = bl.compare_predictions(idata, {"arm": ["a", "c"]})
    difference = means_at(case, "c") - means_at(case, "a")
    np.testing.assert_allclose(table["mean"], difference.mean(), **EXACT)
    rows = bl.compare_predictions(idata, {"arm": ["a", "c"]}, average=False)
    np.testing.assert_allclose(rows["mean"], difference.mean(axis=1), **EXACT)
    link = bl.compare_predictions(idata, {"arm": ["a", "c"]}, scale="link")
    etas = means_at(case, "c", link=True) - means_at(case, "a", link=True)
    np.testing.assert_allclose(link["mean"], etas.mean(), **EXACT)
    slope = bl.compare_predictions(idata, {"z": "slope"})
    h, beta = 1e-5, idata["posterior"]["beta"].to_numpy()[..., -1].ravel()
    eta, phi = means_at(case, link=True), family_draws(idata)
    mean = family(idata).mean
    quotient = (mean(eta + h, phi) - mean(eta - h, phi)) / (2 * h) * beta
    # Central differences: h^2 and rounding over h.
    np.testing.assert_allclose(slope["mean"], quotient.mean(), rtol=1e-7)
    by_row = bl.compare_predictions(idata, {"z": "slope"}, average=False)
    np.testing.assert_allclose(by_row["mean"], quotient.mean(axis=1), rtol=1e-6, atol=1e-8)
    eta_slope = bl.compare_predictions(idata, {"z": "slope"}, scale="link")
    np.testing.assert_allclose(eta_slope["mean"], beta.mean(), rtol=1e-7)


def test_ratios_are_of_odds_or_of_positive_means(case):
    idata, _ = case
    name = family(idata).name
    options = {"average": "rows", "contrasts": "reference", "ratio": True}
    if name not in {*ODDS, *POSITIVE}:
        with pytest.raises(ArgumentError, match=rf"family of this fit is '{name}'"):
            bl.marginal_means(idata, "arm", **options)
        with pytest.raises(ArgumentError, match=r"leave ratio out|scale='link' beside it"):
            bl.compare_predictions(idata, {"arm": ["a", "c"]}, ratio=True)
        return
    a, c = (means_at(case, arm).mean(axis=0) for arm in "ac")
    expected = odds(c) / odds(a) if name in ODDS else c / a
    table = bl.marginal_means(idata, "arm", **options)
    assert table["contrast"].tolist() == ["arm: b / a", "arm: c / a"]
    numbers = table.iloc[1][["mean", "eti95_lb", "p_above_one"]].astype(float)
    wanted = [expected.mean(), np.quantile(expected, 0.025), (expected > 1).mean()]
    np.testing.assert_allclose(numbers, wanted, **EXACT)
    default = "odds ratio" if name in ODDS else "ratio of means"
    default = "rate ratio" if name in POSITIVE and FAMILIES[name](None).discrete else default
    assert table["quantity"].tolist() == [default] * 2
    compared = bl.compare_predictions(idata, {"arm": ["a", "c"]}, ratio=True)
    assert compared["contrast"].item() == "arm: c / a"
    np.testing.assert_allclose(compared["mean"], expected.mean(), **EXACT)
    rows = bl.compare_predictions(idata, {"arm": ["a", "c"]}, ratio=True, average=False)
    high, low = means_at(case, "c"), means_at(case, "a")
    each = odds(high) / odds(low) if name in ODDS else high / low
    np.testing.assert_allclose(rows["mean"], each.mean(axis=1), **EXACT)


def test_ratios_on_the_links_scale_are_exponentials_of_coefficients(case):
    idata, _ = case
    if family(idata).name not in {*ODDS, *POSITIVE}:
        return
    beta = idata["posterior"]["beta"].to_numpy().reshape(-1, 4)
    table = bl.marginal_means(idata, "arm", contrasts="reference", ratio=True, scale="link")
    np.testing.assert_allclose(table["mean"], np.exp(beta[:, 1:3]).mean(axis=0), **EXACT)
    slope = bl.compare_predictions(idata, {"z": "slope"}, scale="link", ratio=True)
    np.testing.assert_allclose(slope["mean"], np.exp(beta[:, 3]).mean(), rtol=1e-7)
    with pytest.raises(ArgumentError, match="no ratio on the scale of the response"):
        bl.compare_predictions(idata, {"z": "slope"}, ratio=True)


def test_ratios_of_ratios_and_of_weights_of_ones_own():
    idata, _ = make("poisson")
    both = bl.marginal_means(
        idata, "arm", by="z", at={"z": [0, 1]}, contrasts="reference", by_contrasts="pairwise",
        ratio=True,
    )  # fmt: skip
    # Without an interaction a ratio is the same everywhere.
    np.testing.assert_allclose(both["mean"], 1.0, rtol=1e-12)
    assert set(both["quantity"]) == {"ratio of rate ratios"}
    own = {"c over a and b": {"a": -0.5, "b": -0.5, "c": 1}}
    table = bl.marginal_means(idata, "arm", contrasts=own, ratio=True)
    a, b, c = (means_at((idata, _), arm, _["z"].mean())[0] for arm in ARMS)
    np.testing.assert_allclose(table["mean"], (c / np.sqrt(a * b)).mean(), **EXACT)
    with pytest.raises(ArgumentError, match="weights of 'all' in contrasts sum to 3"):
        bl.marginal_means(idata, "arm", contrasts={"all": [1, 1, 1]}, ratio=True)
    with pytest.raises(ArgumentError, match="ratio go with contrasts="):
        bl.marginal_means(idata, "arm", ratio=True)


def test_other_links_have_the_ratios_that_mean_something():
    probit, _ = make("bernoulli", "probit")
    with pytest.raises(ArgumentError, match="take scale='response'"):
        bl.marginal_means(probit, "arm", contrasts="pairwise", ratio=True, scale="link")
    table = bl.marginal_means(probit, "arm", contrasts="pairwise", ratio=True)
    assert set(table["quantity"]) == {"odds ratio"}
    cloglog, _ = make("bernoulli", "cloglog")
    table = bl.marginal_means(cloglog, "arm", contrasts="pairwise", ratio=True, scale="link")
    assert set(table["quantity"]) == {"hazard ratio"}
    with pytest.raises(ArgumentError, match="scale is 'response' or 'link'"):
        bl.marginal_means(probit, "arm", scale="prob")


def test_odds_keep_their_digits_where_probabilities_are_one():
    _, data = make("bernoulli")
    draws = trees.constant_draws(beta=[45.0, 1.0, 2.0, 0.0], sd_g=[1.0], b_g=np.zeros((3, 1)))
    idata = trees.make_tree(FORMULA, data, draws, family="bernoulli")
    table = bl.marginal_means(idata, "arm", contrasts="reference", ratio=True, average="rows")
    np.testing.assert_allclose(table["mean"], np.exp([1.0, 2.0]), rtol=1e-9)
    far = trees.constant_draws(beta=[-900.0, 1.0, 2.0, 0.0], sd_g=[1.0], b_g=np.zeros((3, 1)))
    idata = trees.make_tree(FORMULA, data, far, family="poisson")
    with pytest.raises(NumericalError, match="take scale='link'"):
        bl.marginal_means(idata, "arm", contrasts="reference", ratio=True)
    table = bl.marginal_means(idata, "arm", contrasts="reference", ratio=True, scale="link")
    np.testing.assert_allclose(table["mean"], np.exp([1.0, 2.0]), rtol=1e-9)


def test_differences_over_new_groups_compare_their_averages():
    idata, data = make("bernoulli")
    rows = data.assign(g="new")
    options = {"random_effects": "all", "new_levels": "average", "data": rows}
    found = bl.compare_predictions(idata, {"arm": ["a", "c"]}, **options)
    means = [bl.predict(idata, rows.assign(arm=arm), new_levels="average").mean() for arm in "ca"]
    np.testing.assert_allclose(found["mean"], float(means[0] - means[1]), **EXACT)
    ratio = bl.compare_predictions(idata, {"arm": ["a", "c"]}, ratio=True, **options)
    high, low = (
        bl.predict(idata, rows.assign(arm=arm), new_levels="average").mean("obs") for arm in "ca"
    )
    np.testing.assert_allclose(ratio["mean"], float((odds(high) / odds(low)).mean()), **EXACT)
    with pytest.raises(ArgumentError, match="scale='link' is none"):
        bl.compare_predictions(idata, {"arm": ["a", "c"]}, scale="link", **options)
    with pytest.raises(ArgumentError, match="a slope is none"):
        bl.compare_predictions(idata, {"z": "slope"}, **options)


def test_curved_means_need_every_row_to_be_determined():
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "a": ["p", "p", "q", "q", "p", "q"] * 4,
            "b": ["u", "v", "u", "u", "u", "u"] * 4,
            "g": rng.choice(list("xyz"), 24),
            "y": rng.integers(0, 2, 24).astype(float),
        }
    )
    formula = "y ~ a * b + (1 | g)"
    with pytest.warns(bl.RankDeficiencyWarning):
        design = build_design(formula, data, rank_deficient="drop", family="bernoulli")
    draws = trees.constant_draws(
        beta=np.arange(1.0, 1 + len(design.coef)) / 3, sd_g=[1.0], b_g=np.zeros((3, 1))
    )
    with pytest.warns(bl.RankDeficiencyWarning):
        idata = trees.make_tree(formula, data, draws, family="bernoulli", rank_deficient="drop")
    # Nobody was seen at q and v: on neither scale.
    for scale in ("response", "link"):
        with pytest.raises(ArgumentError, match="do not determine"):
            bl.marginal_means(idata, "a", scale=scale)
    bl.marginal_means(idata, "a", at={"b": "u"})
    bl.compare_predictions(idata, {"a": ["p", "q"]}, at={"b": ["u"]})
    with pytest.raises(ArgumentError, match="do not determine"):
        bl.compare_predictions(idata, {"a": ["p", "q"]})


def test_every_link_of_every_family_has_a_scale_for_its_means():
    for name in sorted(set(FAMILIES) - set(trees.ORDERED)):
        for link in FAMILIES[name](None).links:
            member = family_of(name, link)
            if member.mean_form != "link":
                continue
            eta = np.linspace(-2, 2, 5)
            phi = {parameter.name: 1.3 for parameter in member.parameters}
            shift = member.mean_scale.link(member.mean(eta, phi)) - eta
            np.testing.assert_allclose(shift, shift[0], atol=1e-12)
