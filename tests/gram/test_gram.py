"""Gram: sums of rows, whatever their order, batches, labels or scale."""

from dataclasses import replace

import dense
import numpy as np
import pytest
from designs import KINDS, assemble, grouping, pack, random_design, random_factors

from bayeslmm.errors import DataError
from bayeslmm.gram.add import merge_levels
from bayeslmm.gram.blocks import is_nested
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import log_density, profiled_criterion

# Sums of 60 products of numbers near one, reduced by well-conditioned solves.
EXACT = 1e-9


def take(design, rows):
    """The design of some rows, its levels reduced to those that occur."""
    factors = []
    for factor in design.factors:
        kept, index = np.unique(factor.index[rows], return_inverse=True)
        factors.append(
            replace(
                factor,
                levels=factor.levels[kept],
                n_known=len(kept),
                index=index.astype(np.int64),
                columns=factor.columns[rows],
            )
        )
    return replace(
        design,
        y=design.y[rows],
        X=design.X[rows],
        factors=tuple(factors),
        weights=None if design.weights is None else design.weights[rows],
        offset=None if design.offset is None else design.offset[rows],
    )


def criteria(gram, lams):
    return [profiled_criterion(gram, pack(lams), restricted=r)[0] for r in (True, False)]


@pytest.mark.parametrize("kind", KINDS)
def test_batches_add_up_to_the_whole(kind):
    design = random_design(kind, 3, weighted=True, offset=True)
    lams = random_factors(design, 4)
    rows = np.arange(len(design.y))
    first = rows < 17  # leaves some levels to one batch only
    added = Gram.from_design(take(design, rows[first])) + Gram.from_design(
        take(design, rows[~first])
    )
    whole = Gram.from_design(design)
    assert added.n == whole.n
    assert added.sum_log_weights == pytest.approx(whole.sum_log_weights, rel=EXACT)
    for a, b in zip(added.factors, whole.factors, strict=True):
        assert a.levels.tolist() == b.levels.tolist()
    assert criteria(added, lams) == pytest.approx(criteria(whole, lams), rel=EXACT)


def test_batches_with_large_offsets_of_their_own_lose_no_more_than_the_whole():
    design = random_design("slope", 5)
    X = design.X.copy()
    X[:, 1] += 1e6
    y = design.y + 1e6
    columns = np.column_stack([np.ones(60), X[:, 1]])
    far = replace(design, X=X, y=y, factors=(replace(design.factors[0], columns=columns),))
    rows = np.arange(60)
    added = Gram.from_design(take(far, rows[:23])) + Gram.from_design(take(far, rows[23:]))
    lam = np.array([[0.7, 0.0], [0.0, 0.0]])
    near = replace(design, factors=(replace(design.factors[0], columns=columns - [0, 1e6]),))
    # Shifting a column or y by 1e6 leaves the ML criterion of a random intercept alone, and
    # rounds the data themselves in the tenth digit: that much may differ, not the square of it.
    for gram in (added, Gram.from_design(far)):
        value = profiled_criterion(gram, lam.ravel(), restricted=False)[0]
        exact = profiled_criterion(Gram.from_design(near), lam.ravel(), restricted=False)[0]
        assert value == pytest.approx(exact, abs=1e-7)


@pytest.mark.parametrize("kind", ["slope", "nested_and_crossed"])
def test_the_order_of_rows_does_not_matter(kind):
    design = random_design(kind, 6, weighted=True)
    lams = random_factors(design, 7)
    shuffled = take(design, np.random.default_rng(8).permutation(len(design.y)))
    assert criteria(Gram.from_design(shuffled), lams) == pytest.approx(
        criteria(Gram.from_design(design), lams), rel=EXACT
    )


@pytest.mark.parametrize("kind", ["slope", "three_levels", "three_crossed"])
def test_labels_and_their_order_do_not_matter(kind):
    design = random_design(kind, 9)
    lams = random_factors(design, 10)
    rng = np.random.default_rng(11)
    factors = []
    for factor in design.factors:
        turn = rng.permutation(len(factor.levels))
        factors.append(
            replace(factor, index=np.argsort(turn)[factor.index], levels=factor.levels[turn])
        )
    relabelled = replace(design, factors=tuple(factors))
    assert criteria(Gram.from_design(relabelled), lams) == pytest.approx(
        criteria(Gram.from_design(design), lams), rel=EXACT
    )


@pytest.mark.parametrize("kind", ["intercept", "slope", "crossed"])
def test_a_shifted_and_scaled_response_moves_the_criterion_as_algebra_says(kind):
    design = random_design(kind, 12)
    lams = random_factors(design, 13)
    n, p = design.X.shape
    moved = replace(design, y=1e3 + 50.0 * design.y)
    before, after = (criteria(Gram.from_design(d), lams) for d in (design, moved))
    assert after[0] == pytest.approx(before[0] + 2 * (n - p) * np.log(50.0), rel=EXACT)
    assert after[1] == pytest.approx(before[1] + 2 * n * np.log(50.0), rel=EXACT)


def test_whole_weights_equal_replicated_rows_up_to_the_rows_they_stand_for():
    design = random_design("slope", 14)
    counts = np.random.default_rng(15).integers(1, 4, size=len(design.y))
    weighted = replace(design, weights=counts.astype(float))
    repeated = take(design, np.repeat(np.arange(len(design.y)), counts))
    lams, sigma = random_factors(design, 16), 1.2
    one, many = (log_density(Gram.from_design(d), lams, sigma)[0] for d in (weighted, repeated))
    # The repeated rows' likelihood has N - n more normal densities at zero, and lacks sum(log w)/2.
    extra = (counts.sum() - len(counts)) * np.log(2 * np.pi * sigma**2)
    assert many == pytest.approx(one - 0.5 * extra - 0.5 * np.log(counts).sum(), rel=EXACT)


def test_columns_of_any_scale_give_the_criterion_of_the_dense_matrices():
    rng = np.random.default_rng(17)
    n = 64
    time = np.tile(np.arange(1.0, 9.0), 8) + 2000.0
    g = np.repeat(np.arange(8), 8)
    X = np.column_stack([np.ones(n), time, rng.normal(size=n) * 1e-6])
    y = 1e5 + 3.0 * time + rng.normal(size=n)
    design = assemble(y, X, [grouping("g", g, np.column_stack([np.ones(n), time / 1e3]))])
    lams = [np.array([[0.5, 0.0], [0.1, 0.2]])]
    # The dense twin itself solves with X'X of condition 1e13: compare in centred columns, where
    # log|X'V^-1 X| is less by 2 log of the columns' scales.
    easy = replace(design, X=np.column_stack([np.ones(n), time - time.mean(), X[:, 2] * 1e6]))
    easy = replace(easy, y=y - y.mean())
    shift = -2.0 * np.log(1e6)
    gram = Gram.from_design(design)
    for restricted in (True, False):
        value, _, sigma = profiled_criterion(gram, pack(lams), restricted=restricted)
        exact = dense.criterion(easy, lams, sigma, restricted) + shift * restricted
        assert value == pytest.approx(exact, abs=1e-7)


def test_a_column_that_is_zero_or_repeated_in_one_batch_adds_up_all_the_same():
    design = random_design("intercept", 18)
    X = design.X.copy()
    X[:30, 2] = 0.0
    X[:30, 1] = 1.0
    design = replace(design, X=X)
    rows = np.arange(60)
    added = Gram.from_design(take(design, rows[:30])) + Gram.from_design(take(design, rows[30:]))
    lams = random_factors(design, 19)
    assert criteria(added, lams) == pytest.approx(
        criteria(Gram.from_design(design), lams), rel=EXACT
    )


def test_levels_merge_in_order_or_by_first_appearance():
    assert merge_levels(np.array(["a", "c"]), np.array(["b", "c"]))[0].tolist() == ["a", "b", "c"]
    assert merge_levels(np.array(["2", "10"]), np.array(["3"]))[0].tolist() == ["2", "3", "10"]
    assert merge_levels(np.array(["c", "a"]), np.array(["b"]))[0].tolist() == ["c", "a", "b"]


def test_grams_of_different_models_do_not_add():
    a, b = (Gram.from_design(random_design(kind)) for kind in ("intercept", "slope"))
    with pytest.raises(DataError, match="random effects differ"):
        a + b
    with pytest.raises(TypeError):
        a + 1


def test_values_that_are_not_finite_are_refused_by_name():
    design = random_design("slope")
    with pytest.raises(DataError, match=r"'y' .* is nan in row 0"):
        Gram.from_design(replace(design, y=np.full(60, np.nan)))
    X = design.X.copy()
    X[3, 1] = np.inf
    with pytest.raises(DataError, match="Fixed-effect column 'x1'"):
        Gram.from_design(replace(design, X=X))
    factor = replace(design.factors[0], columns=np.full((60, 2), np.nan))
    with pytest.raises(DataError, match="factor 'g', 't0'"):
        Gram.from_design(replace(design, factors=(factor,)))


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan])
def test_a_weight_that_is_not_positive_is_refused(weight):
    weights = np.ones(60)
    weights[7] = weight
    with pytest.raises(DataError, match=r"weight of row 7 is .*1 of 60 weights"):
        Gram.from_design(replace(random_design("slope"), weights=weights))


def test_a_design_without_rows_is_refused():
    with pytest.raises(DataError, match="no rows"):
        Gram.from_design(take(random_design("slope"), np.zeros(0, dtype=int)))


@pytest.mark.parametrize("kind", KINDS)
def test_nestedness_is_that_of_the_rows(kind):
    design = random_design(kind, 3)
    gram = Gram.from_design(design)
    for k, inner in enumerate(design.factors):
        for m, outer in enumerate(design.factors):
            homes = [set(outer.index[inner.index == level]) for level in range(len(inner.levels))]
            wanted = all(len(home) <= 1 for home in homes)
            assert is_nested(inner.index, outer.index) == wanted
            if k != m:
                assert gram.is_nested(k, m) == wanted
                own, others, values = gram.pair_of(k, m).seen_from(k)
                assert sorted(zip(own, others, strict=True)) == sorted(
                    {*zip(inner.index, outer.index, strict=True)}
                )
                assert values.shape[1:] == (len(inner.terms), len(outer.terms))
                assert (np.diff(own) >= 0).all()
