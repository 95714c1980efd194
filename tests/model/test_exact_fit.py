"""Responses that effects fit exactly: the right numbers by closed form, or a refusal at once."""

import time
from dataclasses import replace
from functools import partial

import dense
import numpy as np
import pandas as pd
import pytest
from designs import KINDS, random_design

import bayeslmm as bl
from bayeslmm.gram.gram import Gram
from bayeslmm.model.exact_fit import require_residuals
from bayeslmm.model.exact_means import require_dispersion
from bayeslmm.model.least_squares import all_parts, least_squares_left, residual_squares

HOW = {"progressbar": False, "random_seed": 1, "draws": 100, "tune": 100, "chains": 2}
QUICK = {"parametrization": "marginal", "sampler": "importance", **HOW}
LEVELS, EACH = 8, 6
G = np.repeat(np.arange(LEVELS), EACH)
RNG = np.random.default_rng(4)
VALUE, SLOPE = RNG.normal(size=(2, LEVELS))
NOISE = RNG.normal(size=len(G))
BASE = pd.DataFrame({
    "g": [f"g{k}" for k in G], "h": np.tile([f"h{k}" for k in range(EACH)], LEVELS),
    "x": RNG.normal(1, 1, len(G)), "row": np.arange(len(G)), "w": RNG.uniform(0.5, 3, len(G)),
})  # fmt: skip
H = RNG.normal(size=EACH)[np.tile(np.arange(EACH), LEVELS)]
# Formula, response without noise, weights, and what the refusal names.
EXACT = {
    "one number a group": ("y ~ 1 + (1 | g)", VALUE[G], None, "does not vary within.*'g'"),
    "with a covariate": ("y ~ x + (1 | g)", VALUE[G], None, "does not vary within.*'g'"),
    "on a covariate": ("y ~ x + (1 | g)", VALUE[G] + 3 * BASE.x, None, "beyond what the fixed"),
    "on a high level": ("y ~ x + (1 | g)", 1e7 + VALUE[G], None, "does not vary within"),
    "with weights": ("y ~ x + (1 | g)", VALUE[G], "w", "does not vary within"),
    "lines": ("y ~ x + (x | g)", VALUE[G] + SLOPE[G] * BASE.x, None, "'Intercept', 'x' by 'g'"),
    "uncorrelated lines": ("y ~ x + (x || g)", VALUE[G] + SLOPE[G] * BASE.x, None, "'x' by 'g'"),
    "crossed": ("y ~ 1 + (1 | g) + (1 | h)", VALUE[G] + H, None, "by 'g' and 'Intercept' by 'h'"),
    "crossed, weighted": ("y ~ x + (1 | g) + (x | h)", VALUE[G] + H, "w", "by 'g' and 'Interc"),
    "beside effects of rows": (
        *("y ~ x + (1 | g) + (0 + x | row)", VALUE[G], None), "does not vary within.*'g'",
    ),
    "one column of a saturated factor": (
        *("y ~ 1 + (x + w + I(x**2) + I(w**2) + I(x * w) | g)", VALUE[G], None),
        "does not vary within.*'g'",
    ),
    "two of three factors": (
        *("y ~ 1 + (1 | g) + (1 | h) + (1 | row)", VALUE[G] + H, None),
        "'Intercept' by 'g' and 'Intercept' by 'h'",
    ),
    "a column of one of two factors": (
        *("y ~ 1 + (x | g) + (x + w | h) + (1 | row)", VALUE[G] * BASE.x + H, None),
        "'x' by 'g' and .*by 'h'",
    ),
    "a line without groups": ("y ~ x + (1 | g)", 3 + 2 * BASE.x, None, "fixed effects fit"),
}  # fmt: skip


def case(name, noise=0.0):
    formula, y, weights, words = EXACT[name]
    return formula, BASE.assign(y=y + noise * NOISE), {"weights": weights}, words


def refused(words, fit):
    began = time.perf_counter()
    with pytest.raises(bl.DataError, match=f"(?s){words}.*no residuals are left"):
        fit()
    return time.perf_counter() - began


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_residual_squares_and_rank_are_those_of_dense_least_squares(kind, weighted):
    design = random_design(kind, 3, n=70, weighted=weighted)
    W, y = np.column_stack([*dense.random_columns(design), design.X]), design.y
    if weighted:
        root = np.sqrt(design.weights)
        W, y = W * root[:, None], y * root
    gram = Gram.from_design(design)
    squares, rank = residual_squares(gram, all_parts(gram))
    left = y - W @ np.linalg.lstsq(W, y, rcond=1e-12)[0]
    assert rank == np.linalg.matrix_rank(W, tol=1e-9)
    # Sums of some hundred products, of the total's size.
    assert squares == pytest.approx(left @ left, rel=1e-11, abs=1e-13 * (y @ y))


@pytest.mark.parametrize("name", EXACT)
def test_an_exact_fit_is_refused_at_once_on_every_path(name):
    formula, table, how, words = case(name)
    took = [refused(words, lambda: bl.fit_reml(formula, table, **how))]
    took += [
        refused(words, partial(bl.fit_bayes, formula, table, parametrization=form, **HOW, **how))
        for form in ("noncentered", "centered", "marginal")
    ]
    took.append(refused(words, lambda: bl.fit_bayes(formula, table, **QUICK, **how)))
    took.append(refused(words, lambda: bl.prior_study(formula, table, ["brms"], **how)))
    assert sorted(took)[3] < 1.0  # the first calls load what the later ones have


@pytest.mark.parametrize("name", ["one number a group", "lines", "crossed"])
def test_cross_products_are_judged_as_rows_are(name):
    formula, table, _, words = case(name)
    gram = bl.gram_from_batches(formula, [table[:20], table[20:]], progressbar=False)
    refused(words, lambda: bl.fit_reml(formula, gram))
    refused(words, lambda: bl.fit_bayes(formula, gram, **QUICK))


@pytest.mark.parametrize("name", ["one number a group", "lines", "crossed"])
def test_a_model_to_be_extended_is_built_with_a_warning(name):
    formula, table, _, words = case(name)
    with pytest.warns(bl.DataWarning, match=words):
        bl.build_model(formula, table)


@pytest.mark.parametrize("name", EXACT)
def test_residuals_of_a_thousandth_of_a_millionth_of_the_squares_are_residuals(name):
    formula, table, how, _ = case(name, noise=1e-4)
    require_residuals(Gram.from_design(bl.build_design(formula, table, **how)))


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 1e-4, 3e-5])
@pytest.mark.filterwarnings("error::bayeslmm.errors.IdentificationWarning")
def test_small_residuals_leave_the_closed_form_of_the_balanced_layout(noise):
    _, table, _, _ = case("one number a group", noise)
    fit = bl.fit_reml("y ~ 1 + (1 | g)", table)
    means = table.groupby("g")["y"].mean()
    within = ((table.y - table.g.map(means)) ** 2).sum() / (len(table) - LEVELS)
    sd = np.sqrt(means.var() - within / EACH)
    right = [means.mean(), means.std() / np.sqrt(LEVELS), sd, np.sqrt(within)]
    got = [*fit.fixed_effects.to_numpy()[0], fit.variance_components["sd"].iloc[0], fit.sigma]
    # 1e-16 of the total against squares of noise^2 of it, through a search to 1e-6 of deviance.
    assert got == pytest.approx(right, rel=1e-6 / noise + 1e-6)


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 1e-4])
@pytest.mark.filterwarnings("error::bayeslmm.errors.IdentificationWarning")
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.NumericalWarning")
def test_small_residuals_leave_the_two_stage_estimates_of_lines(noise):
    x = np.tile(np.arange(EACH) - 2.5, LEVELS)
    table = BASE.assign(x=x, y=VALUE[G] + SLOPE[G] * x + noise * NOISE)
    fit = bl.fit_reml("y ~ x + (x | g)", table)
    lines = np.array([np.polyfit(part.x, part.y, 1)[::-1] for _, part in table.groupby("g")])
    right = np.column_stack([lines.mean(axis=0), lines.std(axis=0, ddof=1) / np.sqrt(LEVELS)])
    np.testing.assert_allclose(fit.fixed_effects.to_numpy(), right, rtol=1e-2 * noise**0.5)


@pytest.mark.parametrize("noise", [1e-2, 1e-3, 1e-4])
def test_a_posterior_of_small_residuals_is_about_the_closed_form(noise):
    _, table, _, _ = case("one number a group", noise)
    fit = bl.fit_bayes("y ~ 1 + (1 | g)", table, **{**QUICK, "draws": 1000})["posterior"]
    means = table.groupby("g")["y"].mean()
    within = ((table.y - table.g.map(means)) ** 2).sum() / (len(table) - LEVELS)
    # The posterior of sigma is that of a chi-squared with 40 degrees of freedom: sd 11 %.
    assert float(fit.sigma.mean()) == pytest.approx(np.sqrt(within), rel=0.05)
    assert float(fit.beta.mean()) == pytest.approx(means.mean(), abs=0.1)


@pytest.mark.parametrize(
    ("name", "rank"), [("one number a group", 8), ("lines", 16), ("crossed", 13)]
)
@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")
def test_the_prior_that_a_refusal_names_gives_the_posterior_of_the_closed_form(name, rank):
    formula, table, how, _ = case(name)
    with pytest.raises(bl.DataError, match="no residuals") as raised:
        bl.fit_bayes(formula, table, **QUICK, **how)
    prior = str(raised.value).split("'sigma': '")[1].split("'")[0]
    longer = {**QUICK, "draws": 300, "tune": 300}
    sigma = bl.fit_bayes(formula, table, priors={"sigma": prior}, **longer, **how)[
        "posterior"
    ].sigma
    a, b = bl.Prior.parse(prior).numbers
    # sigma^-(n - r) times InverseGamma(a, b) is InverseGamma(a + n - r, b), of sd 16 %.
    assert float(sigma.mean()) == pytest.approx(b / (a + len(table) - rank - 1), rel=0.08)
    for vague in ("HalfNormal(1)", "Exponential(1)", "Gamma(2, 1)"):
        stated = {"priors": {"sigma": vague}, **QUICK, **how}
        refused("", partial(bl.fit_bayes, formula, table, **stated))


def test_a_study_refuses_the_scenario_without_a_posterior():
    formula, table, _, words = case("one number a group")
    proper = {"sigma": "InverseGamma(3, 0.1)"}
    refused(words, lambda: bl.prior_study(formula, table, {"wide": "flat"}, priors=proper))


LONG = np.repeat(np.arange(8), 1000)


@pytest.mark.parametrize("n", [2_000, 4_000])
def test_the_prior_that_is_named_for_many_rows_gives_the_closed_form(n):
    table = pd.DataFrame({"y": VALUE[LONG], "g": LONG})[:: 8_000 // n]
    with pytest.raises(bl.DataError, match="no residuals") as raised:
        bl.fit_bayes("y ~ 1 + (1 | g)", table, **QUICK)
    prior = str(raised.value).split("'sigma': '")[1].split("'")[0]
    fit = bl.fit_bayes("y ~ 1 + (1 | g)", table, priors={"sigma": prior}, **QUICK)
    assert fit.attrs["sampler"] == "importance"
    a, b = bl.Prior.parse(prior).numbers
    # A gamma's sd is 1 / sqrt(n) of its mean: 2 % of it, over some 200 draws.
    assert float(fit["posterior"].sigma.mean()) == pytest.approx(b / (a + n - 8 - 1), rel=0.01)


@pytest.mark.parametrize("n", [48, 4_000, 200_000, 2_000_000])
def test_a_prior_is_named_only_where_it_is_accepted(n):
    levels = np.repeat(np.arange(8), n // 8)
    gram = Gram.from_design(
        bl.build_design("y ~ 1 + (1 | g)", pd.DataFrame({"y": VALUE[levels], "g": levels}))
    )
    with pytest.raises(bl.DataError, match="no residuals") as raised:
        require_residuals(gram, bl.Prior.parse("HalfNormal(1)"))
    named = str(raised.value).split("'sigma': '")[1:]
    assert bool(named) == (n < 10_000)
    for words in named:
        require_residuals(gram, bl.Prior.parse(words.split("'")[0]))
    # Against any number of rows, a prior that has nothing at all near zero will do.
    require_residuals(gram, bl.Prior.parse("Uniform(0.5, 2)"))


PAIRS = np.repeat(np.arange(20), 2)
CROSSING = pd.DataFrame({"g": PAIRS, "x": np.random.default_rng(0).normal(size=40)})
CROSSING["y"] = 1 + np.random.default_rng(1).normal(size=20)[PAIRS] * (CROSSING.x + 2.5)


@pytest.mark.parametrize(
    "how", [QUICK, *({"parametrization": form, **HOW} for form in ("marginal", "noncentered"))]
)
def test_a_combination_of_columns_that_fits_exactly_is_refused(how):
    refused("combination", lambda: bl.fit_reml("y ~ x + (x | g)", CROSSING))
    refused("combination", lambda: bl.fit_bayes("y ~ x + (x | g)", CROSSING, **how))


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.BayesLMMWarning")
def test_saturated_columns_without_an_exact_combination_are_fitted():
    table = CROSSING.assign(y=CROSSING.y + np.random.default_rng(2).normal(size=40))
    assert bl.fit_reml("y ~ x + (x | g)", table).sigma > 0.1
    assert float(bl.fit_bayes("y ~ x + (x | g)", table, **QUICK)["posterior"].sigma.mean()) > 0.1


APART = np.repeat(np.arange(20), 5)


@pytest.mark.filterwarnings("ignore:The search for the REML estimates stopped")
@pytest.mark.parametrize(("ratio", "tolerance"), [(3e4, 1e-5), (3e5, 1e-4), (1e6, 1e-3)])
def test_groups_that_lie_far_apart_leave_the_estimates_within_them(ratio, tolerance):
    rng = np.random.default_rng(2)
    u, e, x = rng.normal(size=20), rng.normal(size=100), rng.normal(size=100)
    table = pd.DataFrame({"y": ratio * u[APART] + 0.5 * x + e, "x": x, "g": APART})
    if ratio < 1e6:
        fit = bl.fit_reml("y ~ x + (1 | g)", table)
    else:
        with pytest.warns(bl.NumericalWarning, match="'Intercept' by 'g' leave only 1e-12 of"):
            fit = bl.fit_reml("y ~ x + (1 | g)", table)
    within = table[["x", "y"]] - table.groupby("g")[["x", "y"]].transform("mean")
    slope = (within.x * within.y).sum() / (within.x**2).sum()
    sigma = np.sqrt(((within.y - slope * within.x) ** 2).sum() / (100 - 21))
    right = [slope, sigma / np.sqrt((within.x**2).sum()), sigma]
    # 1e-16 of the total against squares of 1 / ratio^2 of it.
    got = [*fit.fixed_effects.to_numpy()[1], fit.sigma]
    assert got == pytest.approx(right, rel=tolerance)


@pytest.mark.parametrize("level", [1e12, 3e12, 3e13])
def test_a_response_far_from_zero_is_judged_by_its_own_digits(level):
    y = level + VALUE[G] + NOISE
    fit = bl.fit_reml("y ~ x + (1 | g)", BASE.assign(y=y))
    near = bl.fit_reml("y ~ x + (1 | g)", BASE.assign(y=y - level))
    # Doubles near 3e13 are 0.004 apart, and so are the numbers of the mean.
    assert fit.sigma == pytest.approx(near.sigma, rel=1e-2)


@pytest.mark.parametrize("n", [50, 100_000])
@pytest.mark.parametrize("level", [0.0, 1e6])
def test_lines_without_noise_are_refused_whatever_their_length(n, level):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 4)) * rng.uniform(0.1, 100, 4)
    table = pd.DataFrame(x, columns=list("abcd")).assign(g=np.arange(n) % 10)
    table["y"] = level + x @ rng.normal(size=4)
    design = bl.build_design("y ~ a + b + c + d + (1 | g)", table)
    refused("fixed effects fit", lambda: require_residuals(Gram.from_design(design)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [20, 70])
@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-3, 1.0])
def test_what_is_cheaply_said_to_be_left_is_left(kind, n, noise):
    design = random_design(kind, 3, n=n)
    W = np.column_stack([*dense.random_columns(design), design.X])
    rng = np.random.default_rng(3)
    y = W @ rng.normal(size=W.shape[1]) + noise * rng.normal(size=n)
    gram = Gram.from_design(replace(design, y=y))
    squares, rank = residual_squares(gram, all_parts(gram))
    bound = least_squares_left(gram, all_parts(gram))
    assert 0.0 <= bound <= max(squares, 0.0) * (1 + 1e-9)  # rounding of sums of squares
    if noise == 0.0 or rank >= n:
        assert bound == 0.0


def test_crossed_factors_of_many_levels_are_judged_by_sparse_products():
    rng = np.random.default_rng(5)
    table = {"g": rng.integers(0, 400, 3000), "h": rng.integers(0, 300, 3000),
             "x": rng.normal(size=3000), "y": rng.normal(size=3000)}  # fmt: skip
    design = bl.build_design("y ~ x + (x | g) + (1 | h)", table)
    gram = Gram.from_design(design)
    W = np.column_stack([*dense.random_columns(design), design.X])
    left = design.y - W @ np.linalg.lstsq(W, design.y, rcond=1e-12)[0]
    squares, rank = residual_squares(gram, all_parts(gram))
    assert rank == np.linalg.matrix_rank(W, tol=1e-9)
    assert squares == pytest.approx(left @ left, rel=1e-11)  # sums of thousands of products
    # A ridge of a hundredth of what counts, of what is fitted.
    total = float(gram.cross[-1, -1])
    assert squares - 0.01 * total < least_squares_left(gram, all_parts(gram)) <= squares


@pytest.mark.parametrize("family", ["zero_one_inflated_beta", "zero_inflated_beta", "hurdle_gamma",
                                    "hurdle_lognormal"])  # fmt: skip
def test_responses_beyond_a_hurdle_are_judged_by_themselves(family):
    # A zero says nothing of the predictor; what is not zero may still be fitted exactly.
    exact = np.where(np.arange(len(G)) % 3 == 0, 0.0, (1 + np.abs(VALUE[G])) / 9)
    noisy = np.where(exact > 0, exact * np.exp(NOISE / 10), 0.0)
    design, priors = judged(exact, family)
    with pytest.raises(bl.DataError, match="does not vary within the levels of 'g'"):
        require_dispersion(design, priors)
    require_dispersion(*judged(noisy, family))
    none, priors = judged(np.zeros(len(G)), family)
    require_dispersion(none, priors)


def judged(y, family):
    design = bl.build_design("y ~ x + (1 | g)", BASE.assign(y=y), family=family)
    scales = {"phi": "HalfCauchy(1)", "shape": "HalfCauchy(1)", "sigma": "HalfNormal(1)"}
    known = {parameter.name for parameter in design.family.parameters}
    stated = {name: bl.Prior.parse(text) for name, text in scales.items() if name in known}
    return design, stated
