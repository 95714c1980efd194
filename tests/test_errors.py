"""Warnings point at the caller's line; errors name the choices."""

import ast
import inspect
import pickle
import warnings
from pathlib import Path

import pytest

import bayeslmm as bl

PACKAGE = Path(bl.__file__).parent


def missing_rows():
    data = bl.load_dataset("sleepstudy")
    data.loc[3, "Reaction"] = None
    bl.build_design("Reaction ~ Days + (Days | Subject)", data)


def missing_rows_in_batches():
    data = bl.load_dataset("sleepstudy")
    data.loc[3, "Reaction"] = None
    bl.gram_from_batches("Reaction ~ Days + (Days | Subject)", [data, data])


def singular_fit():
    bl.fit_reml("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff2"))


def too_few_draws():
    bl.fit_bayes(
        "Yield ~ 1 + (1 | Batch)",
        bl.load_dataset("dyestuff"),
        parametrization="marginal",
        draws=20,
        tune=20,
        chains=2,
        random_seed=1,
        progressbar=False,
    )


@pytest.mark.parametrize(
    "call", [missing_rows, missing_rows_in_batches, singular_fit, too_few_draws]
)
def test_a_warning_points_at_the_callers_line(call):
    # One for each depth of the package that warns: none may show a line of the package itself.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    ours = [warning for warning in caught if issubclass(warning.category, bl.BayesLMMWarning)]
    assert ours
    assert {warning.filename for warning in ours} == {__file__}


def test_there_is_one_way_to_warn():
    # `errors.warn` knows where the package ends; `warnings.warn` would point into it.
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == PACKAGE / "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"), (
                f"{path.relative_to(PACKAGE)}:{node.lineno}"
            )


@pytest.mark.parametrize(
    ("verb", "given", "advice"),
    [
        ("fit_bayes", {"iter": 2000}, r"no argument 'iter'. Write draws=2000\.$"),
        ("fit_bayes", {"warmup": 500}, r"Write tune=500\.$"),
        ("fit_bayes", {"seed": 1}, r"Write random_seed=1\.$"),
        ("fit_bayes", {"adapt_delta": 0.99}, r"Write target_accept=0.99\.$"),
        ("fit_reml", {"family": "poisson"}, r"fit_ml\(formula, data, family="),
        ("fit_bayes", {"prior": {}}, r"Write priors=\.\.\. instead\.$"),
        ("fit_bayes", {"randm_seed": 1}, r"Did you mean 'random_seed'\? Its arguments are formula"),
        ("fit_bayes", {"quux": 1}, r"Its arguments are formula, data, priors"),
        ("fit_reml", {"REML": False}, r"Write method='ML'\.$"),
        ("fit_reml", {"REML": True}, r"Write method='REML'\.$"),
        ("fit_reml", {"na.action": "na.omit"}, r"Write missing=\.\.\. instead"),
        ("summary", {"prob": 0.9}, r"summary\(\) has no argument 'prob'. Write ci_prob=0.9\.$"),
        ("predict", {"level": 0.9}, r"arguments are|Write ci_prob"),
        ("prior_study", {"n_cores": 3}, r"Write cores=3\.$"),
        ("compare_predictions", {"by": "f"}, r"Write at=.*marginal_means\(.*by='treatment'"),
        ("compare_predictions", {"contrasts": "pairwise"}, r"by_contrasts='pairwise'\)\.$"),
        ("plot_levels", {"hdi_prob": 0.9}, r"ci_prob|arguments are"),
    ],
)
def test_an_unknown_keyword_names_the_one_that_is_meant(verb, given, advice):
    with pytest.raises(bl.ArgumentError, match=advice) as raised:
        getattr(bl, verb)("y ~ x", {}, **given)
    assert isinstance(raised.value, TypeError)  # what Python itself would raise


def test_every_public_function_answers_unknown_keywords():
    functions = [getattr(bl, name) for name in bl.__all__ if inspect.isfunction(getattr(bl, name))]
    assert len(functions) > 50
    for function in functions:
        with pytest.raises(bl.ArgumentError, match=r"has no argument 'no_such_thing'\."):
            function(no_such_thing=1)


def test_a_function_that_answers_keywords_stays_what_it_is():
    assert str(inspect.signature(bl.summary)).startswith("(idata: 'xr.DataTree', *, ci_prob")
    assert bl.summary.__doc__.startswith("Summarise a fit")
    assert pickle.loads(pickle.dumps(bl.fit_bayes)) is bl.fit_bayes  # noqa: S301


@pytest.mark.parametrize(
    ("verb", "given", "lacking"),
    [
        ("summary", (), "idata"),
        ("simulate_response", (), "design and beta"),
        ("simulate_response", ("design",), "beta"),
        ("read_spec", (), "path"),
    ],
)
def test_an_argument_that_lacks_is_named(verb, given, lacking):
    with pytest.raises(bl.ArgumentError, match=rf"^{verb}\(\) needs {lacking}, which") as raised:
        getattr(bl, verb)(*given)
    assert isinstance(raised.value, TypeError)  # what Python itself would raise
