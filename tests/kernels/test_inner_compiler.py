"""Functions compiled inside their callers give the numbers that Numba gives by itself."""

import numba
import numpy as np
import pytest
from numba import njit

from bayeslmm.kernels.compiler import inner_compiler
from bayeslmm.kernels.compiler.inner_compiler import inner_options


def summed(options):
    """A sum of squares by three levels of compiled functions, and what it is called from."""

    @njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
    def square(value):
        return value * value

    @njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)
    def add_squares(values, total):
        for value in values:
            total[0] += square(value)
        return total

    @njit
    def run(values):
        return add_squares(values, np.zeros(1))[0]

    return run


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_nested_functions_give_the_numbers_of_plain_ones(dtype):
    values = np.arange(1, 50).astype(dtype)
    assert summed(inner_options())(values) == summed({})(values) == np.sum(np.square(values))


def test_errors_come_through():
    @njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **inner_options())
    def refuse(value):
        if value < 0:
            raise ValueError("negative")
        return value

    @njit
    def run(value):
        return refuse(value)

    assert run(2.0) == 2.0
    with pytest.raises(ValueError, match="negative"):
        run(-1.0)


def test_an_untried_numba_compiles_as_usual(monkeypatch):
    assert list(inner_options()) == ["pipeline_class"]
    other = (
        numba.version_info._replace(short=(9, 9))
        if hasattr(numba.version_info, "_replace")
        else None
    )
    assert other is not None
    monkeypatch.setattr(inner_compiler.numba, "version_info", other)
    assert inner_options() == {}
