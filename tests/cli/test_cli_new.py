"""`bayeslmm new` and `bayeslmm predict`: from a data file to predictions without Python."""

import json

import numpy as np
import pandas as pd
import pytest
import trees
from typer.testing import CliRunner

import bayeslmm as bl
from bayeslmm.cli.app import app


def run(*args):
    return CliRunner(env={"COLUMNS": "1000"}).invoke(app, [str(arg) for arg in args])


@pytest.fixture
def sleep():
    return bl.load_dataset("sleepstudy").assign(Subject=lambda t: t["Subject"].astype(str))


def written(table, path, **how):
    table.to_csv(path, index=False, **how)
    return path


def test_the_file_runs_as_it_is_written(sleep, tmp_path):
    data = written(sleep, tmp_path / "sleep.csv")
    result = run("new", data)
    assert result.exit_code == 0, result.output
    spec = bl.read_spec(tmp_path / "sleep.toml")
    assert spec.formula == "Reaction ~ 1 + (1 | Subject)"
    assert bl.build_design(spec.formula, spec.data.load()).n == 180
    assert run("reml", tmp_path / "sleep.toml").exit_code == 0


def test_every_guess_is_said_in_the_file_and_on_the_screen(sleep, tmp_path):
    text = sleep.assign(Reaction=[f"{x:.2f}".replace(".", ",") for x in sleep["Reaction"]])
    text.loc[3, "Reaction"] = "?"
    text["age"] = np.where(np.arange(180) % 7 == 0, -99, 30)
    result = run("new", written(text, tmp_path / "sleep.txt", sep=";"))
    assert result.exit_code == 0, result.output
    content = (tmp_path / "sleep.toml").read_text()
    for guess in (
        "Columns are separated by ';'.",
        "Numbers have a decimal comma.",
        "'-99' in a column of numbers is a missing value.",
        "'?' in a column of numbers is a missing value.",
        "The response is 'Reaction', a number.",
        "The groups are the levels of 'Subject'.",
    ):
        assert f"Guessed: {guess}" in result.output
        assert f"# - {guess}" in content
    table = bl.read_spec(tmp_path / "sleep.toml").data.load()
    assert table["Reaction"].isna().sum() == 1
    assert table["age"].isna().sum() == 26
    np.testing.assert_allclose(table["Reaction"][4:], sleep["Reaction"][4:], atol=0.005)


def test_nothing_is_guessed_where_it_is_given(sleep, tmp_path):
    data = written(sleep, tmp_path / "sleep.csv")
    to = tmp_path / "models" / "own.toml"
    to.parent.mkdir()
    result = run("new", data, "--to", to, "--response", "Reaction", "--group", "Subject")
    assert "Guessed" not in result.output
    spec = bl.read_spec(to)
    assert spec.formula == "Reaction ~ 1 + (1 | Subject)"
    assert len(spec.data.load()) == 180


@pytest.mark.parametrize("name", ['a "quoted" name', "back\\slash", "ünï", "two words", "a,b"])
def test_odd_names_are_quoted(tmp_path, name):
    table = pd.DataFrame({name: np.arange(12) / 7, "my group": list("aabbccddeeff")})
    result = run("new", written(table, tmp_path / "odd.csv"))
    assert result.exit_code == 0, result.output
    spec = bl.read_spec(tmp_path / "odd.toml")
    assert bl.build_design(spec.formula, spec.data.load()).factors[0].name == "my group"


@pytest.fixture
def trial():
    """Patients numbered anew in each clinic, with a treatment and an age each, seen five times."""
    rng = np.random.default_rng(4)
    clinic, patient, week = (k.ravel() for k in np.indices((12, 10, 5)))
    person = clinic * 10 + patient
    return pd.DataFrame(
        {
            "clinic": clinic + 1,
            "patient": patient + 1,
            "age": 40 + person * 7 % 60,
            "treatment": np.array(["placebo", "low", "high"])[patient % 3],
            "week": 2 * week,
            "wellbeing": rng.normal(50, 10, 600).round(2),
        }
    )


def formula_of(table, tmp_path, *options):
    to = tmp_path / "trial.toml"
    to.unlink(missing_ok=True)
    result = run("new", written(table, tmp_path / "trial.csv"), *options)
    assert result.exit_code == 0, result.output
    return bl.read_spec(to).formula


def test_labels_that_start_again_within_others_are_nested_groups(trial, tmp_path):
    assert formula_of(trial, tmp_path) == "wellbeing ~ 1 + (1 | clinic/patient)"
    text = (tmp_path / "trial.toml").read_text()
    assert "The groups are the levels of 'patient', within each one of 'clinic'." in text
    # What is shown as an example can be fitted: the slope varies within patients.
    assert '"wellbeing ~ week + (week | clinic/patient)"' in text
    # Numbers start again within names, wherever they stand.
    moved = trial[["patient", "clinic", *trial.columns[2:]]]
    moved["clinic"] = [f"c{number}" for number in moved["clinic"]]
    assert formula_of(moved, tmp_path) == "wellbeing ~ 1 + (1 | clinic/patient)"


def test_the_column_that_names_each_patient_is_the_group(trial, tmp_path):
    numbered = trial.assign(patient=trial["clinic"] * 10 + trial["patient"])
    assert formula_of(numbered, tmp_path) == "wellbeing ~ 1 + (1 | patient)"


def test_a_few_labels_are_no_groups(trial, tmp_path):
    table = trial[["treatment", "wellbeing"]]
    assert formula_of(table, tmp_path) == "wellbeing ~ 1"
    assert "The groups are none that show." in (tmp_path / "trial.toml").read_text()


def test_nested_groups_can_be_given(trial, tmp_path):
    given = formula_of(trial, tmp_path, "--group", "treatment/patient")
    assert given == "wellbeing ~ 1 + (1 | treatment/patient)"
    slash = trial.rename(columns={"clinic": "a/b"})
    assert formula_of(slash, tmp_path, "--group", "a/b") == "wellbeing ~ 1 + (1 | `a/b`)"
    refused = run("new", tmp_path / "trial.csv", "--group", "a/x", "--to", tmp_path / "o.toml")
    assert "has no column 'a'" in refused.output
    both = ("--response", "age", "--group", "age/patient", "--to", tmp_path / "o.toml")
    refused = run("new", tmp_path / "trial.csv", *both)
    assert "'age' is both its response and a grouping factor." in refused.output


def test_a_word_among_the_numbers_hides_no_response(trial, tmp_path):
    trial["wellbeing"] = trial["wellbeing"].astype(str)
    trial.loc[3, "wellbeing"] = "missed"
    trial.loc[[7, 9], "wellbeing"] = "5O.3"
    data = written(trial, tmp_path / "trial.csv")
    result = run("new", data)
    assert "'wellbeing' holds numbers, but for 1 cell: 'missed' (row 4); missing" in result.output
    assert "but for 2 cells: '5O.3' (first in row 8); missing_words" in result.output
    spec = bl.read_spec(tmp_path / "trial.toml")
    assert spec.formula == "wellbeing ~ 1 + (1 | clinic/patient)"
    assert spec.data.missing_words == ("missed", "5O.3")
    assert list(spec.data.load().index[spec.data.load()["wellbeing"].isna()]) == [3, 7, 9]


def test_numbers_among_labels_stay_labels(trial, tmp_path):
    trial["house"] = trial["clinic"].astype(str).replace({"12": "12b"})
    trial["code"] = np.where(np.arange(600) % 2 == 0, "x", "7")
    formula_of(trial, tmp_path)
    assert bl.read_spec(tmp_path / "trial.toml").data.missing_words == ()


def test_a_table_without_groups_has_a_model_too(tmp_path):
    run("new", written(pd.DataFrame({"y": [1.5, 2.0, 4.0, 3.0]}), tmp_path / "bare.csv"))
    assert bl.read_spec(tmp_path / "bare.toml").formula == "y ~ 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("a,b\nx,y\nz,w\n", "no column of numbers"), (b"\xff\xfe\x00", "UTF-8")],
)
def test_what_is_no_table_is_refused(tmp_path, text, message):
    path = tmp_path / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    result = run("new", path)
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "rows.toml").exists()


def test_a_file_that_is_there_is_left_alone(sleep, tmp_path):
    data = written(sleep, tmp_path / "sleep.csv")
    (tmp_path / "sleep.toml").write_text("mine")
    result = run("new", data)
    assert result.exit_code == 2
    assert "exists; choose another one with --to" in result.output
    assert (tmp_path / "sleep.toml").read_text() == "mine"
    assert "no column 'x': Reaction" in run("new", data, "--response", "x", "--to", "o.toml").output
    assert "no data file" in run("predict", tmp_path, tmp_path / "none.csv").output
    missed = run("new", tmp_path / "slep.csv").output
    assert f"There is no data file '{tmp_path}/slep.csv'. Did you mean '{data}'?" in missed
    assert f"Did you mean '{data}'?" in run("predict", tmp_path, tmp_path / "slep.csv").output
    assert "cannot be read: Is a directory" in run("new", tmp_path, "--to", "o.toml").output
    assert f"bayeslmm new {data} writes a model file" in run("fit", data).output


@pytest.fixture
def results(tmp_path):
    table = {**trees.TINY, "g": np.array(["01", "01", "2", "2", "2", "2", "3", "3", "3"])}
    tree = trees.random_tree("y ~ x + (x | g)", table, draws=50)
    (tmp_path / "fit").mkdir()
    tree.to_netcdf(tmp_path / "fit" / "posterior.nc")
    return tmp_path / "fit", tree


def test_predictions_stand_beside_the_rows(results, tmp_path):
    folder, tree = results
    rows = written(
        pd.DataFrame({"id": [7, 8], "x": [0.5, 2], "g": ["01", "3"]}), tmp_path / "n.csv"
    )
    result = run("predict", folder, rows, "--to", tmp_path / "out.csv", "--ci-prob", 0.8)
    assert result.exit_code == 0, result.output
    found = pd.read_csv(tmp_path / "out.csv", dtype={"g": str})
    assert list(found["g"]) == ["01", "3"]
    expected = bl.predict_table(tree, {"x": [0.5, 2.0], "g": ["01", "3"]}, ci_prob=0.8)
    # Sixteen digits are written.
    np.testing.assert_allclose(found[expected.columns], expected, rtol=1e-14)


def test_options_of_predictions(results, tmp_path):
    folder, tree = results
    rows = tmp_path / "rows.txt"
    rows.write_text("x;g\n0,5;new\n")
    out = tmp_path / "out.csv"
    shared = ("--sep", ";", "--decimal", ",", "--to", out)
    options = ("--new-levels", "sample", "--kind", "response", "--seed", 3)
    assert run("predict", folder, rows, *shared, *options).exit_code == 0
    expected = bl.predict_table(
        tree, {"x": [0.5], "g": ["new"]}, kind="response", new_levels="sample", random_seed=3
    )
    np.testing.assert_allclose(pd.read_csv(out)[expected.columns], expected, rtol=1e-14)
    assert run("predict", folder, rows, *shared, "--population").exit_code == 0
    refused = run("predict", folder, rows, *shared)
    assert refused.exit_code == 2
    assert "levels that the fit did not see: 'new'" in refused.output
    assert "Take them with --new-levels population" in refused.output
    assert "or --new-levels sample" in refused.output
    without = written(pd.DataFrame({"x": [0.5]}), tmp_path / "without.csv")
    output = run("predict", folder, without, "--to", out).output
    assert "Without it, leave all random effects out: --population." in output
    assert run("predict", folder, without, "--to", out, "--population").exit_code == 0


@pytest.mark.parametrize(("sep", "option"), [(";", '--sep ";"'), ("\t", r"--sep $'\t'")])
def test_another_separator_is_named(results, tmp_path, sep, option):
    folder, _ = results
    table = pd.DataFrame({"x": ["0,5", "1,5"], "g": ["01", "3"]})
    rows = written(table, tmp_path / "rows.csv", sep=sep)
    refused = run("predict", folder, rows)
    assert refused.exit_code == 2
    assert f"separates columns by {sep!r}, not by ',': give {option}." in refused.output
    (tmp_path / "rows.toml").write_text('formula = "x ~ 1"\n[data]\npath = "rows.csv"\n')
    in_file = f"give sep = {json.dumps(sep)} under [data]."
    assert in_file in run("reml", tmp_path / "rows.toml").output


def test_mistakes_are_sentences(results, tmp_path):
    folder, _ = results
    rows = written(pd.DataFrame({"x": [1.0], "mean": [2.0], "g": ["3"]}), tmp_path / "n.csv")
    assert "has a column 'mean'" in run("predict", folder, rows, "--to", tmp_path / "o.csv").output
    assert "no results at" in run("predict", tmp_path / "none", rows).output
    assert "is the file of the rows" in run("predict", folder, rows, "--to", rows).output


def grouped(**columns):
    return pd.DataFrame({"g": np.repeat(list("abcdef"), 5), **columns})


@pytest.mark.parametrize(
    ("response", "family", "said"),
    [
        (np.tile([0, 1, 1], 10), "bernoulli", "'y' is 0 or 1: family = \"bernoulli\""),
        (np.tile([0.0, 1.0, np.nan], 10), "bernoulli", "'y' is 0 or 1"),
        (np.tile([0, 4, 2, 11, 3], 6), "poisson", 'whole numbers from 0 to 11: family = "poisson"'),
        (np.tile([1, 4, 2, 11, 3], 6), None, None),
        (np.tile([0, 4, -2, 11, 3], 6), None, None),
        (np.tile([0, 4.5, 2, 11, 3], 6), None, None),
    ],
)
def test_families_are_guessed_of_binary_responses_and_counts(response, family, said, tmp_path):
    result = run("new", written(grouped(y=response), tmp_path / "t.csv"))
    assert result.exit_code == 0, result.output
    content = (tmp_path / "t.toml").read_text()
    spec = bl.read_spec(tmp_path / "t.toml")
    assert spec.family.name == (family or "gaussian")
    assert spec.formula == "y ~ 1 + (1 | g)"
    if said is None:
        assert "family" not in content
    else:
        assert said in content
        assert said in result.output
        assert "sigma" not in content


def test_a_response_of_two_labels_is_taken_where_it_is_given(tmp_path):
    data = written(grouped(y=np.tile(["no", "yes", "yes"], 10)), tmp_path / "t.csv")
    assert run("new", data, "--response", "y").exit_code == 0
    assert "'y' is 'no' or 'yes'" in (tmp_path / "t.toml").read_text()
    assert bl.read_spec(tmp_path / "t.toml").family == bl.Bernoulli()
