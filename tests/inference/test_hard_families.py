"""Data that break fits of other families elsewhere: a posterior by the priors, or a sentence."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import logsumexp

import bayeslmm as bl
from bayeslmm.errors import DataError, NumericalError

pytestmark = [
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning"),
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.IdentificationWarning"),
    pytest.mark.filterwarnings("ignore::bayeslmm.errors.DataWarning"),
]
N, LEVELS = 60, 12
HOW = {"draws": 250, "random_seed": 1, "progressbar": False}


def table():
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(LEVELS), N // LEVELS)
    rows = pd.DataFrame({"x": rng.normal(size=N), "g": g, "row": np.arange(N)})
    rows["f"], rows["h"] = np.tile(["a", "b", "c"], N // 3), np.tile(["u", "v"], N // 2)
    rows["eta"] = 0.3 + 0.5 * rows.x + rng.normal(size=LEVELS)[g]
    p = 1 / (1 + np.exp(-rows.eta))
    rows["yes"], rows["n"] = (rng.random(N) < p).astype(int), rng.integers(1, 9, N)
    rows["some"], rows["count"] = rng.binomial(rows.n, p), rng.poisson(np.exp(rows.eta))
    rows["positive"] = rng.gamma(2.0, np.exp(rows.eta) / 2)
    rows["share"] = rng.beta(2.0, 3.0, N)
    rows["number"] = rows.eta + rng.standard_t(4, N)
    rows["many"] = rng.poisson(1e6 * np.exp(rows.eta))
    rows["few"] = (rng.random(N) < 0.1).astype(int)
    rows["wide"] = (rng.random(N) < 1 / (1 + np.exp(-9 * (rows.eta - 0.3)))).astype(int)
    rows["steep"] = rng.poisson(np.exp(np.minimum(9 * (rows.eta - 0.3), 9.0)))
    return rows


TABLE = table()


def fit(family, y=None, formula="y ~ x + (1 | g)", data=None, **how):
    data = TABLE if data is None else data
    data = data if y is None else data.assign(y=y)
    return bl.fit_bayes(formula, data, family=family, **(HOW | how))


def summary(tree):
    """Means of the posterior by name, all of it finite."""
    for name, variable in tree["posterior"].data_vars.items():
        assert np.isfinite(variable).all(), name
    assert str(bl.summary(tree))
    beta = bl.fixed_effects(tree)["mean"].to_dict()
    return beta | {f"sd_{k}": bl.fixed_effects(tree)["sd"][k] for k in beta} | {
        name: float(tree["posterior"][name].mean())
        for name in ("sd_g", "shape", "phi", "sigma", "nu") if name in tree["posterior"]
    }  # fmt: skip


# What may be far out, and where it has to be.
POSTERIORS = {
    "a cell of ones": (
        {"family": "bernoulli", "y": TABLE.yes.where(TABLE.f != "c", 1),
         "formula": "y ~ f + (1 | g)"},
        {"f[T.c]": (3.0, 12.0), "sd_f[T.c]": (1.0, 5.0), "f[T.b]": (-2.0, 2.0)},
    ),
    "a cell of ones, cloglog": (
        {"family": "bernoulli", "y": TABLE.yes.where(TABLE.f != "c", 1), "link": "cloglog",
         "formula": "y ~ f + (1 | g)"},
        {"f[T.c]": (2.0, 12.0), "f[T.b]": (-2.0, 2.0)},
    ),
    "separated by a number": (
        {"family": "bernoulli", "y": (TABLE.x > 0).astype(int)}, {"x": (4.0, 12.0)}
    ),
    "separated by levels": (
        {"family": "bernoulli", "y": TABLE.g % 2}, {"Intercept": (-1.5, 1.5), "sd_g": (5.0, 50.0)}
    ),
    "ones": ({"family": "bernoulli", "y": 1}, {"Intercept": (4.0, 10.0), "x": (-1.0, 1.0)}),
    "ones, cloglog": (
        {"family": "bernoulli", "y": 1, "link": "cloglog"}, {"Intercept": (2.0, 8.0)}
    ),
    "zeros, probit": (
        {"family": "bernoulli", "y": 0, "link": "probit"}, {"Intercept": (-6.5, -2.0)}
    ),
    "all of the trials": (
        {"family": "binomial", "y": TABLE.n, "trials": "n"}, {"Intercept": (5.0, 13.0)}
    ),
    "no counts": ({"family": "poisson", "y": 0}, {"Intercept": (-11.0, -4.0), "x": (-1.0, 1.0)}),
    "no counts, negative binomial": (
        {"family": "negbinomial", "y": 0}, {"Intercept": (-11.0, -4.0)}
    ),
    "one count": (
        {"family": "poisson", "y": 3},
        {"Intercept": (np.log(3) - 0.1, np.log(3) + 0.1), "sd_g": (0.0, 0.2)},
    ),
    "one count, negative binomial": (
        {"family": "negbinomial", "y": 3},
        {"Intercept": (np.log(3) - 0.1, np.log(3) + 0.1), "shape": (20.0, 1e300)},
    ),
    "a million each": (
        {"family": "poisson", "y": 1_000_000},
        {"Intercept": (np.log(1e6) - 1e-3, np.log(1e6) + 1e-3), "sd_Intercept": (1e-4, 3e-4)},
    ),
    "a million each, negative binomial": (
        {"family": "negbinomial", "y": 1_000_000},
        {"Intercept": (np.log(1e6) - 1e-3, np.log(1e6) + 1e-3), "sd_Intercept": (1e-4, 3e-4)},
    ),
    "some millions, negative binomial": (
        {"family": "negbinomial", "y": TABLE.many}, {"x": (0.4, 0.6), "shape": (1e3, 1e300)}
    ),
    "a million trials": (
        {"family": "binomial", "y": TABLE["count"], "trials": 1_000_000},
        {"Intercept": (np.log(1e-6) - 1.0, np.log(1e-6) + 1.0)},
    ),
    "one success of 6e7": (
        {"family": "binomial", "y": (TABLE.row == 3).astype(int), "trials": 1_000_000},
        {"Intercept": (-24.0, -16.0)},
    ),
    "probabilities of 1e-13": (
        {"family": "binomial", "y": TABLE.few, "trials": 10**12}, {"Intercept": (-32.5, -28.5)}
    ),
    "one trial each": ({"family": "binomial", "y": TABLE.yes, "trials": 1}, {"x": (0.3, 1.3)}),
    "one count beyond all": (
        {"family": "negbinomial", "y": TABLE["count"].where(TABLE.row != 3, 10**6)},
        {"shape": (0.1, 1.0), "sd_g": (2.0, 8.0)},
    ),
    "sds of nine": ({"family": "bernoulli", "y": TABLE.wide}, {"sd_g": (3.0, 50.0)}),
    "sds of nine, counts": ({"family": "poisson", "y": TABLE.steep}, {"sd_g": (4.0, 20.0)}),
    "offsets of 50": (
        {"family": "bernoulli", "y": TABLE.yes, "formula": "y ~ x + offset(o) + (1 | g)",
         "data": TABLE.assign(o=50.0)},
        {"Intercept": (-51.5, -48.5), "x": (0.3, 1.3)},
    ),
    "offsets either way": (
        {"family": "poisson", "y": TABLE["count"], "formula": "y ~ x + offset(o) + (1 | g)",
         "data": TABLE.assign(o=np.tile([50.0, -50.0], N // 2))},
        {"Intercept": (-51.5, -47.0)},
    ),
    "offsets either way, beta": (
        {"family": "beta", "y": TABLE.share, "formula": "y ~ x + offset(o) + (1 | g)",
         "data": TABLE.assign(o=np.tile([50.0, -50.0], N // 2))},
        {"phi": (0.5, 5.0)},
    ),
    "an empty cell": (
        {"family": "poisson", "y": TABLE["count"], "formula": "y ~ f * h + (1 | g)",
         "data": TABLE[(TABLE.f != "a") | (TABLE.h != "u")], "rank_deficient": "drop"},
        {"h[T.v]": (-2.0, 2.0)},
    ),
    "a level of one row": (
        {"family": "bernoulli", "y": TABLE.yes, "data": TABLE.assign(g=TABLE.g.where(TABLE.row > 0,
                                                                                      99))},
        {"x": (0.3, 1.3)},
    ),
    "a level each": (
        {"family": "negbinomial", "y": TABLE["count"], "formula": "y ~ x + (1 | row)"},
        {"x": (0.0, 0.8), "shape": (0.5, 1e300)},
    ),
    "two rows": (
        {"family": "bernoulli", "formula": "y ~ 1 + (1 | g)",
         "data": pd.DataFrame({"y": [0, 1], "g": [0, 1]})},
        {"Intercept": (-1.0, 1.0), "sd_g": (1.0, 6.0)},
    ),
    "two rows, gamma": (
        {"family": "gamma", "formula": "y ~ 1 + (1 | g)",
         "data": pd.DataFrame({"y": [2.0, 7.0], "g": [0, 1]})},
        {"Intercept": (0.5, 2.5)},
    ),
    "large units": (
        {"family": "bernoulli", "y": TABLE.yes, "data": TABLE.assign(x=1e6 * TABLE.x)},
        {"x": (3e-7, 1.3e-6)},
    ),
    "small units": (
        {"family": "bernoulli", "y": TABLE.yes, "data": TABLE.assign(x=1e-6 * TABLE.x)},
        {"x": (3e5, 1.3e6)},
    ),
    "small units of a slope": (
        {"family": "bernoulli", "y": TABLE.yes, "data": TABLE.assign(x=1e-6 * TABLE.x),
         "formula": "y ~ x + (x | g)"},
        {"x": (3e5, 2.5e6)},
    ),
    "tiny numbers": (
        {"family": "gamma", "y": 1e-9 * TABLE.positive},
        {"Intercept": (np.log(1e-9) - 2.0, np.log(1e-9) + 2.0), "shape": (1.0, 4.0)},
    ),
    "numbers from 1e-300": (
        {"family": "gamma", "y": TABLE.positive.where(TABLE.x < 1, 1e-300)}, {"shape": (0.01, 0.1)}
    ),
    "shares next to the ends": (
        {"family": "beta", "y": TABLE.share.where(TABLE.x < 1, 1e-15).where(TABLE.x > -1,
                                                                            1 - 1e-15)},
        {"x": (-4.0, -1.0), "phi": (0.5, 4.0)},
    ),
    "weights": (
        {"family": "student", "y": TABLE.number, "weights": "n"}, {"x": (0.1, 1.1)}
    ),
    "two numbers, Student": (
        {"family": "student", "y": TABLE.yes.astype(float)}, {"sigma": (0.3, 0.6)}
    ),
    "constant with a prior, gamma": (
        {"family": "gamma", "y": 2.5, "priors": {"shape": "Gamma(2, 0.1)"}},
        {"Intercept": (np.log(2.5) - 0.05, np.log(2.5) + 0.05), "shape": (100.0, 1000.0)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", POSTERIORS)
def test_there_is_a_posterior_where_the_data_and_the_priors_put_it(case):
    given, ranges = POSTERIORS[case]
    tree = fit(**given, sampler="quadrature")
    # Of two rows the weights have a long tail with some seeds: NUTS samples the same density.
    engines = {"quadrature", "quadrature, nuts"} if case == "two rows, gamma" else {"quadrature"}
    assert tree.attrs["engine"] in engines
    found = summary(tree)
    for name, (low, high) in ranges.items():
        assert low < found[name] < high, (name, found[name])


# Where quadrature is the way: responses that two offsets put far off on either side.
NOT_BY_CHAIN = {"offsets either way, beta"}


@pytest.mark.parametrize("case", sorted(POSTERIORS.keys() - NOT_BY_CHAIN))
def test_the_chain_finds_the_same_posterior(case):
    given, ranges = POSTERIORS[case]
    found = summary(fit(**given, sampler="laplace_chain"))
    for name, (low, high) in ranges.items():
        assert low < found[name] < high, (name, found[name])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["a cell of ones", "no counts, negative binomial"])
def test_so_does_nuts(case):
    given, ranges = POSTERIORS[case]
    found = summary(fit(**given, sampler="nutpie"))
    for name, (low, high) in ranges.items():
        assert low < found[name] < high, (name, found[name])


SENTENCES = {
    "a constant": ({"family": "gamma", "y": 2.5}, r"fit the response 'y' exactly.*Gamma\(2, 0.1\)"),
    "a constant share": ({"family": "beta", "y": 0.25}, r"exactly.*priors=\{'phi': 'Gamma"),
    "a constant number": ({"family": "student", "y": 0.25}, "0.25 in every row"),
    "a constant logarithm": ({"family": "lognormal", "y": 2.5}, "in every row"),
    "merged from groups": (
        {"family": "gamma", "y": np.exp(TABLE.g)}, "does not vary within the levels of 'g'"
    ),
    "merged shares": (
        {"family": "beta", "y": (TABLE.g + 1) / (LEVELS + 1)}, "does not vary within the levels"
    ),
    "merged numbers": ({"family": "student", "y": TABLE.g}, r"no\s+residuals are left"),
    "an empty cell": (
        {"family": "poisson", "y": TABLE["count"], "formula": "y ~ f * h + (1 | g)",
         "data": TABLE[(TABLE.f != "a") | (TABLE.h != "u")]},
        'rank_deficient="drop"',
    ),
    "one level": ({"family": "poisson", "y": 1, "data": TABLE.assign(g=1)}, "one level only"),
    "one row": ({"family": "poisson", "y": 1, "data": TABLE[:1]}, "more rows than coefficients"),
    "no response": ({"family": "poisson", "y": np.nan}, "only missing values"),
    "infinite": ({"family": "gamma", "y": np.inf}, "not finite in 60 of 60 rows"),
    "negative counts": ({"family": "poisson", "y": TABLE["count"] - 1}, "counts: 0, 1, 2"),
    "halves": ({"family": "negbinomial", "y": TABLE["count"] + 0.5}, "counts: 0, 1, 2"),
    "zeros of a gamma": ({"family": "gamma", "y": TABLE["count"]}, "positive numbers"),
    "zeros of a beta": ({"family": "beta", "y": TABLE.yes}, "strictly between 0 and 1"),
    "two of a bernoulli": ({"family": "bernoulli", "y": TABLE.yes + 1}, "zeros and ones"),
    "no trials": (
        {"family": "binomial", "y": TABLE.some, "trials": TABLE.n.where(TABLE.row != 3, 0)},
        "first is 0 in row 3",
    ),
    "half a trial": (
        {"family": "binomial", "y": TABLE.some, "trials": TABLE.n + 0.5}, "whole numbers from 1"
    ),
    "more than the trials": (
        {"family": "binomial", "y": TABLE.n + 1, "trials": "n"}, "of [0-9]+ trials in row"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SENTENCES)
def test_what_has_no_posterior_is_said(case):
    given, words = SENTENCES[case]
    with pytest.raises(DataError, match=words):
        fit(**given)


def test_numbers_beyond_squares_are_said():
    with pytest.raises(NumericalError, match="choose another unit"):
        fit("gamma", TABLE.positive.where(TABLE.row != 3, 1e300))


SAME = {
    "whole floats": TABLE["count"].astype(float),
    "short floats": TABLE["count"].astype(np.float32),
    "nullable": TABLE["count"].astype("Int64"),
    "a small type": TABLE["count"].astype(np.uint8),
}


@pytest.mark.parametrize("case", SAME)
def test_counts_are_counts_however_they_are_written(case):
    expected, found = (
        fit("poisson", y, draws=50)["posterior"].beta for y in (TABLE["count"], SAME[case])
    )
    np.testing.assert_array_equal(found, expected)


def test_rows_without_a_response_are_dropped():
    gap = TABLE["count"].astype(float).where(TABLE.row != 3)
    expected = fit("poisson", data=TABLE.assign(y=TABLE["count"])[TABLE.row != 3], draws=50)
    found = fit("poisson", gap, draws=50)
    np.testing.assert_array_equal(found["posterior"].beta, expected["posterior"].beta)


def _by_hand(log_level, at):
    """Posterior means and sds of intercept and sd by sums over a grid.

    `log_level` maps eta, shape (..., points), to the log-density of one level's rows; every level
    is the same. Priors: Normal(at, 2.5) and HalfStudentT(3, 2.5).
    """
    alpha = at + np.linspace(-16.0, 16.0, 321)
    sd = np.exp(np.linspace(-7.0, 5.5, 251))
    u, weight = np.polynomial.hermite_e.hermegauss(150)
    log_weight = np.log(weight / weight.sum())
    log_posterior = stats.norm.logpdf(alpha, at, 2.5)[:, None] + stats.t.logpdf(sd / 2.5, 3)
    log_posterior = log_posterior + np.log(sd)
    eta = alpha[:, None, None] + sd[:, None] * u
    log_posterior += LEVELS * logsumexp(log_level(eta) + log_weight, axis=-1)
    p = np.exp(log_posterior - log_posterior.max())
    p /= p.sum()
    means = [(p.sum(axis=1) * alpha).sum(), (p.sum(axis=0) * sd).sum()]
    squares = [(p.sum(axis=1) * alpha**2).sum(), (p.sum(axis=0) * np.log(sd)).sum()]
    return means[0], np.sqrt(squares[0] - means[0] ** 2), squares[1]


BY_HAND = {
    "zeros": ("bernoulli", 0, {}, lambda eta: -5 * np.logaddexp(0, eta)),
    "no counts": ("poisson", 0, {}, lambda eta: -5 * np.exp(np.minimum(eta, 700.0))),
    "no successes of a million": (
        "binomial", 0, {"trials": 1_000_000}, lambda eta: -5e6 * np.logaddexp(0, eta)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_HAND)
def test_without_any_event_the_posterior_is_that_by_hand(case):
    family, y, how, log_level = BY_HAND[case]
    tree = fit(family, y, "y ~ 1 + (1 | g)", draws=1000, **how)
    at = bl.Priors.from_json(tree.attrs["priors"]).beta[0].numbers[0]
    mean, sd, log_sd = _by_hand(log_level, at)
    posterior = tree["posterior"]
    alpha = posterior.beta.to_numpy().ravel()
    # Some 3,000 independent draws: four standard errors of a mean, and of an sd.
    assert alpha.mean() == pytest.approx(mean, abs=4 * sd / 3000**0.5)
    assert alpha.std() == pytest.approx(sd, rel=4 / 4000**0.5)
    logs = np.log(posterior.sd_g.to_numpy()).ravel()
    assert logs.mean() == pytest.approx(log_sd, abs=4 * logs.std() / 3000**0.5)


def test_raw_squares_are_as_quick_as_scaled_ones_and_the_same():
    data = bl.load_dataset("contraception")
    scaled = data.assign(a=data.age / 10.0, s=(data.age / 10.0) ** 2 / 7.0)
    # The default priors are in the columns' units.
    formulas = {
        "raw": ("use01 ~ age + I(age**2) + urban + livch + (1 | district)", data),
        "scaled": ("use01 ~ a + s + urban + livch + (1 | district)", scaled),
    }
    trees = {
        name: bl.fit_bayes(formula, table, family="bernoulli", **HOW)
        for name, (formula, table) in formulas.items()
    }
    spent = {}
    for name, tree in trees.items():
        assert tree.attrs["sampler"] == "quadrature"
        spent[name] = tree["sample_stats"].attrs["n_evaluations"]
        assert tree["sample_stats"].attrs["pareto_k"] < 0.5
    assert spent["raw"] <= 1.5 * spent["scaled"]
    raw, other = (bl.fixed_effects(tree) for tree in trees.values())
    units = np.ones(len(raw))
    assert [name.replace(" ", "") for name in raw.index[1:3]] == ["age", "I(age**2)"]
    units[1:3] = 10.0, 700.0
    for column in ("mean", "sd"):
        apart = np.abs(raw[column].to_numpy() * units - other[column].to_numpy())
        # 1,000 nearly independent draws of either: four standard errors of their difference.
        assert np.all(apart < 4 * np.sqrt(2 / 900) * other["sd"].to_numpy())


def test_a_far_slope_that_looks_like_a_peak_stops_nothing():
    given, ranges = POSTERIORS["two rows, gamma"]
    found = summary(fit(**given, sampler="quadrature", random_seed=5))
    low, high = ranges["Intercept"]
    assert low < found["Intercept"] < high
