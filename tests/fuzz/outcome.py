"""What every call owes: an answer, or the package's own word on why there is none."""

import time
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, Phase, given, settings

import bayeslmm as bl

LONGEST = 20.0  # seconds of this process, whatever else the machine does


def outcome(call, /, *args, **kwargs):
    """Return what a call answers, or None where it refuses with an error of the package's own.

    A foreign exception passes through, and a foreign warning becomes one: both are faults.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", bl.BayesLMMWarning)
        began = time.process_time()
        try:
            answer = call(*args, **kwargs)
        except bl.BayesLMMError as error:
            answer, told = None, str(error)
        else:
            told = "There is an answer."
    assert time.process_time() - began < LONGEST
    assert len(told) > 10
    assert "Traceback" not in told
    return answer


def assert_numbers(answer, *, but=()):
    """Raise unless every number of a table, an array or a tree is a number."""
    if isinstance(answer, pd.DataFrame):
        numbers = answer.drop(columns=list(but), errors="ignore").select_dtypes("number")
        assert not numbers.isna().to_numpy().any(), answer
    elif isinstance(answer, xr.DataTree):
        for group in answer.subtree:
            for name, variable in group.data_vars.items():
                if name not in but and variable.dtype.kind == "f":
                    assert np.isfinite(variable).all(), name
    elif answer is not None:
        assert not np.isnan(np.asarray(answer, dtype=float)).any(), answer


def fuzzed(cases, /, **strategies):
    """Make two tests of a property: of some cases, and of ten times as many under ``slow``."""

    def both(check):
        def run(count):
            # Shrinking takes minutes where a case is a fit; what fails is printed as it is.
            how = settings(max_examples=count, deadline=None, derandomize=True, database=None,
                           phases=[Phase.explicit, Phase.generate],
                           suppress_health_check=list(HealthCheck))  # fmt: skip
            return how(given(**strategies)(check))

        return pytest.mark.parametrize(
            "run", [pytest.param(partial(run, cases), id=f"{cases} cases"),
                    pytest.param(partial(run, 10 * cases), id=f"{10 * cases} cases",
                                 marks=pytest.mark.slow)]
        )(_call)  # fmt: skip

    def _call(run):
        run()()

    return both
