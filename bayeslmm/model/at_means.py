"""The data with random-effects columns less their means, of which `Shift` says which."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.errors import NumericalWarning, warn
from bayeslmm.gram.gram_design import GramDesign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.design.model_data import ModelData
    from bayeslmm.gram.blocks import CrossProducts
    from bayeslmm.model.priors.shift import Shift


def shifted(design: ModelData, shifts: Sequence[Shift]) -> ModelData:
    """Return the data with columns less their means, of which priors at the means are the priors.

    Parameters
    ----------
    design : Design or GramDesign
        The data.
    shifts : sequence of Shift
        One for each factor.

    Returns
    -------
    Design or GramDesign
        The same where nothing is shifted.
    """
    if not any(shift.columns for shift in shifts):
        return design
    if isinstance(design, GramDesign):
        return replace(design, gram=_gram_less_means(design.gram, shifts))
    rows = design.coded_rows
    factors = tuple(
        replace(f, columns=shift.less_means(f.columns))
        for f, shift in zip(rows.factors, shifts, strict=True)
    )
    return replace(rows, factors=factors)


# A G that is told at zero leads back to the means with an error of 2.2e-16 of the square of this.
MOST_SPREADS = 1e6


def warn_of_far_columns(design: ModelData, shifts: Sequence[Shift]) -> None:
    """Warn where random-effects columns lie so far from zero that G there has lost its digits.

    Parameters
    ----------
    design : Design or GramDesign
        The data.
    shifts : sequence of Shift
        One for each factor.

    Warns
    -----
    NumericalWarning
        Naming the first column whose mean is more than a million standard deviations from zero.
    """
    for factor, shift, columns in zip(design.factors, shifts, design.scales.random, strict=True):
        for k, mean in zip(shift.columns, shift.means, strict=True):
            if mean and abs(mean) > MOST_SPREADS * columns[k].sd():
                term, far = factor.terms[k], abs(mean) / columns[k].sd()
                warn(
                    f"The column {term!r} of {factor.name!r} lies {far:.1g} of its standard "
                    "deviations from zero, where sds and correlations of random effects are told: "
                    "what is computed from them (new levels, leave-one-group-out, sensitivity) "
                    f"loses its digits. Write center({term}) in the formula.",
                    NumericalWarning,
                )
                return


def _gram_less_means[G: CrossProducts](gram: G, shifts: Sequence[Shift]) -> G:
    factors = tuple(
        replace(f, scale=f.scale @ np.linalg.inv(shift.turn(len(f.terms))))
        for f, shift in zip(gram.factors, shifts, strict=True)
    )
    strata = gram.strata
    if strata is not None:
        parts = tuple(_gram_less_means(part, shifts) for part in strata.grams)
        strata = replace(strata, grams=parts)
    return replace(gram, factors=factors, strata=strata)
