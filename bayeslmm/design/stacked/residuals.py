"""Residuals of an observation's Gaussian responses: correlated, or each with a sigma of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.design.residual_rows import ResidualRows
from bayeslmm.errors import ArgumentError
from bayeslmm.families.gaussian import GAUSSIAN
from bayeslmm.formula.residual import Correlation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bayeslmm.design.design import Design
    from bayeslmm.design.stacked.stack import Stack
    from bayeslmm.families.family import Family

# Residual structures of several responses: any correlations of an observation's, or none.
CORRELATED, INDEPENDENT = "us", "diag"
STRUCTURES = (CORRELATED, INDEPENDENT)
# What is correlated, and within what, as it is told.
_RESPONSE, _OBSERVATION = "response", "observation"


def check_structure(residual: str | None, families: Sequence[Family]) -> str | None:
    """Return which structure the residuals of several responses have; None of no residuals.

    Parameters
    ----------
    residual : str or None
        As it was given.
    families : sequence of Family
        Of the responses: only where all are Gaussian there are residuals beside each other.

    Raises
    ------
    ArgumentError
        If it is none.
    """
    others = [family.name for family in families if family.name != GAUSSIAN.name]
    if others and residual is not None:
        raise ArgumentError(
            f"residual= is about responses that are all Gaussian, and one is of family "
            f"{others[0]!r}: leave it out; effects of one label correlate such responses."
        )
    if others:
        return None
    if residual is None:
        return CORRELATED
    if residual not in STRUCTURES:
        raise ArgumentError(
            f"residual={residual!r} is not for several responses, whose residuals are correlated "
            f"within an observation, {CORRELATED!r}, or independent, {INDEPENDENT!r}: of rows "
            "that are correlated besides, give the responses as rows of one column."
        )
    return residual


def stacked_residuals(stack: Stack[Design], structure: str) -> ResidualRows:
    """Return what the residual structure reads of stacked rows.

    An observation that lacks a response is a group that lacks a visit.
    """
    n = len(stack.part)
    if structure == INDEPENDENT:
        columns = np.asarray(stack.part[:, None] == np.arange(len(stack.names)), dtype=np.float64)
        return ResidualRows(
            None, f"0 + {_RESPONSE}", True, columns, stack.names, None, np.arange(n)
        )  # fmt: skip
    return ResidualRows(
        Correlation(CORRELATED, _RESPONSE, _OBSERVATION), None, True, np.zeros((n, 0)), (), None,
        stack.observation, time=stack.part, visits=stack.names,
        places=np.arange(float(len(stack.names))), labels=stack.labels.astype(str),
    )  # fmt: skip
