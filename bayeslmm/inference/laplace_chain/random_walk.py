"""What compiled code reads to walk in theta."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from bayeslmm.arrays import for_kernels
from bayeslmm.inference.laplace_chain.target import REACH
from bayeslmm.inference.nuts.marginal import coordinate_tables
from bayeslmm.kernels.laplace_chain.walk import Walk
from bayeslmm.kernels.target import WIDTH
from bayeslmm.model.covariance.compiled import covariance_table

if TYPE_CHECKING:
    from bayeslmm.inference.importance.proposal import Mixture
    from bayeslmm.inference.laplace_chain.target import LaplaceTarget


def walk_arrays(target: LaplaceTarget, proposal: Mixture) -> Walk:
    """Lay out a target's priors and coordinates, and the proposals, without any step.

    Parameters
    ----------
    target : LaplaceTarget
        One that `compiles`.
    proposal : Mixture
        Of the independent proposals, whose density the chain needs wherever it walks.

    Returns
    -------
    Walk
    """
    kinds, numbers = coordinate_tables(target)
    parts, k = proposal.parts, target.size
    table = covariance_table(factor.covariance for factor in target.priors.factors)
    freedom = np.array([part.freedom for part in parts])
    up, down = np.stack([part.up for part in parts]), np.stack([part.down for part in parts])
    constants = gammaln(0.5 * (freedom + k)) - gammaln(0.5 * freedom)
    constants -= 0.5 * k * np.log(freedom * math.pi)
    constants += np.log(2.0 / (up + down)).sum(axis=1) + np.log(proposal.shares)
    constants -= np.array([np.linalg.slogdet(part.axes)[1] for part in parts])
    inverses = np.stack([np.linalg.inv(part.axes) for part in parts])
    reference, m = target.reference, len(parts)
    return Walk(
        increments=np.zeros((0, k)),
        kinds=kinds,
        numbers=numbers,
        table=for_kernels("the table of blocks", table, np.int64, (None,)),
        n_sds=target.n_sds,
        n_partials=target.n_partials,
        reference=for_kernels("the reference", reference.point, np.float64, (k,)),
        effects=for_kernels("the reference's effects", reference.effects, np.float64, (None,)),
        slopes=for_kernels("their slopes", reference.slopes, np.float64, (k, None)),
        reach=REACH,
        centers=np.stack([part.center for part in parts]),
        inverses=for_kernels("inverse axes", inverses, np.float64, (m, k, k)),
        up=up,
        down=down,
        freedom=freedom,
        constants=constants,
    )


def no_walk() -> Walk:
    """Return what stands for no walk, where priors have no closed form."""
    row, square, one = np.zeros((0, 0)), np.zeros((0, 0, 0)), np.zeros(0)
    return Walk(
        row, np.zeros((0, 2), np.int64), np.zeros((0, WIDTH)), np.zeros(1, np.int64), 0, 0,
        one, one, row, REACH, row, square, row, row, one, one,
    )  # fmt: skip
