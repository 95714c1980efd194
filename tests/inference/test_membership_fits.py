"""Fits of rows with several levels of one factor: the tree, new rows, what is drawn and refused."""

import memberships
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from pytensor.compile.mode import Mode

import bayeslmm as bl
from bayeslmm import names
from bayeslmm.errors import ArgumentError, DataError, FormulaError
from bayeslmm.inference.graph.build import parametrization_named
from bayeslmm.model.model import Model

# The Python linker compiles nothing: a handful of points is evaluated.
SLOW_BUT_INSTANT = Mode(linker="py", optimizer="fast_compile")
TABLE = memberships.membership_table()
FORMULA = "y ~ x + (x | mm(g1, g2, weights=[u, v])) + (1 | pen)"
NAME = "mm(g1,g2)"
LABELS, SHARES = memberships.shares(TABLE, weights=["u", "v"])
QUICK = {
    "parametrization": "marginal", "sampler": "importance", "random_seed": 1,
    "progressbar": False, "draws": 250,
}  # fmt: skip


@pytest.fixture(scope="module")
def fit():
    return bl.fit_bayes(FORMULA, TABLE, **QUICK)


def eta_of(fit, table, shares, labels=LABELS):
    """X beta + Z b of rows, from the tree's draws, their shares and pens."""
    draws = fit["posterior"]
    z = np.column_stack([np.ones(len(table)), table["x"]])
    b = draws[f"b_{NAME}"].sel({NAME: labels}).to_numpy()
    pens = draws["b_pen"].sel(pen=list(table["pen"])).to_numpy()[..., 0]
    fixed = np.einsum("nq,cdq->cdn", z, draws["beta"].to_numpy())
    return fixed + np.einsum("nm,nq,cdmq->cdn", shares, z, b) + pens


def test_effects_are_told_by_member(fit, tmp_path):
    assert fit["posterior"][NAME].to_numpy().tolist() == LABELS
    np.testing.assert_allclose(bl.predict(fit), eta_of(fit, TABLE, SHARES), atol=1e-10)
    assert bl.random_effects(fit, factor=NAME)["level"].unique().tolist() == LABELS
    fit.to_netcdf(tmp_path / "fit.nc")
    back = xr.open_datatree(tmp_path / "fit.nc").load()
    np.testing.assert_allclose(bl.predict(back), bl.predict(fit))


def rows(**changed):
    return pd.DataFrame(
        {"x": [1.0, 2.0, 3.0], "g1": ["s3", "s1", "s0"], "g2": ["s1", "s1", "s7"],
         "u": [1.0, 2.0, 0.0], "v": [3.0, 5.0, 2.0], "pen": ["p0", "p1", "p1"], **changed}
    )  # fmt: skip


def test_new_rows_have_the_effects_of_their_own_members(fit):
    shares = np.zeros((3, len(LABELS)))
    shares[0, [LABELS.index("s3"), LABELS.index("s1")]] = 0.25, 0.75
    shares[1, LABELS.index("s1")] = shares[2, LABELS.index("s7")] = 1.0
    found = bl.predict(fit, rows())
    np.testing.assert_allclose(found, eta_of(fit, rows(), shares), atol=1e-10)
    # A label that fills a place without a share is no level.
    filled = bl.predict(fit, rows(g1=["s3", "s1", "nobody"]))
    np.testing.assert_allclose(filled, found)


def test_members_that_the_fit_did_not_see(fit):
    new = rows(g1=["s3", "new", "s0"], g2=["new", "new", "s7"])
    with pytest.raises(DataError, match="'mm\\(g1,g2\\)' has levels that the fit did not see"):
        bl.predict(fit, new)
    shares = np.zeros((3, len(LABELS)))
    shares[0, LABELS.index("s3")], shares[2, LABELS.index("s7")] = 0.25, 1.0
    zero = eta_of(fit, new, shares)
    for policy in ("population", "average"):
        found = bl.predict(fit, new, new_levels={NAME: policy})
        np.testing.assert_allclose(found, zero, atol=1e-10)
    drawn = bl.predict(fit, new, new_levels={NAME: "sample"}, random_seed=1) - zero
    # The second row has all of the new member's effect, the first three quarters of it.
    z = np.column_stack([np.ones(3), new["x"]])
    sd, corr = (fit["posterior"][f"{k}_{NAME}"].to_numpy() for k in ("sd", "corr"))
    G = sd[..., :, None] * corr * sd[..., None, :]
    own = drawn.to_numpy()[..., :2] / np.array([0.75, 1.0])
    scale = np.sqrt(np.einsum("nq,cdqr,nr->cdn", z[:2], G, z[:2]))
    # Standard normals, 1,000 each: five standard errors.
    assert np.abs(np.mean((own / scale) ** 2, axis=(0, 1)) - 1.0).max() < 5 * np.sqrt(2 / 1000)
    assert np.corrcoef(own[..., 0].ravel(), own[..., 1].ravel())[0, 1] > 0.5
    missing = rows(g2=["s1", None, "s7"])
    with pytest.raises(DataError, match="1 of 3 rows lack values: g2 1"):
        bl.predict(fit, missing)


def test_reml_tells_modes_by_member():
    reml = bl.fit_reml("y ~ x + (1 | mm(g1, g2, weights=[u, v]))", TABLE)
    sd, sigma = np.sqrt(reml.variance_components["variance"].to_numpy())
    Z = SHARES * sd / sigma
    X = np.column_stack([np.ones(len(TABLE)), TABLE["x"]])
    V = np.eye(len(TABLE)) + Z @ Z.T
    beta = np.linalg.solve(X.T @ np.linalg.solve(V, X), X.T @ np.linalg.solve(V, TABLE["y"]))
    modes = Z.T @ np.linalg.solve(V, TABLE["y"] - X @ beta) * sd / sigma
    assert reml.random_effects[NAME].index.tolist() == LABELS
    np.testing.assert_allclose(reml.random_effects[NAME]["Intercept"], modes, atol=1e-9)
    np.testing.assert_allclose(bl.fitted(reml), X @ beta + SHARES @ modes, atol=1e-9)


def test_likelihood_ratios_are_of_the_same_shares():
    pens = 0.8 * TABLE["pen"].str[1:].astype(float)
    table = TABLE.assign(y=TABLE["y"] + pens)
    term = "(1 | mm(g1, g2, weights=[u, v]))"
    small = bl.fit_reml(f"y ~ x + {term}", table, method="ML")
    large = bl.fit_reml(f"y ~ x + {term} + (1 | pen)", table, method="ML")
    assert isinstance(bl.likelihood_ratio_test(small, large), pd.DataFrame)
    other = bl.fit_reml("y ~ x + (1 | mm(g1, g2)) + (1 | pen)", table, method="ML")
    with pytest.raises(ArgumentError, match="the covariance that the levels of 'mm"):
        bl.likelihood_ratio_test(small, other)


def test_the_parameters_of_simulated_rows_are_found():
    table = memberships.membership_table(seed=3, n=800, n_members=60)
    design = bl.build_design("y ~ x + (1 | mm(g1, g2, weights=[u, v]))", table)
    truth = {"beta": {"Intercept": 1.0, "x": 0.5}, "sd": {NAME: 1.5}, "sigma": 0.7}
    y, effects = bl.simulate_response(design, **truth, random_seed=2)
    fit = bl.fit_bayes(str(design.formula), table.assign(y=y), **QUICK)
    drawn = fit["posterior"]
    for name, value in ((f"sd_{NAME}", 1.5), ("sigma", 0.7)):
        own = drawn[name].to_numpy().ravel()
        assert abs(own.mean() - value) < 3 * own.std()
    mean = drawn[f"b_{NAME}"].mean(("chain", "draw")).to_numpy()[:, 0]
    assert np.corrcoef(mean, effects[NAME][:, 0])[0, 1] > 0.97


def test_what_is_drawn_from_priors_and_parameters_is_shared():
    design = bl.build_design(FORMULA, TABLE)
    given = {"beta": {"Intercept": 0.0, "x": 0.0}, "sd": {NAME: [1.0, 2.0], "pen": 0.0}}
    y, effects = bl.simulate_response(design, **given, sigma=0.0, random_seed=1)
    z = np.column_stack([np.ones(len(TABLE)), TABLE["x"]])
    np.testing.assert_allclose(y, np.einsum("nm,nq,mq->n", SHARES, z, effects[NAME]), atol=1e-12)
    prior = bl.sample_prior(FORMULA, TABLE, draws=20, random_seed=1)
    assert prior["prior"][NAME].to_numpy().tolist() == LABELS


@pytest.mark.parametrize("form", ["centered", "noncentered"])
def test_the_graph_shares_effects_among_rows(form):
    design = bl.build_design("y ~ x + (1 | mm(g1, g2, weights=[u, v]))", TABLE)
    graph = parametrization_named(form).build(Model.of(design).at_means)
    named = [graph[f"b_{NAME}"], graph[names.LINEAR_PREDICTOR], graph["beta"]]
    turn = graph.compile_fn(
        graph.replace_rvs_by_values(named), inputs=graph.value_vars, mode=SLOW_BUT_INSTANT,
        on_unused_input="ignore",
    )  # fmt: skip
    rng = np.random.default_rng(4)
    start = graph.initial_point()
    point = {k: v + rng.uniform(0.2, 0.8, np.shape(v)) for k, v in start.items()}
    b, eta, beta = turn({v.name: point[v.name] for v in graph.value_vars})
    assert b.shape == (len(LABELS), 1)
    X = np.column_stack([np.ones(len(TABLE)), TABLE["x"]])
    np.testing.assert_allclose(eta, X @ beta + SHARES @ b[:, 0], rtol=1e-10)


def test_variances_and_covariances_of_rows(fit):
    level = LABELS[2]
    mine = np.flatnonzero(SHARES[:, 2])
    block = bl.marginal_covariance(fit, factor=NAME, level=level).to_numpy()
    z, post = np.column_stack([np.ones(len(TABLE)), TABLE["x"]]), fit["posterior"]
    sd, corr = post[f"sd_{NAME}"].to_numpy(), post[f"corr_{NAME}"].to_numpy()
    G = (sd[..., :, None] * corr * sd[..., None, :]).mean(axis=(0, 1))
    pens = TABLE["pen"].to_numpy()
    whole = (SHARES @ SHARES.T) * (z @ G @ z.T)
    share = whole.diagonal().mean()
    whole = whole + (post["sd_pen"] ** 2).mean().item() * (pens[:, None] == pens)
    whole += np.eye(len(TABLE)) * (post["sigma"] ** 2).mean().item()
    np.testing.assert_allclose(block, whole[np.ix_(mine, mine)])
    icc = bl.icc(fit)
    assert 0.0 < icc.loc[NAME, "mean"] < 1.0
    assert share > 0.0
    groups = bl.check_groups(fit, factor=NAME, random_seed=1, draws=20)
    assert groups["rows"].tolist() == np.count_nonzero(SHARES, axis=0).tolist()


def refused(error, said, call):
    with pytest.raises(error, match=said):
        call()


def build(formula="y ~ x + (1 | mm(g1, g2, weights=[u, v]))", **changed):
    return bl.build_design(formula, TABLE.assign(**changed))


def test_what_the_table_may_not_hold():
    u = TABLE["u"].to_numpy().copy()
    u[3] = -1.0
    refused(DataError, "'u' are not so, the first is -1 in row 3", lambda: build(u=u))
    u[3] = np.inf
    refused(DataError, "the first is inf in row 3", lambda: build(u=u))
    nothing = TABLE["u"].where(TABLE.index != 7, 0.0)  # v is 0 there
    refused(DataError, "'u' and 'v' of 'mm.*all zero in row 7", lambda: build(u=nothing))
    refused(DataError, "'u' are not numbers", lambda: build(u=TABLE["g1"]))
    refused(DataError, "'g1' holds text, 'g2' numbers",
            lambda: build(g2=np.arange(len(TABLE)) % 4))  # fmt: skip
    refused(FormulaError, "no column 'w'", lambda: build("y ~ (1 | mm(g1, g2, weights=[u, w]))"))
    twice = "y ~ (1 | mm(g1, g2)) + (0 + x | mm(g1, g2, weights=[u, v]))"
    refused(FormulaError, "different weights", lambda: build(twice))
    refused(FormulaError, "spell it one way",
            lambda: build("y ~ (1 | mm(g1, g2)) + (0 + x | mm(g2, g1))"))  # fmt: skip
    with pytest.warns(bl.DataWarning, match="missing values: g2 1, v 1"):
        design = build(g2=TABLE["g2"].where(TABLE.index != 1),
                       v=TABLE["v"].where(TABLE.index != 2))  # fmt: skip
    assert design.n == len(TABLE) - 2


def test_members_are_labels_of_any_kind():
    first = np.arange(len(TABLE)) % 11
    numbers = build("y ~ (1 | mm(g1, g2))", g1=first, g2=(first * 3.0) % 12)
    assert numbers.factors[0].levels.tolist() == [str(k) for k in range(12) if k != 11] + (
        ["11"] if 11 in (first * 3) % 12 else []
    )
    order = ["s7", "s5", *[s for s in LABELS if s not in ("s5", "s7")]]
    both = {name: pd.Categorical(TABLE[name], order) for name in ("g1", "g2")}
    assert build("y ~ (1 | mm(g1, g2))", **both).factors[0].levels.tolist() == order
    filler = TABLE["g2"].where(TABLE["v"] > 0, "nobody")
    assert build(g2=filler).factors[0].levels.tolist() == LABELS


def test_three_members_and_terms_of_one_factor():
    third = TABLE["g1"].to_numpy()[::-1]
    design = build("y ~ x + (1 | mm(g1, g2, g3)) + (0 + x | mm(g1, g2, g3))", g3=third)
    factor, (labels, shares) = (
        design.factors[0],
        memberships.shares(TABLE.assign(g3=third), ("g1", "g2", "g3")),
    )
    assert factor.levels.tolist() == labels
    assert factor.terms == ("Intercept", "x")
    np.testing.assert_allclose(factor.latent.matrix[factor.index].toarray(), shares, atol=1e-15)


def test_a_state_travels_with_it():
    state = build().state
    assert bl.DesignState.from_json(state.to_json()) == state


def test_questions_by_level_are_refused(fit):
    said = "parts rows by their levels, and a row has several of 'mm"
    refused(ArgumentError, said, lambda: bl.loo(fit, unit="group", factor=NAME))
    refused(ArgumentError, said, lambda: bl.shrinkage(fit, factor=NAME))
    refused(ArgumentError, said, lambda: bl.r_squared(fit, by_level=NAME))
    refused(ArgumentError, said, lambda: bl.plot_levels(fit, factor=NAME))
    refused(ArgumentError, said, lambda: bl.plot_shrinkage(fit, factor=NAME))
    counts = TABLE.assign(y=np.arange(len(TABLE)) % 4)
    formula = "y ~ x + (1 | mm(g1, g2))"
    design = bl.build_design(formula, counts, family="poisson")
    refused(ArgumentError, "fit by fit_bayes", lambda: bl.fit_ml(design))
    for sampler in ("quadrature", "laplace_chain"):
        refused(ArgumentError, "latent levels",
                lambda s=sampler: bl.fit_bayes(formula, counts, family="poisson",
                                               sampler=s))  # fmt: skip


def test_update_reads_the_weights_again(fit):
    again = bl.update(fit, ". ~ . - (1 | pen)", **QUICK)
    assert again["posterior"][NAME].to_numpy().tolist() == LABELS
    assert again.attrs["formula"].endswith("(1 + x | mm(g1, g2, weights=[u, v]))")
