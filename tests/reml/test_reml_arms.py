"""REML and ML of gr(g, by=arm) and of labels, against lme4's figures and dense algebra."""

import warnings

import dense
import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import pack_factors, profiled_criterion
from bayeslmm.kernels.densities import ML, REML
from bayeslmm.reml.search import Objective

# lme4 1.1-31 under R 4.2.2, REML, on nlme's Orthodont (Potthoff & Roy 1964): a term for each sex.
ORTHODONT = {
    "criterion": 433.516387279813,
    "sd": {"Sex[Male]": 1.69241889656438, "Sex[Female]": 1.98750241094729},
    "sigma": 1.38638181291143,
    "estimate": [16.3406250000002, 0.784374999999987, 1.03210227272684, -0.304829545454518],
    "std_error": [0.96738129981891, 0.0775010994109838, 1.54781963218454, 0.121420887475082],
}
RNG = np.random.default_rng(8)
N = 320
G, A = RNG.permutation(np.arange(N) % 32), RNG.choice(8, N)
TABLE = pd.DataFrame(
    {"g": [f"g{k}" for k in G], "arm": np.array(["t", "c"])[G % 2], "x": RNG.normal(2, 1, N),
     "z": RNG.normal(size=N), "h": [f"h{k}" for k in A], "top": np.array(list("pqrstuvw"))[G // 4],
     "w": RNG.uniform(0.5, 2, N)}
)  # fmt: skip
TABLE["y"] = (
    2 + TABLE.x + 2 * RNG.normal(size=32)[G] * (1 + G % 2) + RNG.normal(size=32)[G] * TABLE.x
    + RNG.normal(size=32)[G] * TABLE.z + RNG.normal(size=8)[A] + RNG.normal(size=N)
    + 2 * RNG.normal(size=8)[G // 4] + 2 * RNG.normal(size=8)[G // 4] * TABLE.z
)  # fmt: skip
FORMULAS = {
    "slopes": "y ~ x + (x | gr(g, by=arm))",
    "uncorrelated": "y ~ x + (x || gr(g, by=arm))",
    "crossed": "y ~ x + (x | gr(g, by=arm)) + (1 | h)",
    "nested": "y ~ x + (z | top) + (x | gr(top:g, by=arm))",
    "some columns": "y ~ x + (1 | g) + (0 + x + z | gr(g, by=arm))",
}
each = pytest.mark.parametrize("name", FORMULAS)


@pytest.fixture(scope="module")
def fits():
    with warnings.catch_warnings():
        # Where an estimate lies on its boundary the identities hold as well.
        warnings.simplefilter("ignore", bl.SingularFitWarning)
        return {name: bl.fit_reml(formula, TABLE) for name, formula in FORMULAS.items()}


def test_it_is_the_fit_of_lme4():
    fit = bl.fit_reml(
        "distance ~ age * Sex + (1 | gr(Subject, by=Sex))", bl.load_dataset("orthodont")
    )
    assert fit.criterion == pytest.approx(ORTHODONT["criterion"], abs=1e-5)
    table = fit.variance_components["sd"].xs("Subject")
    assert table.to_dict() == pytest.approx(ORTHODONT["sd"], rel=1e-4)
    assert fit.sigma == pytest.approx(ORTHODONT["sigma"], rel=1e-4)
    errors = np.array(ORTHODONT["std_error"])
    off = fit.fixed_effects["estimate"].to_numpy() - ORTHODONT["estimate"]
    assert np.abs(off / errors).max() < 1e-3
    np.testing.assert_allclose(fit.fixed_effects["std_error"], errors, rtol=1e-3)


@each
@pytest.mark.parametrize("weights", [None, "w"])
def test_the_criterion_is_that_of_dense_matrices(name, weights):
    design = bl.build_design(FORMULAS[name], TABLE, weights=weights)
    gram = Gram.from_design(design)
    rng = np.random.default_rng(1)
    lams = []
    for factor in design.factors:
        lam = np.zeros((len(factor.terms),) * 2)
        for block in factor.blocks:
            lam[np.ix_(block, block)] = np.tril(rng.normal(size=(len(block),) * 2))
        lams.append(lam)
    for code in (REML, ML):
        ours, _, sigma = profiled_criterion(gram, pack_factors(gram, lams), restricted=code == REML)
        expected = dense.criterion(design, lams, sigma, code == REML)
        # Some hundred rows: rounding of sums and of a determinant.
        assert ours == pytest.approx(expected, rel=1e-9)


@each
@pytest.mark.parametrize("code", [REML, ML])
def test_gradients_are_those_of_differences(name, code):
    objective = Objective(Gram.from_design(bl.build_design(FORMULAS[name], TABLE)), code)
    x = objective.start + 0.3 * np.random.default_rng(2).normal(size=len(objective.start))
    _, slope = objective(x)
    for k in range(len(x)):
        step = np.zeros(len(x))
        step[k] = 1e-5
        difference = (objective(x + step)[0] - objective(x - step)[0]) / 2e-5
        # Of central differences: 1e-16 of a value of hundreds, over the step.
        assert slope[k] == pytest.approx(difference, abs=2e-6 * max(1.0, abs(difference)))


@each
def test_modes_and_their_covariances_are_dense_ones_and_zero_in_other_arms(name, fits):
    fit = fits[name]
    design = fit.data
    V = dense.marginal_covariance(design, fit.factors, fit.sigma)
    inverse = np.linalg.inv(V)
    XV = design.X.T @ inverse
    P = inverse - XV.T @ np.linalg.solve(XV @ design.X, XV)
    columns = dense.random_columns(design)
    covariances = dense.effects_covariance(design, fit.factors, fit.sigma)
    for factor, Z, G in zip(design.factors, columns, covariances, strict=True):
        m, q = len(factor.levels), len(factor.terms)
        holds = np.ones((m, q), bool) if factor.arms is None else factor.arms.holds
        both = holds[:, :, None] & holds[:, None, :]
        modes = (G @ Z.T @ P @ design.y).reshape(m, q)
        left = np.einsum("iqir->iqr", (G - G @ Z.T @ P @ Z @ G).reshape(m, q, m, q))
        ours = fit.random_effects[factor.name].to_numpy()
        spread = fit.prediction_error_covariance[factor.name]
        # Beside rounding of inverses of some hundred rows: of other arms exact zeros.
        np.testing.assert_allclose(ours[holds], modes[holds], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(spread[both], left[both], rtol=1e-7, atol=1e-9)
        assert np.all(ours[~holds] == 0.0)
        assert np.all(spread[~both] == 0.0)


def test_arms_of_balanced_levels_are_fits_of_each_arm():
    """With effects, fixed ones and sigma of each arm's own, the criteria of two fits add up."""
    formula = "y ~ 0 + arm + arm:x + (x | gr(g, by=arm))"
    fit = bl.fit_reml(formula, TABLE, method="ML", sigma="~ 0 + arm")
    apart = [
        bl.fit_reml("y ~ x + (x | g)", TABLE[TABLE.arm == arm], method="ML") for arm in ("c", "t")
    ]
    # Searches over residuals' parameters stop at 1e-5 of the criterion.
    assert fit.criterion == pytest.approx(sum(one.criterion for one in apart), abs=1e-4)


def test_theta_is_listed_arm_by_arm(fits):
    names = fits["slopes"].theta_names
    assert names == [
        f"g.{name}"
        for arm in ("c", "t")
        for name in (f"arm[{arm}]", f"arm[{arm}]:x.arm[{arm}]", f"arm[{arm}]:x")
    ]


def test_a_model_with_one_covariance_is_inside_the_one_with_arms(fits):
    plain = bl.fit_reml("y ~ x + (x | g)", TABLE)
    table = bl.likelihood_ratio_test(plain, fits["slopes"])
    assert table["df"].iloc[-1] == 3
    assert table["chisq"].iloc[-1] >= 0.0
    other = bl.fit_reml("y ~ x + (x || gr(g, by=arm))", TABLE)
    with pytest.raises(bl.ArgumentError, match="correlation between"):
        bl.likelihood_ratio_test(plain, other)


def test_terms_of_one_label_are_one_term():
    one = bl.fit_reml("y ~ x + (1 |p| g) + (0 + x |p| g)", TABLE)
    other = bl.fit_reml("y ~ x + (x | g)", TABLE)
    assert one.formula == other.formula
    assert one.criterion == other.criterion
