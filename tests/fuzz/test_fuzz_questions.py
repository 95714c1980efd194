"""Questions to results, with arguments that they take and arguments that they do not."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from fits import posteriors, reml_fits, table, verbs
from hostile import ODD, STATEMENTS, tables
from hypothesis import strategies as st
from outcome import assert_numbers, fuzzed, outcome

import bayeslmm as bl

SEEDS = st.integers(0, 2**64 - 1)
# Values that some argument takes.
USUAL = ["x", "f", "g", "h", "z", ["x"], ["f"], {"x": [0, 1]}, {"x": "slope"}, {"f": ["a", "b"]},
         {"f": "pairwise"}, "population", "sample", "all", "none", ["g"], 0.5, 0.95, 10, "hdi",
         "eti", "mean", "response", "rows", "sd", "Intercept", True]  # fmt: skip
NOT_DRAWN = {"ax", "axes", "folder"}


def asked(rng, *, pictures):
    # Not the one that would write into the tree of all other cases.
    return str(
        rng.choice(
            [name for name in verbs()
             if name.startswith("plot_") == pictures and name != "add_log_likelihood"]
        )
    )  # fmt: skip


def given_to(name, rng):
    """Choose values for what must be given, and for some of what may."""
    values = [*USUAL, *ODD]
    return {
        p.name: values[rng.integers(len(values))]
        for p in verbs()[name]
        if p.name not in NOT_DRAWN and (p.default is p.empty or rng.random() < 0.3)
    }


def first_argument(rng):
    if rng.random() < 0.7:
        return posteriors()[rng.integers(3)]
    return [*reml_fits(), None, 3, "y ~ x", table(), {}, []][rng.integers(8)]


@fuzzed(30, seed=SEEDS)
def test_a_question_is_answered_or_refused(seed):
    rng = np.random.default_rng(seed)
    name = asked(rng, pictures=False)
    outcome(getattr(bl, name), first_argument(rng), **given_to(name, rng))


@fuzzed(10, seed=SEEDS)
def test_a_picture_is_drawn_or_refused(seed):
    rng = np.random.default_rng(seed)
    name = asked(rng, pictures=True)
    try:
        outcome(getattr(bl, name), first_argument(rng), **given_to(name, rng))
    finally:
        plt.close("all")


RANDOM_EFFECTS = st.sampled_from(["all", "none", ["g"], ["g"], [], "g", 3])
POLICIES = st.sampled_from(["error", "population", "sample", "sample", {"g": "sample"}])


@fuzzed(
    20,
    tree=st.integers(0, 2),
    data=st.one_of(tables(2), tables(2), st.none()),
    kind=st.sampled_from(["mean", "response", "mean", "response", "linpred", 3]),
    random_effects=RANDOM_EFFECTS,
    new_levels=POLICIES,
    draws=st.sampled_from([None, None, None, 5, 1000, 0, -1, 2.5, "a"]),
    weights=st.sampled_from([None, None, None, "x", "g", 1.0]),
)
def test_predictions_are_numbers(tree, **given):
    given = {**given, "random_seed": 1}
    assert_numbers(outcome(bl.predict, posteriors()[tree], **given))
    found = outcome(bl.predict_table, posteriors()[tree], **given)
    assert_numbers(None if found is None else found[["mean", "sd"]])


@fuzzed(10, text=STATEMENTS)
def test_a_statement_has_a_probability(text):
    found = outcome(bl.hypothesis, posteriors()[0], text)
    assert found is None or found["probability"].between(0, 1).all()


def _without_group(tree, rng, group, name):
    del tree[group]


def _without_variable(tree, rng, group, name):
    tree[group] = type(tree)(tree[group].to_dataset().drop_vars(name))


def _as_text(tree, rng, group, name):
    data = tree[group].to_dataset()
    tree[group] = type(tree)(data.assign({name: data[name].astype(str)}))


def _as_nan(tree, rng, group, name):
    data = tree[group].to_dataset()
    if data[name].dtype.kind in "fiub":
        tree[group] = type(tree)(data.assign({name: np.nan * data[name]}))


def _cut(tree, rng, group, name):
    data = tree[group].to_dataset()
    kept = {str(rng.choice(list(data.dims))): slice(0, int(rng.integers(0, 3)))}
    tree[group] = type(tree)(data.isel(kept))


def _without_coordinate(tree, rng, group, name):
    data = tree[group].to_dataset()
    tree[group] = type(tree)(data.drop_vars(str(rng.choice(list(data.dims))), errors="ignore"))


def _without_attribute(tree, rng, group, name):
    del tree.attrs[str(rng.choice(list(tree.attrs)))]


def _other_attribute(tree, rng, group, name):
    values = (3, "", None, "{}", "[1]", "nonsense", np.nan, b"x", "y ~ z")
    tree.attrs[str(rng.choice(list(tree.attrs)))] = values[rng.integers(len(values))]


def _cut_attribute(tree, rng, group, name):
    at = str(rng.choice([key for key, value in tree.attrs.items() if isinstance(value, str)]))
    k = rng.integers(0, len(tree.attrs[at]) + 1)
    tree.attrs[at] = tree.attrs[at][:k] + tree.attrs[at][k + rng.integers(0, 4) :]


TAMPERED = (_without_group, _without_variable, _as_text, _as_nan, _cut, _without_coordinate,
            _without_attribute, _other_attribute, _cut_attribute)  # fmt: skip
QUESTIONS = {
    "hypothesis": {"statements": "x > 0"},
    "compare_predictions": {"contrast": {"f": ["a", "b"]}},
    "marginal_means": {"of": "f"},
    "log_likelihood": {"data": table()},
    "marginal_covariance": {"level": "a", "factor": "g"},
    "coefficients": {"factor": "g"},
    "random_effects": {"factor": "g"},
    "shrinkage": {"factor": "g"},
    "check_groups": {"factor": "g"},
    **{name: {} for name in (
        "summary", "fixed_effects", "variance_components", "icc", "r_squared", "design_effect",
        "diagnose", "predict", "predict_table", "fitted", "residuals", "refit_reml",
        "compare_reml", "compare_random_effects", "prior_sensitivity", "sensitivity_tree", "loo",
    )},
}  # fmt: skip


@fuzzed(20, seed=SEEDS)
def test_a_tree_that_lost_or_changed_a_part_is_read_or_refused(seed):
    rng = np.random.default_rng(seed)
    tree = posteriors()[0].copy(deep=True)
    group = str(rng.choice([key for key, held in tree.children.items() if held.data_vars]))
    name = str(rng.choice(list(tree[group].data_vars)))
    TAMPERED[rng.integers(len(TAMPERED))](tree, rng, group, name)
    question = str(rng.choice(sorted(QUESTIONS)))
    outcome(getattr(bl, question), tree, **QUESTIONS[question])


@pytest.mark.parametrize("question", sorted(QUESTIONS))
def test_every_question_suits_the_whole_tree(question):
    assert outcome(getattr(bl, question), posteriors()[0], **QUESTIONS[question]) is not None
