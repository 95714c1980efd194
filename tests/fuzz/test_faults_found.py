"""What fuzzing has found once, each as its smallest case: a refusal that says what was wrong."""

import json

import numpy as np
import pandas as pd
import pytest
from fits import HOW, posteriors, reml_fits, table
from outcome import outcome

import bayeslmm as bl


def refused(kind, words, call, /, *args, **kwargs):
    with pytest.raises(kind, match=words) as raised:
        call(*args, **kwargs)
    assert issubclass(raised.type, bl.BayesLMMError)


@pytest.mark.parametrize(
    "formula", ["I(2) ~ x + (1 | g)", "y ~ I(2) + x", "y ~ x + (I(2) | g)", "y ~ log(1) * x"]
)
def test_a_call_without_a_column_is_a_formula_error(formula):
    # A response without a column was NaN in every row of a finished design.
    refused(bl.FormulaError, r"reads no column of the table(.|\n)*\^", bl.build_design, formula,
            table())  # fmt: skip


@pytest.mark.parametrize("verb", [bl.fit_reml, bl.sample_prior, bl.describe_priors])
def test_columns_of_one_name_are_named_on_every_path(verb):
    twice = pd.concat([table(), table()[["x"]]], axis=1)
    refused(bl.DataError, "more than one column named x", verb, "y ~ x + (1 | g)", twice)


@pytest.mark.parametrize("flag", ["no", 0, None, np.array([True, False])])
def test_a_flag_is_true_or_false(flag):
    contrast = {"x": [0, 1]}
    refused(bl.ArgumentError, "average is True or False", bl.compare_predictions, posteriors()[0],
            contrast, average=flag)  # fmt: skip
    refused(bl.ArgumentError, "dots is True or False", bl.plot_fixed_effects, posteriors()[0],
            dots=flag)  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "argument", "first"),
    [
        (bl.confidence_intervals, "parameters", reml_fits),
        (bl.prior_sensitivity, "groups", posteriors),
        (bl.plot_prior_sensitivity, "show", posteriors),
        (bl.plot_prior_sensitivity, "groups", posteriors),
        (bl.plot_prior_posterior, "show", posteriors),
        (bl.plot_fixed_effects, "coef", posteriors),
        (bl.marginal_means, "of", posteriors),
    ],
)
def test_names_are_one_text_or_several(verb, argument, first):
    for given in (3, [3], {"x": 1}, np.array(3), b"x"):
        refused(bl.ArgumentError, f"{argument} is a name", verb, first()[0], **{argument: given})


def test_one_name_is_no_list_of_letters():
    fit = reml_fits()[0]
    one, listed = (bl.confidence_intervals(fit, "wald", parameters=p) for p in ("x", ["x"]))
    pd.testing.assert_frame_equal(one, listed)


@pytest.mark.parametrize("choice", [np.array([1, 2]), pd.NA, {"a": 1}, ["mean"], None])
def test_a_choice_is_compared_with_texts_only(choice):
    refused(bl.ArgumentError, "kind is 'link', 'mean'", bl.predict, posteriors()[0], kind=choice)
    refused(bl.ArgumentError, "method is", bl.fit_reml, "y ~ x", table(), method=choice)


@pytest.mark.parametrize(
    "verb", [bl.compare_reml, bl.compare_random_effects, bl.plot_comparison]
)  # fmt: skip
def test_what_stands_for_a_reml_fit_is_one(verb):
    for given in (2, "x", {}):
        refused(bl.ArgumentError, "result of fit_reml", verb, posteriors()[2], fit=given)


@pytest.mark.parametrize("ci_prob", ["a", pd.NA, None, 95, np.nan])
def test_a_probability_is_a_number(ci_prob):
    refused(bl.ArgumentError, "ci_prob is a probability", bl.confidence_intervals, reml_fits()[0],
            ci_prob=ci_prob)  # fmt: skip
    refused(bl.ArgumentError, "ci_prob is a probability", bl.plot_comparison, posteriors()[2],
            ci_prob=ci_prob)  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "given", "words"),
    [
        (bl.prior_sensitivity, {"alphas": "ab"}, "alphas must enclose 1"),
        (bl.prior_sensitivity, {"threshold": ["g"]}, "threshold is a number"),
        (bl.plot_prior_sensitivity, {"alphas": 3}, "alphas must enclose 1"),
        (bl.plot_prior_sensitivity, {"groups": "x"}, "no prior group 'x'"),
        (bl.plot_effect, {"x": {"a": 1}}, "x is the name of a column"),
        (bl.plot_effect, {"x": "x", "probs": 1}, "probs is a list"),
        (bl.plot_effect, {"x": "x", "at": ["x"]}, "at maps columns"),
        (bl.plot_prior_predictive, {"draws": "a"}, "draws must be positive"),
        (bl.plot_prior_predictive, {"random_seed": "a"}, "random_seed"),
        (bl.check_groups, {"factor": "g", "statistic": {}}, "statistic is one of"),
        (bl.shrinkage, {"factor": np.array([1, 2])}, "is no grouping factor"),
        (bl.implied_priors, {"group": {}}, "group is the name of a group"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_name(verb, given, words):
    refused((bl.ArgumentError, bl.TreeError), words, verb, posteriors()[0], **given)


def test_no_statement_has_no_probability():
    refused(bl.ArgumentError, "statements is empty", bl.hypothesis, posteriors()[0], [])


@pytest.mark.parametrize("effects", [{"g": None}, {"g": 3}])
def test_effects_to_keep_are_levels(effects):
    refused(bl.ArgumentError, "give a list of levels", bl.fit_bayes, "y ~ x + (1 | g)", table(),
            effects=effects, **HOW)  # fmt: skip


@pytest.mark.parametrize("path", [None, 3, b"x", "\0"])
def test_a_path_is_a_text(path):
    for verb in (bl.read_spec, bl.Gram.load):
        refused(bl.ArgumentError, "path is the path of a file", verb, path)


def test_a_name_too_long_for_a_file_is_that_of_none():
    refused(bl.SpecError, "cannot be read", bl.read_spec, "x" * 5000)
    refused(bl.DataError, "no file", bl.Gram.load, "x" * 5000)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '{"factors": 3}', "nonsense", None])
def test_json_of_priors_and_designs_is_theirs(text):
    refused(bl.PriorError, "not the JSON of a model's priors", bl.Priors.from_json, text)
    refused(bl.DataError, "not the JSON of a design's state", bl.DesignState.from_json, text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("columns", {}),
        ("columns", 3),
        ("terms", {"h": []}),
        ("transforms", {"x": None}),
        ("terms", []),
        ("coef", None),
        ("coef", ["Intercept", 3]),
        ("dropped", [[0, 99]]),
        ("dropped", "x"),
        ("terms", {"g": [None]}),
        ("parameter_coef", {"sigma": [1]}),
    ],
)
def test_a_state_with_a_changed_part_is_refused(key, value):
    state = json.loads(bl.build_design("y ~ x + (1 | g)", table()).state.to_json())
    refused(bl.DataError, "design's state", bl.DesignState.from_json,
            json.dumps({**state, key: value}))  # fmt: skip


def test_a_door_says_what_it_takes():
    refused(bl.ArgumentError, "state of a design", bl.rebuild_design, None, table())
    refused(bl.ArgumentError, "A design is needed", bl.simulate_response, 3, beta=[0])
    refused(bl.PriorError, "is no text", bl.Prior.parse, 3)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"beta": "a"}, bl.ArgumentError),
        ({"beta": [0, np.inf]}, bl.ArgumentError),
        ({"beta": {"Intercept": 0, "x": "a"}}, bl.ArgumentError),
        ({"beta": [1e308, 1e308]}, bl.NumericalError),
        ({"sd": 3}, bl.ArgumentError),
        ({"sigma": "a"}, bl.ArgumentError),
        ({"sigma": [1]}, bl.ArgumentError),
        ({"random_seed": -1}, bl.ArgumentError),
        ({"random_seed": 1.5}, bl.ArgumentError),
    ],
)
def test_a_simulation_is_numbers_from_numbers(given, kind):
    design = bl.build_design("y ~ x + (1 | g)", table().assign(x=lambda t: 10 * t.x))
    refused(kind, ".", bl.simulate_response, design, **({"beta": [0, 1], "sd": {"g": 1}} | given))


def changed(group, change):
    tree = posteriors()[0].copy(deep=True)
    tree[group] = type(tree)(change(tree[group].to_dataset()))
    return tree


def test_groups_of_a_tree_that_do_not_belong_together_are_refused():
    first = slice(0, 1)
    shorter = changed("constant_data", lambda held: held.isel(obs=first))
    for verb in (bl.predict, bl.predict_table, bl.refit_reml):
        refused(bl.TreeError, "hold different rows", verb, shorter)
    undrawn = changed("posterior", lambda held: held.isel(draw=slice(0, 0)))
    refused(bl.TreeError, "holds no draws", bl.variance_components, undrawn)
    fewer = changed("posterior", lambda held: held.isel(coef=first))
    refused(bl.TreeError, "different fits", bl.residuals, fewer)
    halved = changed("posterior", lambda held: held.isel(chain=first))
    refused(bl.TreeError, "log prior", bl.sensitivity_tree, halved)
    unknown = changed("log_prior", lambda held: held * np.nan)
    refused(bl.TreeError, "log prior", bl.prior_sensitivity, unknown)
    assert outcome(bl.predict, posteriors()[0]) is not None


@pytest.mark.parametrize("role", ["weights", "se"])
@pytest.mark.parametrize("kind", [object, "string"])
def test_a_column_without_values_is_missing_whatever_its_kind(role, kind):
    # An error named the first of no cells.
    empty = table().assign(w=pd.Series([None] * 24, dtype=kind))
    refused(bl.DataError, "only missing values", bl.build_design, "y ~ x + (1 | g)", empty,
            **{role: "w"})  # fmt: skip


def test_a_batch_without_weights_is_left_out():
    batches = [table().assign(w=None), table().assign(w=1.0)]
    with pytest.warns(bl.DataWarning, match="24 of 48 rows"):
        gram = bl.gram_from_batches("y ~ x + (1 | g)", batches, weights="w", progressbar=False)
    assert gram.n == 24


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_a_column_that_is_dropped_may_be_of_any_size(size):
    # Its squares left the range of numbers, and NumPy said so.
    data = table().assign(x=lambda t: size * (1 + t.z))
    with pytest.warns(bl.RankDeficiencyWarning, match="Dropped"):
        design = bl.build_design("y ~ z + x + (1 | g)", data, rank_deficient="drop")
    assert design.coef == ("Intercept", "z")
    (parts,) = design._state.dependence.parts.values()
    assert [parts[k] / size for k in (0, 1)] == pytest.approx([1.0, 1.0], rel=1e-12)


@pytest.mark.parametrize("lag", [("g", "h"), "3", np.array([1, 2]), np.nan, 0])
def test_a_longest_lag_is_a_number(lag):
    refused(bl.ArgumentError, "max_lag is the longest lag", bl.plot_residual_correlation,
            posteriors()[0], max_lag=lag)  # fmt: skip


@pytest.mark.parametrize("given", [0.5, [3], np.array(3), b"sigma"])
def test_quantities_are_names_or_a_mapping(given):
    refused(bl.ArgumentError, "quantities is a name", bl.tidy_draws, posteriors()[0],
            quantities=given)  # fmt: skip
