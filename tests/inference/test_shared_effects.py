"""Effects of many draws from few factorizations."""

import designs
import numpy as np
import pytest

from bayeslmm.gram import likelihood
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.reduction import reduce_exactly
from bayeslmm.inference.importance.shared_effects import cut_cells, draw_shared_effects
from bayeslmm.kernels.elimination.draws import draw_joint
from bayeslmm.results.kept_effects import EffectsStore, KeptEffects

KINDS = ("crossed", "three_crossed", "nested_and_crossed", "slope")


def store_for(design, count, effects="draws", seed=0):
    kept = KeptEffects.of(design, effects)
    return EffectsStore(design, kept, (1, count), rng=np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [False, True])
def test_a_cell_draws_what_single_draws_would(kind, given):
    """The same standard normals give the same beta and b as one factorization per draw."""
    design = designs.random_design(kind, seed=4, weighted=True)
    gram = Gram.from_design(design)
    plan, rng = gram.plan, np.random.default_rng(1)
    lams = np.array([designs.pack(designs.random_factors(design, seed=k)) for k in range(3)])
    starts = np.array([0, 2, 3, 6])
    sigma = rng.uniform(0.5, 2.0, 6)
    mean, precision = np.array([1.0, 0.0, 2.0]), np.diag([1.0, 0.0, 0.5])
    fixed = rng.standard_normal((6, 3))
    random = rng.standard_normal((6, plan.n_columns))
    one, other = (fixed.copy(), random.copy()), (fixed.copy(), random.copy())
    logdet, cross = draw_joint(
        plan.ints, plan.floats, lams, starts, sigma, mean, precision, *one, given, True
    )
    single = lams[np.repeat(np.arange(3), np.diff(starts))]
    nothing = draw_joint(
        plan.ints, plan.floats, single, np.arange(7), sigma, mean, precision, *other, given, False
    )
    assert [len(part) for part in nothing] == [0, 0]
    # Several draws at a time add up in another order than one.
    np.testing.assert_allclose(one[0], other[0], rtol=1e-9)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-8, atol=1e-10)
    exact = reduce_exactly(gram, lams)
    np.testing.assert_allclose(logdet, exact.logdet, rtol=1e-12)
    np.testing.assert_allclose(cross, exact.cross, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("given", [False, True])
def test_a_cell_that_cannot_be_factored_leaves_the_others_alone(given):
    design = designs.random_design("crossed", seed=4)
    plan = Gram.from_design(design).plan
    lams = designs.pack(designs.random_factors(design)) * np.array([[1.0], [1e200], [1.0]])
    fixed, random = np.ones((3, 3)), np.ones((3, plan.n_columns))
    logdet, _ = draw_joint(
        plan.ints, plan.floats, lams, np.arange(4), np.ones(3), np.zeros(3), np.eye(3),
        fixed, random, given, True,
    )  # fmt: skip
    assert logdet[1] == -np.inf
    assert np.isnan(random[1]).all()
    assert logdet[0] == logdet[2]
    np.testing.assert_array_equal(random[0], random[2])
    np.testing.assert_array_equal(fixed[0], fixed[2])
    assert np.isfinite(random[0]).all()
    if given:
        np.testing.assert_array_equal(fixed, 1.0)
    else:
        assert np.isnan(fixed[1]).all()


def test_draws_have_the_moments_of_the_conditional():
    design = designs.random_design("crossed", seed=5)
    gram = Gram.from_design(design)
    packed = designs.pack(designs.random_factors(design, seed=1))
    count = 20_000
    store = store_for(design, count)
    shared = draw_shared_effects(
        gram, np.tile(packed, (count, 1)), np.full(count, 1.3), store, n_cells=5, threads=2
    )
    assert len(shared.anchors) == 1  # there is one distinct relative factor only
    moments = likelihood.conditional(gram, likelihood.unpack_factors(gram, packed), 1.3)
    pairs = [(shared.beta, moments.beta, np.diag(moments.beta_cov))]
    for factor, modes, cov in zip(design.factors, moments.modes, moments.marginal_cov, strict=True):
        drawn = store.posterior()[f"b_{factor.name}"][0]
        pairs.append((drawn, modes, np.diagonal(cov, axis1=1, axis2=2)))
    for drawn, mean, variance in pairs:
        # Some 30 means and variances in Monte Carlo standard errors: beyond 4.5 once in 5,000.
        error = np.sqrt(variance / count)
        assert np.abs((drawn.mean(axis=0) - mean) / error).max() < 4.5
        ratio = drawn.var(axis=0) / variance
        assert np.abs(ratio - 1.0).max() < 4.5 * np.sqrt(2.0 / count)


def test_draws_stand_in_their_own_places():
    """Each draw's effects follow its own relative factor: here two that differ a thousandfold."""
    design = designs.random_design("crossed", seed=5)
    gram = Gram.from_design(design)
    packed = designs.pack(designs.random_factors(design, seed=1))
    large = np.arange(40) % 3 == 0
    lams = packed * np.where(large, 1.0, 1e-3)[:, None]
    store = store_for(design, 40)
    shared = draw_shared_effects(gram, lams, np.ones(40), store, n_cells=2)
    sizes = np.abs(store.posterior()["b_h"][0]).max(axis=(1, 2))
    assert sizes[large].min() > 10 * sizes[~large].max()
    assert set(large[shared.anchors]) == {True, False}


def test_moments_and_chosen_levels_are_those_of_all_draws(monkeypatch):
    design = designs.random_design("crossed", seed=6)
    gram = Gram.from_design(design)
    base = designs.pack(designs.random_factors(design, seed=1))
    lams = base * np.random.default_rng(0).uniform(0.9, 1.1, (50, 1))
    # Many small batches, so that their order and their moments are put together again.
    monkeypatch.setattr("bayeslmm.inference.importance.shared_effects._BATCH_VALUES", 1)
    stores = {
        kind: store_for(design, 50, effects)
        for kind, effects in {
            "draws": "draws", "moments": "moments", "some": {"h": ["h001", "h003"]},
        }.items()
    }  # fmt: skip
    for store in stores.values():
        draw_shared_effects(gram, lams, np.ones(50), store, n_cells=7)
    drawn = stores["draws"].posterior()["b_h"][0]
    mean, sd = stores["moments"].moments()["h"]
    np.testing.assert_allclose(mean, drawn.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(sd, drawn.std(axis=0, ddof=1), rtol=1e-9)
    np.testing.assert_array_equal(stores["some"].posterior()["b_h"][0], drawn[:, [1, 3]])


def test_cells_are_neighbours_of_equal_size_with_a_member_each():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(1003, 2))
    cells = cut_cells(points, 60, rng)
    assert sorted(np.concatenate(cells.members).tolist()) == list(range(1003))
    sizes = [len(member) for member in cells.members]
    assert len(sizes) == 60
    assert max(sizes) - min(sizes) <= 3
    assert all(a in m for a, m in zip(cells.anchors, cells.members, strict=True))
    within = np.concatenate([points[m] - points[m].mean(axis=0) for m in cells.members])
    # 60 square cells over the bulk of a normal cloud would have a side of some 0.5, so 0.15.
    assert within.std() < 0.3
    # A stratified sample: the anchors' mean varies a third as much as that of 60 random draws.
    means = np.array(
        [points[cut_cells(points, 60, np.random.default_rng(k)).anchors].mean(axis=0)
         for k in range(60)]
    )  # fmt: skip
    assert np.std(means - points.mean(axis=0)) < 0.5 / np.sqrt(60)
