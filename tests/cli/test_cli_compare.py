"""`bayeslmm compare`: reads results that stand there, or fits; adds to them all at once."""

import numpy as np
import pandas as pd
import pytest
import trees
from typer.testing import CliRunner

import bayeslmm
from bayeslmm.cli import app
from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.tables.datasets import load_dataset

SPEC = """\
formula = "travel ~ 1 + (1 | Rail)"
data = { bundled = "rail" }
priors = { sigma = "HalfNormal(10)" }
"""
FORMULA = "travel ~ 1 + (1 | Rail)"
PRIORS = {"sigma": "HalfNormal(10)"}


def result(path, *, formula=FORMULA, priors=PRIORS, data=None):
    """Write a tree such as `fit` leaves."""
    data = load_dataset("rail") if data is None else data
    tree = trees.random_tree(formula, data, draws=50)
    design = bayeslmm.build_design(formula, data)
    tree.attrs["data_fingerprint"] = fingerprint(design)
    tree.attrs["priors"] = bayeslmm.resolve_priors(design, priors).to_json()
    path.mkdir(parents=True, exist_ok=True)
    tree.to_netcdf(path / "posterior.nc")


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "rails.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture
def fits(monkeypatch):
    """Replace the fit, and record that it was asked for."""
    seen = []

    def fit(study, out, settings, console, pictures):
        seen.append(study.name)
        result(out / study.name)

    monkeypatch.setattr(app, "_fit", fit)
    return seen


def compare(spec, *args):
    out = spec.parent / "results"
    runner = CliRunner(env={"COLUMNS": "80"})
    return runner.invoke(app.app, ["compare", str(spec), "--out", str(out), *args])


def test_standing_results_are_read_and_added_to(spec, fits):
    folder = spec.parent / "results" / "rails"
    result(folder)
    (folder / "levels.png").write_text("an older picture")
    before = (folder / "posterior.nc").read_bytes()
    done = compare(spec)
    assert done.exit_code == 0, done.output
    assert fits == []
    for text in ("same formula, priors and data", "Posterior beside REML", "verdict", "66.5"):
        assert text in done.stdout
    assert "sd_Rail[Intercept]: " in done.stdout
    assert "conditional modes: " in done.stdout
    assert (folder / "posterior.nc").read_bytes() == before
    assert (folder / "levels.png").read_text() == "an older picture"
    table = pd.read_csv(folder / "compare_reml.csv", index_col="parameter")
    assert table["reml"]["Intercept"] == pytest.approx(66.5)
    assert len(pd.read_csv(folder / "compare_random_effects.csv")) == 6
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in (spec.parent / "results").iterdir()] == ["rails"]


def test_without_results_the_model_is_fitted_first(spec, fits):
    done = compare(spec)
    assert done.exit_code == 0, done.output
    assert fits == ["rails"]
    assert "comparison.png" in done.stdout


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"formula": "travel ~ 0 + (1 | Rail)"}, "of another formula"),
        ({"priors": {}}, "of other priors"),
        ({"data": load_dataset("rail").assign(travel=lambda t: t["travel"] + 1)}, "of other data"),
    ],
)
def test_results_of_something_else_are_named_and_replaced(spec, fits, changes, words):
    result(spec.parent / "results" / "rails", **changes)
    done = compare(spec)
    assert words in done.stdout
    assert fits == ["rails"]
    assert done.exit_code == 0, done.output


def test_a_file_that_is_no_tree_is_named_and_replaced(spec, fits):
    folder = spec.parent / "results" / "rails"
    folder.mkdir(parents=True)
    (folder / "posterior.nc").write_text("half a file")
    done = compare(spec)
    assert "cannot be read" in done.stdout
    assert fits == ["rails"]
    assert done.exit_code == 0, done.output


def test_a_comparison_that_fails_leaves_the_results_as_they_were(spec, fits, monkeypatch):
    folder = spec.parent / "results" / "rails"
    result(folder)

    def broken(idata, *, fit):
        raise RuntimeError("out of ink")

    monkeypatch.setattr(bayeslmm, "plot_comparison", broken)
    assert isinstance(compare(spec).exception, RuntimeError)
    assert [path.name for path in folder.iterdir()] == ["posterior.nc"]
    assert [path.name for path in (spec.parent / "results").iterdir()] == ["rails"]


def test_quiet_prints_nothing(spec, fits):
    result(spec.parent / "results" / "rails")
    assert compare(spec, "--quiet").output == ""


def test_a_study_without_random_effects_has_one_table(tmp_path, monkeypatch):
    spec = tmp_path / "plain.toml"
    spec.write_text('formula = "travel ~ 1"\ndata = { bundled = "rail" }')
    data = load_dataset("rail")
    rng = np.random.default_rng(0)
    draws = {"beta": rng.normal(66, 1, size=(2, 50, 1)), "sigma": rng.uniform(20, 30, (2, 50))}
    tree = trees.make_tree("travel ~ 1", data, draws)
    design = bayeslmm.build_design("travel ~ 1", data)
    tree.attrs["data_fingerprint"] = fingerprint(design)
    tree.attrs["priors"] = bayeslmm.resolve_priors(design).to_json()
    folder = tmp_path / "results" / "plain"
    folder.mkdir(parents=True)
    tree.to_netcdf(folder / "posterior.nc")
    done = compare(spec)
    assert done.exit_code == 0, done.output
    assert not (folder / "compare_random_effects.csv").exists()
