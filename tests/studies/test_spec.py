import tomllib
from pathlib import Path

import pytest

from bayeslmm.errors import BayesLMMError, DataError, SpecError
from bayeslmm.studies.model_files.model_spec import read_spec
from bayeslmm.studies.model_files.toml_file import find_specs

MODELS = Path(__file__).parents[2] / "models"
GOOD = """\
title = "Rails"
formula = "travel ~ 1 + (1 | Rail)"

[data]
bundled = "rail"

[priors]
sigma = "HalfNormal(10)"

[sampler]
draws = 200
target_accept = 0.9

[reference]
program = "lme4"
method = "REML"
tolerance = 0.1
reason = "An example."

[reference.fixed_effects]
Intercept = { estimate = 66.5, std_error = 10.17 }
"""


def write(folder, text, name="rails.toml"):
    path = folder / name
    path.write_text(text)
    return path


def test_every_key_of_a_file_arrives(tmp_path):
    spec = read_spec(write(tmp_path, GOOD))
    assert (spec.name, spec.title) == ("rails", "Rails")
    assert spec.formula == "travel ~ 1 + (1 | Rail)"
    assert spec.data.load().shape == (18, 2)
    assert dict(spec.priors) == {"sigma": "HalfNormal(10)"}
    assert dict(spec.sampler) == {"draws": 200, "target_accept": 0.9}
    assert spec.reference.fixed_effects["Intercept"] == 66.5
    assert spec.reference.std_errors["Intercept"] == 10.17
    assert (spec.weights, spec.missing) == (None, "drop")


def test_a_spec_cannot_be_changed(tmp_path):
    spec = read_spec(write(tmp_path, GOOD))
    with pytest.raises(AttributeError):
        spec.formula = "y ~ 1"
    with pytest.raises(TypeError):
        spec.priors["sigma"] = "HalfNormal(1)"
    with pytest.raises(TypeError):
        spec.sampler["draws"] = 1


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("formula =", "formla =", 2, r"no key 'formla'. Did you mean 'formula'\?"),
        ("draws = 200", "darws = 200", 11, r"no key 'darws' in \[sampler\]. Did you mean 'draws'"),
        ("draws = 200", 'draws = "200"', 11, "'draws' must be a whole number, not '200'"),
        ("draws = 200", "draws = true", 11, "'draws' must be a whole number, not True"),
        ("target_accept = 0.9", "target_accept = []", 12, "'target_accept' must be a number"),
        ('"HalfNormal(10)"', "10", 8, "'sigma' must be text, not 10"),
        ('bundled = "rail"', 'bundled = "rial"', 5, "no bundled table 'rial'. Did you mean 'rail'"),
        ('bundled = "rail"', "", 4, "exactly one of bundled"),
        ('bundled = "rail"', 'path = "none.csv"', 5, "no data file .*none.csv"),
        ('bundled = "rail"', 'bundled = "rail"\npath = "x.csv"', 4, "exactly one of bundled"),
        ('bundled = "rail"', 'bundled = "rail"\nlabels = ["Rail"]', 6, "remove labels"),
        ("std_error = 10.17", "std_err = 10.17", 21, "no key 'std_err'.*Did you mean 'std_error'"),
        (", std_error = 10.17", "", 21, "the key 'std_error' is missing"),
        ('program = "lme4"\n', "", 14, "the key 'program' is missing in .reference."),
        ("[data]\n", "[data\n", 4, "not valid TOML"),
        ('"Rails"', '"Rails', 1, "not valid TOML"),
        ('[data]\nbundled = "rail"', "data = 3", 4, "'data' must be a table, not 3"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line(tmp_path, old, new, line, message):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(SpecError, match=message) as caught:
        read_spec(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert not str(caught.value).endswith(("?.", ".."))


def test_an_unfinished_file_is_named_with_its_last_line(tmp_path):
    with pytest.raises(SpecError, match=r"rails.toml:1: not valid TOML"):
        read_spec(write(tmp_path, "title ="))


@pytest.mark.parametrize("key", ["formula", "data"])
def test_a_file_needs_a_formula_and_data(tmp_path, key):
    content = {"formula": 'formula = "y ~ 1"\n', "data": 'data = { bundled = "rail" }\n'}
    del content[key]
    with pytest.raises(SpecError, match=f"the key '{key}' is missing"):
        read_spec(write(tmp_path, "".join(content.values())))


def test_a_missing_file_is_refused_with_its_nearest_neighbour(tmp_path):
    write(tmp_path, GOOD)
    with pytest.raises(SpecError, match=r"no model file .*Did you mean '.*rails.toml'"):
        read_spec(tmp_path / "rail.toml")
    with pytest.raises(SpecError, match="is a folder"):
        read_spec(tmp_path)


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "model.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="not a text file in UTF-8"):
        read_spec(path)


def with_table(folder, table, data='labels = ["id"]', name="table.csv"):
    (folder / name).write_text(table)
    return write(folder, f'formula = "y ~ 1 + (1 | id)"\n[data]\npath = "{name}"\n{data}\n')


def test_a_data_file_stands_beside_its_spec_and_keeps_labels_as_text(tmp_path):
    table = read_spec(with_table(tmp_path, "id,y\n01,2.5\n02,3.5\n")).data.load()
    assert list(table["id"]) == ["01", "02"]
    assert list(table["y"]) == [2.5, 3.5]


def test_levels_of_a_data_file_come_in_the_given_order(tmp_path):
    path = with_table(tmp_path, "id,y\n1,2\n2,3\n,4\n", '[data.levels]\nid = ["2", "1"]')
    column = read_spec(path).data.load()["id"]
    assert list(column.cat.categories) == ["2", "1"]
    assert column.isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("table", "data", "message"),
    [
        ("idd,y\n1,2\n", 'labels = ["id"]', "has no column 'id'. Did you mean 'idd'"),
        ("id,y\n1,2\n3,4\n", '[data.levels]\nid = ["1"]', "'id' of .* holds '3'.*levels.*'1'"),
        ("id,y,y\n1,2,3\n", "", "several columns named 'y'"),
        ("id,y\n1,2,3\n", "", "is not a table"),
        ("", "", "is not a table"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, table, data, message):
    spec = read_spec(with_table(tmp_path, table, data))
    with pytest.raises(DataError, match=message):
        spec.data.load()


def test_a_file_says_how_it_is_written(tmp_path):
    data = 'sep = ";"\ndecimal = ","\nmissing_words = ["-99", "n.k."]\nlabels = ["id"]'
    text = "id;y\n01;1,5\n02;-99\nn.k.;3\n;NA\n"
    table = read_spec(with_table(tmp_path, text, data, name="table.txt")).data.load()
    assert table["y"].to_list()[::2] == [1.5, 3.0]
    assert table["y"].isna().to_list() == [False, True, False, True]
    assert table["id"].isna().to_list() == [False, False, True, True]
    assert table["id"][0] == "01"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ('sep = ";;"', r"rails.toml:\d+: 'sep' is one character, not ';;'"),
        ('decimal = ""', "'decimal' is one character, not ''"),
        ('decimal = ","', "',' cannot be the decimal point and separate columns too: give sep"),
        ("missing_words = [-99]", 'missing_words are text, such as "-99", not -99'),
    ],
)
def test_how_a_file_is_written_must_make_sense(tmp_path, data, message):
    with pytest.raises(SpecError, match=message):
        read_spec(with_table(tmp_path, "id,y\n1,2\n", data))


def test_an_unknown_kind_of_file_is_refused(tmp_path):
    spec = read_spec(with_table(tmp_path, "id,y\n1,2\n", name="table.xlsx"))
    with pytest.raises(DataError, match=r"must end in .csv or .tsv"):
        spec.data.load()


def test_a_table_need_not_be_utf8_to_be_refused_politely(tmp_path):
    path = with_table(tmp_path, "")
    (tmp_path / "table.csv").write_bytes(b"id,y\n\xe9,2\n")
    with pytest.raises(BayesLMMError, match="not text in UTF-8"):
        read_spec(path).data.load()


@pytest.mark.parametrize("path", find_specs(MODELS), ids=lambda path: path.stem)
def test_a_shipped_study_reads_and_carries_its_birth_certificate(path):
    spec = read_spec(path)
    assert spec.title
    assert spec.source
    # What is known of these fits is held where their kind is tested.
    elsewhere = {"exam_bivariate", "mcycle", "sleepstudy_ar1", "sleepstudy_sigma"}
    if spec.reference is None and spec.family.name == "gaussian" and path.stem not in elsewhere:
        assert spec.source.startswith("Simulated")
        # What no file of a study can simulate comes as a table: its script knows the truth.
        beside = path.with_name(f"{path.stem}_rows.py")
        assert beside.is_file() or list(spec.data.truth())[-1] == "sigma"
    if spec.reference is None:
        return
    assert len(spec.data.load()) == spec.reference.n_obs
    assert set(spec.reference.fixed_effects) == set(spec.reference.std_errors)
    known = {**spec.reference.standard_deviations, **spec.reference.parameters}
    own = () if spec.residual or spec.sigma or spec.se else spec.family.parameters
    for parameter in own:
        names = [name for name in known if name.partition("[")[0] == parameter.name]
        assert names
        assert all(known[name] > parameter.lower for name in names)


def test_the_studies_are_shipped():
    names = {path.stem for path in find_specs(MODELS)}
    assert {"sleepstudy", "penicillin", "pastes", "mathachieve", "exam", "machines"} <= names
    for path in find_specs(MODELS):
        assert tomllib.loads(path.read_text())["sampler"]["random_seed"] > 0


SIMULATION = """\
formula = "y ~ x + (1 | g)"

[data.simulation]
random_seed = 1
rows = [2, 5]
total = 12
sigma = 0.5

[data.simulation.levels]
g = 4

[data.simulation.columns]
x = { normal = [0, 1], per = ["g"] }

[data.simulation.beta]
Intercept = 3.0
x = 0.75

[data.simulation.sd]
g = 1.0
"""


def test_a_simulation_draws_the_same_table_each_time(tmp_path):
    data = read_spec(write(tmp_path, SIMULATION)).data
    table = data.load()
    assert table.equals(data.load())
    assert len(table) == 12
    assert table.groupby("g", observed=True).size().between(2, 5).all()
    assert (table.groupby("g", observed=True)["x"].nunique() == 1).all()
    assert data.truth() == {"Intercept": 3.0, "x": 0.75, "sd_g[Intercept]": 1.0, "sigma": 0.5}
    assert data.describe() == "simulated (4 g; seed 1)"


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_responses_may_be_missing_without_moving_the_others(tmp_path, share):
    text = SIMULATION.replace("total = 12", "total = 20")
    whole = read_spec(write(tmp_path, text)).data.load()
    text = text.replace("sigma =", f"missing = {share}\nsigma =")
    table = read_spec(write(tmp_path, text)).data.load()
    there = table["y"].notna()
    assert table[there].equals(whole[there])
    # Binomial(20, share): five at most lie further off than four standard deviations.
    assert abs((~there).sum() - 20 * share) <= 4 * (20 * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("share", ["-0.1", "1.0", "nan"])
def test_a_share_that_is_none_is_refused(tmp_path, share):
    text = SIMULATION.replace("sigma =", f"missing = {share}\nsigma =")
    with pytest.raises(SpecError, match="'missing' is a share of the rows"):
        read_spec(write(tmp_path, text))


def test_a_simulation_knows_the_effects_that_it_drew(tmp_path):
    text = SIMULATION.replace("sigma = 0.5", "sigma = 0.0")
    data = read_spec(write(tmp_path, text)).data
    table, effects = data.load(), data.effects()["g"]
    expected = 3 + 0.75 * table["x"] + effects["Intercept"].loc[list(table["g"])].to_numpy()
    assert list(table["y"]) == pytest.approx(list(expected))


def test_parts_of_a_column_add_up_and_labels_keep_their_order(tmp_path):
    text = SIMULATION.replace(
        'x = { normal = [0, 1], per = ["g"] }',
        'x = [{ cycle = [10, 20], per = ["g"] }, { integer = [1, 3] }]\n'
        'f = { cycle = ["late", "early"] }',
    )
    table = read_spec(write(tmp_path, text)).data.load()
    assert set(table["x"]) <= {11, 12, 13, 21, 22, 23}
    # Levels take the tens in turn: the first level 10, the second 20, the third 10.
    assert list(table["x"] // 10) == list(table["g"].cat.codes % 2 + 1)
    assert list(table["f"].cat.categories) == ["late", "early"]
    assert list(table["f"][:3]) == ["late", "early", "late"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("random_seed = 1\n", "", 3, "'random_seed' is missing in .data.simulation."),
        ("g = 4", "g = 0", 10, "'g' needs one level or more"),
        ("normal = [0, 1]", "normal = [0]", 13, "'x' takes two numbers"),
        ("normal = [0, 1]", "norml = [0, 1]", 13, "no key 'norml'.*Did you mean 'normal'"),
        ("normal = [0, 1]", "binary = [2]", 13, "'x' takes the share of ones"),
        ("normal = [0, 1]", "cycle = []", 13, "'x' needs values"),
        ('per = ["g"]', 'per = ["h"]', 13, "'x' is constant per 'h'"),
        ('{ normal = [0, 1], per = ["g"] }', "{}", 13, "'x' needs exactly one of normal"),
        (
            '{ normal = [0, 1], per = ["g"] }',
            '[{ cycle = ["a"] }, { normal = [0, 1] }]',
            13,
            "'x' cannot add labels up",
        ),
        ("rows = [2, 5]", "rows = [5, 2]", 5, "'rows' are one whole number"),
        ("rows = [2, 5]", "rows = -1", 5, "'rows' are one whole number"),
    ],
)
def test_a_mistake_in_a_simulation_is_named_with_its_line(tmp_path, old, new, line, message):
    assert old in SIMULATION
    path = write(tmp_path, SIMULATION.replace(old, new))
    with pytest.raises(SpecError, match=message) as caught:
        read_spec(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("total = 12", "total = 99", "4 cells of 2 to 5 rows cannot hold 99 rows"),
        ("x = 0.75", "z = 0.75", "beta names 'z', which is no coefficient"),
        ("y ~ x", "log(y) ~ x", "plain name"),
        ("\ng = 1.0", "\nh = 1.0", "sd names 'h', which is no grouping factor"),
    ],
)
def test_a_simulation_that_does_not_fit_its_formula_is_refused(tmp_path, old, new, message):
    assert old in SIMULATION
    data = read_spec(write(tmp_path, SIMULATION.replace(old, new))).data
    with pytest.raises(BayesLMMError, match=message):
        data.load()


PART = """\
formula = "Reaction ~ Days + (1 | Subject)"
[data]
bundled = "sleepstudy"
between = { Days = [2, 9] }
origin = { Days = 2 }
"""


def test_rows_can_be_chosen_and_origins_moved(tmp_path):
    data = read_spec(write(tmp_path, PART)).data
    table = data.load()
    assert (len(table), table["Days"].min(), table["Days"].max()) == (144, 0, 7)
    assert data.describe().endswith("Days from 2 to 9, Days counted from 2")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("between = { Days", "between = { Dais", "no column 'Dais'. Did you mean 'Days'"),
        ("origin = { Days", "origin = { Subject", "'Subject' of .* holds labels"),
        ("[2, 9]", "[20, 90]", "No row of .* has Days between 20 and 90"),
    ],
)
def test_rows_that_cannot_be_chosen_are_refused(tmp_path, old, new, message):
    data = read_spec(write(tmp_path, PART.replace(old, new))).data
    with pytest.raises(DataError, match=message):
        data.load()
