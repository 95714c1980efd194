"""Fits whose related levels are nodes with a sparse precision, beside those by a dense matrix."""

import known
import numpy as np
import pytest
from designs import at_zero

import bayeslmm as bl
from bayeslmm.analysis.reml_comparison.numbers import draw_deviances
from bayeslmm.errors import ArgumentError
from bayeslmm.gram.border.sparse.suited import suited_gram
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import conditional
from bayeslmm.inference.marginal.target import MarginalTarget

N = 60
TREE = bl.phylogeny(known.random_tree(N, seed=5))
FORMULA = "y ~ x + (1 | gr(species, cov=A)) + (1 | own)"
PRIORS = {
    "defaults": {},
    "kept beta": {"beta": "StudentT(4, 0, 2)", "Intercept": "Cauchy(1, 3)"},
}


def rows(tree=TREE, rows=3, seed=7):
    rng = np.random.default_rng(seed)
    labels = list(tree.labels)[:-2]  # two of the tips have no rows
    species = np.repeat(labels, rows)
    root = np.linalg.cholesky(tree.covariance_of(labels))
    b, slope = root @ rng.standard_normal(len(labels)), root @ rng.standard_normal(len(labels))
    x, own = rng.normal(0.5, 1.0, len(species)), 0.5 * rng.standard_normal(len(labels))
    y = 1.0 + 0.5 * x + np.repeat(b + own, rows) + 0.5 * rng.standard_normal(len(species))
    at = rng.integers(0, 4, len(species))
    bent = y + np.repeat(slope, rows) * x + np.array([-1.0, 0.0, 0.5, 1.0])[at]
    site = np.array(list("uvwz"))[at]
    return {"y": y, "bent": bent, "x": x, "species": species, "own": species, "site": site}


TABLE, KNOWN, BORDERS = rows(), {"A": TREE}, ("dense", "sparse")


@pytest.mark.parametrize("priors", PRIORS.values(), ids=PRIORS)
@pytest.mark.parametrize(
    "formula",
    [FORMULA, "y ~ x + (x | gr(species, cov=A)) + (1 | site)",
     "y ~ x + cs(0 + site | own) + (1 | gr(species, cov=A))"],
)  # fmt: skip
def test_the_posterior_density_is_that_of_the_dense_matrix(formula, priors):
    design = bl.build_design(formula, TABLE, known=KNOWN)
    resolved = at_zero(bl.resolve_priors(design, priors))
    dense = MarginalTarget(Gram.from_design(design), resolved)
    sparse = MarginalTarget(Gram.of_nodes(design), resolved)
    rng = np.random.default_rng(1)
    low, high = dense.prior_quantiles(0.2), dense.prior_quantiles(0.6)
    points = dense.point(low + (high - low) * rng.uniform(size=(4, dense.size)))
    # Sums over 174 rows and as many columns.
    np.testing.assert_allclose(sparse.log_density(points), dense.log_density(points), rtol=1e-9)
    for point in points:
        value, slope = sparse.log_density_and_gradient(point)
        expected, known_slope = dense.log_density_and_gradient(point)
        assert value == pytest.approx(expected, rel=1e-9)
        np.testing.assert_allclose(slope, known_slope, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("formula", [FORMULA, "bent ~ x + (x | gr(species, cov=A)) + (1 | site)"])
def test_reml_is_that_of_the_dense_matrix(formula, method):
    how = {"known": KNOWN, "method": method}
    dense = bl.fit_reml(formula, TABLE, **how)
    sparse = bl.fit_reml(formula, TABLE, border="sparse", **how)
    assert (dense.border.method, sparse.border.method) == ("dense", "sparse")
    assert sparse.criterion == pytest.approx(dense.criterion, abs=1e-6)
    for name, modes in dense.random_effects.items():
        # Where searches end within 1e-6 of the minimum, estimates agree to its root.
        np.testing.assert_allclose(sparse.random_effects[name], modes, atol=1e-3)
    np.testing.assert_allclose(sparse.fixed_effects, dense.fixed_effects, rtol=1e-3)


def test_the_modes_of_one_fit_are_those_of_the_dense_matrix():
    sparse = bl.fit_reml(FORMULA, TABLE, known=KNOWN, border="sparse")
    gram = Gram.from_design(bl.build_design(FORMULA, TABLE, known=KNOWN))
    known_ = conditional(gram, sparse.factors, sparse.scale)
    for ours, theirs in zip(sparse.conditional.marginal_cov, known_.marginal_cov, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_limits_and_the_mode_are_those_of_the_dense_matrix():
    dense, sparse = (bl.fit_reml(FORMULA, TABLE, known=KNOWN, border=border) for border in BORDERS)
    for method in ("profile", "wald"):
        ours, theirs = (bl.confidence_intervals(fit, method=method) for fit in (sparse, dense))
        # Searches end within 1e-6 of a deviance's minimum, and limits move with its root.
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-3)
    assert bl.check_mode(sparse)["is_mode"].all()


QUICK = {"known": KNOWN, "sampler": "importance", "progressbar": False}


@pytest.fixture(scope="module")
def fits():
    return [
        bl.fit_bayes(FORMULA, TABLE, border=border, random_seed=seed, **QUICK)
        for seed, border in enumerate(BORDERS, start=1)
    ]


def test_the_posterior_is_that_of_the_dense_matrix(fits):
    dense, sparse = fits
    assert sparse.attrs["border"] == "sparse"
    assert sparse.sample_stats.attrs["pareto_k"] < 0.7
    for name in ("beta", "sigma", "sd_species", "sd_own", "b_species", "b_own"):
        ours, theirs = (
            tree.posterior[name].to_numpy().reshape(4000, -1) for tree in (sparse, dense)
        )
        sd = theirs.std(axis=0)
        # Four standard errors of a difference of 4,000 nearly independent draws each; of 236
        # effects one in a hundred thousand lies beyond.
        error = sd * np.sqrt(2 / 3000)
        assert (np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) < 4.5 * error).all(), name
        assert (np.abs(np.log(ours.std(axis=0) / sd)) < 4.5 * np.sqrt(1 / 3000)).all(), name
    difference = (
        sparse.sample_stats.attrs["log_evidence"] - dense.sample_stats.attrs["log_evidence"]
    )
    assert abs(difference) < 0.1  # of means of 8,000 weights


def test_many_levels_are_taken_as_nodes_without_being_asked(monkeypatch):
    design = bl.build_design(FORMULA, TABLE, known=KNOWN)
    assert not suited_gram(design).by_nodes
    monkeypatch.setattr("bayeslmm.gram.border.sparse.related.FEW_COLUMNS", 10)
    monkeypatch.setattr("bayeslmm.gram.border.sparse.related._PER_MULTIPLICATION", 1.0)
    # Values that cost enough are interpolated, and effects share factors.
    monkeypatch.setattr("bayeslmm.inference.importance.interpolated_target._EXPENSIVE_SPARSELY", 0)
    assert suited_gram(design).by_nodes
    fit = bl.fit_bayes(FORMULA, TABLE, known=KNOWN, random_seed=1, progressbar=False)
    assert fit.attrs["sampler"] == "importance"
    assert fit.attrs["border"] == "sparse"
    assert "58 columns of related levels hang together" in fit.attrs["border_reason"]
    assert fit.sample_stats.attrs["surrogate"] == "interpolated"
    reml = bl.refit_reml(fit)
    assert reml.border.method == "sparse"
    drawn = fit["posterior"]["b_species"].mean(("chain", "draw")).to_numpy()[:, 0]
    modes = reml.random_effects["species"]["Intercept"]
    assert np.corrcoef(drawn, modes)[0, 1] > 0.99


def test_deviances_of_draws_are_those_of_the_dense_matrix(fits):
    dense, sparse = (bl.fit_reml(FORMULA, TABLE, known=KNOWN, border=b) for b in BORDERS)
    ours, theirs = (draw_deviances(fits[0], fit) for fit in (sparse, dense))
    # Of each fit's own minimum, which searches find within 1e-6.
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_levels_without_rows_are_foretold_alike(fits):
    new = {"x": [0.0, 0.0], "species": list(TREE.labels)[-2:], "own": ["s0", "s1"]}
    dense, sparse = (
        bl.predict(tree, new, random_seed=1).to_numpy().reshape(4000, 2) for tree in fits
    )
    error = dense.std(axis=0) * np.sqrt(2 / 3000)
    assert (np.abs(dense.mean(axis=0) - sparse.mean(axis=0)) < 4.5 * error).all()


def test_moments_of_effects_are_kept():
    fit = bl.fit_bayes(FORMULA, TABLE, border="sparse", effects="moments", random_seed=1, **QUICK)
    held = fit["effects_moments"]
    for name in ("species", "own"):
        assert np.isfinite(held[f"b_{name}_mean"]).all()


def test_what_has_no_nodes_is_refused_by_name():
    labels = sorted(set(TABLE["species"]))
    matrix = {"A": (TREE.covariance_of(labels), labels)}
    with pytest.raises(ArgumentError, match=r"bl\.precision\(Q, levels\)"):
        bl.fit_reml(FORMULA, TABLE, known=matrix, border="sparse")
    with pytest.raises(ArgumentError, match="border='krylov' is for two or more crossed factors"):
        bl.fit_reml(FORMULA, TABLE, known=KNOWN, border="krylov")
    with pytest.raises(ArgumentError, match="sampler='importance'"):
        bl.fit_bayes(
            FORMULA, TABLE, known=KNOWN, border="sparse", sampler="nutpie",
            parametrization="marginal",
        )  # fmt: skip


def test_a_dense_question_says_what_to_do():
    gram = Gram.of_nodes(bl.build_design(FORMULA, TABLE, known=KNOWN))
    with pytest.raises(ArgumentError, match="border='dense'"):
        _ = gram.plan
