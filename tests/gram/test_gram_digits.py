"""How many digits cross-products keep, against exact rational arithmetic."""

from fractions import Fraction
from functools import reduce
from operator import add

import numpy as np
import pytest

from bayeslmm.design.build import build_design
from bayeslmm.gram.coordinates import orthogonal
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.streaming.from_batches import gram_from_batches

FORMULA = "y ~ x + (x | g)"


def badly_scaled(n=240, mean=1e6, seed=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(mean, 1.0, n)
    g = rng.integers(0, 6, n)
    return {"y": mean + 0.5 * (x - mean) + g + rng.normal(size=n), "x": x, "g": g}


def exact_errors(gram, data, weights=None):
    """Sum in fractions, in the Gram's own coordinates; give errors relative to the sums' sizes."""
    weights = np.ones(len(data["x"])) if weights is None else data[weights]
    factor = gram.factors[0]
    labels = factor.levels.tolist()
    sums = {label: np.full((5, 5), Fraction(0)) for label in labels}
    for x, y, g, w in zip(data["x"], data["y"], data["g"], weights, strict=True):
        fixed = in_coordinates(x, gram.scale)
        slope = [Fraction(v) for v in gram.slope.tolist()]
        rest = Fraction(float(y)) - sum(a * b for a, b in zip(fixed, slope, strict=True))
        row = np.array([*in_coordinates(x, factor.scale), *fixed, rest])
        sums[str(g)] += Fraction(float(w)) * row[:, None] * row
    exact = np.array([sums[label].astype(float) for label in labels])
    size = np.sqrt(np.einsum("mii->mi", exact))
    whole = exact[:, 2:, 2:].sum(axis=0)
    length = np.sqrt(np.diag(whole))
    return (
        np.abs(gram.cross - whole) / length / length[:, None],
        np.abs(factor.within - exact[:, :2, :2]) / (size[:, :2, None] * size[:, None, :2]),
        np.abs(factor.with_fixed - exact[:, :2, 2:]) / (size[:, :2, None] * size[:, None, 2:]),
    )


def in_coordinates(x, scale):
    """Solve (1, x) = row scale for the row, exactly."""
    (a, b), (_, d) = [[Fraction(v) for v in line] for line in scale.tolist()]
    return [1 / a, (Fraction(float(x)) - b / a) / d]


def two_pass_error(data):
    """Center by the computed mean, then sum squares by level: the textbook's best."""
    worst = 0.0
    centered = data["x"] - data["x"].mean()
    mean = Fraction(float(data["x"].mean()))
    for label in np.unique(data["g"]):
        mine = data["g"] == label
        exact = sum((Fraction(float(x)) - mean) ** 2 for x in data["x"][mine])
        worst = max(worst, abs(float(np.sum(centered[mine] ** 2) - exact) / float(exact)))
    return worst


# A sum of k products of rounded factors errs by some sqrt(k) units of 1.1e-16; a level has 40 rows,
# and a batch may add the turn from its own coordinates, some ten operations more.
TOLERANCE = 3e-15


@pytest.mark.parametrize("mean", [1e6, 1e9])
def test_a_whole_table_keeps_the_digits_of_a_two_pass_sum(mean):
    data = badly_scaled(mean=mean)
    assert two_pass_error(data) < TOLERANCE
    for error in exact_errors(Gram.from_design(build_design(FORMULA, data)), data):
        assert error.max() < TOLERANCE


def test_a_naive_sum_keeps_none_of_them():
    data = badly_scaled(mean=1e9)
    naive = np.sum(data["x"] ** 2) - np.sum(data["x"]) ** 2 / len(data["x"])
    exact = np.sum((data["x"] - data["x"].mean()) ** 2)
    assert abs(naive / exact - 1) > 1e-2


@pytest.mark.parametrize("order", ["as they come", "sorted by x", "one constant batch first"])
@pytest.mark.parametrize("mean", [1e6, 1e9])
def test_batches_keep_the_digits_of_a_two_pass_sum(mean, order):
    data = badly_scaled(mean=mean)
    if order == "sorted by x":  # every batch has a mean and a spread of its own
        place = np.argsort(data["x"])
        data = {name: column[place] for name, column in data.items()}
    if order == "one constant batch first":
        data["x"][:30] = mean + 0.25
    batches = [{k: v[i : i + 30] for k, v in data.items()} for i in range(0, 240, 30)]
    gram = gram_from_batches(FORMULA, batches, progressbar=False)
    for error in exact_errors(gram, data):
        assert error.max() < TOLERANCE


def test_weighted_batches_keep_them_too():
    data = badly_scaled()
    data["w"] = np.random.default_rng(5).uniform(0.3, 3.0, len(data["x"]))
    batches = [{k: v[i : i + 60] for k, v in data.items()} for i in range(0, 240, 60)]
    gram = gram_from_batches(FORMULA, batches, weights="w", progressbar=False)
    for error in exact_errors(gram, data, weights="w"):
        assert error.max() < TOLERANCE


def test_many_small_batches_do_not_wear_the_digits_down():
    data = badly_scaled()
    batches = [{k: v[i : i + 2] for k, v in data.items()} for i in range(0, 240, 2)]
    gram = gram_from_batches(FORMULA, batches, progressbar=False)
    for error in exact_errors(gram, data):
        assert error.max() < 3 * TOLERANCE  # 120 additions in place of 8


def test_choosing_coordinates_again_changes_no_digit_that_counts():
    data = badly_scaled()
    gram = orthogonal(Gram.from_design(build_design(FORMULA, data)))
    for error in exact_errors(gram, data):
        assert error.max() < TOLERANCE


def test_sites_with_far_means_add_without_loss():
    first, second = badly_scaled(mean=1e6), badly_scaled(mean=1e6 + 500, seed=4)
    grams = [Gram.from_design(build_design(FORMULA, site)) for site in (first, second)]
    data = {name: np.concatenate([first[name], second[name]]) for name in first}
    # Means lie 250 units from the common one: fitted values of that size, subtracted from the
    # response, leave residuals of size 1 with 250 units of 1.1e-16 of rounding, up to four times.
    for error in exact_errors(orthogonal(reduce(add, grams)), data):
        assert error.max() < 4 * 250 * 1.1e-16
