r"""Positive and bounded responses that the effects fit exactly: no dispersion is left.

With :math:`r` the rank of :math:`[X\ Z]`, n the number of rows and :math:`g(y)` in its span, the
likelihood of a gamma or beta response grows as :math:`\phi^{(n - r) / 2}` with its precision
:math:`\phi`, and Student's as :math:`\sigma^{-(n - r)}`, as the Gaussian's does.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm import names
from bayeslmm.errors import DataError
from bayeslmm.families.censored import Censored
from bayeslmm.families.custom import CustomFamily
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.times.weibull import Weibull
from bayeslmm.gram.gram import Gram
from bayeslmm.model.exact_fit import exactly_fitted, no_residuals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bayeslmm.design.design import Design
    from bayeslmm.model.priors.prior import Prior

# Where priors of a precision are judged: nothing that is measured is as precise.
_PRECISE = 1e12
_OFFERED = "Gamma(2, 0.1)"


def require_dispersion(design: Design, priors: Mapping[str, Prior]) -> None:
    """Raise where effects fit a continuous response exactly, and its posterior is improper.

    Parameters
    ----------
    design : Design
        The rows; of discrete and of Gaussian families nothing is asked.
    priors : mapping of str to Prior
        Of the family's parameters.

    Raises
    ------
    DataError
        Naming the effects, and what can be done.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> table = {"y": [1.0, 1.0, 4.0, 4.0], "g": ["a", "a", "b", "b"]}
    >>> design = bl.build_design("y ~ 1 + (1 | g)", table, family="gamma")
    >>> require_dispersion(design, bl.resolve_priors(design).parameters)
    Traceback (most recent call last):
    ...
    bayeslmm.errors.DataError: The response 'y' does not vary within the levels of 'g', ...
    """
    family = design.family
    if family.discrete or family.gaussian_scale is not None or not family.parameters:
        return
    # Of a family of the user's own nothing says which parameter is a precision, and intervals are
    # fitted exactly at any.
    if isinstance(family, CustomFamily | Censored):
        return
    response = family.link.link(design.y)
    rows = dataclasses.replace(design, y=response, family=GAUSSIAN)
    gram = Gram.from_design(rows, strata=False)
    name = family.parameters[0].name
    prior = priors[name]
    if name == names.SIGMA:
        if problem := no_residuals(gram, prior):
            raise DataError(problem)
        return
    if (found := exactly_fitted(gram)) is None:
        return
    words, left = found
    low, high = prior.log_density(np.array([_PRECISE, np.e * _PRECISE]))
    # Densities at their own means grow with the root of a precision, Weibull's with the shape.
    power = (1.0 if family.name == Weibull.name else 0.5) * left + 1.0
    if low == -np.inf or high - low < -power:
        return
    raise DataError(
        f"{words}: nothing is left from which to estimate {name}, and the likelihood grows without "
        "bound with it. Where the response was merged from a table of groups, fit that table. Only "
        f"a prior of {name} that falls faster than {name}^-{power:g} makes a posterior, "
        f"such as priors={{{name!r}: {_OFFERED!r}}}."
    )
