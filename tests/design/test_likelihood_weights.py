"""Likelihood weights and censoring: what they make of a design, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

import bayeslmm as bl
from bayeslmm.design.beside.censoring import statements_of
from bayeslmm.errors import ArgumentError, DataError
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood_of_draws import marginal_log_likelihood

RNG = np.random.default_rng(3)
N = 24
TABLE = {
    "y": np.exp(RNG.normal(0.5, 0.6, N)),
    "x": RNG.normal(size=N),
    "g": np.repeat(list("abcd"), 6),
    "v": RNG.uniform(0.4, 2.0, N),
    "w": RNG.integers(1, 4, N).astype(float),
}
PLACES = np.repeat(np.arange(N), TABLE["w"].astype(int))
WHOLE = {name: values[PLACES] for name, values in TABLE.items()}
FORMULA = "y ~ x + (x | g)"


def values(gram):
    rng = np.random.default_rng(4)
    beta, sigma = rng.normal(size=(5, 2)), rng.uniform(0.3, 2.0, 5)
    roots = [np.tril(rng.uniform(0.2, 1.0, (5, 2, 2)))]
    return marginal_log_likelihood(gram, beta, roots, sigma)


@pytest.mark.parametrize("weights", [None, "v"])
@pytest.mark.parametrize("family", ["gaussian", "lognormal"])
def test_rows_that_count_several_times_are_as_many_rows(family, weights):
    counted = (
        bl.build_design(FORMULA, TABLE, family=family, weights=weights, likweights="w")
        if family == "gaussian"
        else bl.build_design(FORMULA, TABLE, family=family, likweights="w")
    )
    given = {} if family == "lognormal" else {"weights": weights}
    whole = Gram.from_design(bl.build_design(FORMULA, WHOLE, family=family, **given))
    gram = Gram.from_design(counted)
    assert gram.n == N
    assert gram.power == whole.n
    assert gram.sum_log_weights == pytest.approx(whole.sum_log_weights, rel=1e-12, abs=1e-12)
    # Sums of the same numbers in another order.
    np.testing.assert_allclose(values(gram), values(whole), rtol=1e-12)


def test_likelihood_weights_are_powers_of_normal_densities():
    """Of fractions, against the density of rows given effects that a dense integral averages."""
    rng = np.random.default_rng(5)
    w = rng.uniform(0.3, 2.5, N)
    gram = Gram.from_design(bl.build_design("y ~ x + (1 | g)", TABLE, likweights=w))
    beta, sigma, sd = np.array([0.4, -0.2]), 0.7, 0.9
    found = marginal_log_likelihood(gram, beta[None], [np.array([[[sd]]])], np.array([sigma]))[0]
    nodes = np.linspace(-9.0, 9.0, 2001)
    total = 0.0
    for level in "abcd":
        rows = TABLE["g"] == level
        rest = (TABLE["y"] - beta[0] - beta[1] * TABLE["x"])[rows, None] - sd * nodes
        density = -0.5 * (rest / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
        joint = w[rows] @ density - 0.5 * nodes**2 - 0.5 * np.log(2 * np.pi)
        total += logsumexp(joint + np.log(nodes[1] - nodes[0]))
    assert found == pytest.approx(total, rel=1e-10)


def test_a_gram_of_counted_rows_survives_its_file_and_sums(tmp_path):
    gram = Gram.from_design(bl.build_design(FORMULA, TABLE, likweights="w", weights="v"))
    gram.save(tmp_path / "gram.npz")
    back = Gram.load(tmp_path / "gram.npz")
    assert back.power == gram.power
    assert (gram + back).power == 2 * gram.power
    plain = Gram.from_design(bl.build_design(FORMULA, TABLE, weights="v"))
    assert plain.likweight is None
    assert (gram + plain).power == gram.power + N


@pytest.mark.parametrize(
    "said",
    [
        ["none", "left", "right", "interval"] * 6,
        [0, -1, 1, 2] * 6,
        np.tile([0.0, -1.0, 1.0, 2.0], 6),
        pd.Categorical(["none", "left", "right", "interval"] * 6),
    ],
    ids=["words", "whole", "floats", "categories"],
)
@pytest.mark.parametrize("column", [True, False])
def test_censoring_is_the_other_end_of_each_row(said, column):
    upper = TABLE["y"] + 1
    table = {**TABLE, "c": said, "u": upper}
    given = {"cens": "c", "y2": "u"} if column else {"cens": list(said), "y2": upper}
    design = bl.build_design(FORMULA, table, **given)
    assert design.family.name == "censored_gaussian"
    expected = np.choose(np.tile([0, 1, 2, 3], 6), [TABLE["y"], np.full(N, -np.inf),
                                                    np.full(N, np.inf), upper])  # fmt: skip
    np.testing.assert_array_equal(design.ends, expected)
    np.testing.assert_array_equal(design.known, expected)
    again = bl.build_design(FORMULA, TABLE, **statements_of(design.y, design.ends))
    np.testing.assert_array_equal(again.ends, expected)


def test_true_is_right_and_missing_words_drop_rows():
    table = {**TABLE, "c": np.arange(N) < 5}
    assert np.isposinf(bl.build_design(FORMULA, table, cens="c").ends).sum() == 5
    words = ["right"] * 5 + [None] + ["none"] * (N - 6)
    with pytest.warns(
        bl.errors.DataWarning if hasattr(bl, "errors") else UserWarning, match="cens 1"
    ):
        design = bl.build_design(FORMULA, pd.DataFrame({**TABLE, "c": words}), cens="c")
    assert design.n == N - 1


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"likweights": np.zeros(N)}, DataError, "positive and finite"),
        ({"likweights": "nowhere"}, DataError, "no column 'nowhere' for the likweights"),
        ({"likweights": "w", "sigma": "~ x"}, ArgumentError, "do not go together"),
        ({"cens": ["above"] * N}, DataError, "True stands for 'right'"),
        ({"cens": [7] * N}, DataError, "cens is 7 in row 0"),
        ({"cens": "nowhere"}, DataError, "no column 'nowhere' for cens"),
        ({"cens": ["none"]}, DataError, "shape"),
        ({"cens": ["interval"] * N}, DataError, "give their upper ends as y2="),
        ({"cens": ["right"] * N, "y2": "v"}, DataError, "leave y2 out"),
        ({"y2": "v"}, ArgumentError, "by cens="),
        ({"cens": ["interval"] * N, "y2": TABLE["y"] - 1}, DataError, "y2 lies above"),
        ({"cens": ["right"] * N, "weights": "v"}, ArgumentError, "do not go together"),
        ({"cens": ["right"] * N, "family": "beta"}, ArgumentError, "cens= is for the families"),
        ({"family": "censored_gaussian"}, ArgumentError, "give family='gaussian' and cens="),
    ],
)
def test_what_cannot_be_said_of_rows_is_refused(how, error, words):
    with pytest.raises(error, match=words):
        bl.build_design(FORMULA, TABLE, **how)


def test_maximum_likelihood_takes_neither():
    for how in ({"likweights": "w"}, {"cens": ["right"] * N}):
        design = bl.build_design(FORMULA, TABLE, **how)
        with pytest.raises(ArgumentError, match="fit_bayes does"):
            bl.fit_ml(design, None)
    with pytest.raises(ArgumentError, match="fit_bayes does"):
        bl.fit_reml(bl.build_design(FORMULA, TABLE, likweights="w"), None)
