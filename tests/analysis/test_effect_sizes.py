import numpy as np
import pytest
import trees

from bayeslmm.analysis.variance import effect_sizes
from bayeslmm.analysis.variance.marginal_covariance import marginal_covariance
from bayeslmm.analysis.variance.pooling import shrinkage
from bayeslmm.errors import ArgumentError, DataError, TreeError
from bayeslmm.reml.fit import fit_reml
from bayeslmm.tables.datasets import load_dataset

SLOPES = trees.constant_draws(
    beta=[1.0, 2.0],
    sigma=3.0,
    sd_g=[2.0, 1.0],
    corr_g=[[1.0, 0.5], [0.5, 1.0]],
    b_g=np.zeros((3, 2)),
)
G = np.array([[4.0, 1.0], [1.0, 1.0]])


@pytest.fixture(scope="module")
def intercepts():
    """Var between 4, sigma^2 12: ICC 1/4. Levels of 2, 4 and 3 rows."""
    draws = trees.constant_draws(beta=[0.0, 2.0], sigma=12**0.5, sd_g=[2.0], b_g=np.zeros((3, 1)))
    return trees.make_tree("y ~ x + (1 | g)", trees.TINY, draws)


@pytest.fixture(scope="module")
def slopes():
    return trees.make_tree("y ~ x + (x | g)", trees.TINY, SLOPES)


def test_adjusted_icc_of_a_random_intercept(intercepts):
    table = effect_sizes.icc(intercepts)
    assert table.loc["g", "mean"] == pytest.approx(4 / 16)
    assert table.loc["total", "mean"] == pytest.approx(4 / 16)
    assert table.loc["g", "at"] == "everywhere"


def test_unadjusted_icc_counts_the_fixed_effects_variance(intercepts):
    # Var(2 x) over the rows, with the divisor n - 1 that the published implementations use.
    fixed = 4 * np.var(trees.TINY["x"], ddof=1)
    table = effect_sizes.icc(intercepts, kind="unadjusted")
    assert table.loc["g", "mean"] == pytest.approx(4 / (16 + fixed))


def test_icc_with_random_slopes_averages_over_the_data_or_stands_at_a_value(slopes):
    x = trees.TINY["x"]
    averaged = np.mean([np.array([1, v]) @ G @ np.array([1, v]) for v in x])
    table = effect_sizes.icc(slopes)
    assert table.loc["g", "mean"] == pytest.approx(averaged / (averaged + 9))
    assert table.loc["g", "at"] == "averaged over the data"
    there = effect_sizes.icc(slopes, at={"x": 2})
    # z' G z at x = 2: 4 + 2 * 2 * 1 + 4 * 1 = 12.
    assert there.loc["g", "mean"] == pytest.approx(12 / 21)
    assert there.loc["g", "at"] == "x=2"


def test_marginal_and_conditional_r_squared(intercepts):
    fixed = 4 * np.var(trees.TINY["x"], ddof=1)
    table = effect_sizes.r_squared(intercepts)
    assert table.loc["marginal", "mean"] == pytest.approx(fixed / (fixed + 16))
    assert table.loc["conditional", "mean"] == pytest.approx((fixed + 4) / (fixed + 16))


def test_r_squared_by_level_splits_between_and_within(intercepts):
    x, g = trees.TINY["x"], trees.TINY["g"]
    means = np.array([x[g == level].mean() for level in g])
    between = 4 * np.sum((means - x.mean()) ** 2) / 8
    within = 4 * np.sum((x - means) ** 2) / 8
    table = effect_sizes.r_squared(intercepts, by_level="g")
    assert table.loc["between g", "mean"] == pytest.approx(between / (between + 4))
    assert table.loc["within g", "mean"] == pytest.approx(within / (within + 12))


def test_r_squared_of_sleepstudy_at_the_reml_estimates_is_the_published_one():
    # The documentation of R's performance package (Luedecke et al. 2021, Journal of Open Source
    # Software 6(60):3139, doi 10.21105/joss.03139) gives three digits for this very model:
    # conditional 0.799, marginal 0.279, adjusted ICC 0.722, unadjusted 0.521.
    # The estimates are lme4 1.1-31's.
    data = load_dataset("sleepstudy")
    draws = trees.constant_draws(
        beta=[251.4051048, 10.4672860],
        sigma=25.5918157,
        sd_Subject=[24.7404501, 5.9221331],
        corr_Subject=[[1.0, 0.0655514], [0.0655514, 1.0]],
        b_Subject=np.zeros((18, 2)),
    )
    idata = trees.make_tree("Reaction ~ Days + (Days | Subject)", data, draws)
    # Half a unit of the last published digit.
    last = {"abs": 5e-4}
    table = effect_sizes.r_squared(idata)
    assert table.loc["conditional", "mean"] == pytest.approx(0.799, **last)
    assert table.loc["marginal", "mean"] == pytest.approx(0.279, **last)
    assert effect_sizes.icc(idata).loc["total", "mean"] == pytest.approx(0.722, **last)
    unadjusted = effect_sizes.icc(idata, kind="unadjusted")
    assert unadjusted.loc["total", "mean"] == pytest.approx(0.521, **last)


# By lme4 1.1-31 (R 4.2.2): the REML estimates, put into the formulas of Nakagawa, Johnson &
# Schielzeth (2017) in R from lmer's own X, Z, G and sigma. Marginal and conditional R2, then the
# adjusted and unadjusted ICC of all factors together, then each factor's adjusted one.
BY_LME4 = {
    "mathachieve": (
        "MathAch ~ MEANSES + Sector + cses + (cses | School)",
        (0.1747622494, 0.2311193123, 0.0682919109, 0.0563570629),
        {"School": 0.0682919109},
    ),
    "penicillin": (
        "diameter ~ 1 + (1 | plate) + (1 | sample)",
        (0.0, 0.9363397504, 0.9363397504, 0.9363397504),
        {"plate": 0.1509130394, "sample": 0.7854267110},
    ),
    "machines": (
        "score ~ Machine + (Machine | Worker)",
        (0.4677144699, 0.9869422539, 0.9754685307, 0.5192277840),
        {"Worker": 0.9754685307},
    ),
    "exam": (
        "normexam ~ standLRT + (standLRT | school)",
        (0.3162578804, 0.4269522358, 0.1618948902, 0.1106943554),
        {"school": 0.1618948902},
    ),
}


def tree_at_reml(formula, data):
    """A tree whose every draw is the REML estimate, conditional modes included."""
    fit = fit_reml(formula, data)
    draws = {"beta": fit.fixed_effects["estimate"].to_numpy(), "sigma": fit.sigma}
    for name, cov in fit.covariance.items():
        sd = np.sqrt(np.diag(cov))
        draws[f"sd_{name}"] = sd
        draws[f"b_{name}"] = fit.random_effects[name].to_numpy()
        if len(sd) > 1:
            draws[f"corr_{name}"] = cov.to_numpy() / np.outer(sd, sd)
    return trees.make_tree(formula, data, trees.constant_draws(**draws))


@pytest.mark.parametrize("name", BY_LME4)
def test_icc_and_r_squared_are_those_of_lme4_s_estimates(name):
    formula, (marginal, conditional, adjusted, unadjusted), factors = BY_LME4[name]
    idata = tree_at_reml(formula, load_dataset(name))
    # lmer's default optimiser stops some 1e-5 short of the minimum, relative to an sd.
    near = {"abs": 2e-5}
    table = effect_sizes.r_squared(idata)["mean"]
    assert table["marginal"] == pytest.approx(marginal, **near)
    assert table["conditional"] == pytest.approx(conditional, **near)
    icc = effect_sizes.icc(idata)["mean"]
    assert icc["total"] == pytest.approx(adjusted, **near)
    assert {key: icc[key] for key in factors} == pytest.approx(factors, **near)
    whole = effect_sizes.icc(idata, kind="unadjusted")["mean"]
    assert whole["total"] == pytest.approx(unadjusted, **near)


def test_covariance_shrinkage_and_design_effect_are_those_of_lme4_s_estimates():
    # lme4 1.1-31 (R 4.2.2): V = sigma^2 (Z Lambda Lambda' Z' + I) of sleepstudy by getME; its sum
    # over its trace; and ranef's condVar of the first subject over the diagonal of G.
    idata = tree_at_reml("Reaction ~ Days + (Days | Subject)", load_dataset("sleepstudy"))
    block = marginal_covariance(idata, level="308").to_numpy()[:3, :3]
    expected = [
        [1267.040166, 621.704567, 631.308976],
        [621.704567, 1321.320699, 711.056814],
        [631.308976, 711.056814, 1445.744660],
    ]
    # Default tolerance of lmer: some 1e-5 of an sd.
    np.testing.assert_allclose(block, expected, rtol=1e-4)
    total = effect_sizes.design_effect(idata).loc["total", "mean"]
    assert total == pytest.approx(6.26528348, rel=1e-4)
    first = shrinkage(idata).query("level == '308'").set_index("term")["mean"]
    assert first["Intercept"] == pytest.approx(0.2380420681, rel=1e-4)
    assert first["Days"] == pytest.approx(0.1514691539, rel=1e-4)


def test_design_effect_is_kish_s_with_unequal_levels(intercepts):
    table = effect_sizes.design_effect(intercepts)
    size = (2**2 + 4**2 + 3**2) / 9
    assert table.loc["g", "mean"] == pytest.approx(1 + (size - 1) / 4)
    assert table.loc["g", "effective_n"] == pytest.approx(9 / (1 + (size - 1) / 4))


def test_design_effect_with_slopes_is_the_sum_of_the_whole_covariance(slopes):
    dense = 9 * np.eye(9)
    for level in "abc":
        here = trees.TINY["g"] == level
        z = np.column_stack([np.ones(here.sum()), trees.TINY["x"][here]])
        dense[np.ix_(here, here)] += z @ G @ z.T
    table = effect_sizes.design_effect(slopes)
    assert table.loc["total", "mean"] == pytest.approx(dense.sum() / np.trace(dense))


def test_shrinkage_of_a_random_intercept(intercepts):
    table = shrinkage(intercepts).set_index("level")
    for level, rows in (("a", 2), ("b", 4), ("c", 3)):
        assert table.loc[level, "rows"] == rows
        assert table.loc[level, "mean"] == pytest.approx(12 / (12 + rows * 4))


def test_shrinkage_with_slopes_is_the_conditional_share_of_the_variance(slopes):
    table = shrinkage(slopes, "g").set_index(["level", "term"])
    here = trees.TINY["g"] == "b"
    z = np.column_stack([np.ones(4), trees.TINY["x"][here]])
    left = np.linalg.inv(np.linalg.inv(G) + z.T @ z / 9)
    assert table.loc[("b", "Intercept"), "mean"] == pytest.approx(left[0, 0] / 4)
    assert table.loc[("b", "x"), "mean"] == pytest.approx(left[1, 1])


def test_without_variance_between_levels_pooling_is_complete():
    draws = trees.constant_draws(beta=[0.0, 2.0], sigma=1.0, sd_g=[0.0], b_g=np.zeros((3, 1)))
    idata = trees.make_tree("y ~ x + (1 | g)", trees.TINY, draws)
    assert np.all(shrinkage(idata)["mean"] == 1)
    assert effect_sizes.icc(idata).loc["g", "mean"] == 0


def test_weights_count_as_rows():
    draws = trees.constant_draws(beta=[0.0, 2.0], sigma=2.0, sd_g=[1.0], b_g=np.zeros((3, 1)))
    weights = np.array([3.0, 5.0, 1, 1, 1, 1, 1, 1, 1])
    idata = trees.make_tree("y ~ x + (1 | g)", trees.TINY, draws, weights=weights)
    table = shrinkage(idata).set_index("level")
    assert table.loc["a", "mean"] == pytest.approx(4 / (4 + 8))
    block = marginal_covariance(idata, level="a")
    np.testing.assert_allclose(block, [[1 + 4 / 3, 1], [1, 1 + 4 / 5]])


def test_marginal_covariance_is_z_g_z_plus_r(slopes):
    here = trees.TINY["g"] == "b"
    z = np.column_stack([np.ones(4), trees.TINY["x"][here]])
    block = marginal_covariance(slopes, level="b")
    np.testing.assert_allclose(block, z @ G @ z.T + 9 * np.eye(4))
    assert block["obs"].to_numpy().tolist() == np.flatnonzero(here).tolist()


def test_marginal_correlation_of_a_random_intercept_is_the_icc(intercepts):
    block = marginal_covariance(intercepts, level="a", kind="correlation")
    np.testing.assert_allclose(block, [[1, 0.25], [0.25, 1]])


def test_marginal_covariance_counts_other_factors_where_rows_share_a_level():
    data = {**trees.TINY, "h": np.array(list("ppqqpqqpp"))}
    draws = trees.constant_draws(
        beta=[0.0], sigma=1.0, sd_g=[2.0], sd_h=[3.0],
        b_g=np.zeros((3, 1)), b_h=np.zeros((2, 1)),
    )  # fmt: skip
    idata = trees.make_tree("y ~ 1 + (1 | g) + (1 | h)", data, draws)
    block = marginal_covariance(idata, level="c", factor="g")
    np.testing.assert_allclose(block, [[14, 4, 4], [4, 14, 13], [4, 13, 14]])


def test_wrong_questions_are_refused(intercepts):
    with pytest.raises(ArgumentError, match="Did you mean 'adjusted'"):
        effect_sizes.icc(intercepts, kind="ajusted")
    with pytest.raises(ArgumentError, match="at names 'X'"):
        effect_sizes.icc(intercepts, at={"X": 1})
    with pytest.raises(ArgumentError, match="at maps covariates to values"):
        effect_sizes.icc(intercepts, at=["x"])
    with pytest.raises(TreeError, match="no grouping factor"):
        effect_sizes.r_squared(intercepts, by_level="h")
    with pytest.raises(DataError, match="no level of 'g'"):
        marginal_covariance(intercepts, level="z")
    with pytest.raises(TreeError, match="no random effects"):
        effect_sizes.icc(trees.random_tree("y ~ x", trees.TINY))
