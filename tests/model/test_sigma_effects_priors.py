"""Random effects in sigma: names, priors, their design, and R given them."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayeslmm as bl
from bayeslmm.design.state import DesignState
from bayeslmm.errors import ArgumentError, DataError, FormulaError, PriorError
from bayeslmm.model.model import Model
from bayeslmm.model.priors.priors import Priors

SIGMA = "~ x + (late | g) + (1 || h)"


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"g": np.repeat(list("abcdef"), 8), "h": np.tile(list("uvwx"), 12)})
    rows["x"], rows["y"] = rng.normal(size=48), rng.normal(size=48)
    return rows.assign(late=rows["x"] + 10.0)


@pytest.fixture(scope="module")
def design(table):
    return bl.build_design("y ~ x + (1 | g)", table, sigma=SIGMA)


def test_defaults_are_on_the_scale_of_logarithms(design, table):
    found = bl.resolve_priors(design)
    assert [factor.name for factor in found.parameter_factors] == ["sigma_g", "sigma_h"]
    first, second = found.parameter_factors
    assert str(first.sd[0]) == str(second.sd[0]) == "HalfNormal(sigma=1)"
    assert first.sd[1].numbers[0] == pytest.approx(1 / table["late"].std())
    assert str(first.corr) == "LKJ(eta=2)"
    assert second.corr is None
    # As in the mean, priors of an intercept beside a column off zero stand at the column's mean.
    assert first.shift.means == (0.0, pytest.approx(table["late"].mean()))


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ("sd_sigma", ["sd_sigma_g[Intercept]", "sd_sigma_g[late]", "sd_sigma_h[Intercept]"]),
        ("sd_sigma_g", ["sd_sigma_g[Intercept]", "sd_sigma_g[late]"]),
        ("sd_sigma_g[late]", ["sd_sigma_g[late]"]),
        ("sd", ["sd_g[Intercept]"]),
    ],
)
def test_sds_have_keys_of_their_own(design, given, changed):
    origins = bl.resolve_priors(design, {given: "HalfNormal(0.3)"}).origins
    assert [name for name, origin in origins.items() if origin == "user"] == changed


@pytest.mark.parametrize("key", ["corr", "corr_sigma", "corr_sigma_g"])
def test_correlations_have_the_key_of_all_too(design, key):
    found = bl.resolve_priors(design, {key: "LKJ(5)"})
    assert found.parameter_factors[0].eta == 5.0


def test_wrong_keys_and_supports_are_told(design, table):
    with pytest.raises(PriorError, match=r"no parameter 'sd_sigma_x'.*sd_sigma_g\[late\]"):
        bl.resolve_priors(design, {"sd_sigma_x": "HalfNormal(1)"})
    with pytest.raises(PriorError, match="'sd_sigma' is a standard deviation"):
        bl.resolve_priors(design, {"sd_sigma": "Normal(0, 1)"})
    plain = bl.build_design("y ~ x + (1 | g)", table, sigma="~ x")
    with pytest.raises(PriorError, match="no parameter 'sd_sigma'"):
        bl.resolve_priors(plain, {"sd_sigma": "HalfNormal(1)"})
    with pytest.raises(PriorError, match="resolved for another model"):
        bl.resolve_priors(plain, bl.resolve_priors(design))


def test_schemes_leave_the_defaults_of_effects_in_sigma(design):
    found = bl.resolve_priors(design, "brms")
    assert found.origins["sd_g[Intercept]"] == "brms"
    assert found.origins["sd_sigma_h[Intercept]"] == "default"


def test_json_gives_priors_and_states_back(design):
    priors = bl.resolve_priors(design, {"sd_sigma": "HalfNormal(0.3)"})
    assert Priors.from_json(priors.to_json()) == priors
    assert DesignState.from_json(design.state.to_json()) == design.state
    without = json.loads(design.state.to_json(levels=False))
    with pytest.raises(DataError, match="lacks the levels"):
        DesignState.from_json(json.dumps(without), levels={"g": list("abcdef")})


def test_densities_are_sums_over_columns(design):
    priors = bl.resolve_priors(design, {"sd_sigma_h": "Exponential(3)"})
    tree = bl.sample_prior(design, priors=priors, draws=4, random_seed=1)
    values = {str(k): v.to_numpy() for k, v in tree["prior"].data_vars.items()}
    found = priors.log_densities(values)
    sd = values["sd_sigma_h"][..., 0]
    np.testing.assert_allclose(found["sd_sigma_h"], stats.expon(scale=1 / 3).logpdf(sd))
    # At the mean of its column, where the prior stands.
    mean, (s0, s1) = design.residual.scales[0][1].mean, np.moveaxis(values["sd_sigma_g"], -1, 0)
    r = values["corr_sigma_g"][..., 0, 1]
    at_mean = np.sqrt(s0**2 + (mean * s1) ** 2 + 2 * mean * r * s0 * s1)
    expected = stats.halfnorm.logpdf(at_mean)
    expected += stats.halfnorm(scale=1 / design.residual.scales[0][1].scale()).logpdf(s1)
    np.testing.assert_allclose(found["sd_sigma_g"], expected, rtol=1e-7)


def test_the_described_priors_are_those_of_the_model(table):
    shown = bl.describe_priors("y ~ x + (1 | g)", table, sigma=SIGMA)
    assert {"sd_sigma_g[late]", "corr_sigma_g", "sd_sigma_h[Intercept]"} <= set(shown.index)
    # Of 2 Beta(2, 2) - 1, half of which lies within 0.3473 of zero.
    assert shown.loc["corr_sigma_g", "q95"] == pytest.approx(0.729, abs=2e-3)


def test_r_is_given_the_effects(design, table):
    structure = Model.of(design).structured_residual
    rng = np.random.default_rng(3)
    phi = rng.uniform(0.5, 1.5, (2, 3, structure.size))
    variables = structure.variables(phi)
    np.testing.assert_array_equal(structure.phi(variables), phi)
    assert variables["b_sigma_g"].shape == (2, 3, 6, 2)
    one = {name: value[0, 0] for name, value in variables.items()}
    x, late = table["x"], table["late"]
    g, h = (np.unique(table[name], return_inverse=True)[1] for name in "gh")
    log_sigma = np.log(one["sigma"]) + one["beta_sigma"][0] * (x - x.mean())
    log_sigma += one["b_sigma_g"][g, 0] + one["b_sigma_g"][g, 1] * late + one["b_sigma_h"][h, 0]
    found = structure.sd(phi[0, :1])[0, structure.cell]
    np.testing.assert_allclose(found, np.exp(log_sigma), rtol=1e-12)
    np.testing.assert_allclose(
        structure.mean_variance(phi[0, :1]), np.mean(np.exp(2 * log_sigma)), rtol=1e-12
    )
    with pytest.raises(ArgumentError, match=r"here of 'g' and 'h', no integral has one"):
        _ = Model.of(design).products


@pytest.mark.parametrize(
    ("formula", "sigma", "renamed", "message"),
    [
        ("y ~ x + (1 | sigma_g)", "~ (1 | g)", {"h": "sigma_g"}, "effects in sigma .* 'g' would"),
        ("y ~ x + (1 | sigma)", "~ (1 | g)", {"h": "sigma"}, "factor 'sigma' would give two"),
        ("y ~ x", "~ 0 + h + (1 | level)", {"g": "level"}, "'level' would .*'sigma_level'"),
        ("y ~ x", "~ x + (1 | coef)", {"g": "coef"}, "'coef' would give .*'sigma_coef'"),
    ],
)
def test_names_that_would_mean_two_things_are_refused(table, formula, sigma, renamed, message):
    with pytest.raises(DataError, match=message):
        Model.of(bl.build_design(formula, table.rename(columns=renamed), sigma=sigma))


def test_a_coefficient_is_not_called_as_a_standard_deviation(table):
    rows = table.rename(columns={"x": "sd_sigma_g"})
    with pytest.raises(DataError, match=r"'sd_sigma_g', which in priors"):
        bl.build_design("y ~ sd_sigma_g", rows, sigma="~ (1 | g)")


@pytest.mark.parametrize(
    ("sigma", "message", "under"),
    [
        ("~ 1 + (1 |p| g)", "The label p would correlate .* write one bar", "(1 |p|"),
        ("~ 0 + (1 | g)", r"scatter around one unit .* leave the 0 out, '~ \(1 \| g\)'", "~ 0"),
        ("~ cs(0 + h | g)", "a G that is unstructured", "cs(0"),
        ("~ (1 | gr(g, by=h))", "a G that is unstructured", "(1 | gr"),
        ("~ x * (1 | g)", "can only be added", "(1 | g)"),
        ("~ x - (1 | g)", "cannot be taken away", "(1 | g)"),
        ("~ (1 | g) + (1 + x | g)", "'Intercept' stands twice on 'g'", "(1 + x | g)"),
        ("~ (1 | g:h) + (1 | h:g)", "the same grouping factor", "(1 | h:g)"),
        ("~ (offset(x) | g)", "no offset inside bars", "offset(x)"),
        ("~ (1 | nowhere)", "no column 'nowhere'", "nowhere"),
        ("~ (1 | g) + offset(x)", "An offset of log.sigma.", "offset(x)"),
    ],
)
def test_mistakes_are_shown_where_they_are(table, sigma, message, under):
    with pytest.raises(FormulaError, match=message) as caught:
        bl.build_design("y ~ 1", table, sigma=sigma)
    text, caret = str(caught.value).splitlines()[-2:]
    assert text[caret.index("^") :].startswith(under)


def test_structures_with_a_sd_of_each_visit_take_no_effects_in_sigma(table):
    rows = table.assign(visit=np.tile(np.arange(8), 6).astype(str))
    rows["visit"] = pd.Categorical(rows["visit"], ordered=True)
    with pytest.raises(FormulaError, match="leave sigma= out"):
        bl.build_design("y ~ 1", rows, sigma="~ (1 | g)", residual="csh(visit | g)")


def test_nesting_and_calls_are_those_of_the_means_formula(table):
    design = bl.build_design("y ~ 1", table, sigma="sigma ~ poly(x, 2) + (scale(x) | g/h)")
    assert [f.name for f in design.residual.factors] == ["sigma_g", "sigma_g:h"]
    assert design.residual.factors[0].terms == ("Intercept", "scale(x)")
    assert len(design.residual.factors[1].levels) == 24
