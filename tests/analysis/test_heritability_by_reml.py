"""Intervals of heritability and Pagel's lambda of REML fits, and what gr() refuses by name."""

import numpy as np
import pytest
from known import random_covariance, related_table
from scipy.special import expit, logit

import bayeslmm as bl
from bayeslmm.errors import FormulaError
from bayeslmm.gram.likelihood import log_density

TABLE = related_table(n_animals=20)
A = random_covariance(sorted(set(TABLE["animal"])), seed=4)


def test_the_error_is_the_delta_method_s():
    fit = bl.fit_reml("y ~ x + (1 | gr(animal, cov=A))", TABLE, known={"A": A})
    found = bl.heritability(fit).loc["animal"]
    sd, sigma = float(fit.covariance["animal"].iloc[0, 0]) ** 0.5, fit.sigma
    diagonal = float(np.mean(fit.data.coded_rows.factors[0].scaled_columns ** 2))

    def criterion(at):
        own, rest = np.exp(at)
        return -2.0 * log_density(fit.gram, [np.array([[own / rest]])], rest, gradient=False)[0]

    point, h = np.log([sd, sigma]), 1e-3
    steps, H = h * np.eye(2), np.empty((2, 2))
    for i, a in enumerate(steps):
        for j, b in enumerate(steps):
            ends = [(a + b, 1), (a - b, -1), (b - a, -1), (-a - b, 1)]
            H[i, j] = sum(sign * criterion(point + end) for end, sign in ends) / (4 * h**2)
    share = sd**2 * diagonal / (sd**2 * diagonal + sigma**2)
    slope = 2.0 * share * (1.0 - share) * np.array([1.0, -1.0])
    error = np.sqrt(slope @ (2.0 * np.linalg.inv(H)) @ slope)
    assert found["estimate"] == pytest.approx(share, rel=1e-10)
    # Second differences of a criterion of some 1e2 keep six digits.
    assert found["std_error"] == pytest.approx(error, rel=1e-4)
    half = 1.959963984540054 * error / (share * (1.0 - share))
    assert found["lower"] == pytest.approx(expit(logit(share) - half), rel=1e-4)
    assert found["upper"] == pytest.approx(expit(logit(share) + half), rel=1e-4)
    narrow = bl.heritability(fit, ci_prob=0.5).loc["animal"]
    assert found["lower"] < narrow["lower"] < narrow["upper"] < found["upper"]


def test_levels_as_nodes_of_a_sparse_precision_have_the_same_intervals():
    rng = np.random.default_rng(5)
    tree = bl.phylogeny("(((a:1,b:1):1,(c:1,d:1):1):2,((e:2,f:2):1,(g:1,h:1):2):1);")
    root = np.linalg.cholesky(tree.covariance())
    index = np.repeat(np.arange(8), 12)
    y = (root @ rng.standard_normal(8))[index] + rng.standard_normal(len(index))
    table = {"y": y, "species": np.array(tree.labels)[index]}
    dense, nodes = (
        bl.fit_reml("y ~ 1 + (1 | gr(species, cov=A))", table, known={"A": tree}, border=border)
        for border in ("dense", "sparse")
    )
    columns = ["estimate", "std_error", "lower", "upper"]
    wanted, found = (bl.heritability(fit).loc["species", columns] for fit in (dense, nodes))
    assert nodes.border.method == "sparse"
    # Two searches stop where a step promises a millionth of the criterion.
    assert found.to_numpy(float) == pytest.approx(wanted.to_numpy(float), rel=1e-3)


def test_fits_with_a_residual_structure_have_intervals_too():
    formula = "y ~ x + (1 | gr(animal, cov=A))"
    fit = bl.fit_reml(formula, TABLE, known={"A": A}, sigma="~ x")
    found = bl.heritability(fit).loc["animal"]
    assert 0.0 < found["lower"] < found["estimate"] < found["upper"] < 1.0


def test_a_variance_of_zero_has_none():
    flat = TABLE.assign(y=np.random.default_rng(8).standard_normal(len(TABLE)))
    flat["y"] -= flat.groupby("animal")["y"].transform("mean")
    with pytest.warns(bl.SingularFitWarning):
        fit = bl.fit_reml("y ~ 1 + (1 | gr(animal, cov=A))", flat, known={"A": A})
    found = bl.heritability(fit).loc["animal"]
    assert found["estimate"] == 0.0
    assert np.isnan(found[["std_error", "lower", "upper"]].astype(float)).all()


def test_the_ways_out_of_what_gr_refuses_exist():
    table = TABLE.assign(arm=np.where(TABLE["herd"] > "h2", "late", "early"))
    with pytest.raises(FormulaError, match=r"\(0 \+ arm \|\| gr\(animal, cov=A\)\)"):
        bl.fit_reml("y ~ x + (1 | gr(animal, by=arm, cov=A))", table, known={"A": A})
    fit = bl.fit_reml("y ~ x + (0 + arm || gr(animal, cov=A))", table, known={"A": A})
    assert len(fit.covariance["animal"]) == 2
    with pytest.raises(FormulaError, match=r"ar1\(\) of gr\(by=\) is not there"):
        bl.fit_reml("y ~ x + ar1(0 + time | gr(animal, by=arm))", table)


def test_positions_in_batches_are_refused_by_name():
    with pytest.raises(FormulaError, match="positions from the values of 'time'"):
        bl.gram_from_batches("y ~ 1 + ar1(0 + time | animal)", lambda: iter([TABLE]))
