"""Tables that were read, or filled, in another way than was meant: a sentence and a way out."""

import io

import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl

FORMULA = "y ~ x + (1 | g)"
rng = np.random.default_rng(1)
TABLE = pd.DataFrame(
    {"y": rng.normal(size=24), "x": rng.normal(size=24), "g": np.tile(list("abcd"), 6)}
)
PATHS = [
    bl.build_design,
    bl.fit_reml,
    bl.sample_prior,
    lambda formula, table: bl.fit_bayes(formula, table, progressbar=False),
]


@pytest.mark.parametrize("function", [bl.predict, bl.predict_table])
@pytest.mark.parametrize("value", [8, 0.5, np.float64(2), "a"])
def test_a_single_value_stands_in_a_list(function, value):
    idata = trees.random_tree("y ~ x + (x | g)", trees.TINY, draws=10)
    rows = {"x": [1.0], "g": ["a"]}
    name = "g" if isinstance(value, str) else "x"
    shown = repr(np.asarray(value).item())
    with pytest.raises(bl.DataError, match=rf"'{name}' is the single value .*\[{shown}\]"):
        function(idata, rows | {name: value})
    assert function(idata, rows | {name: [value]}) is not None


@pytest.mark.parametrize("fit", PATHS)
@pytest.mark.parametrize(
    ("column", "wrong"), [("x", ""), ("x", "n/a"), ("y", ""), ("y", "missing")]
)
def test_a_text_among_numbers_is_shown_with_its_row(fit, column, wrong):
    table = TABLE.astype({column: object})
    table.loc[5, column] = wrong
    table.loc[2, "x"] = None
    with pytest.raises(bl.DataError, match=rf"'{column}' holds numbers, and text in 1 of 23 .*5"):
        fit(FORMULA, table)
    table.loc[5, column] = None
    with pytest.warns(bl.DataWarning, match="Dropped 2"):
        bl.build_design(FORMULA, table)


@pytest.mark.parametrize("fit", PATHS)
@pytest.mark.parametrize("empty", ["", " "])
@pytest.mark.parametrize("kind", [object, "category", "string"])
def test_an_empty_label_is_a_missing_value_that_does_not_say_so(fit, empty, kind):
    labels = TABLE["g"].copy()
    labels[[3, 7]] = empty
    with pytest.raises(
        bl.DataError, match=r"empty label '\s?' in 2 of 24 rows; the first is row 3"
    ):
        fit(FORMULA, TABLE.assign(g=labels.astype(kind)))
    labels[[3, 7]] = None
    with pytest.warns(bl.DataWarning, match="Dropped 2 of 24"):
        bl.build_design(FORMULA, TABLE.assign(g=labels.astype(kind)))


@pytest.mark.parametrize(("separator", "said"), [(";", "';'"), ("\t", "tabs")])
def test_a_file_of_another_separator(separator, said):
    text = TABLE.to_csv(sep=separator, index=False)
    with pytest.raises(bl.FormulaError, match=f"separates columns by {said}"):
        bl.build_design(FORMULA, pd.read_csv(io.StringIO(text)))
    assert bl.build_design(FORMULA, pd.read_csv(io.StringIO(text), sep=separator)).n == 24


def test_a_file_of_semicolons_in_a_model_file(tmp_path):
    (tmp_path / "trial.csv").write_text(TABLE.to_csv(sep=";", index=False))
    model = tmp_path / "m.toml"
    model.write_text(f'formula = "{FORMULA}"\n[data]\npath = "trial.csv"\n')
    with pytest.raises(bl.BayesLMMError, match="separates columns by ';'"):
        bl.build_design(FORMULA, bl.read_spec(model).data.load())


def test_a_file_s_name_in_the_place_of_a_table_in_a_model_file(tmp_path):
    model = tmp_path / "m.toml"
    model.write_text(f'formula = "{FORMULA}"\ndata = "trial.csv"\n')
    with pytest.raises(bl.SpecError, match=r"m.toml:2: .*write \[data\].*path = \"trial.csv\""):
        bl.read_spec(model)
    (tmp_path / "trial.csv").write_text(TABLE.to_csv(index=False))
    model.write_text(f'formula = "{FORMULA}"\n[data]\npath = "trial.csv"\n')
    assert len(bl.read_spec(model).data.load()) == 24


def test_columns_that_are_called_by_numbers():
    numbered = TABLE.set_axis(range(3), axis=1)
    with pytest.raises(bl.FormulaError, match=r"columns are numbered \(0, 1, 2, \.\.\.\)"):
        bl.build_design(FORMULA, numbered)
    design = bl.build_design("`0` ~ `1` + (1 | `2`)", numbered)
    np.testing.assert_array_equal(design.y, TABLE["y"])
    with pytest.raises(bl.DataError, match="more than one column named 1"):
        bl.build_design(FORMULA, TABLE.set_axis([1, "1", 2], axis=1))


@pytest.mark.parametrize(
    ("formula", "caret", "instead"),
    [
        ("y ~ x**2 + (1 | g)", "x**2", r"I\(x\^2\)"),
        ("y ~ x + x^3 + (1 | g)", "x^3", r"I\(x\^3\)"),
        ("y ~ log(x) ^ 2 + (1 | g)", "log(x) ^ 2", r"I\(log\(x\)\^2\)"),
        ("y ~ x + (x^2 | g)", "x^2", r"I\(x\^2\)"),
    ],
)
def test_a_power_of_a_column_needs_an_i(formula, caret, instead):
    with pytest.raises(bl.FormulaError, match=instead) as caught:
        bl.parse_formula(formula)
    start, end = caught.value.span
    assert formula[start:end] == caret
    assert bl.parse_formula("y ~ (a + b)^2 + I(x^2)").fixed == "1 + a + b + I(x ** 2) + a:b"


@pytest.mark.parametrize(
    "name",
    ["random_effects", "covariance", "conditional_covariance", "prediction_error_covariance"],
)
def test_a_factor_that_a_reml_fit_lacks_is_named_with_those_that_it_has(name):
    table = TABLE.assign(y=TABLE["y"] + 3 * np.tile([0.0, 1.0, 2.0, 4.0], 6))
    fit = bl.fit_reml("y ~ x + (1 | Patient)", table.rename(columns={"g": "Patient"}))
    with pytest.raises(bl.ArgumentError, match=r"no grouping factor 'patient'.*'Patient'"):
        getattr(fit, name)["patient"]
    assert getattr(fit, name)["Patient"] is not None
    assert "patient" not in getattr(fit, name)
