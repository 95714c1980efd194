import numpy as np
import pytest
import trees
from scipy.stats import beta as beta_distribution

from bayeslmm.analysis.summaries.hypotheses import hypothesis
from bayeslmm.errors import ArgumentError

DATA = {**trees.TINY, "z": np.array([0.3, 0.1, 0.7, 0.2, 0.9, 0.5, 0.4, 0.8, 0.6])}


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree("y ~ x * z + (x | g)", DATA)


def beta(p, name):
    return p["beta"].sel(coef=name)


def share(idata, holds):
    return float(np.mean(holds(idata["posterior"])))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("x > 0", lambda p: beta(p, "x") > 0),
        ("x:z > 0", lambda p: beta(p, "x:z") > 0),
        ("`x:z` > 0", lambda p: beta(p, "x:z") > 0),
        ("beta[z] < sigma / 2", lambda p: beta(p, "z") < p["sigma"] / 2),
        ("-1 < x <= 0.5", lambda p: (beta(p, "x") > -1) & (beta(p, "x") <= 0.5)),
        ("abs(x - z) < 1", lambda p: abs(beta(p, "x") - beta(p, "z")) < 1),
        ("x > 0 and not z > 0", lambda p: (beta(p, "x") > 0) & (beta(p, "z") <= 0)),
        ("x > 0 or z > 0", lambda p: (beta(p, "x") > 0) | (beta(p, "z") > 0)),
        ("sd_g[x]**2 > exp(0.1)", lambda p: p["sd_g"].sel(g_term="x") ** 2 > np.exp(0.1)),
        ("corr_g[Intercept,x] > 0", lambda p: p["corr_g"][..., 0, 1] > 0),
        ("b_g[b,x] > b_g[a,x]", lambda p: p["b_g"][..., 1, 1] > p["b_g"][..., 0, 1]),
    ],
)  # fmt: skip
def test_the_probability_is_the_share_of_draws_that_agree(idata, text, holds):
    found = hypothesis(idata, text)
    assert found.loc[0, "probability"] == share(idata, holds)
    assert found.loc[0, "odds"] == pytest.approx(
        found.loc[0, "probability"] / (1 - found.loc[0, "probability"])
    )


def test_a_single_comparison_also_estimates_the_difference(idata):
    row = hypothesis(idata, ["x > 2 * z", "x > 0 and z > 0"], ci_prob=0.9)
    beta = idata["posterior"]["beta"]
    difference = (beta.sel(coef="x") - 2 * beta.sel(coef="z")).to_numpy()
    assert row.loc[0, "estimate"] == pytest.approx(difference.mean())
    assert row.loc[0, "eti90_lb"] == pytest.approx(np.quantile(difference, 0.05))
    assert np.isnan(row.loc[1, "estimate"])


def test_what_all_draws_agree_on_has_odds_of_their_number(idata):
    sure, never = hypothesis(idata, ["sigma > 0", "sigma < 0"]).to_dict("records")
    total = idata["posterior"]["sigma"].size
    agreed = beta_distribution(total + 1, 1)  # Laplace's rule of succession
    assert sure["probability"] == pytest.approx(agreed.mean(), rel=1e-12)
    assert sure["odds"] == pytest.approx(total + 1, rel=1e-9)
    assert sure["mcse"] == pytest.approx(agreed.std(), rel=1e-9)
    assert never["probability"] == pytest.approx(1 - agreed.mean(), rel=1e-9)
    assert never["odds"] == pytest.approx(1 / (total + 1), rel=1e-9)
    assert never["mcse"] == sure["mcse"]


def test_huge_numbers_overflow_quietly(idata):
    assert hypothesis(idata, "x < 10**10**10").loc[0, "odds"] > 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 0", "equality"),
        ("x == 0", "equality"),
        ("x != 0", "equality"),
        ("x", "states nothing"),
        ("-x", "states nothing"),
        ("x >", "cannot be read"),
        ("X2 > 0", "no parameter"),
        ("sigm > 0", "Did you mean 'sigma'"),
        ("`nope` > 0", "no parameter"),
        ("sd_h[x] > 0", r"Did you mean 'sd_g\[x\]'"),
        ("", "statement is text"),
        (3, "statement is text"),
        ("x > 0" * 200, "at most"),
        ("__import__('os').system('true') > 0", "Call"),
        ("x.real > 0", "Attribute"),
        ("(lambda: 1)() > 0", "Call"),
        ("[x for x in (1,)] > 0", "ListComp"),
        ("x > 'a'", "Constant"),
        ("x > True", "Constant"),
        ("x is z", "other than"),
        ("abs(x, z) > 0", "Call"),
        ("open(x) > 0", "Call"),
    ],
)
def test_what_is_no_statement_is_refused(idata, text, message):
    with pytest.raises(ArgumentError, match=message):
        hypothesis(idata, text)


def test_names_are_read_as_tables_print_them(idata):
    compact = hypothesis(idata, "corr_g[Intercept,x] > 0")
    spaced = hypothesis(idata, "corr_g[Intercept, x] > 0")
    assert float(compact["probability"].iloc[0]) == float(spaced["probability"].iloc[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5 > 3", "names no parameter"),
        ("sd_g[z] > 1", r"Did you mean 'sd_g\[x\]'"),
    ],
)
def test_a_statement_about_nothing_is_refused(idata, text, message):
    with pytest.raises(ArgumentError, match=message):
        hypothesis(idata, text)


ODD = {name: np.tile(values, 3) for name, values in DATA.items()}
ODD["body mass"] = np.random.default_rng(2).normal(size=27)
ODD["f"] = np.repeat(list("pqr"), 9)


@pytest.fixture(scope="module")
def odd():
    formula = "y ~ `body mass` * f + I(x^2) + x:`body mass` + poly(z, 2) + (`body mass` | g)"
    return trees.random_tree(formula, ODD)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("`body mass` > 0", "`body mass`"),
        ("beta[`body mass`] > 0", "`body mass`"),
        ("x:`body mass` > 0", "x:`body mass`"),
        ("`body mass`:x > 0", "x:`body mass`"),
        ("`body mass`:f[T.q] > 0", "`body mass`:f[T.q]"),
        ("f[T.q]:`body mass` > 0", "`body mass`:f[T.q]"),
        ("beta[f[T.q]:`body mass`] > 0", "`body mass`:f[T.q]"),
        ("I(x^2) > 0", "I(x ** 2)"),
        ("I(x**2) > 0", "I(x ** 2)"),
        ("I( x ^ 2 )>0", "I(x ** 2)"),
        ("`I(x^2)` > 0", "I(x ** 2)"),
        ("poly(z,2)[1] > 0", "poly(z, 2)[1]"),
        ("beta[poly(z,2)[2]] > 0", "poly(z, 2)[2]"),
    ],
)
def test_parameters_may_be_spelt_as_in_the_formula(odd, text, name):
    assert hypothesis(odd, text).loc[0, "probability"] == share(odd, lambda p: beta(p, name) > 0)


def test_interactions_of_a_factor_may_be_spelt_in_either_order(odd):
    tree = trees.random_tree("y ~ x * z + (x:z | g)", DATA)
    one, other = hypothesis(tree, ["sd_g[x:z] > 1", "sd_g[z:x] > 1"])["probability"]
    assert one == other
    one, other = hypothesis(tree, ["x:z > x", "z:x > x"])["probability"]
    assert one == other


@pytest.mark.parametrize(
    ("text", "written", "meant"),
    [
        ("f[T.qq]:z > 0", "f[T.qq]:z", "f[T.q]:z"),
        ("z:f[T.qq] > 0", "z:f[T.qq]", "z:f[T.q]"),
        ("z > 0 and f[T.qq]:z > 0", "f[T.qq]:z", "f[T.q]:z"),
        ("sd_g[zz] > 0", "sd_g[zz]", "sd_g[z]"),
        ("sd_g[1zz] > 0", "sd_g[1zz]", "sd_g[z]"),
        ("sigmaa > 0", "sigmaa", "sigma"),
    ],
)
def test_a_misspelt_parameter_is_answered_with_the_one_meant_and_all_there_are(
    text, written, meant
):
    data = {**DATA, "f": np.array(list("pqrpqrpqr"))}
    tree = trees.random_tree("y ~ f * z + (z | g)", data)
    with pytest.raises(ArgumentError) as raised:
        hypothesis(tree, text)
    message = str(raised.value)
    assert f"names {written!r}, which is no parameter of this fit. Did you mean" in message
    assert f"Did you mean {meant!r}?" in message
    for name in ("Intercept", "z", "f[T.q]", "f[T.q]:z", "f[T.r]:z", "sigma", "sd_g[z]"):
        assert f" {name}" in message
    assert "random effects such as b_g[a," in message
    hypothesis(tree, text.replace(written, meant))


def test_settings_of_calls_are_no_equality():
    tree = trees.random_tree("y ~ bs(z, df=4) + (1 | g)", ODD)
    assert hypothesis(tree, "bs(z, df=4)[1] > 0").loc[0, "probability"] >= 0
    with pytest.raises(ArgumentError, match="claims equality"):
        hypothesis(tree, "bs(z, df=4)[1] = 0")
