"""ICC and R2 of other families: published formulas, closed forms, and simulation."""

import numpy as np
import pytest
import trees
from scipy.stats import multivariate_normal, norm

import bayeslmm as bl
from bayeslmm.analysis.variance import effect_sizes, parts
from bayeslmm.analysis.variance.pooling import pooling_estimates
from bayeslmm.errors import ArgumentError, NumericalError, TreeError
from bayeslmm.model.simulate import simulate_response

B0, SD = 0.4, 0.9
V = SD**2


def tree_of(family, *, link=None, formula="y ~ 1 + (1 | g)", data=None, **draws):
    trials = "size" if family in trees.OF_TRIALS else None
    given = {"beta": [B0], "sd_g": [SD], "b_g": np.zeros((3, 1)), **draws}
    return trees.make_tree(
        formula,
        trees.family_data(family) if data is None else data,
        trees.constant_draws((1, 4), **given),
        family=family,
        link=link,
        trials=trials,
    )


LAMBDA = np.exp(B0 + V / 2)
# Nakagawa, Johnson & Schielzeth (2017), doi:10.1098/rsif.2017.0213: of counts and gamma responses
# the lognormal approximation, of probabilities the variance of the latent distribution.
PUBLISHED = {
    "logit": ("bernoulli", "logit", {}, np.pi**2 / 3),
    "probit": ("bernoulli", "probit", {}, 1.0),
    "cloglog": ("binomial", "cloglog", {}, np.pi**2 / 6),
    "poisson": ("poisson", None, {}, np.log1p(1 / LAMBDA)),
    "negbinomial": ("negbinomial", None, {"shape": 2.0}, np.log1p(1 / LAMBDA + 1 / 2)),
    "gamma": ("gamma", None, {"shape": 2.0}, np.log1p(1 / 2)),
    "lognormal": ("lognormal", None, {"sigma": 0.7}, 0.49),
    "student": ("student", None, {"sigma": 0.7, "nu": 5.0}, 0.49 * 5 / 3),
    "student of no variance": ("student", None, {"sigma": 0.7, "nu": 2.0}, np.inf),
}


@pytest.mark.parametrize("case", PUBLISHED)
def test_latent_icc_is_the_published_one(case):
    family, link, phi, residual = PUBLISHED[case]
    table = effect_sizes.icc(tree_of(family, link=link, **phi))
    assert table.loc["g", "mean"] == pytest.approx(V / (V + residual))
    assert ("scale" in table) == (family != "student")
    assert (table.get("scale", "latent") == "latent").all() if "scale" in table else True


def test_the_beta_familys_latent_variance_is_the_delta_methods_at_the_mean():
    tree = tree_of("beta", phi=5.0)
    # The marginal mean of a logit, by a sum over a fine grid.
    z = np.linspace(-9, 9, 4001)
    weights = norm.pdf(z) / norm.pdf(z).sum()
    mu = float(weights @ (1 / (1 + np.exp(-(B0 + SD * z)))))
    residual = 1 / (mu * (1 - mu) * 6)
    assert effect_sizes.icc(tree).loc["g", "mean"] == pytest.approx(V / (V + residual))


def test_r_squared_of_counts_takes_the_mean_over_rows():
    tree = tree_of("poisson", formula="y ~ x + (1 | g)", beta=[B0, 0.3])
    eta = B0 + 0.3 * trees.TINY["x"]
    fixed, residual = np.var(eta, ddof=1), np.log1p(1 / np.mean(np.exp(eta + V / 2)))
    table = effect_sizes.r_squared(tree)
    whole = fixed + V + residual
    assert table["mean"].tolist() == pytest.approx([fixed / whole, (fixed + V) / whole])
    assert list(table["scale"]) == ["latent", "latent"]
    by_level = effect_sizes.r_squared(tree, by_level="g")
    assert list(by_level.index) == ["marginal", "conditional", "between g", "within g"]


def test_observed_icc_of_counts_is_the_closed_form():
    # From the moments of the lognormal distribution; exact, unlike the latent scale's.
    between = LAMBDA * np.expm1(V)
    found = effect_sizes.icc(tree_of("poisson"), scale="observation")
    assert found.loc["g", "mean"] == pytest.approx(between / (between + 1), rel=1e-9)
    assert found.loc["g", "scale"] == "observation"
    shape = 2.0
    overdispersed = LAMBDA**2 * np.exp(V) / shape
    whole = LAMBDA**2 * np.expm1(V) + overdispersed
    found = effect_sizes.icc(tree_of("negbinomial", shape=shape), scale="observation")
    expected = LAMBDA**2 * np.expm1(V) / (whole + LAMBDA)
    assert found.loc["g", "mean"] == pytest.approx(expected, rel=1e-9)
    found = effect_sizes.icc(tree_of("gamma", shape=shape), scale="observation")
    assert found.loc["g", "mean"] == pytest.approx(LAMBDA**2 * np.expm1(V) / whole, rel=1e-9)
    sigma = 0.7
    found = effect_sizes.icc(tree_of("lognormal", sigma=sigma), scale="observation")
    expected = np.expm1(V) / np.expm1(V + sigma**2)
    assert found.loc["g", "mean"] == pytest.approx(expected, rel=1e-9)


CROSSED = {**trees.family_data("bernoulli"), "h": np.array(list("uvwuvwuvw"))}
CROSSED_DRAWS = {"sd_h": [1.4], "b_h": np.zeros((3, 1))}


def test_observed_icc_of_a_probit_is_that_of_a_bivariate_normal():
    tree = tree_of(
        "bernoulli", link="probit", formula="y ~ 1 + (1 | g) + (1 | h)", data=CROSSED,
        **CROSSED_DRAWS,
    )  # fmt: skip
    table = effect_sizes.icc(tree, scale="observation")
    total = V + 1.96
    cut = B0 / np.sqrt(1 + total)
    p = norm.cdf(cut)
    for name, shared in (("g", V), ("h", 1.96), ("total", total)):
        rho = shared / (1 + total)
        both = multivariate_normal.cdf([cut, cut], cov=[[1, rho], [rho, 1]])
        # SciPy's distribution function is good to some 1e-8.
        expected = (both - p**2) / (p * (1 - p))
        assert table.loc[name, "mean"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sd", [0.0, 1e-8, 0.3, 3.0, 12.0])
@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_parts_of_a_bernoulli_add_up_to_its_variance(link, sd):
    tree = tree_of(
        "bernoulli", link=link, formula="y ~ x + (1 | g) + (1 | h)", data=CROSSED,
        beta=[B0, -0.8], sd_g=[sd], **CROSSED_DRAWS,
    )  # fmt: skip
    found = parts.variance_parts(tree, scale="observation")
    z = np.linspace(-9, 9, 20_001)
    weights = norm.pdf(z) / norm.pdf(z).sum()
    eta = B0 - 0.8 * trees.TINY["x"]
    member = bl.Bernoulli(link)
    means = np.array([weights @ member.mean(e + np.hypot(sd, 1.4) * z, {}) for e in eta])
    np.testing.assert_allclose(found.fixed, np.var(means, ddof=1), rtol=1e-7)
    np.testing.assert_allclose(
        found.random + found.residual, np.mean(means * (1 - means)), rtol=1e-7
    )
    own = sum(found.factors.values())
    assert (own <= found.random * (1 + 1e-9)).all()
    assert ((found.factors["g"] == 0) == (sd == 0)).all()


def test_parts_at_a_covariates_value_are_the_simulated_responses_variance_there():
    # Two rows in each of many levels, with a slope: the covariance of their responses.
    m = 60_000
    data = {
        "y": np.tile([0, 1], m),
        "x": np.tile([0.0, 1.5], m),
        "g": np.repeat(np.arange(m), 2).astype(str),
    }
    design = bl.build_design("y ~ x + (x | g)", data, family="bernoulli")
    sds, corr = np.array([1.2, 0.8]), -0.4
    truth = {"beta": [B0, -0.5], "sd": {"g": sds}, "corr": {"g": corr}}
    y, _ = simulate_response(design, **truth, random_seed=4)
    few = {name: values[:9] for name, values in data.items()}
    few["g"] = np.array(list("aabbccddd"))
    matrix = np.array([[1, corr], [corr, 1]])
    draws = trees.constant_draws(
        (1, 2), beta=truth["beta"], sd_g=sds, corr_g=matrix, b_g=np.zeros((4, 2))
    )
    tree = trees.make_tree("y ~ x + (x | g)", few, draws, family="bernoulli")
    for x, column in ((0.0, 0), (1.5, 1)):
        at = effect_sizes.icc(tree, at={"x": x}, scale="observation")
        assert at.loc["g", "at"] == f"x={x}"
        found = parts.variance_parts(tree, {"x": x}, "observation")
        # Var(y) at this x, within some five of its standard errors.
        variance = y.reshape(m, 2)[:, column].var()
        np.testing.assert_allclose(found.random + found.residual, variance, rtol=0.02)
    z = matrix * np.outer(sds, sds)
    s = float(np.array([1, 1.5]) @ z @ np.array([1, 1.5]))
    assert effect_sizes.icc(tree, at={"x": 1.5}).loc["g", "mean"] == pytest.approx(
        s / (s + np.pi**2 / 3)
    )


def test_the_observed_icc_is_the_correlation_of_rows_of_a_level():
    m = 40_000
    data = {"y": np.tile([0, 1], m), "g": np.repeat(np.arange(m), 2).astype(str)}
    design = bl.build_design("y ~ 1 + (1 | g)", data, family="bernoulli")
    y, _ = simulate_response(design, beta=[B0], sd={"g": 1.5}, random_seed=6)
    correlation = np.corrcoef(y.reshape(m, 2).T)[0, 1]
    tree = tree_of("bernoulli", sd_g=[1.5])
    found = effect_sizes.icc(tree, scale="observation").loc["g", "mean"]
    # Its standard error is some 1 / sqrt(m) = 0.005.
    assert found == pytest.approx(correlation, abs=0.02)
    assert effect_sizes.icc(tree).loc["g", "mean"] > found


def test_both_scales_are_one_where_the_link_is_the_identity():
    for family in ("gaussian", "student"):
        tree = trees.family_tree(family)
        for function in (effect_sizes.icc, effect_sizes.r_squared):
            latent, observed = function(tree), function(tree, scale="observation")
            assert latent.equals(observed)
            assert "scale" not in latent


def test_weights_of_student_responses_count():
    phi = {"sigma": 0.7, "nu": 5.0}
    weights = np.linspace(0.5, 2.0, 9)
    draws = trees.constant_draws(beta=[B0], sd_g=[SD], b_g=np.zeros((3, 1)), **phi)
    tree = trees.make_tree("y ~ 1 + (1 | g)", trees.TINY, draws, family="student", weights=weights)
    residual = 0.49 * 5 / 3 * np.mean(1 / weights)
    assert effect_sizes.icc(tree).loc["g", "mean"] == pytest.approx(V / (V + residual))
    index = [2, 3, 4, 5]
    block = bl.marginal_covariance(tree, level="b").to_numpy()
    expected = V + np.diag(0.49 * 5 / 3 / weights[index])
    np.testing.assert_allclose(block, expected)
    effect = bl.design_effect(tree)
    trace = 9 * (V + residual)
    extra = V * (2**2 + 4**2 + 3**2 - 9)
    assert effect.loc["g", "mean"] == pytest.approx(1 + extra / trace)


def test_student_responses_without_a_variance_have_no_covariance():
    tree = tree_of("student", sigma=1.0, nu=1.5)
    with pytest.raises(TreeError, match="nu is at most 2, as in 4 of the 4 draws"):
        bl.marginal_covariance(tree, level="b")
    correlation = bl.marginal_covariance(tree, level="b", kind="correlation")
    np.testing.assert_array_equal(correlation, np.eye(4))
    assert effect_sizes.icc(tree).loc["g", "mean"] == 0.0


def test_effects_too_wide_for_numbers_are_said():
    tree = tree_of("poisson", sd_g=[60.0])
    with pytest.raises(NumericalError, match="Take scale='latent'"):
        effect_sizes.icc(tree, scale="observation")
    assert effect_sizes.icc(tree).loc["g", "mean"] == pytest.approx(1.0)


def test_scales_and_levels_that_do_not_go_together_are_refused():
    tree = tree_of("poisson")
    with pytest.raises(ArgumentError, match="scale"):
        effect_sizes.icc(tree, scale="response")
    with pytest.raises(ArgumentError, match="leave scale='observation' out"):
        effect_sizes.r_squared(tree, by_level="g", scale="observation")


@pytest.mark.parametrize("family", ["bernoulli", "binomial", "poisson", "gamma", "beta"])
def test_what_takes_constant_variances_or_normal_effects_is_refused_by_name(family):
    tree = trees.family_tree(family)
    for function in (bl.design_effect, lambda t: bl.marginal_covariance(t, level="b")):
        with pytest.raises(TreeError, match=f"family of this fit is '{family}'"):
            function(tree)
    for function in (bl.shrinkage, pooling_estimates):
        with pytest.raises(TreeError, match=f"family of this fit is '{family}'"):
            function(tree)


def test_shrinkage_of_lognormal_responses_is_that_of_the_logarithm():
    draws = trees.random_draws(trees.TINY_FORMULA, trees.TINY)
    tree = trees.make_tree(trees.TINY_FORMULA, trees.TINY, draws, family="lognormal")
    of_log = trees.make_tree("log(y) ~ x + (x | g)", trees.TINY, draws)
    assert bl.shrinkage(tree).equals(bl.shrinkage(of_log))
    np.testing.assert_allclose(pooling_estimates(tree).none, pooling_estimates(of_log).none)
    with pytest.raises(TreeError, match="'student'"):
        bl.shrinkage(trees.family_tree("student"))


@pytest.mark.parametrize("scale", ["latent", "observation"])
def test_a_level_for_every_row_is_overdispersion_and_no_likeness(scale):
    data = trees.family_data("poisson")
    data = {**data, "row": [f"r{k}" for k in range(len(data["y"]))]}
    formula = "y ~ x + (1 | g) + (1 | row)"
    draws = trees.random_draws(formula, data, family="poisson", chains=1, draws=4)
    tree = trees.make_tree(formula, data, draws, family="poisson")
    found = parts.variance_parts(tree, scale=scale)
    assert np.all(found.residual > found.factors["row"])
    if scale == "latent":
        np.testing.assert_allclose(found.random, found.factors["g"], rtol=1e-12)
        assert bl.icc(tree)["mean"]["total"] == pytest.approx(bl.icc(tree)["mean"]["g"], rel=1e-12)
