"""Every argument and function that a message advises exists, and its advice can be taken."""

import importlib
import inspect

import about_borders  # noqa: F401 - registers
import about_families  # noqa: F401 - registers
import about_formulas  # noqa: F401 - registers
import about_memberships  # noqa: F401 - registers
import about_relationships  # noqa: F401 - registers
import about_residuals  # noqa: F401 - registers
import about_results  # noqa: F401 - registers
import about_rows  # noqa: F401 - registers
import about_series  # noqa: F401 - registers
import about_several  # noqa: F401 - registers
import about_smooths  # noqa: F401 - registers
import about_visits  # noqa: F401 - registers
import matplotlib.pyplot as plt
import pandas as pd
import pymc as pm
import pytest
from registry import FOLLOWED, NO_ADVICE
from remedies import collect, named_in

import bayeslmm as bl
from bayeslmm.formula.calls import FUNCTIONS
from bayeslmm.formula.residual import KINDS
from bayeslmm.model.priors.distributions import FAMILIES

FOUND = collect()
# What advice names beside this package's own.
MODULES = {"numpy": "numpy", "pandas": "pandas", "pd": "pandas", "pm": "pymc", "xarray": "xarray"}
FOREIGN = {
    "ordered": pd.Categorical,
    "sep": pd.read_csv,
    "chunksize": pd.read_csv,
    "index_col": pd.read_csv,
    "axis": pd.DataFrame.set_axis,
    "freeze_vars": pm.sample_posterior_predictive,
}


def public(name):
    """Return a public function or class, by its name with or without ``bl.``."""
    held = bl
    for part in name.removeprefix("bl.").split("."):
        held = getattr(held, part)
    return held


def parameters_of_the_package():
    functions = [getattr(bl, name) for name in bl.__all__]
    return {
        parameter
        for function in functions
        if inspect.isfunction(function)
        for parameter in inspect.signature(function).parameters
    }


def _first(follow):
    return next(remedy for remedy, other in FOLLOWED.items() if other is follow)


def test_every_remedy_of_a_message_is_followed_or_none():
    known = FOLLOWED.keys() | NO_ADVICE.keys()
    new = {remedy: files for remedy, files in FOUND.items() if remedy not in known}
    assert not new, f"register what takes this advice in tests/ways_out/about_*.py: {new}"
    assert not known - FOUND.keys(), "no message advises this any more"
    assert not FOLLOWED.keys() & NO_ADVICE.keys()


@pytest.mark.parametrize("remedy", sorted(remedy for remedy in FOLLOWED if "=" in remedy))
def test_an_advised_argument_exists(remedy):
    argument = remedy.partition("=")[0]
    in_formulas = {name for _, names in FUNCTIONS.values() for name in names}
    in_formulas |= {"raw", "p", "q", "k", "bs", "by", "knots", "cov", "hom"}
    foreign = FOREIGN.get(argument)
    assert (
        argument in parameters_of_the_package()
        or argument in in_formulas
        or argument in inspect.signature(foreign).parameters
    )


@pytest.mark.parametrize("remedy", sorted(remedy for remedy in FOLLOWED if remedy.endswith("()")))
def test_an_advised_function_exists(remedy):
    name = remedy.removesuffix("()")
    plain = {"s", "mm", "log", "I", "offset", "weights", "Treatment", "f", "print"}
    if name in {*FUNCTIONS, *FAMILIES, *KINDS} | plain:
        return  # the formula's, a prior's, a residual structure's, or Python's
    owner, _, rest = name.partition(".")
    if owner in MODULES:
        assert callable(getattr(importlib.import_module(MODULES[owner]), rest))
    elif owner in {"table", "{}"}:
        held = pd.DataFrame({"x": [1]}) if owner == "table" else pd.Series([1])
        for part in rest.split("."):
            held = getattr(held, part)
        assert callable(held)
    else:
        assert callable(public(name))


@pytest.mark.parametrize("follow", dict.fromkeys(FOLLOWED.values()), ids=_first)
def test_the_advice_is_given_and_can_be_taken(follow):
    try:
        follow()
    finally:
        plt.close("all")


@pytest.mark.parametrize(
    ("text", "remedies"),
    [
        ("Give at={x: 1} or missing='drop'.", {"at={x: 1}", "missing='drop'"}),
        ("Ask bl.icc(fit), or name them by at=.", {"bl.icc()", "at="}),
        ("lower=2", set()),  # no sentence
    ],
)
def test_the_collector_finds_what_a_text_names(text, remedies):
    assert named_in(text) == remedies
