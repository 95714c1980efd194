"""Family, link and trials in model files, and simulations of them."""

import pytest

import bayeslmm as bl
from bayeslmm.errors import SpecError
from bayeslmm.studies.model_files.model_spec import read_spec


def write(folder, text):
    path = folder / "study.toml"
    path.write_text(text)
    return path


FAMILY = """\
formula = "y ~ x + (1 | g)"
family = "binomial"
link = "cloglog"
trials = "n"

[data.simulation]
random_seed = 1
rows = [2, 5]

[data.simulation.levels]
g = 30

[data.simulation.columns]
x = { normal = [0, 1] }
n = { integer = [1, 9] }

[data.simulation.beta]
Intercept = -1.0
x = 0.5

[data.simulation.sd]
g = 1.0
"""


def test_a_file_names_family_link_and_trials_and_simulates_them(tmp_path):
    spec = read_spec(write(tmp_path, FAMILY))
    assert spec.family == bl.Binomial(link="cloglog")
    assert spec.coding == {
        "weights": None,
        "missing": "drop",
        "family": spec.family,
        "trials": "n",
        "residual": None,
        "sigma": None,
        "se": None,
        "known": None,
    }
    table = spec.data.load()
    assert ((table["y"] >= 0) & (table["y"] <= table["n"])).all()
    assert spec.data.truth() == {"Intercept": -1.0, "x": 0.5, "sd_g[Intercept]": 1.0}
    assert bl.build_design(spec.formula, table, **spec.coding).trials.max() <= 9


GAUSSIAN = FAMILY.replace('family = "binomial"\nlink = "cloglog"\ntrials = "n"\n', "").replace(
    "rows =", "sigma = 0.5\nrows ="
)


def test_a_file_without_a_family_is_gaussian(tmp_path):
    spec = read_spec(write(tmp_path, GAUSSIAN))
    assert spec.family == bl.Gaussian()
    assert spec.coding["trials"] is None


def test_a_simulation_takes_the_familys_parameters(tmp_path):
    text = FAMILY.replace('"binomial"\nlink = "cloglog"\ntrials = "n"', '"negbinomial"')
    text = text.replace("rows = [2, 5]", "rows = [2, 5]\nparameters = { shape = 2.0 }")
    spec = read_spec(write(tmp_path, text))
    assert spec.data.truth()["shape"] == 2.0
    assert (spec.data.load()["y"] % 1 == 0).all()


RATINGS = (
    FAMILY.replace('"binomial"\nlink = "cloglog"\ntrials = "n"', '"cumulative"')
    .replace("rows = [2, 5]", "rows = [2, 5]\nparameters = { threshold = [-1, 0.5, 2.0] }")
    .replace("Intercept = -1.0\n", "")
)


def test_a_simulation_takes_thresholds(tmp_path):
    spec = read_spec(write(tmp_path, RATINGS))
    cuts = {"threshold[1|2]": -1.0, "threshold[2|3]": 0.5, "threshold[3|4]": 2.0}
    assert spec.data.truth() == {"x": 0.5, "sd_g[Intercept]": 1.0} | cuts
    table = spec.data.load()
    assert sorted(table["y"].unique()) == [1.0, 2.0, 3.0, 4.0]
    assert table.equals(spec.data.load())
    fit = bl.fit_ml(spec.formula, table, family=spec.family)
    assert list(fit.parameters) == list(cuts)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[-1, 0.5, 2.0]", "2.0", "'threshold' must be a list of numbers, from the lowest up"),
        ("[-1, 0.5, 2.0]", '[-1, "a"]', "'threshold' must be a list of numbers"),
        ("parameters = { threshold = [-1, 0.5, 2.0] }\n", "", r"\{ threshold = \[-1.0, 1.0\] \}"),
        ('"cumulative"', '"negbinomial"', "has no parameter 'threshold'"),
        ('"cumulative"', '"student"', "has no parameter 'threshold'"),
    ],
)
def test_thresholds_that_are_none_are_told(tmp_path, old, new, message):
    assert old in RATINGS
    with pytest.raises(SpecError, match=message):
        read_spec(write(tmp_path, RATINGS.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('"binomial"', '"binomal"', 2, "Did you mean 'binomial'"),
        ('"binomial"', '"poisson"', 3, "family='poisson' has the link 'log' only"),
        ('"cloglog"', '"log"', 3, "link was 'log'"),
        ('trials = "n"\n', "", 2, "needs their numbers of trials"),
        ('family = "binomial"\nlink = "cloglog"\n', "", 2, "trials= is for family='binomial'"),
        ('trials = "n"', "trials = 2.5", 4, "'trials' must be text, not 2.5"),
        ("rows =", "sigma = 1.0\nrows =", 8, "has no parameter 'sigma'"),
        (
            'family = "binomial"\nlink = "cloglog"\ntrials = "n"',
            'family = "beta"',
            4,
            r"'phi' is missing in \[data.simulation\]: parameters = \{ phi = 2.0 \}",
        ),
        ('family = "binomial"\n', '[model]\nfamily = "binomial"\n', 2, "no table .model."),
    ],
)
def test_wrong_families_are_told_with_their_line(tmp_path, old, new, line, message):
    with pytest.raises(SpecError, match=message) as caught:
        read_spec(write(tmp_path, FAMILY.replace(old, new)))
    assert f".toml:{line}:" in str(caught.value)


def test_weights_of_a_family_that_takes_none_are_told_with_their_line(tmp_path):
    text = FAMILY.replace("[data.simulation]\n", '[data]\nweights = "n"\n\n[data.simulation]\n')
    with pytest.raises(SpecError, match="takes no weights") as caught:
        read_spec(write(tmp_path, text))
    assert ".toml:7:" in str(caught.value)
