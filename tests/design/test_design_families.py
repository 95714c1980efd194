"""What families ask of a design: responses, trials, weights, names, new rows, the state."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.analysis.sensitivity.prior_table import describe_priors
from bayeslmm.design.build import build_design, rebuild_design
from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.design.response import warn_of_whole_numbers
from bayeslmm.design.state import DesignState
from bayeslmm.errors import ArgumentError, DataError, DataWarning, FormulaError
from bayeslmm.families.binomial import Bernoulli
from bayeslmm.inference.prior_draws import sample_prior
from bayeslmm.model.model import Model

ROWS = list("uvwxyz")


def table(**changes):
    columns = {
        "y": [0, 1, 1, 0, 1, 0],
        "x": np.arange(6.0),
        "n": [5, 4, 3, 6, 7, 2],
        "g": list("aabbcc"),
        "yes": ["no", "yes", "yes", "no", "yes", "no"],
        "true": [False, True, True, False, True, False],
        "positive": np.arange(1.0, 7.0),
        "share": np.linspace(0.1, 0.9, 6),
    }
    return pd.DataFrame(columns | changes, index=ROWS)


Y = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("response", "levels"),
    [
        ([0, 1, 1, 0, 1, 0], None),
        (Y, None),
        ([False, True, True, False, True, False], ("False", "True")),
        (pd.array([False, True, True, False, True, False], dtype="boolean"), ("False", "True")),
    ],
)
def test_zeros_and_ones_and_booleans_are_a_binary_response(response, levels, recwarn):
    design = build_design("y ~ x", table(y=response), family="bernoulli")
    assert design.y.tolist() == Y
    assert design.family == Bernoulli()
    assert design.state.response_levels == levels
    assert not recwarn.list


def test_the_later_of_two_labels_is_one_and_a_warning_says_so():
    with pytest.warns(DataWarning, match="'yes' is 1 where it is 'yes', and 0 where it is 'no'"):
        design = build_design("yes ~ x", table(), family="bernoulli")
    assert design.y.tolist() == Y
    assert design.state.response_levels == ("no", "yes")


def test_categories_keep_their_order_and_unused_ones_do_not_count():
    column = pd.Categorical(table()["yes"], ["yes", "no", "perhaps"])
    with pytest.warns(DataWarning) as caught:
        design = build_design("yes ~ x", table(yes=column), family="bernoulli")
    assert design.y.tolist() == [1.0 - y for y in Y]
    assert any("1 where it is 'no'" in str(warning.message) for warning in caught)


def test_booleans_of_one_kind_are_still_no_and_yes():
    design = build_design("y ~ x", table(y=[True] * 6), family="bernoulli")
    assert design.y.tolist() == [1.0] * 6


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (list("abcabc"), r"3 categories \('a', 'b', 'c'\): family='bernoulli' takes two"),
        (["yes"] * 6, r"one category only \('yes'\)"),
    ],
)
def test_other_numbers_of_categories_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        build_design("y ~ x", table(y=labels), family="bernoulli")


@pytest.mark.parametrize("family", ["gaussian", "poisson", "beta"])
def test_text_is_a_response_of_the_bernoulli_only(family):
    with pytest.raises(DataError, match=r"column 'yes' holds text.*family='bernoulli'"):
        build_design("yes ~ x", table(), family=family)


@pytest.mark.parametrize(
    ("family", "response", "value", "row", "advice"),
    [
        ("bernoulli", "n", "5", "u", "family='binomial', trials='size'"),
        ("poisson", "share", "0.1", "u", r"offset\(log\(exposure\)\)"),
        ("negbinomial", "I(x - 2)", "-2", "u", "give the count"),
        ("gamma", "x", "0", "u", "family='hurdle_gamma'"),
        ("lognormal", "x", "0", "u", "family='hurdle_gamma' or 'hurdle_lognormal'"),
        ("beta", "y", "0", "u", "family='binomial'"),
        ("beta", "I(share * 2)", "1.16", "x", "Divide percentages by 100"),
    ],
)
def test_a_response_that_cannot_be_is_refused_with_the_rows_label(
    family, response, value, row, advice
):
    with pytest.raises(DataError, match=rf"{value} in row {row}.*{advice}") as caught:
        build_design(f"{response} ~ 1", table(), family=family)
    assert f"family={family!r}" in str(caught.value)


def test_how_many_rows_more_cannot_be_is_told():
    with pytest.raises(DataError, match=r"in row w \(and in 3 more\)"):
        build_design("x ~ 1", table(), family="bernoulli")
    with pytest.raises(DataError, match=r"is 0 in row u\. "):
        build_design("x ~ 1", table(), family="gamma")


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("kind", ["column", "array", "list", "series", "pandas integers"])
def test_trials_are_a_column_or_numbers_and_series_follow_their_index(kind, shuffled):
    data = table()
    given = {
        "column": "n",
        "array": data["n"].to_numpy(),
        "list": data["n"].tolist(),
        "series": data["n"].iloc[::-1] if shuffled else data["n"],
        "pandas integers": data["n"].astype("Int64"),
    }[kind]
    design = build_design("y ~ x", data, family="binomial", trials=given)
    assert design.trials.tolist() == [5, 4, 3, 6, 7, 2]
    assert design.known is design.trials
    assert design.state.trials == ("n" if kind == "column" else None)


def test_one_number_of_trials_stands_for_all_rows():
    assert build_design("y ~ x", table(), family="binomial", trials=3).trials.tolist() == [3.0] * 6


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        (None, "add trials='size'"),
        ("size", "no column 'size' for the trials"),
        ("yes", "column 'yes' are not numbers"),
        ("x", "the first is 0 in row u"),
        (2.5, "whole numbers from 1"),
        (0, "whole numbers from 1"),
        (np.nan, "whole numbers from 1"),
        (True, "True, which is no number"),
        ([1, 2], r"shape \(2,\) for 6 rows"),
        (table()["n"].iloc[:5], "the label 'z' is not in it"),
    ],
)
def test_trials_that_are_none_are_refused(trials, message):
    with pytest.raises((ArgumentError, DataError), match=message):
        build_design("y ~ 1", table(), family="binomial", trials=trials)


def test_more_successes_than_trials_are_refused():
    with pytest.raises(DataError, match=r"'x' is 4 of 3 trials in row y \(and in 1 more\)"):
        build_design("x ~ 1", table(), family="binomial", trials=3)


def test_rows_without_trials_are_dropped_with_a_count():
    with pytest.warns(DataWarning, match=r"Dropped 1 of 6 rows for missing values: trials 1\."):
        design = build_design(
            "y ~ x", table(n=[5, np.nan, 3, 6, 7, 2]), family="binomial", trials="n"
        )
    assert design.trials.tolist() == [5, 3, 6, 7, 2]
    assert design.rows.tolist() == [0, 2, 3, 4, 5]


def test_new_rows_with_successes_need_their_trials_and_others_do_not():
    state = build_design("y ~ x", table(), family="binomial", trials="n").state
    with pytest.raises(ArgumentError, match="needs their numbers of trials"):
        rebuild_design(state, table())
    assert rebuild_design(state, table(), response="ignored").trials is None
    assert rebuild_design(state, table().drop(columns="y")).trials is None
    assert rebuild_design(state, table(), trials="n").y.tolist() == Y


@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson", "student"])
def test_trials_belong_to_the_binomial(family):
    with pytest.raises(ArgumentError, match=f"_binomial', and the family is '{family}'"):
        build_design("y ~ x", table(), family=family, trials="n")


@pytest.mark.parametrize(
    ("family", "response", "more"),
    [
        ("bernoulli", "y", "several rows"),
        ("binomial", "y", "goes into trials="),
        ("poisson", "y", "several rows"),
        ("negbinomial", "y", "several rows"),
        ("gamma", "positive", "several rows"),
        ("lognormal", "positive", "logarithm"),
        ("beta", "share", "several rows"),
    ],
)
def test_weights_are_refused_where_the_mean_decides_the_variance(family, response, more):
    trials = "n" if family == "binomial" else None
    with pytest.raises(ArgumentError, match=f"family='{family}' takes no weights.*{more}"):
        build_design(f"{response} ~ 1", table(), family=family, weights="n", trials=trials)


def test_weights_of_student_responses_are_kept():
    design = build_design("x ~ 1", table(), family="student", weights="n")
    assert design.known is design.weights
    assert design.weights.tolist() == [5, 4, 3, 6, 7, 2]


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.DataWarning")
@pytest.mark.parametrize(
    ("formula", "how"),
    [
        ("yes ~ x + (1 | g)", {"family": "bernoulli", "link": "probit"}),
        ("true ~ x", {"family": "bernoulli"}),
        ("y ~ x", {"family": "binomial", "trials": "n", "link": "cloglog"}),
        ("y ~ x", {"family": "binomial", "trials": 3}),
        ("positive ~ x", {"family": "lognormal"}),
    ],
)
def test_the_state_goes_through_json_and_codes_the_same_rows_alike(formula, how):
    design = build_design(formula, table(), **how)
    state = DesignState.from_json(design.state.to_json())
    assert state == design.state
    trials = how.get("trials")
    again = rebuild_design(state, table(), response="required", trials=trials)
    assert again.family == design.family
    assert fingerprint(again) == fingerprint(design)


def test_a_gaussian_state_is_written_as_it_was():
    content = json.loads(build_design("y ~ x", table()).state.to_json())
    assert not {"family", "link", "trials", "response_levels"} & content.keys()


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.DataWarning")
def test_new_rows_of_text_are_coded_as_the_training_rows_were():
    state = build_design("yes ~ x", table(), family="bernoulli").state
    only_yes = table()[1:3]
    assert rebuild_design(state, only_yes, response="required").y.tolist() == [1.0, 1.0]
    backwards = pd.Categorical(table()["yes"], ["yes", "no"])
    assert rebuild_design(state, table(yes=backwards), response="required").y.tolist() == Y
    assert np.isnan(rebuild_design(state, table().drop(columns="yes")).y).all()
    with pytest.raises(DataError, match=r"is 'perhaps' in some rows; .* 'no' or 'yes'"):
        rebuild_design(state, table(yes=["perhaps", "no", "no", "yes", "no", "yes"]))


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.DataWarning")
@pytest.mark.parametrize(("trained", "new"), [("true", "y"), ("y", "true")])
def test_new_rows_of_booleans_are_zeros_and_ones(trained, new, recwarn):
    state = build_design(f"{trained} ~ x", table(), family="bernoulli").state
    changed = table(**{trained: table()[new]})
    assert rebuild_design(state, changed, response="required").y.tolist() == Y
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.DataWarning")
@pytest.mark.parametrize(
    ("trained", "new"), [("yes", "y"), ("y", "yes"), ("true", "yes"), ("yes", "true")]
)
def test_new_rows_do_not_change_between_numbers_and_labels(trained, new):
    state = build_design(f"{trained} ~ x", table(), family="bernoulli").state
    changed = table(**{trained: table()[new]})
    with pytest.raises(DataError, match=f"'{trained}'"):
        rebuild_design(state, changed, response="required")


@pytest.mark.parametrize(
    ("family", "name"),
    [("negbinomial", "shape"), ("beta", "phi"), ("student", "nu"), ("student", "sigma")],
)
def test_columns_with_the_name_of_the_familys_parameter_are_refused(family, name):
    response = {"beta": "share"}.get(family, "y")
    with pytest.raises(DataError, match=f"called '{name}'"):
        build_design(f"{response} ~ {name}", table(**{name: np.arange(6.0)}), family=family)
    data = table(**{name: list("aabbcc")})
    design = build_design(f"{response} ~ 1 + (1 | {name})", data, family=family)
    if name == "sigma":  # every tree has that name for something else, and levels have their own
        assert Model.of(design).design is design
        return
    with pytest.raises(DataError, match=f"factor '{name}' would give two meanings to '{name}'"):
        Model.of(design)
    assert build_design("y ~ shape", table(shape=np.arange(6.0)), family="poisson").coef[1] == (
        "shape"
    )


@pytest.mark.parametrize(
    ("formula", "written", "caret"),
    [
        ("cbind(y, n - y) ~ x", "'y ~ ...', with family='binomial', trials='n'", "cbind"),
        ("cbind(y, z) ~ x", "trials='n' and the column n = successes + failures", "cbind"),
        ("y | trials(n) ~ x", "'y ~ ...' with family='binomial', trials='n'", "|"),
        ("y|trials(20) ~ x", "trials=20", "|"),
        ("y | trials(`my n`) ~ x", "trials='my n'", "|"),
        ("y | weights(w) ~ x", "weights='w'", "|"),
        ("y | trials ~ x", "weights='w'", "|"),
    ],
)
def test_other_packages_spellings_of_trials_are_answered(formula, written, caret):
    with pytest.raises(FormulaError) as caught:
        build_design(formula, table(), family="binomial", trials="n")
    message = str(caught.value)
    assert written in message
    lines = message.splitlines()
    assert lines[-1].strip() == "^" * len(caret)
    assert lines[-2][lines[-1].index("^") :].startswith(caret)


def test_a_design_has_its_own_family_and_takes_no_other():
    design = build_design("y ~ x + (1 | g)", table(), family="poisson")
    drawn = sample_prior(design, draws=2, family="poisson", random_seed=1)
    assert drawn.attrs["family"] == "poisson"
    assert sample_prior(design, draws=2, random_seed=1).attrs["family"] == "poisson"
    for given in ({"family": "bernoulli"}, {"family": "bernoulli", "link": "probit"}):
        with pytest.raises(
            ArgumentError, match=r"family='bernoulli', .* design of family 'poisson'"
        ):
            sample_prior(design, **given)
        with pytest.raises(ArgumentError, match="family is given, and the Design has its own"):
            describe_priors(design, **given)
    with pytest.raises(ArgumentError, match="trials= is given beside a design"):
        sample_prior(design, trials="n")


def test_a_statement_is_a_binary_response():
    rows = {"y": [0.0, 2.0, 5.0, 0.0], "g": list("aabb")}
    design = build_design("I(y > 0) ~ 1 + (1 | g)", rows, family="bernoulli")
    assert design.y.tolist() == [0.0, 1.0, 1.0, 0.0]
    with pytest.raises(DataError, match="is not numeric"):
        build_design("I(y > 0) ~ 1 + (1 | g)", rows)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([0, 1, 1, 0, 1, 0], "0 or 1 in every row.*'bernoulli'"),
        ([0, 1, 3, 0, 1, 0], "from 0 to 3 in every row, often 0.*'poisson'"),
        ([0.0, 1.0, 1.5, 0.0, 1.0, 0.0], None),
        ([1, 2, 3, 1, 2, 5], None),
        ([0, 0, 0, 0, 0, 0], None),
        ([*range(12)], None),
        ([0, *range(1, 10), *range(1, 10)], None),
    ],
)
def test_a_normal_response_of_few_whole_numbers_is_warned_of(y, said):
    values = np.tile(np.array(y, dtype=float), 4)
    if said is None:
        warn_of_whole_numbers("y", values)
    else:
        with pytest.warns(DataWarning, match=said):
            warn_of_whole_numbers("y", values)
        warn_of_whole_numbers("y", values[:19])


def test_fits_of_yes_and_no_as_if_normal_name_the_family():
    rng = np.random.default_rng(1)
    table = {"y": rng.integers(0, 2, 60), "g": np.repeat([f"g{k}" for k in range(12)], 5)}
    fit = partial(
        bl.fit_bayes, "y ~ 1 + (1 | g)", table, parametrization="marginal", sampler="importance",
        draws=100, random_seed=1, progressbar=False,
    )  # fmt: skip
    with pytest.warns(DataWarning, match="'bernoulli'"):
        fit()
    table["y"] = table["y"] + 0.25
    fit()
