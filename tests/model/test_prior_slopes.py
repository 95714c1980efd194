"""Values and slopes of priors against SciPy's densities and their differences."""

import math

import numpy as np
import pytest
from test_distributions import EXAMPLES

from bayeslmm.model.priors.closed_forms import CLOSED_FORMS, value_and_slope
from bayeslmm.model.priors.distributions import FAMILIES
from bayeslmm.model.priors.prior import Prior


def test_every_family_is_looked_at():
    assert EXAMPLES.keys() == FAMILIES.keys()
    assert CLOSED_FORMS.keys() <= FAMILIES.keys()


@pytest.mark.parametrize("family", EXAMPLES)
def test_value_and_slope_are_those_of_the_density(family):
    prior = Prior.parse(EXAMPLES[family])
    evaluate = value_and_slope(prior)
    for x in prior.quantile([0.02, 0.2, 0.55, 0.9, 0.99]):
        value, slope = evaluate(float(x))
        assert value == pytest.approx(float(prior.log_density(x)), rel=1e-12, abs=1e-12)
        h = 1e-4 * max(abs(x), 1.0) * 0.1
        # Fourth-order differences of SciPy's density.
        at = prior.log_density(x + h * np.array([-2.0, -1.0, 1.0, 2.0]))
        expected = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
        assert slope == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("family", EXAMPLES)
def test_outside_the_support_there_is_nothing(family):
    prior = Prior.parse(EXAMPLES[family])
    lower, upper = prior.support
    evaluate = value_and_slope(prior)
    for x in (lower - 0.5, upper + 0.5):
        if math.isfinite(x):
            assert evaluate(x) == (-math.inf, 0.0)


@pytest.mark.parametrize("text", ["HalfNormal(2)", "HalfStudentT(3, 2)", "Exponential(2)",
                                  "Gamma(1, 2)", "InverseGamma(2, 1)", "LogNormal(0, 1)",
                                  "Gamma(2, 2)"])  # fmt: skip
def test_at_zero_the_density_is_its_limit(text):
    prior = Prior.parse(text)
    value, _ = value_and_slope(prior)(0.0)
    assert value == float(prior.log_density(0.0))
