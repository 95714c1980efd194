"""The [study] of model files: what is read, and how mistakes are named."""

import pytest

from bayeslmm.errors import SpecError
from bayeslmm.studies.model_files.model_spec import read_spec

GOOD = """\
title = "Rails"
formula = "travel ~ 1 + (1 | Rail)"

[data]
bundled = "rail"
"""


def write(folder, text):
    path = folder / "rails.toml"
    path.write_text(text)
    return path


STUDY = (
    GOOD
    + """
[study]
quantities = { ratio = "sd_Rail[Intercept] / sigma" }

[study.reference]
sd = "HalfNormal(20)"

[study.scenarios]
brms = "brms"
tight = { sd = "HalfNormal(5)" }

[study.scenarios."my own"]
scheme = "half_cauchy"
sigma = "HalfNormal(3)"
"""
)


def test_a_prior_study_arrives(tmp_path):
    study = read_spec(write(tmp_path, STUDY)).study
    assert dict(study.quantities) == {"ratio": "sd_Rail[Intercept] / sigma"}
    assert dict(study.reference) == {"sd": "HalfNormal(20)"}
    assert study.scenarios == {
        "brms": "brms",
        "tight": {"sd": "HalfNormal(5)"},
        "my own": {"scheme": "half_cauchy", "sigma": "HalfNormal(3)"},
    }
    assert read_spec(write(tmp_path, GOOD)).study is None


def test_a_prior_study_can_be_a_list_or_a_grid(tmp_path):
    listed = read_spec(write(tmp_path, GOOD + '[study]\nscenarios = ["brms", "flat"]')).study
    assert listed.scenarios == ["brms", "flat"]
    assert listed.reference is None
    grid = (
        GOOD
        + """
[study]
reference = "brms"
[study.scenarios]
sd = ["HalfNormal(1)", "HalfNormal(9)"]
scheme = ["flat", "brms"]
"""
    )
    study = read_spec(write(tmp_path, grid)).study
    assert study.reference == "brms"
    assert study.scenarios["sd"] == ["HalfNormal(1)", "HalfNormal(9)"]


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("quantities =", "quantitys =", 8, r"no key 'quantitys' in \[study\].*'quantities'"),
        ('"sd_Rail[Intercept] / sigma"', "3", 8, "'ratio' must be text, not 3"),
        ('sd = "HalfNormal(20)"', 'sd = "HalfNormal()"', 11, "'sd': HalfNormal needs a value for"),
        ('sd = "HalfNormal(20)"', "sd = 20", 11, r"'sd' must be text such as .*, not 20"),
        ('brms = "brms"', 'brms = "brsm"', 14, "no prior scheme 'brsm'. Did you mean 'brms'"),
        ('brms = "brms"', "brms = 3", 14, "'brms' holds 3, and scenarios are"),
        ('brms = "brms"', 'reference = "brms"', 14, "give the scenario another name"),
        ('brms = "brms"', 'sd = ["HalfNormal(1)"]', 15, "'tight' has no list, and others have"),
        ('"HalfNormal(5)"', '"HalfNormla(5)"', 15, "Did you mean 'HalfNormal'"),
        ('"half_cauchy"', '"half_cauchi"', 18, "Did you mean 'half_cauchy'"),
        ('"HalfNormal(3)"', "3", 19, "'sigma' must be text"),
    ],
)
def test_a_mistake_in_a_prior_study_is_named_with_its_line(tmp_path, old, new, line, message):
    assert STUDY.count(old) == 1
    path = write(tmp_path, STUDY.replace(old, new))
    with pytest.raises(SpecError, match=message) as caught:
        read_spec(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[study]", "the key 'scenarios' is missing in .study."),
        ("[study]\nscenarios = []", "there is no scenario: scenarios are a list of schemes"),
        ("[study]\nscenarios = {}", "there is no scenario"),
        ("[study]\nscenarios = 3", "'scenarios' must be a table, not 3"),
        ('[study]\nscenarios = ["brms", "brms"]', "the scheme 'brms' is listed twice"),
        ("[study]\nscenarios = [3]", "'scenarios' holds 3"),
        ("[study]\nscenarios = { sd = [] }", "'sd' lists no prior"),
        ("[study]\nscenarios = { sd = [3] }", "'sd' must be text"),
        ('[study]\nreference = "brsm"\nscenarios = ["flat"]', "Did you mean 'brms'"),
    ],
)
def test_what_is_no_prior_study_is_refused(tmp_path, table, message):
    with pytest.raises(SpecError, match=message):
        read_spec(write(tmp_path, GOOD + table))
