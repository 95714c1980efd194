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
from bayeslmm.families.derived.censored import Censored
from bayeslmm.families.derived.custom import CustomFamily
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.families.several.stacked import OfResponses, of_response
from bayeslmm.families.times.weibull import Weibull
from bayeslmm.gram.gram import Gram
from bayeslmm.model.exact_fit import exactly_fitted, no_residuals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bayeslmm.arrays import Floats
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
    family, parts = design.family, [(design, priors)]
    if isinstance(family, OfResponses) and design.stack is not None:
        parts = [
            (part, {p.name: priors[of_response(p.name, name)] for p in part.family.parameters})
            for name, part in zip(design.stack.names, design.stack.parts, strict=True)
        ]
    for part, own in parts:
        _require_dispersion(part, own)


def _require_dispersion(design: Design, priors: Mapping[str, Prior]) -> None:
    family = design.family
    if family.discrete or family.gaussian_scale is not None or not family.parameters:
        return
    # Of a family of the user's own nothing says which parameter is a precision, and intervals are
    # fitted exactly at any.
    if isinstance(family, CustomFamily | Censored):
        return
    told, name = np.asarray(family.tells_level(design.y), dtype=bool), family.parameters[0].name
    # Where it follows a formula, with normal priors of its logarithm, no power outgrows them.
    if not told.any() or name not in priors:
        return
    gram, prior = Gram.from_design(_told_rows(design, told), strata=False), priors[name]
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


def _told_rows(design: Design, told: NDArray[np.bool_]) -> Design:
    """Return the rows whose responses tell of their predictors, on the scale of these."""
    scale = design.family.level_scale or design.family.link

    def some(values: Floats | None) -> Floats | None:
        return None if values is None else values[told]

    return dataclasses.replace(
        design,
        y=scale.link(design.y[told]),
        X=design.X[told],
        factors=tuple(
            dataclasses.replace(f, index=f.index[told], columns=f.columns[told])
            for f in design.factors
        ),
        weights=some(design.weights),
        offset=some(design.offset),
        likweights=some(design.likweights),
        family=GAUSSIAN,
    )
