"""Levels without rows, foretold from their relatives, and variances of related levels."""

import known
import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.analysis.prediction.new_levels import NewLevels, RelatedLevels
from bayeslmm.analysis.variance.studies import study_estimates
from bayeslmm.errors import DataError, TreeError

TABLE = known.related_table()
ANIMALS = sorted(set(TABLE["animal"]))
A = known.random_covariance(["b2", *ANIMALS[::-1], "b0", "b1"], seed=2)
FORMULA = "y ~ x + (x | gr(animal, cov=A)) + (1 | pen)"
NEW = ["b2", "b0", "b1"]


@pytest.fixture(scope="module")
def fit():
    return bl.fit_bayes(
        FORMULA, TABLE, known={"A": A}, parametrization="marginal", sampler="importance",
        random_seed=1, progressbar=False, draws=250,
    )  # fmt: skip


def rows(*animals, x=2.0):
    return {"x": [x] * len(animals), "animal": list(animals), "pen": ["p0"] * len(animals)}


def test_foretold_effects_have_the_conditional_normal_distribution():
    relationship = bl.known_covariance(A)
    s, q = 20_000, 2
    root = np.array([[1.0, 0.0], [0.5, 0.8]])
    effects = np.random.default_rng(1).standard_normal((len(ANIMALS), q))
    roots = np.broadcast_to(root, (s, q, q))
    noise = NewLevels("animal", roots, np.arange(s), s, seed=3)
    spread = np.repeat(effects[:, :, None], s, axis=2)
    related = RelatedLevels(relationship, tuple(ANIMALS), spread, noise)
    drawn = related.effects(NEW)
    known_, across = A.loc[ANIMALS, ANIMALS], A.loc[NEW, ANIMALS]
    weights = across.to_numpy() @ np.linalg.inv(known_)
    left = A.loc[NEW, NEW].to_numpy() - weights @ across.to_numpy().T
    mean = weights @ effects
    covariance = np.kron(left, root @ root.T)
    flat = drawn.reshape(len(NEW) * q, s)
    sd = np.sqrt(np.diag(covariance))
    # Five standard errors of 20,000 draws.
    assert np.abs((flat.mean(axis=1) - mean.ravel()) / sd).max() < 5 / np.sqrt(s)
    scaled = np.abs(np.cov(flat) - covariance) / np.outer(sd, sd)
    assert scaled.max() < 5 * np.sqrt(2 / s)
    np.testing.assert_allclose(related.shares(NEW), np.diag(left))
    np.testing.assert_allclose(related.at_mean().effects(NEW)[:, :, 0], mean)
    # Whichever levels are asked for, and in whichever order.
    np.testing.assert_allclose(related.effects(["b1", "b2"]), drawn[[2, 0]])


def test_they_have_it_by_nodes_too(monkeypatch):
    tree = bl.phylogeny(known.random_tree(30))
    levels, new = tuple(f"s{k}" for k in range(20)), ["s25", "s21", "s29"]
    s = 20_000
    root = np.array([[1.0, 0.0], [0.5, 0.8]])
    effects = np.random.default_rng(1).standard_normal((20, 2))
    spread = np.repeat(effects[:, :, None], s, axis=2)
    noise = NewLevels("g", np.broadcast_to(root, (s, 2, 2)), np.arange(s), s, seed=3)
    dense = RelatedLevels(tree, levels, spread, noise)
    shares, means = dense.shares(new), dense.at_mean().effects(new)
    monkeypatch.setattr("bayeslmm.analysis.prediction.new_levels._MANY", 10)
    related = RelatedLevels(tree, levels, spread, noise)
    np.testing.assert_allclose(related.shares(new), shares, rtol=1e-10)
    np.testing.assert_allclose(related.at_mean().effects(new), means, atol=1e-10)
    drawn = related.effects(new)
    A = tree.covariance_of([*levels, *new])
    left = A[20:, 20:] - A[20:, :20] @ np.linalg.solve(A[:20, :20], A[:20, 20:])
    covariance = np.kron(left, root @ root.T)
    sd = np.sqrt(np.diag(covariance))
    scaled = np.abs(np.cov(drawn.reshape(6, s)) - covariance) / np.outer(sd, sd)
    assert scaled.max() < 5 * np.sqrt(2 / s)  # five standard errors
    np.testing.assert_allclose(related.effects(["s29", "s25"]), drawn[[2, 0]])


@pytest.mark.parametrize("most", [10, 1000])
def test_without_levels_that_had_rows_effects_have_the_whole_covariance(monkeypatch, most):
    monkeypatch.setattr("bayeslmm.analysis.prediction.new_levels._MANY", most)
    tree, some, s = bl.phylogeny(known.random_tree(30)), ["s25", "s3", "s29"], 20_000
    noise = NewLevels("g", np.ones((s, 1, 1)), np.arange(s), s, seed=3)
    related = RelatedLevels(tree, (), np.zeros((0, 1, s)), noise)
    A, found = tree.covariance_of(some), np.cov(related.effects(some)[:, 0])
    sd = np.sqrt(np.diag(A))
    assert (np.abs(found - A) / np.outer(sd, sd)).max() < 5 * np.sqrt(2 / s)
    np.testing.assert_allclose(related.totals([*some, "s3"]), np.diag(A)[[0, 1, 2, 1]])


def test_levels_that_the_covariance_holds_are_foretold(fit):
    both = bl.predict(fit, rows("b0", "a1"), random_seed=1)
    alone = bl.predict(fit, rows("b0"), random_seed=1)
    np.testing.assert_allclose(both[..., :1], alone)
    sampled = bl.predict(fit, rows("b0"), random_seed=1, new_levels="sample")
    np.testing.assert_allclose(sampled, alone)
    # Given the effects at hand, an animal without rows is less certain than others, and the
    # average over what is left open is nothing but its conditional mean.
    assert both[..., 0].std() > both[..., 1].std()
    average = bl.predict(fit, rows("b0"), new_levels="average")
    draws = fit["posterior"]
    weights = A.loc["b0", ANIMALS].to_numpy() @ np.linalg.inv(A.loc[ANIMALS, ANIMALS])
    effect = draws["b_animal"].sel(animal=ANIMALS).to_numpy()
    mean = np.einsum("m,cdmq->cdq", weights, effect)
    expected = (
        draws["beta"].to_numpy() @ [1.0, 2.0] + mean @ [1.0, 2.0]
        + draws["b_pen"].sel(pen="p0").to_numpy()[..., 0]
    )  # fmt: skip
    np.testing.assert_allclose(average[..., 0], expected)
    zero = bl.predict(fit, rows("b0"), new_levels="population")
    np.testing.assert_allclose(zero[..., 0] + mean @ [1.0, 2.0], expected)


def test_levels_that_it_does_not_hold_are_refused(fit):
    for policy in ("error", "sample", "average"):
        with pytest.raises(DataError, match="neither the fit saw nor its known covariance holds"):
            bl.predict(fit, rows("zz"), new_levels=policy)
    assert np.isfinite(bl.predict(fit, rows("zz"), new_levels="population")).all()


def test_every_animal_of_a_pedigree_has_a_prediction():
    parents = pd.DataFrame(
        {"id": ["s", "d", *"uvwxyz"], "sire": [None, None, *["s"] * 6],
         "dam": [None, None, *["d"] * 6]}
    )  # fmt: skip
    rng = np.random.default_rng(2)
    table = pd.DataFrame({"animal": list("uvwxy") * 3, "y": rng.standard_normal(15)})
    fit = bl.fit_bayes(
        "y ~ 1 + (1 | gr(animal, cov=A))", table, known={"A": bl.pedigree(parents)},
        parametrization="marginal", sampler="importance", random_seed=1, progressbar=False,
        draws=250,
    )  # fmt: skip
    found = bl.predict(fit, {"animal": ["s", "d", "z"]}, random_seed=1)
    assert np.isfinite(found).all()


def test_shares_are_of_the_mean_diagonal(fit):
    draws = fit["posterior"]
    sd, corr = draws["sd_animal"].to_numpy(), draws["corr_animal"].to_numpy()
    G = sd[..., :, None] * corr * sd[..., None, :]
    z = np.column_stack([np.ones(len(TABLE)), TABLE["x"]])
    diagonal = np.diag(A.loc[TABLE["animal"], TABLE["animal"]])
    own = np.einsum("ni,cdij,nj,n->cd", z, G, z, diagonal) / len(TABLE)
    whole = own + draws["sd_pen"].to_numpy()[..., 0] ** 2 + draws["sigma"].to_numpy() ** 2
    expected = (own / whole).mean()
    assert bl.icc(fit).loc["animal", "mean"] == pytest.approx(expected)
    assert bl.heritability(fit).loc["animal", "mean"] == pytest.approx(expected)
    assert bl.heritability(fit, "animal", at={"x": 0.0}).loc["animal", "at"] == "x=0.0"


def test_design_effect_and_marginal_covariance_have_the_relations(fit):
    draws = fit["posterior"]
    z = np.column_stack([np.ones(len(TABLE)), TABLE["x"]])
    related = A.loc[TABLE["animal"], TABLE["animal"]].to_numpy()
    pens = TABLE["pen"].to_numpy()[:, None] == TABLE["pen"].to_numpy()
    sd, corr = draws["sd_animal"].to_numpy(), draws["corr_animal"].to_numpy()
    G = (sd[..., :, None] * corr * sd[..., None, :]).reshape(-1, 2, 2)
    V = [
        (z @ g @ z.T) * related + pens * p**2 + np.eye(len(z)) * s**2
        for g, p, s in zip(G, draws["sd_pen"].to_numpy().ravel(),
                           draws["sigma"].to_numpy().ravel(), strict=True)
    ]  # fmt: skip
    total = np.mean([v.sum() / np.trace(v) for v in V])
    assert bl.design_effect(fit).loc["total", "mean"] == pytest.approx(total)
    mine = np.flatnonzero(TABLE["herd"] == "h0")
    herd = bl.fit_bayes(
        "y ~ x + (x | gr(animal, cov=A)) + (1 | herd)", TABLE, known={"A": A}, draws=50,
        parametrization="marginal", sampler="importance", random_seed=1, progressbar=False,
    )  # fmt: skip
    block = bl.marginal_covariance(herd, level="h0", factor="herd").to_numpy()
    post = herd["posterior"]
    sd, corr = post["sd_animal"].to_numpy(), post["corr_animal"].to_numpy()
    G = (sd[..., :, None] * corr * sd[..., None, :]).reshape(-1, 2, 2)
    expected = np.einsum("ni,sij,mj->nm", z[mine], G, z[mine]) / len(G) * related[mine][:, mine]
    expected += (post["sd_herd"] ** 2).mean().item()
    expected += np.eye(len(mine)) * (post["sigma"] ** 2).mean().item()
    np.testing.assert_allclose(block, expected)


def test_r_squared_by_level_takes_relations_into_account(fit):
    table = bl.r_squared(fit, by_level="pen")
    assert table["mean"].between(0.0, 1.0).all()


def test_rows_of_leaving_one_out_are_of_the_effects(fit):
    values = bl.add_log_likelihood(fit)["log_likelihood"]["y"]
    draws = fit["posterior"]
    z = np.column_stack([np.ones(len(TABLE)), TABLE["x"]])
    b = draws["b_animal"].sel(animal=TABLE["animal"].tolist()).to_numpy()
    eta = np.einsum("nq,cdq->cdn", z, draws["beta"].to_numpy())
    eta = eta + np.einsum("nq,cdnq->cdn", z, b)
    eta = eta + draws["b_pen"].sel(pen=TABLE["pen"].tolist()).to_numpy()[..., 0]
    sigma = draws["sigma"].to_numpy()[..., None]
    expected = -0.5 * ((TABLE["y"].to_numpy() - eta) / sigma) ** 2 - np.log(
        sigma * np.sqrt(2 * np.pi)
    )
    np.testing.assert_allclose(np.asarray(values), expected)


def test_heritability_is_of_base_animals():
    # Of full sibs that mate: animals with 1.25 on the diagonal.
    parents = pd.DataFrame(
        {"id": ["s", "d", "m", "f", *"uvwxyz"], "sire": [None, None, "s", "s", *["m"] * 6],
         "dam": [None, None, "d", "d", *["f"] * 6]}
    )  # fmt: skip
    table = pd.DataFrame({"animal": list("uvwxyz") * 2, "y": [1, 4, 2, 2, 4, 3, 2, 4, 3, 3, 3, 2]})
    fit = bl.fit_reml("y ~ 1 + (1 | gr(animal, cov=A))", table, known={"A": bl.pedigree(parents)})
    components = fit.variance_components["variance"]
    own, residual = components["animal", "Intercept"], components["Residual", ""]
    share = bl.heritability(fit).loc["animal", "estimate"]
    assert share == pytest.approx(own / (own + residual))


def test_shares_of_levels_that_nobody_relates(fit):
    with pytest.raises(TreeError, match="'pen' is no factor with a known covariance"):
        bl.heritability(fit, "pen")
    other = bl.fit_reml("y ~ x + (1 | animal)", TABLE)
    with pytest.raises(TreeError, match="No factor"):
        bl.pagel_lambda(other)
    of_draws = bl.fit_bayes(
        "y ~ x + (1 | animal)", TABLE, parametrization="marginal", sampler="importance",
        random_seed=1, progressbar=False, draws=50,
    )  # fmt: skip
    with pytest.raises(TreeError, match="No factor"):
        bl.heritability(of_draws)


def test_lambda_of_carnivores_is_that_of_ape():
    table = bl.load_dataset("carnivora")
    A_ = bl.phylogeny(table.attrs["phylogeny"])
    fits = {
        method: bl.fit_reml(
            "logSB ~ logSW + (1 | gr(species, cov=A))", table, method=method, known={"A": A_}
        )
        for method in ("REML", "ML")
    }
    assert fits["REML"].criterion == pytest.approx(58.4675027930661, abs=1e-5)
    # corPagel's estimate, of six digits.
    assert bl.pagel_lambda(fits["REML"]).loc["species", "estimate"] == pytest.approx(
        0.731368730228815, abs=1e-4
    )
    assert fits["REML"].fixed_effects["std_error"].to_numpy() == pytest.approx(
        [0.218615067254772, 0.0237835454405633], rel=1e-3
    )


SMALL = known.random_covariance(list("abcd"), seed=4)


@pytest.mark.parametrize("family", trees.RESPONSES)
def test_shares_and_foretold_levels_of_every_family(family):
    trials = "size" if family in trees.OF_TRIALS else None
    response = {"family": family, "trials": trials, "known": {"A": SMALL}}
    formula, data = "y ~ x + (x | gr(g, cov=A))", trees.family_data(family)
    draws = trees.random_draws(formula, data, chains=2, draws=30, **response)
    draws |= {"nu": 4 * draws["nu"]} if "nu" in draws else {}
    tree = trees.make_tree(formula, data, draws, **response)
    share, shares = bl.heritability(tree), bl.icc(tree)
    assert share.loc["g", "mean"] == pytest.approx(shares.loc["g", "mean"])
    assert bl.pagel_lambda(tree).loc["g", "mean"] == pytest.approx(share.loc["g", "mean"])
    new = {"x": [0.5, 0.5], "g": ["a", "d"], "size": [3.0, 3.0]}
    for policy in ("error", "average"):
        found = bl.predict(tree, new, new_levels=policy, random_seed=1)
        assert np.isfinite(found).all()


def test_related_studies_are_shrunken_towards_their_relatives():
    labels = [f"s{k:02d}" for k in range(12)]
    place = np.arange(12)
    near = np.exp(-np.abs(place[:, None] - place) / 4)
    rng = np.random.default_rng(1)
    y = np.linalg.cholesky(near) @ rng.standard_normal(12) + 0.3 * rng.standard_normal(12)
    table = pd.DataFrame({"y": y, "se": 0.3, "study": labels})
    A_ = pd.DataFrame(near, labels, labels)
    fit = bl.fit_reml("y ~ 1 + (1 | gr(study, cov=A))", table, se="se", known={"A": A_})
    found = study_estimates(fit, 0.95, "eti", 1)
    assert list(found.levels) == labels
    # A study of one row has its own conditional mean.
    np.testing.assert_allclose(found.shrunken.centre, bl.fitted(fit), atol=1e-9)
