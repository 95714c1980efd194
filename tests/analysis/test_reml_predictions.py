"""Predictions of rows by REML fits: each a BLUP with the error that dense algebra gives it."""

import numpy as np
import pandas as pd
import pytest
from known import random_covariance, related_table
from memberships import membership_table

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError

# The identities hold at any estimates, singular ones too.
pytestmark = pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")

SLEEP = bl.load_dataset("sleepstudy")
ORTHODONT = bl.load_dataset("orthodont")
RELATED = related_table()
A = random_covariance(sorted(set(RELATED["animal"])), seed=4)
MEMBERS = membership_table()
CROSSED = bl.load_dataset("penicillin")

CASES = {
    "slopes": ("Reaction ~ Days + (Days | Subject)", SLEEP, {}),
    "no effects": ("Reaction ~ Days", SLEEP, {}),
    "ar1": ("Reaction ~ 1 + ar1(0 + Days | Subject)", SLEEP, {}),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", CROSSED, {}),
    "sparse": ("diameter ~ 1 + (1 | plate) + (1 | sample)", CROSSED, {"border": "sparse"}),
    "krylov": ("diameter ~ 1 + (1 | plate) + (1 | sample)", CROSSED, {"border": "krylov"}),
    "nested": ("y ~ x + (1 | herd/animal) + (1 | pen)", RELATED, {}),
    "known": ("y ~ x + (x | gr(animal, cov=A)) + (1 | pen)", RELATED, {"known": {"A": A}}),
    "several": ("y ~ x + (x | mm(g1, g2, weights=[u, v])) + (1 | pen)", MEMBERS, {}),
    "arms": ("distance ~ age * Sex + (age | gr(Subject, by=Sex))", ORTHODONT, {}),
    "smooth": ("Reaction ~ s(Days, k=5) + (1 | Subject)", SLEEP, {}),
    "sigma": ("distance ~ age * Sex + (1 | Subject)", ORTHODONT, {"sigma": "~ 0 + Sex"}),
    "residual": ("distance ~ age + (1 | Sex)", ORTHODONT, {"residual": "ar1(age | Subject)"}),
}


def dense(fit):
    """X, Z of all effects side by side, G of all of them, and R, each written out."""
    design = fit.data.coded_rows
    Z, G = [np.zeros((len(design.X), 0))], []
    for factor in design.factors:
        rows = np.eye(factor.n_indexed)[factor.index]
        cov = np.eye(len(factor.levels))
        if factor.has_members:
            rows = rows @ factor.latent.matrix
        elif factor.latent is not None:
            cov = factor.latent.covariance
        Z.append(np.einsum("ni,nj->nij", rows, factor.columns).reshape(len(rows), -1))
        G.append(np.kron(cov, fit.covariance[factor.name].to_numpy()))
    size = sum(len(g) for g in G)
    whole, at = np.zeros((size, size)), 0
    for g in G:
        whole[at : at + len(g), at : at + len(g)] = g
        at += len(g)
    n = len(design.X)
    if fit.residual is None:
        return design, np.hstack(Z), whole, np.eye(n) * fit.sigma**2
    R = np.diag(fit.residual.sd**2)
    if fit.residual.structure.rows.correlation is not None:
        for some, root in fit.residual.roots():
            R[np.ix_(some, some)] = root @ root.T
    return design, np.hstack(Z), whole, R


@pytest.mark.parametrize("name", CASES)
def test_values_and_errors_are_those_of_dense_algebra(name):
    formula, table, options = CASES[name]
    fit = bl.fit_reml(formula, table, **options)
    design, Z, G, R = dense(fit)
    X, y = design.X, design.y
    V = R + Z @ G @ Z.T
    cov = np.linalg.inv(X.T @ np.linalg.solve(V, X))
    beta = cov @ X.T @ np.linalg.solve(V, y)
    b = G @ Z.T @ np.linalg.solve(V, y - X @ beta)
    a = X - Z @ G @ Z.T @ np.linalg.solve(V, X)
    inner = Z @ G @ Z.T - Z @ G @ Z.T @ np.linalg.solve(V, Z @ G @ Z.T)
    error = np.sqrt(np.diag(a @ cov @ a.T + inner))
    found = bl.predict_table(fit)
    # The matrices written out are solved to some 1e-11 of the response.
    np.testing.assert_allclose(found["estimate"], X @ beta + Z @ b, rtol=1e-8)
    np.testing.assert_allclose(found["std_error"], error, rtol=1e-7)
    half = 1.959963984540054 * error
    np.testing.assert_allclose(found["upper"] - found["estimate"], half, rtol=1e-7)
    new = bl.predict_table(fit, kind="response")
    np.testing.assert_allclose(new["std_error"], np.hypot(error, np.sqrt(np.diag(R))), rtol=1e-7)
    again = bl.predict_table(fit, table, kind="response")
    np.testing.assert_allclose(again.to_numpy(), new.to_numpy(), rtol=1e-10)
    np.testing.assert_allclose(bl.predict(fit), found["estimate"], rtol=1e-14)
    np.testing.assert_allclose(bl.fitted(fit), found["estimate"], rtol=1e-14)


def test_leaving_effects_out_leaves_the_errors_of_the_fixed_part():
    fit = bl.fit_reml(*CASES["nested"][:2])
    design = fit.data.coded_rows
    found = bl.predict_table(fit, random_effects="none")
    errors = np.sqrt(np.einsum("np,pq,nq->n", design.X, fit.vcov.to_numpy(), design.X))
    np.testing.assert_allclose(found["std_error"], errors, rtol=1e-10)
    np.testing.assert_allclose(found["estimate"], design.X @ fit.conditional.beta, rtol=1e-14)
    some = bl.predict_table(fit, random_effects=["pen"])
    pens = fit.random_effects["pen"].loc[RELATED["pen"], "Intercept"].to_numpy()
    np.testing.assert_allclose(some["estimate"] - found["estimate"], pens, atol=1e-12)


def test_new_levels_are_at_zero_and_may_scatter():
    fit = bl.fit_reml(*CASES["slopes"][:2])
    rows = pd.DataFrame({"Days": [3.0, 3.0], "Subject": ["308", "nobody"]}, index=["a", "b"])
    with pytest.raises(DataError, match=r"'nobody'.*new_levels='population'"):
        bl.predict_table(fit, rows)
    zero, drawn = (bl.predict_table(fit, rows, new_levels=way) for way in ("population", "sample"))
    none = bl.predict_table(fit, rows, random_effects="none")
    np.testing.assert_allclose(zero.loc["b"], none.loc["b"], rtol=1e-12)
    np.testing.assert_allclose(zero.loc["a"], drawn.loc["a"], rtol=1e-14)
    z = np.array([1.0, 3.0])
    G = fit.covariance["Subject"].to_numpy()
    expected = np.sqrt(none.loc["b", "std_error"] ** 2 + z @ G @ z)
    assert drawn.loc["b", "std_error"] == pytest.approx(expected, rel=1e-12)
    rows["Subject"] = ["308", None]
    assert bl.predict_table(fit, rows, new_levels="population").loc["b"].equals(zero.loc["b"])


def test_relatives_without_rows_are_foretold_as_if_they_had_a_row_that_says_nothing():
    """A row of infinite variance leaves the others' likelihood as it is, and adds its level."""
    kept = RELATED[RELATED["animal"] != "a3"]
    fit = bl.fit_reml("y ~ x + (x | gr(animal, cov=A))", kept, known={"A": A})
    rows = RELATED[RELATED["animal"] == "a3"].head(2)
    found = bl.predict_table(fit, rows)
    levels = [*fit.random_effects["animal"].index, "a3"]
    own = A.loc[levels, levels].to_numpy()
    G = np.kron(own, fit.covariance["animal"].to_numpy())
    design = fit.data.coded_rows
    factor = design.factors[0]
    Z = np.einsum("ni,nj->nij", np.eye(len(levels))[factor.index], factor.columns)
    Z = Z.reshape(len(design.y), -1)
    X, V = design.X, Z @ G @ Z.T + fit.sigma**2 * np.eye(len(design.y))
    cov = np.linalg.inv(X.T @ np.linalg.solve(V, X))
    x = np.column_stack([np.ones(2), rows["x"]])
    z = np.zeros((2, len(G)))
    z[:, -2:] = x
    half = np.linalg.solve(V, Z @ G @ z.T)
    a = x - half.T @ X
    error = np.sqrt(np.diag(a @ cov @ a.T + z @ G @ z.T - (z @ G @ Z.T) @ half))
    np.testing.assert_allclose(found["std_error"], error, rtol=1e-8)
    rest = design.y - X @ fit.conditional.beta
    expected = x @ fit.conditional.beta + half.T @ rest
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-9)
    mean = bl.predict_table(fit, rows, new_levels="average")
    assert (mean["std_error"] < found["std_error"]).all()
    with pytest.raises(DataError, match="neither the fit saw"):
        bl.predict_table(fit, rows.assign(animal="nobody"))


def test_a_posterior_at_the_estimates_has_the_same_means_and_errors():
    """With 18 subjects the posterior's own uncertainty of variances adds some per cent."""
    fit = bl.fit_reml(*CASES["slopes"][:2])
    idata = bl.fit_bayes(
        *CASES["slopes"][:2], parametrization="marginal", sampler="importance", random_seed=1
    )
    rows = SLEEP.iloc[::15]
    ours, theirs = bl.predict_table(fit, rows), bl.predict_table(idata, rows)
    np.testing.assert_allclose(ours["estimate"], theirs["mean"], atol=3.0)
    np.testing.assert_allclose(ours["std_error"], theirs["sd"], rtol=0.15)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": "response"}, "predict_table"),
        ({"draws": 3}, "leave draws out"),
        ({"trials": 3}, "leave trials out"),
        ({"residual": "conditional"}, "leave it out"),
        ({"kind": "probability"}, "kind='mean'"),
        ({"kind": "mena"}, "mean"),
        ({"se": "x"}, "leave it out"),
        ({"weights": "x"}, "leave them out"),
    ],
)
def test_what_a_reml_fit_cannot_answer_is_said(options, match):
    fit = bl.fit_reml(*CASES["slopes"][:2])
    with pytest.raises(ArgumentError, match=match):
        bl.predict(fit, **options)


def test_marginal_means_of_smooths_and_of_groups_average_the_rows_predictions():
    fit = bl.fit_reml(*CASES["smooth"][:2])
    found = bl.marginal_means(fit, "Days", at={"Days": [0, 4]})
    rows = pd.DataFrame({"Days": [0.0, 4.0]})
    expected = bl.predict_table(fit, rows, random_effects="none")
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=1e-12)
    np.testing.assert_allclose(found["std_error"], expected["std_error"], rtol=1e-9)
    of_groups = bl.marginal_means(
        fit, "Days", at={"Days": [0, 4]}, random_effects="all", average="rows"
    )
    again = SLEEP.assign(Days=4.0)
    np.testing.assert_allclose(
        of_groups["estimate"].iloc[1], bl.predict_table(fit, again)["estimate"].mean(), rtol=1e-12
    )
    # Averages over the groups that there are leave out what the groups scatter by.
    assert (of_groups["std_error"] < found["std_error"]).all()


def test_residuals_of_a_fit_with_a_smooth_leave_its_curve_out():
    mcycle = bl.load_dataset("mcycle")
    fit = bl.fit_reml("accel ~ s(times, k=20)", mcycle)
    found = bl.residuals(fit)
    # Sigma has the 12.8 effective degrees of freedom in it that residuals have not.
    assert np.sqrt((found**2).sum() / (133 - 12.785)) == pytest.approx(fit.sigma, rel=0.01)
