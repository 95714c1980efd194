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


def test_limits_of_reml_do_too():
    fit = bl.fit_reml("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"))
    limits = bl.confidence_intervals(fit, "wald", parameters=["Intercept"])
    header, _, row = map(split, bl.to_markdown(limits, digits=5).splitlines())
    assert header[1:] == ["estimate", "interval"]
    assert row[2] == f"[{limits['lower'].iloc[0]:.5g}, {limits['upper'].iloc[0]:.5g}]"


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
