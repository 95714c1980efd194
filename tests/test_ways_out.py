"""What a message advises exists and works; what cannot be computed is said, and never NaN."""

import contextlib

import numpy as np
import pandas as pd
import pytest
from trees import documented_tree

import bayeslmm as bl

HOW = {"parametrization": "marginal", "sampler": "importance", "progressbar": False,
       "random_seed": 1, "draws": 100}  # fmt: skip


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(10), 6)
    table = pd.DataFrame({"x": rng.uniform(size=60), "g": g, "w": rng.integers(1, 4, 60)})
    table["y"] = np.sin(6 * table.x) + rng.normal(0, 1, 10)[g] + rng.normal(0, 0.3, 60)
    return table.assign(zero=0.0)


@pytest.mark.parametrize("basis", ["cr(x, df=4)", "cr(x, df=5) + w", "w + cr(x, df=3)"])
def test_the_advice_on_splines_can_be_taken(table, basis):
    with pytest.raises(bl.DataError, match=r"constraints='center'.*0 \+ cr"):
        bl.build_design(f"y ~ {basis} + (1 | g)", table)
    centered = basis.replace(")", ", constraints='center')")
    assert bl.build_design(f"y ~ {centered} + (1 | g)", table).X.shape[1] > 3
    assert bl.build_design(f"y ~ 0 + {basis} + (1 | g)", table).X.shape[1] > 2
    with pytest.raises(bl.FormulaError, match=r"cr\(x, df=4, constraints='center'\)"):
        bl.build_design("y ~ ns(x, 3) + (1 | g)", table)


def test_the_advice_on_dependent_columns_can_be_taken(table):
    data = table.assign(twice=2 * table.x)
    with pytest.raises(bl.DataError, match=r'rank_deficient="drop"'):
        bl.fit_bayes("y ~ x + twice + (1 | g)", data, **HOW)
    for verb in (bl.build_design, bl.fit_reml, bl.build_model):
        with pytest.warns(bl.RankDeficiencyWarning):
            verb("y ~ x + twice + (1 | g)", data, rank_deficient="drop")


def test_brms_weights_are_likelihood_weights(table):
    with pytest.raises(bl.FormulaError, match=r"counts a row w\s+times.*likweights='w'") as raised:
        bl.build_design("y | weights(w) ~ x + (1 | g)", table)
    assert "^" in str(raised.value)
    assert bl.build_design("y ~ x + (1 | g)", table, likweights="w").likweights is not None


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ("y | cens(w)", "Censoring is an argument.*cens="),
        ("Surv(y, w)", r"cens=, a\s+column that is 1 where a time is censored"),
        ("y | rate(w)", r"offset\(log\(exposure\)\)"),
        ("y | mi()", "mvbind"),
        ("y | trunc(lb = 1)", "truncated_poisson"),
    ],
)
def test_words_beside_the_response_are_told_where_they_are_said_here(table, left, words):
    with pytest.raises(bl.FormulaError, match=words) as raised:
        bl.build_design(f"{left} ~ x + (1 | g)", table)
    assert "^" in str(raised.value)


@pytest.mark.parametrize("term", ["(0 + zero | g)", "(zero | g)", "(x + zero || g)"])
def test_a_slope_on_zeros_is_named(table, term):
    design = bl.build_design(f"y ~ 1 + {term}", table)
    with pytest.raises(bl.DataError, match=r"'zero' of 'g' is zero in every row.*Leave 'zero' out"):
        bl.resolve_priors(design)


@pytest.mark.parametrize("weight", [1e300, 1e307, 1e-300, 1e60, 1e-60])
@pytest.mark.parametrize("fit", ["bayes", "reml"])
def test_weights_beyond_numbers_give_an_error_or_numbers(table, weight, fit):
    weights = np.full(len(table), weight)
    beta = np.zeros(1)
    with contextlib.suppress(bl.NumericalError, bl.SamplingError, bl.DataError):
        if fit == "reml":
            beta = bl.fit_reml("y ~ x + (1 | g)", table, weights=weights).fixed_effects["estimate"]
        else:
            beta = bl.fit_bayes("y ~ x + (1 | g)", table, weights=weights, **HOW)["posterior"].beta
    assert np.isfinite(np.asarray(beta)).all()


def test_a_posterior_where_another_thing_is_expected_is_told_what_to_use():
    tree = documented_tree()
    with pytest.raises(bl.ArgumentError, match=r"bl\.fixed_effects\(fit\).*bl\.refit_reml\(fit\)"):
        bl.confidence_intervals(tree)
    with pytest.raises(bl.ArgumentError, match=r"bl\.compare_models"):
        bl.likelihood_ratio_test(tree, tree)
    with pytest.raises(bl.ArgumentError, match=r"bl\.Priors\.from_json\(fit\.attrs\['priors'\]\)"):
        bl.resolve_priors(tree)
    for verb in (bl.confidence_intervals, bl.resolve_priors):
        for thing in (None, "y ~ x", 3, pd.DataFrame()):
            with pytest.raises(bl.ArgumentError, match=r"needed|design"):
                verb(thing)


@pytest.mark.parametrize("scale", [1e-9, 1e-12, 1e-30])
def test_tiny_coefficients_keep_their_digits_in_a_summary(table, scale):
    data = table.assign(hertz=table.x / scale)
    fit = bl.fit_bayes("y ~ hertz + (1 | g)", data, **HOW)
    (line,) = (line for line in str(bl.summary(fit)).splitlines() if line.strip()[:5] == "hertz")
    mean, sd = map(float, line.split()[1:3])
    row = bl.fixed_effects(fit).loc["hertz"]
    assert mean == pytest.approx(row["mean"], abs=0.01 * row["sd"])
    assert sd == pytest.approx(row["sd"], rel=0.01)


def test_priors_of_constant_density_have_no_sensitivity():
    data, formula = bl.load_dataset("sleepstudy"), "Reaction ~ Days + (Days | Subject)"
    how = HOW | {"draws": 500}
    for priors in ({"corr": "LKJ(1)"}, "brms", {"corr": "LKJ(1)", "sigma": "Uniform(0, 1e3)"}):
        found = bl.prior_sensitivity(bl.fit_bayes(formula, data, priors=priors, **how))
        assert (found["corr_Subject"] == 0.0).all()
        assert found["prior"].gt(0.0).any()
        assert found.notna().all().all()


def test_where_all_priors_are_flat_the_likelihood_alone_has_a_say():
    priors = {"Intercept": "Uniform(0, 3000)", "sd": "Uniform(0, 1e3)", "sigma": "Uniform(0, 1e3)"}
    fit = bl.fit_bayes("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), priors=priors, **HOW)
    found = bl.prior_sensitivity(fit)
    assert (found["prior"] == 0.0).all()
    assert (found["shift"] == 0.0).all()
    assert found["likelihood"].gt(0.0).all()
    assert set(found["diagnosis"]) == {"✓"}


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"family": "poisson", "zi": "~ x"}, "such as 'zero_inflated_poisson'"),
        ({"family": "cox"}, r"family='weibull' with\s+cens="),
    ],
)
def test_what_another_family_has_is_told_with_that_family(table, asked, words):
    with pytest.raises(bl.ArgumentError, match=words):
        bl.build_design("y ~ x + (1 | g)", table, **asked)


@pytest.mark.parametrize(("key", "meant"), [("b", "beta"), ("cor", "corr"), ("f", "f[T.b]")])
def test_keys_of_priors_by_other_names_are_told(table, key, meant):
    rows = table.assign(f=np.where(np.arange(len(table)) % 2, "a", "b"))
    design = bl.build_design("y ~ x + f + (x | g)", rows)
    with pytest.raises(bl.PriorError) as raised:
        bl.resolve_priors(design, {key: "Normal(0, 1)"})
    assert f"Did you mean {meant!r}?" in str(raised.value)


def test_a_curve_inside_bars_is_told_what_to_write(table):
    with pytest.raises(bl.FormulaError, match=r"\(poly\(x, 2\) \| g\)"):
        bl.build_design("y ~ x + (s(x) | g)", table)
    assert bl.build_design("y ~ x + (poly(x, 2) | g)", table).factors[0].terms
