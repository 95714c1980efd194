"""Model files of other families on the command line, with draws from nowhere in a fit's place."""

import json

import numpy as np
import pandas as pd
import pytest
import trees
import xarray as xr
from typer.testing import CliRunner

import bayeslmm as bl
from bayeslmm.cli.app import app

pytestmark = pytest.mark.filterwarnings("ignore::bayeslmm.errors.SamplingWarning")

SPEC = """\
title = "Trials"
formula = "y ~ x + (1 | g)"
family = "binomial"
link = "probit"
trials = "size"

[data]
path = "table.csv"

[priors]
sd = "HalfNormal(1)"

[sampler]
draws = 40
chains = 2
random_seed = 1
"""


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """A model file, and a stand-in for sampling that takes what `fit_bayes` is given."""
    table = pd.DataFrame({k: np.asarray(v) for k, v in trees.family_data("binomial").items()})
    table.to_csv(tmp_path / "table.csv", index=False)

    def fit_bayes(formula, data, *, priors, draws, chains, random_seed, progressbar, **coding):
        values = trees.random_draws(
            formula, data, chains=chains, draws=draws,
            **{name: coding[name] for name in ("family", "trials")},
        )  # fmt: skip
        tree = bl.adopt(values, formula, data, priors=priors, random_seed=random_seed, **coding)
        tree.attrs["settings"] = json.dumps({"chains": chains, "draws": draws})
        return tree

    monkeypatch.setattr(bl, "fit_bayes", fit_bayes, raising=False)
    (tmp_path / "trials.toml").write_text(SPEC)
    return tmp_path / "trials.toml"


def run(*args):
    return CliRunner(env={"COLUMNS": "1000"}).invoke(app, [str(arg) for arg in args])


@pytest.fixture
def results(spec):
    result = run("fit", spec, "--out", spec.parent / "results")
    assert result.exit_code == 0, result.output
    assert "binomial, probit link" in result.output
    assert "Bayesian binomial (probit) mixed model: y ~ 1 + x + (1 | g)" in result.output
    return spec.parent / "results" / "trials"


def test_a_fit_is_of_the_files_family(results):
    tree = xr.load_datatree(results / "posterior.nc")
    assert (tree.attrs["family"], tree.attrs["link"]) == ("binomial", "probit")
    np.testing.assert_array_equal(tree["constant_data"]["trials"], trees.TRIALS)
    components = pd.read_csv(results / "variance_components.csv")
    assert set(components["factor"]) == {"g"}


def test_priors_are_printed_as_probabilities(spec):
    result = run("priors", spec)
    assert result.exit_code == 0, result.output
    assert "mean[rows]" in result.output
    assert "sigma  " not in result.output


def test_results_stand_until_the_family_changes(spec, results):
    out = spec.parent / "results"
    result = run("sensitivity", spec, "--out", out)
    assert result.exit_code == 0, result.output
    assert "same formula, priors and data" in result.output
    spec.write_text(SPEC.replace('link = "probit"\n', ""))
    result = run("sensitivity", spec, "--out", out)
    assert "is of another family (binomial, link probit); fitting anew" in result.output


@pytest.mark.parametrize("command", ["reml", "compare"])
def test_reml_is_refused_with_a_sentence_and_nothing_is_fitted(spec, command):
    result = run(command, spec)
    assert result.exit_code == 2
    assert "has family = 'binomial', and REML is for Gaussian responses only" in result.output
    assert not (spec.parent / "results").exists()


def test_predictions_take_trials_from_their_column_or_option(results, tmp_path):
    rows = pd.DataFrame({"x": [0.0, 1.0], "g": ["a", "b"], "size": [4, 9]})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    to = tmp_path / "predicted.csv"
    result = run("predict", results, tmp_path / "rows.csv", "--to", to)
    assert result.exit_code == 0, result.output
    means = pd.read_csv(to)["mean"]
    assert ((means > 0) & (means < 1)).all()
    result = run("predict", results, tmp_path / "rows.csv", "--to", to, "--kind", "response")
    assert result.exit_code == 0, result.output
    rows.drop(columns="size").to_csv(tmp_path / "rows.csv", index=False)
    arguments = ["predict", results, tmp_path / "rows.csv", "--to", to, "--kind", "response"]
    result = run(*arguments)
    assert result.exit_code == 2
    assert "give --trials, a column or a number; or take --kind mean" in result.output
    assert run(*arguments, "--trials", 5).exit_code == 0
    assert pd.read_csv(to)["mean"].between(0, 5).all()


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.DataWarning")
def test_every_picture_is_drawn_or_says_why_not(results, spec):
    result = run("plots", spec, "--out", spec.parent / "results")
    assert result.exit_code == 0, result.output
    assert "caterpillar.png" in result.output
