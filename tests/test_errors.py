"""Warnings point at the caller's line; errors name the choices."""

import ast
import warnings
from pathlib import Path

import pytest

import bayeslmm as bl

PACKAGE = Path(bl.__file__).parent


def missing_rows():
    data = bl.load_dataset("sleepstudy")
    data.loc[3, "Reaction"] = None
    bl.build_design("Reaction ~ Days + (Days | Subject)", data)


def missing_rows_in_batches():
    data = bl.load_dataset("sleepstudy")
    data.loc[3, "Reaction"] = None
    bl.gram_from_batches("Reaction ~ Days + (Days | Subject)", [data, data])


def singular_fit():
    bl.fit_reml("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff2"))


def too_few_draws():
    bl.fit_bayes(
        "Yield ~ 1 + (1 | Batch)",
        bl.load_dataset("dyestuff"),
        parametrization="marginal",
        draws=20,
        tune=20,
        chains=2,
        random_seed=1,
        progressbar=False,
    )


@pytest.mark.parametrize(
    "call", [missing_rows, missing_rows_in_batches, singular_fit, too_few_draws]
)
def test_a_warning_points_at_the_callers_line(call):
    # One for each depth of the package that warns: none may show a line of the package itself.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    ours = [warning for warning in caught if issubclass(warning.category, bl.BayesLMMWarning)]
    assert ours
    assert {warning.filename for warning in ours} == {__file__}


def test_there_is_one_way_to_warn():
    # `errors.warn` knows where the package ends; `warnings.warn` would point into it.
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == PACKAGE / "errors.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "warnings.warn"), (
                f"{path.relative_to(PACKAGE)}:{node.lineno}"
            )
