"""A model file's prior study on the command line."""

import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayeslmm as bl
from bayeslmm.cli.app import app
from bayeslmm.studies import scenario_run

FILE = """\
formula = "Yield ~ 1 + (1 | Batch)"

[data]
bundled = "dyestuff"

[priors]
sigma = "HalfNormal(100)"

[sampler]
draws = 100
tune = 300
chains = 2
random_seed = 1

[study]
quantities = { ratio = "sd_Batch[Intercept] / sigma" }

[study.scenarios]
sd = ["HalfStudentT(3, 70)", "HalfStudentT(3, 2)"]
"""

# A hundred draws are enough to look at files and messages.
pytestmark = pytest.mark.filterwarnings("ignore:The draws of these:bayeslmm.errors.SamplingWarning")


def run(*args):
    return CliRunner(env={"COLUMNS": "1000"}).invoke(app, [str(arg) for arg in args])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "dye.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def fits(monkeypatch):
    fit, calls = scenario_run.fit_bayes, []

    def counted(*args, **kwargs):
        calls.append(kwargs["priors"])
        return fit(*args, **kwargs)

    monkeypatch.setattr(scenario_run, "fit_bayes", counted)
    return calls


def test_a_study_is_printed_written_and_not_run_twice(file, fits, tmp_path):
    out = tmp_path / "out"
    first = run("sensitivity", file, "--study", "--out", out)
    assert first.exit_code == 0, first.output
    assert len(fits) == 2, "the reference, and the scenario that is too far off to reweight"
    assert str(fits[0].sigma) == "HalfNormal(sigma=100)"
    for text in ("How far the priors move each conclusion", "ratio", "sd=HalfStudentT(3, 2)"):
        assert text in first.output
    folder = out / "dye.study"
    assert {file.name for file in folder.iterdir()} == {
        "study.nc", "study.csv", "scenarios.csv", "study.png", "scenarios",
    }  # fmt: skip
    table = pd.read_csv(folder / "study.csv", index_col=["quantity", "scenario"])
    assert table.loc[("ratio", "sd=HalfStudentT(3, 2)"), "moved"] < -0.5
    with xr.open_datatree(folder / "study.nc") as study:
        pd.testing.assert_frame_equal(bl.summarise_study(study.load()), table, check_dtype=False)
    again = run("sensitivity", file, "--study", "--out", out)
    assert len(fits) == 2
    assert again.exit_code == 0, again.output


def test_an_interrupted_study_says_where_it_goes_on(file, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(scenario_run, "fit_bayes", interrupted)
    result = run("sensitivity", file, "--study", "--out", tmp_path / "out")
    assert result.exit_code == 130
    assert "the same command goes on from there" in result.output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: text.index("[study]")], "has no [study]. Add one"),
        (
            lambda text: text.replace("sd = [", "sdd = ["),
            "dye.toml:19: Scenario 'sdd=HalfStudentT(3, 70)': There is no parameter 'sdd' to set",
        ),
        (
            lambda text: text.replace(
                '70)", "HalfStudentT(3, 2)"]', '1)"]\nsd_Batch = ["Exponential(1)"]'
            ),
            "dye.toml:19: The grid varies 'sd' in vain: 'sd_Batch', more specific, wins",
        ),
        (
            lambda text: text.replace(
                "[study.sc", '[study.reference]\nsigm = "HalfNormal(1)"\n[study.sc'
            ),
            "dye.toml:19: There is no parameter 'sigm' to set a prior on. Did you mean 'sigma'?",
        ),
        (
            lambda text: text.replace("/ sigma", "/ sigm"),
            "dye.toml:16: The quantity 'ratio': 'sd_Batch[Intercept] / sigm' names 'sigm'",
        ),
    ],
)
def test_a_mistake_is_one_sentence(file, tmp_path, fits, change, message):
    file.write_text(change(FILE))
    result = run("sensitivity", file, "--study", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not fits


def test_a_folder_of_someone_elses_is_left_alone(file, tmp_path, fits):
    theirs = tmp_path / "out" / "dye.study"
    theirs.mkdir(parents=True)
    (theirs / "thesis.txt").write_text("all of it")
    result = run("sensitivity", file, "--study", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "is not a study of bayeslmm" in result.output
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]
    assert not fits


def test_options_that_do_nothing_are_refused(file, tmp_path, fits):
    result = run("sensitivity", file, "--jobs", "2", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "--jobs goes with --study" in result.output
    result = run("sensitivity", file, "--study", "--jobs", "0", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "n_jobs must be a whole number other than 0" in result.output
