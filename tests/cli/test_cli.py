"""The command line with stand-ins for the fit: what it prints, writes, refuses and survives."""

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayeslmm
from bayeslmm.cli.app import app
from bayeslmm.errors import FormulaError, SamplingWarning

SPEC = """\
title = "Rails [a test]"
formula = "travel ~ 1 + (1 | Rail)"
data = { bundled = "rail" }
priors = { sigma = "HalfNormal(10)" }
sampler = { draws = 300, chains = 2 }
"""


def table(name):
    return pd.DataFrame({"mean": [66.54321, 0.5]}, index=pd.Index(["a[T.b]", "c"], name=name))


def drawn(settings, draws):
    """Make the smallest tree that passes as a result of `fit_bayes`."""
    names = ("formula", "response", "design")
    sigma = np.ones((settings["chains"], draws))
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"sigma": (("chain", "draw"), sigma)})})
    tree.attrs = {
        **dict.fromkeys(names, "..."),
        "settings": json.dumps({key: settings[key] for key in ("draws", "chains")}),
    }
    return tree


@pytest.fixture
def calls(monkeypatch):
    """Replace everything that fits, and record how `fit_bayes` was called."""
    seen = []

    def fit_bayes(formula, data, **settings):
        seen.append((formula, data, settings))
        return drawn(settings, settings["draws"])

    factor = SimpleNamespace(
        name="Rail", levels=["1", "2"], terms=("Intercept",), blocks=((0,),), structures=(),
        arms=None,
    )  # fmt: skip
    design = SimpleNamespace(y=[1.0] * 18, coef=("Intercept", "x[T.b]"), factors=(factor,))
    priors = SimpleNamespace(describe=lambda: table("parameter"))
    stand_ins = {
        "build_design": lambda *args, **kwargs: design,
        "resolve_priors": lambda design, chosen: priors,
        "fit_bayes": fit_bayes,
        "summary": lambda idata: "THE SUMMARY",
        "fixed_effects": lambda idata: table("coef"),
        "variance_components": lambda idata: table("factor"),
        "random_effects": lambda idata: table("level"),
        "plot_caterpillar": lambda idata, factor: plt.figure(),
        "plot_levels": lambda idata, factor: plt.figure(),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(bayeslmm, name, stand_in, raising=False)
    return seen


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "rails.toml"
    path.write_text(SPEC)
    return path


def run(*args):
    return CliRunner(env={"COLUMNS": "1000"}).invoke(app, [str(arg) for arg in args])


def fit(spec, *args):
    return run("fit", spec, "--out", spec.parent / "results", *args)


def hidden(spec):
    return [path.name for path in (spec.parent / "results").glob(".*")]


def test_a_fit_prints_what_it_does_and_writes_everything(spec, calls):
    result = fit(spec)
    assert result.exit_code == 0, result.output
    for text in ("Rails [a test]", "travel ~ 1 + (1 | Rail)", "18 rows", "Rail: 2 levels"):
        assert text in result.stdout
    for text in ("Priors", "a[T.b]", "66.54", "x[T.b]", "THE SUMMARY", "posterior.nc"):
        assert text in result.stdout
    folder = spec.parent / "results" / "rails"
    assert {path.name for path in folder.iterdir()} == {
        "posterior.nc",
        "fixed_effects.csv",
        "variance_components.csv",
        "random_effects.csv",
        "caterpillar.png",
        "levels.png",
    }
    assert pd.read_csv(folder / "fixed_effects.csv", index_col="coef")["mean"].iloc[0] == 66.54321
    assert xr.open_datatree(folder / "posterior.nc").load()["posterior/sigma"].sum() == 600
    assert (folder / "levels.png").read_bytes().startswith(b"\x89PNG")
    assert hidden(spec) == []


def test_options_win_over_the_file_and_the_file_over_the_defaults(spec, calls):
    fit(spec, "--draws", 50, "--seed", 7, "--target-accept", 0.9, "--sampler", "pymc", "--quiet")
    ((formula, data, settings),) = calls
    assert formula == "travel ~ 1 + (1 | Rail)"
    assert len(data) == 18
    assert settings == {
        "draws": 50,
        "chains": 2,
        "random_seed": 7,
        "target_accept": 0.9,
        "sampler": "pymc",
        "priors": {"sigma": "HalfNormal(10)"},
        "weights": None,
        "missing": "drop",
        "family": bayeslmm.Gaussian(),
        "trials": None,
        "residual": None,
        "sigma": None,
        "se": None,
        "known": None,
        "progressbar": False,
    }


def test_quiet_prints_nothing(spec, calls):
    assert fit(spec, "--quiet").output == ""


def test_a_result_is_replaced_only_by_a_finished_one(spec, calls, monkeypatch):
    fit(spec)
    old = spec.parent / "results" / "rails" / "fixed_effects.csv"
    old.write_text("old")

    def broken(idata, factor):
        raise RuntimeError("out of ink")

    with monkeypatch.context() as patch:
        patch.setattr(bayeslmm, "plot_levels", broken)
        assert isinstance(fit(spec).exception, RuntimeError)
    assert old.read_text() == "old"
    assert hidden(spec) == []
    fit(spec)
    assert old.read_text() != "old"
    assert hidden(spec) == []


def test_what_an_interrupted_fit_has_drawn_is_kept_apart(spec, calls, monkeypatch):
    fit(spec)
    monkeypatch.setattr(bayeslmm, "fit_bayes", lambda *args, **settings: drawn(settings, 17))
    result = fit(spec)
    assert result.exit_code == 130
    results = spec.parent / "results"
    assert sorted(path.name for path in results.iterdir()) == ["rails", "rails.interrupted"]
    part = xr.open_datatree(results / "rails.interrupted" / "posterior.nc").load()
    assert part["posterior"].sizes["draw"] == 17
    whole = xr.open_datatree(results / "rails" / "posterior.nc").load()
    assert whole["posterior"].sizes["draw"] == 300


def test_a_fit_interrupted_before_its_first_draw_writes_nothing_and_exits_130(
    spec, calls, monkeypatch
):
    def interrupted(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(bayeslmm, "fit_bayes", interrupted)
    result = fit(spec)
    assert result.exit_code == 130
    assert "Interrupted" in result.stderr
    assert list((spec.parent / "results").iterdir()) == []


def test_errors_are_sentences_on_stderr_with_exit_code_2(spec, calls, monkeypatch):
    def refuse(*args, **kwargs):
        raise FormulaError("There is no column 'x[1]'.", "travel ~ x[1]", (9, 13))

    monkeypatch.setattr(bayeslmm, "build_design", refuse)
    result = fit(spec)
    assert result.exit_code == 2
    assert f"Error: {spec}:2: There is no column 'x[1]'." in result.stderr
    assert "    travel ~ x[1]\n             ^^^^" in result.stderr
    assert "Traceback" not in result.output
    assert not (spec.parent / "results").exists()


def test_warnings_of_the_package_are_sentences(spec, calls, monkeypatch):
    usual = bayeslmm.fit_bayes

    def warn(*args, **settings):
        for _ in range(2):
            warnings.warn("R-hat is 1.2; draw more.", SamplingWarning, stacklevel=2)
        return usual(*args, **settings)

    monkeypatch.setattr(bayeslmm, "fit_bayes", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # as outside of the tests
        result = fit(spec)
    assert result.exit_code == 0
    assert result.stderr.count("Warning: R-hat is 1.2; draw more.") == 1
    assert "SamplingWarning" not in result.stderr


def test_an_unwritable_place_is_refused_before_sampling(spec, calls):
    (spec.parent / "results").write_text("a file, not a folder")
    result = fit(spec)
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert "--out" in result.stderr
    assert calls == []


def test_a_folder_that_is_no_result_is_never_replaced(spec, calls):
    precious = spec.parent / "results" / "rails" / "thesis.tex"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    result = fit(spec)
    assert result.exit_code == 2
    assert "is not a results folder" in result.stderr
    assert calls == []
    assert precious.read_text() == "years of work"


def test_a_missing_file_exits_with_2(tmp_path, calls):
    result = run("fit", tmp_path / "nothing.toml")
    assert result.exit_code == 2
    assert "There is no model file" in result.stderr


def test_list_shows_model_files_and_tables_and_survives_a_broken_file(spec):
    (spec.parent / "broken.toml").write_text("title = ")
    result = run("list", "--models", spec.parent)
    assert result.exit_code == 0, result.output
    assert "Rails [a test]" in result.stdout
    assert "broken.toml: cannot be read" in result.stdout
    assert "sleepstudy" in result.stdout


@pytest.mark.parametrize(("name", "said"), [("nowhere", "no folder"), ("empty", "no model files")])
def test_list_says_where_it_looked_in_vain(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    result = run("list", "--models", tmp_path / name)
    assert result.exit_code == 0
    assert f"There is {said}" in result.stdout
    assert "--models" in result.stdout


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--draws", 0, "draws must be at least 1"),
        ("--target-accept", 2, "target_accept must lie between"),
        ("--sampler", "stan", "There is no sampler 'stan'"),
        ("--parametrization", "marginl", "Did you mean 'marginal'?"),
        ("--sampler", "importance", "add parametrization='marginal'"),
    ],
)
def test_options_are_checked_before_anything_is_printed(spec, calls, option, value, message):
    # What does not go with the option stands in the other one.
    form = ("--parametrization", "centered") if option == "--sampler" else ()
    result = fit(spec, option, value, *form)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert not (spec.parent / "results").exists()


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("travel ~ 1", "travle ~ 1", 2, "Did you mean 'travel'?"),
        ("travel ~ 1", "travel ~ mo(x)", 2, "mo() is not supported"),
        ("HalfNormal(10)", "HalfNromal(10)", 4, "Did you mean 'HalfNormal'"),
        ("sigma =", "sigm =", 4, "Did you mean 'sigma'?"),
    ],
)
def test_a_mistake_in_a_formula_or_prior_is_told_with_file_and_line(spec, old, new, line, message):
    spec.write_text(SPEC.replace(old, new))
    result = run("priors", spec)
    assert result.exit_code == 2
    assert f"Error: {spec}:{line}: " in result.stderr
    assert message in result.stderr


def test_pictures_can_be_vector_graphics(spec, calls):
    assert fit(spec, "--pictures", "svg").exit_code == 0
    folder = spec.parent / "results" / "rails"
    assert "<svg" in (folder / "levels.svg").read_text("utf-8")
    assert not (folder / "levels.png").exists()


def test_a_table_with_mere_row_numbers_is_written_without_them(spec, calls, monkeypatch):
    rows = pd.DataFrame({"factor": ["Rail"], "mean": [1.0]})
    monkeypatch.setattr(bayeslmm, "random_effects", lambda idata: rows)
    fit(spec)
    text = (spec.parent / "results" / "rails" / "random_effects.csv").read_text()
    assert text == "factor,mean\nRail,1.0\n"


@pytest.mark.parametrize("width", [80, 40])
def test_numbers_and_words_stay_whole_however_narrow_the_terminal(width):
    path = Path(__file__).parents[2] / "models" / "machines.toml"
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(app, ["priors", str(path)])
    assert result.exit_code == 0
    words = result.stdout.split()
    for word in ("HalfStudentT(nu=3,", "sigma=20.1906)", "sd_Worker[Machine[T.B]]", "-0.6694"):
        assert word in words
    if width == 80:
        assert max(map(len, result.stdout.splitlines())) <= 80


def test_reml_prints_the_fit_beside_the_reference():
    path = Path(__file__).parents[2] / "models" / "sleepstudy.toml"
    result = run("reml", path)
    assert result.exit_code == 0, result.output
    assert "251.4" in result.stdout
    assert "Reference criterion 1743.6283 (lme4" in result.stdout
    difference = float(result.stdout.split("difference ")[1].rstrip(".\n"))
    # What the package promises for every reference fit.
    assert abs(difference) < 1e-5
    assert "Reference" not in run("reml", path, "--ml").stdout


def test_reml_takes_the_files_residuals():
    path = Path(__file__).parents[2] / "models" / "orthodont_sigma.toml"
    result = run("reml", path)
    assert result.exit_code == 0, result.output
    assert "Residuals: sigma ~ 0 + Sex" in result.stdout
    difference = float(result.stdout.split("difference ")[1].rstrip(".\n"))
    assert abs(difference) < 1e-5


def test_the_version_is_printed():
    assert run("--version").stdout.strip() == f"bayeslmm {bayeslmm.__version__}"


def test_without_arguments_help_is_shown():
    assert "fit" in run().output
