"""G in a graph: priors of standard deviations and correlations, and the square root of G."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayeslmm import names
from bayeslmm.inference.graph.prior_vectors import (
    by_family,
    hyperparameters,
    prior_vector,
    read_vector,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from bayeslmm.design.model_data import FactorData
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.priors.priors import FactorPriors


@dataclass(frozen=True)
class Scale:
    """The square root of G in a graph.

    Attributes
    ----------
    sd : tensor, shape (q,)
        Standard deviations.
    blocks : tuple of (columns, lower-triangular tensor or None)
        For each block of columns its Cholesky factor of G; None for a single column, whose
        factor is its sd.
    """

    sd: Any
    blocks: tuple[tuple[tuple[int, ...], Any], ...]


def scale_of(factor: FactorData, priors: FactorPriors) -> Scale:
    """Add the priors of a factor's standard deviations and correlations.

    A correlated block gets an LKJ-Cholesky prior on G (`pm.LKJCholeskyCov`); where the block's
    standard deviations have priors of different families, the same prior is put together from
    separate standard deviations and `pm.LKJCorr`, because the former takes only one family.
    """
    single = [block[0] for block in factor.blocks if len(block) == 1]
    sd: list[Any] = [None] * len(factor.terms)
    if single:
        whole = len(single) == len(factor.terms)
        name = names.sd(factor.name) if whole else f"{names.sd(factor.name)}_uncorrelated"
        vector = prior_vector(
            name, [priors.sd[k] for k in single], names.term_dim(factor.name) if whole else None
        )
        for position, k in enumerate(single):
            sd[k] = vector[position]
        if whole:
            return Scale(vector, tuple(((k,), None) for k in single))
    blocks: list[tuple[tuple[int, ...], Any]] = []
    for block in factor.blocks:
        if len(block) == 1:
            blocks.append((block, None))
            continue
        chol, block_sd = _correlated_block(factor.name, block, priors)
        for position, k in enumerate(block):
            sd[k] = block_sd[position]
        blocks.append((block, chol))
    stacked = pm.Deterministic(
        names.sd(factor.name), pt.stack(sd), dims=names.term_dim(factor.name)
    )
    pm.Deterministic(
        names.corr(factor.name),
        _correlation(stacked, blocks),
        dims=(names.term_dim(factor.name), names.term_dim_bis(factor.name)),
    )
    return Scale(stacked, tuple(blocks))


def recover_scale(
    priors: FactorPriors, values: Values
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the draws of a factor's sds, shape (..., q), and of its factor L, shape (..., q, q)."""
    single = [block[0] for block in priors.blocks if len(block) == 1]
    q = len(priors.terms)
    parts: list[tuple[tuple[int, ...], NDArray[np.float64]]] = []
    if single:
        whole = len(single) == q
        name = names.sd(priors.name) if whole else f"{names.sd(priors.name)}_uncorrelated"
        vector = read_vector(name, [priors.sd[k] for k in single], values)
        parts += [((k,), vector[..., i, None, None]) for i, k in enumerate(single)]
    parts += [(block, _read_block(priors, block, values)) for block in priors.correlated_blocks]
    lead = parts[0][1].shape[:-2]
    factor = np.zeros((*lead, q, q))
    for block, chol in parts:
        factor[(..., *np.ix_(block, block))] = chol
    return np.sqrt(np.square(factor).sum(axis=-1)), factor


def _block_name(factor: str, block: tuple[int, ...], terms: tuple[str, ...]) -> str:
    return f"G_{factor}" if len(block) == len(terms) else f"G_{factor}_{block[0]}"


def _correlated_block(factor: str, block: tuple[int, ...], priors: FactorPriors) -> tuple[Any, Any]:
    """Add the LKJ-Cholesky prior of one block; return its Cholesky factor and its sds."""
    assert priors.corr is not None  # noqa: S101 - a block of two columns always has one
    name = _block_name(factor, block, priors.terms)
    sds = [priors.sd[k] for k in block]
    eta = pm.Data(f"{name}_eta", priors.corr.numbers[0])
    if len(by_family(sds)) > 1:
        sd = prior_vector(f"{name}_sd", sds, None)
        return sd[:, None] * pm.LKJCorr(name, n=len(block), eta=eta), sd
    parameters = hyperparameters(f"{name}_sd", sds, scalar=False)
    # The median of each prior on the diagonal: PyMC's own starting value runs a compiled loop.
    start = np.diag([float(prior.quantile(0.5)) for prior in sds])[np.tril_indices(len(block))]
    chol, _, sd = pm.LKJCholeskyCov(
        name,
        n=len(block),
        eta=eta,
        sd_dist=getattr(pm, sds[0].family).dist(**parameters, shape=len(block)),
        store_in_trace=False,
        initval=start,
    )
    return chol, sd


def _read_block(
    priors: FactorPriors, block: tuple[int, ...], values: Values
) -> NDArray[np.float64]:
    name = _block_name(priors.name, block, priors.terms)
    sds = [priors.sd[k] for k in block]
    if len(by_family(sds)) > 1:
        sd = read_vector(f"{name}_sd", sds, values)
        return sd[..., :, None] * values[name]
    packed = values[name]
    chol = np.zeros((*packed.shape[:-1], len(block), len(block)))
    chol[(..., *np.tril_indices(len(block)))] = packed
    return chol


def _correlation(sd: Any, blocks: Sequence[tuple[tuple[int, ...], Any]]) -> Any:
    corr = pt.eye(sum(len(block) for block, _ in blocks))
    for block, chol in blocks:
        if chol is None:
            continue
        unit = chol / sd[list(block)][:, None]
        rows, columns = np.ix_(block, block)
        corr = corr[rows, columns].set((unit[:, None, :] * unit[None, :, :]).sum(axis=2))
    return corr


def correlation_graph(partials: Any, factor: FactorPriors) -> Any:
    """Write `correlation_factor` C as a graph, and C C'."""
    q = len(factor.terms)
    unit = pt.zeros((q, q))
    at = 0
    for block in factor.blocks:
        for row, i in enumerate(block):
            left: Any = pt.ones(())
            for j in block[:row]:
                unit = unit[i, j].set(partials[at] * left)
                left = left * pt.sqrt(1 - partials[at] ** 2)
                at += 1
            unit = unit[i, i].set(left)
    return (unit[:, None, :] * unit[None, :, :]).sum(axis=2)
