r"""Discrimination of ordered categories: how sharply thresholds part them, row by row.

.. math:: P(Y_i \le k \mid \eta_i) = F(d_i (c_k - \eta_i)), \quad d_i > 0

and in the same way of other families of ordered categories: eta and thresholds times d. It is one
unless a formula says otherwise, for thresholds have a scale of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.families.family import FamilyParameter
from bayeslmm.families.ordinal.sticks import THRESHOLD

if TYPE_CHECKING:
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Parameters

DISC = "disc"
DISCRIMINATION = FamilyParameter(DISC, "how sharply thresholds part categories", "LogNormal(0, 1)")


def scaled(eta: Floats, phi: Parameters) -> tuple[Floats, Floats, Floats]:
    """Return d eta, d c and d.

    Parameters
    ----------
    eta : ndarray
        Linear predictors.
    phi : mapping of str to ndarray
        Thresholds c, their labels along the first axis, and d where it is not one.

    Examples
    --------
    >>> phi = {"threshold": np.array([-1.0, 1.0]), "disc": np.array(2.0)}
    >>> scaled(np.array(0.5), phi)
    (array(1.), array([-2.,  2.]), array(2.))
    """
    cuts, disc = np.asarray(phi[THRESHOLD]), np.asarray(phi.get(DISC, 1.0))
    if DISC not in phi:
        return np.asarray(eta), cuts, disc
    # Labels are before what is broadcast.
    beside = [1] * max(disc.ndim + 1 - cuts.ndim, 0)
    cuts = disc * cuts.reshape(len(cuts), *beside, *cuts.shape[1:])
    return np.asarray(disc * eta), cuts, disc
