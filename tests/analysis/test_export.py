"""Tables for papers."""

import re

import numpy as np
import pandas as pd
import pytest
import trees

import bayeslmm as bl
from bayeslmm.errors import ArgumentError

ODD = r"a|b_c*d`e<f>\g $h$ #i ~j ^k {l} %m &n"


@pytest.fixture(scope="module")
def idata():
    return trees.random_tree("y ~ x + (x | g)", trees.TINY)


def tables(idata):
    return {
        "fixed": bl.fixed_effects(idata),
        "hdi": bl.fixed_effects(idata, ci_kind="hdi", ci_prob=0.9),
        "variance": bl.variance_components(idata),
        "random": bl.random_effects(idata),
        "icc": bl.icc(idata),
        "hypothesis": bl.hypothesis(idata, ["x > 0", "x > 0 or sigma < 1"]),
        "groups": bl.check_groups(idata, random_seed=1),
        "priors": bl.describe_priors("y ~ x + (x | g)", trees.TINY),
    }


def split(line):
    """The cells of a pipe table's row, by its bars that are not escaped."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_table_has_as_many_cells_in_each_row(idata):
    for table in tables(idata).values():
        lines = bl.to_markdown(table).splitlines()
        assert len({len(split(line)) for line in lines}) == 1
        assert len(lines) == len(table) + 2
        body = bl.to_latex(table).split("\\midrule\n")[1].split("\n\\bottomrule")[0]
        counts = {len(re.findall(r"(?<!\\)&", line)) for line in body.splitlines()}
        assert counts == {len(split(lines[0])) - 1}


def test_intervals_stand_in_one_column_rounded_as_the_mean_is():
    table = pd.DataFrame(
        {"mean": [251.4051, -0.01234], "sd": [7.2861, 0.00456], "eti95_lb": [236.318, -0.0213],
         "eti95_ub": [265.371, 0.0], "ess_bulk": [918.4, 1063.0], "r_hat": [1.0, np.nan]},
        index=pd.Index(["Intercept", "x"], name="coef"),
    )  # fmt: skip
    header, _, first, second = map(split, bl.to_markdown(table).splitlines())
    assert header == ["coef", "mean", "sd", "95 % equal-tailed interval", r"ess\_bulk", r"r\_hat"]
    assert first == ["Intercept", "251.41", "7.29", "[236.32, 265.37]", "918", "1.000"]
    assert second == ["x", "-0.01234", "0.00456", "[-0.02130, 0.00000]", "1063", ""]
    assert "251 & 7 & [236, 265]" in bl.to_latex(table, digits=1)
    assert "$-$0.01234 & 0.00456 & [$-$0.02130, 0.00000]" in bl.to_latex(table)


def test_names_are_escaped():
    table = pd.DataFrame({"mean": [1.0]}, index=pd.Index([ODD], name="a_b"))
    (name, _) = split(bl.to_markdown(table).splitlines()[2])
    assert re.sub(r"\\(.)", r"\1", name) == ODD
    latex = bl.to_latex(table)
    assert r"a\_b & mean \\" in latex
    row = latex.splitlines()[4]
    # What is left of special characters is written with a backslash, and braces are balanced.
    assert not re.search(r"(?<!\\)[&%$#_]", row.removesuffix(r" & 1 \\"))
    assert re.sub(r"\\[{}]", "", row).count("{") == re.sub(r"\\[{}]", "", row).count("}")
    for character in "|<>^~":
        assert character not in row


def test_a_line_break_in_a_label_is_a_blank():
    table = pd.DataFrame({"label": ["two\nlines"], "n": [3]})
    assert "| two lines | 3 |" in bl.to_markdown(table)


@pytest.mark.parametrize("write", [bl.to_markdown, bl.to_latex])
def test_what_is_no_table_is_refused(write, idata):
    with pytest.raises(ArgumentError, match="not a DataTree"):
        write(idata)
    with pytest.raises(ArgumentError, match="positive whole number"):
        write(bl.fixed_effects(idata), digits=0)


def columns_of(table, **options):
    """The cells of each column of a table in Markdown, by header."""
    header, _, *rows = map(split, bl.to_markdown(table, **options).splitlines())
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def test_numbers_of_the_data_are_written_in_full():
    years = np.arange(1990.0, 1995.0)
    table = pd.DataFrame({"year": years, "mean": years / 7, "sd": 10.0})
    assert columns_of(table)["year"] == ("1990", "1991", "1992", "1993", "1994")
    assert columns_of(table)["mean"][0] == "284.3"
    odd = np.array([2021.5, 0.1 + 0.2, -0.0, 1e-300, -123456.789])
    full = ("2021.5", "0.3", "0", "1e-300", "-123456.789")
    assert columns_of(pd.DataFrame({"x": odd}))["x"] == full
    # A number of lower precision has fewer digits to be written.
    assert columns_of(pd.DataFrame({"x": np.array([0.1, 2021.5], dtype=np.float32)}))["x"] == (
        "0.1", "2021.5",
    )  # fmt: skip
    known = pd.DataFrame({"x": pd.array([2021.5, None], dtype="Float64"), "k": [1990, 1]})
    assert columns_of(known) == {"x": ("2021.5", ""), "k": ("1990", "1")}
    # A weight of the data is none of a comparison of models.
    assert columns_of(pd.DataFrame({"weight": [71.2345]}))["weight"] == ("71.2345",)


def test_tables_of_predictions_and_means_keep_their_columns():
    data = {**trees.TINY, "x": trees.TINY["x"] / 8 + 2021}
    idata = trees.random_tree("y ~ x + (1 | g)", data)
    shown = columns_of(bl.predict_table(idata, columns=True).head())
    assert [float(cell) for cell in shown["x"]] == list(data["x"][:5])
    assert [float(cell) for cell in shown["y"]] == list(data["y"][:5])
    means = bl.marginal_means(idata, "x")
    assert [float(cell) for cell in columns_of(means)["x"]] == sorted(set(data["x"]))


def test_rows_without_sd_have_the_scale_of_their_standard_error_or_interval():
    fit = bl.fit_reml("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"))
    (row,) = zip(*columns_of(fit.fixed_effects).values(), strict=True)
    assert row == ("Intercept", "1527.5", "19.4")
    (row,) = zip(*columns_of(bl.confidence_intervals(fit, "wald").tail(1)).values(), strict=True)
    limits = bl.confidence_intervals(fit, "wald").iloc[-1]
    assert row[1] == f"{limits['estimate']:.1f}"
    assert row[2] == f"[{limits['lower']:.1f}, {limits['upper']:.1f}]"


def test_without_any_scale_no_digit_before_the_point_is_lost():
    table = pd.DataFrame(
        {"estimate": [1527.5, 999.7, 0.0012345, 1e20, 0.0],
         "lower": [-np.inf, 0.0, -np.inf, 0.0, 0.0], "upper": [1568.46, np.inf, 0.0, np.inf, 0.0]}
    )  # fmt: skip
    shown = columns_of(table)
    assert shown["estimate"] == ("1528", "1000", "0.00123", "1e+20", "0")
    assert shown["interval"] == ("[-inf, 1568]", "[0, inf]", "[-inf, 0]", "[0, inf]", "[0, 0]")
    assert "[$-$inf, 1568]" in bl.to_latex(table)


def test_no_interval_is_an_empty_cell():
    table = pd.DataFrame({"mean": [1.0], "sd": 0.5, "eti95_lb": np.nan, "eti95_ub": np.nan})
    assert columns_of(table)["95 % equal-tailed interval"] == ("",)


def test_a_minus_stands_before_all_but_zero():
    table = pd.DataFrame({"mean": [-0.001, -0.06, -np.inf], "sd": [10.0, 10.0, np.nan]})
    assert columns_of(table)["mean"] == ("0.0", "-0.1", "-inf")


def test_probabilities_stay_off_zero_and_one():
    values = [1.0, 0.99999, 0.999, 0.9751, 0.5, 0.001, 0.0004, 0.0]
    table = pd.DataFrame({"p_positive": values, "p_value": values})
    right = ("> 0.999", "> 0.999", "0.999", "0.975", "0.500", "0.001", "< 0.001", "< 0.001")
    for cells in (columns_of(table), columns_of(table, digits=1)):
        assert set(cells.values()) == {right}
    assert columns_of(table, digits=4)["p\\_value"][-2:] == ("0.0004", "< 0.0001")
    assert r"$>$ 0.999 & $>$ 0.999 \\" in bl.to_latex(table)


def test_labels_may_be_called_like_bounds_and_columns_be_numbered():
    table = pd.DataFrame({"lower": ["a", "b"], "upper": ["c", "d"], 0: [0.25, 1990.0]})
    assert columns_of(table) == {
        "lower": ("a", "b"), "upper": ("c", "d"), "0": ("0.25", "1990"),
    }  # fmt: skip


def test_matrices_of_a_fit_have_the_digits_of_statistics():
    fit = bl.fit_reml("Reaction ~ Days + (Days | Subject)", bl.load_dataset("sleepstudy"))
    for table in (fit.vcov, fit.covariance["Subject"], fit.random_effects["Subject"]):
        for value, shown in zip(table.iloc[:, 0], columns_of(table)["Intercept"], strict=True):
            assert float(shown) == pytest.approx(value, rel=5e-3)
            assert len(shown.lstrip("-0.").replace(".", "")) <= 3


def test_criteria_keep_the_digits_in_which_models_differ():
    table = pd.DataFrame(
        {"aic": [1763.9392, 1765.8641], "elpd": [-3.0, 1e4], "se": [22.1234, 1.0],
         "weight": [0.91234, 0.08766], "chisq": [np.nan, 0.06391]}
    )  # fmt: skip
    assert columns_of(table) == {
        "aic": ("1763.94", "1765.86"), "elpd": ("-3.00", "10000.00"), "se": ("22.1", "1"),
        "weight": ("0.912", "0.0877"), "chisq": ("", "0.0639"),
    }  # fmt: skip
