"""G in a graph: priors of standard deviations and correlations, and the square root of G.

What a structure is stands in `bayeslmm.model.covariance`; tests hold the graphs here to it.
"""

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
from bayeslmm.inference.graph.residual_correlation import autocorrelations
from bayeslmm.model.covariance.of_matrix import OfMatrix
from bayeslmm.model.covariance.stationary import Toeplitz
from bayeslmm.model.covariance.unstructured import Unstructured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from bayeslmm.arrays import Blocks
    from bayeslmm.inference.graph.prior_vectors import Values
    from bayeslmm.model.covariance.block_covariance import BlockCovariance
    from bayeslmm.model.covariance.structure import CovarianceStructure
    from bayeslmm.model.priors.factor_priors import FactorPriors
    from bayeslmm.model.priors.prior import Prior


@dataclass(frozen=True)
class Scale:
    """The square root of G in a graph.

    Attributes
    ----------
    sd : tensor, shape (q,)
        Standard deviations.
    roots : tuple of (columns, lower-triangular tensor or None)
        For each independent set of columns the Cholesky factor of its part of G; None for a single
        column, whose factor is its sd.
    origin : Origin, optional
        What leads from effects at the columns' means, which G is of, to the effects as they are.
    """

    sd: Any
    roots: tuple[tuple[tuple[int, ...], Any], ...]
    origin: Origin | None = None

    @property
    def is_diagonal(self) -> bool:
        """Whether no two columns are correlated."""
        return all(chol is None for _, chol in self.roots)


@dataclass(frozen=True)
class Origin:
    """The way back from columns' means to zero in a graph; see `Shift`.

    Attributes
    ----------
    sets : tuple of (tuple of int, tensor)
        Correlated sets of columns, the intercept first, each with the columns' means, zero for the
        intercept.
    """

    sets: tuple[tuple[tuple[int, ...], Any], ...]

    def raw_effects(self, effects: Any) -> Any:
        """Write `Shift.raw_effects` as a graph, shape (m, q)."""
        for columns, means in self.sets:
            shares = (effects[:, list(columns)] * means[None, :]).sum(axis=1)
            effects = pt.inc_subtensor(effects[:, columns[0]], -shares)
        return effects

    def raw_root(self, root: Any) -> Any:
        """Return a square root of G at zero, shape (q, q), from one at the means."""
        for columns, means in self.sets:
            shares = (root[list(columns)] * means[:, None]).sum(axis=0)
            root = pt.inc_subtensor(root[columns[0]], -shares)
        return root


def origin_of(priors: FactorPriors) -> Origin | None:
    """Add the means that a factor's priors stand at, if they do."""
    shift = priors.shift
    if not shift.columns:
        return None
    means = pm.Data(f"means_{priors.name}", np.asarray(shift.means))
    ends = np.cumsum([len(columns) for columns, _ in shift.sets]).tolist()
    return Origin(
        tuple(
            (columns, means[end - len(columns) : end])
            for (columns, _), end in zip(shift.sets, ends, strict=True)
        )
    )


def name_scales(covariance: BlockCovariance, root: Any) -> None:
    """Name standard deviations and correlations of G, given a square root of it, (q, q)."""
    sd = pt.sqrt((root**2).sum(axis=1))
    unit = root / sd[:, None]
    term = names.term_dim(covariance.name)
    pm.Deterministic(covariance.sd_name, sd, dims=term)
    corr = (unit[:, None, :] * unit[None, :, :]).sum(axis=2)
    pm.Deterministic(covariance.corr_name, corr, dims=(term, names.term_dim_bis(covariance.name)))


def scale_of(priors: FactorPriors) -> Scale:
    """Add the priors of a factor's standard deviations and correlations.

    A correlated set gets an LKJ-Cholesky prior on G (`pm.LKJCholeskyCov`); where the set's
    standard deviations have priors of different families, the same prior is put together from
    separate standard deviations and `pm.LKJCorr`, because the former takes only one family.
    """
    covariance = priors.covariance
    if not covariance.compiles:
        return structured_scale(priors)
    sd: list[Any] = [None] * covariance.n_columns
    roots: list[tuple[tuple[int, ...], Any]] = []
    term = names.term_dim(covariance.name)
    if covariance.uncorrelated:
        dim = None if covariance.has_correlations else term
        vector = prior_vector(_uncorrelated_name(covariance), _uncorrelated_sds(priors), dim)
        roots = [((k,), None) for k in covariance.uncorrelated]
        if not covariance.has_correlations:
            return Scale(vector, tuple(roots))
        for position, k in enumerate(covariance.uncorrelated):
            sd[k] = vector[position]
    for structure, columns in covariance.correlated:
        chol, own_sd = ROOTS[type(structure)].add(priors, columns)
        for position, k in enumerate(columns):
            sd[k] = own_sd[position]
        roots.append((columns, chol))
    roots.sort(key=lambda root: root[0])
    if origin := origin_of(priors):
        stacked = pt.stack(sd)
        name_scales(covariance, origin.raw_root(_whole_root(stacked, roots)))
        return Scale(stacked, tuple(roots), origin)
    stacked = pm.Deterministic(covariance.sd_name, pt.stack(sd), dims=term)
    dims = (term, names.term_dim_bis(covariance.name))
    pm.Deterministic(covariance.corr_name, _correlation(stacked, roots), dims=dims)
    return Scale(stacked, tuple(roots))


def recover_scale(
    priors: FactorPriors, values: Values
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute draws of a factor's sds, shape (..., q), and of its factor L, shape (..., q, q)."""
    covariance = priors.covariance
    if not covariance.compiles:
        return recover_structured(priors, values)
    parts: list[tuple[tuple[int, ...], NDArray[np.float64]]] = []
    if covariance.uncorrelated:
        vector = read_vector(_uncorrelated_name(covariance), _uncorrelated_sds(priors), values)
        alone = enumerate(covariance.uncorrelated)
        parts += [((k,), vector[..., i, None, None]) for i, k in alone]
    for structure, columns in covariance.correlated:
        parts.append((columns, ROOTS[type(structure)].read(priors, columns, values)))
    lead, q = parts[0][1].shape[:-2], covariance.n_columns
    factor = np.zeros((*lead, q, q))
    for columns, chol in parts:
        factor[(..., *np.ix_(columns, columns))] = chol
    return np.sqrt(np.square(factor).sum(axis=-1)), factor


def correlation_graph(partials: Any, covariance: BlockCovariance) -> Any:
    """Write the correlations of partials as a graph: C C', for C of `correlation_factor_graph`."""
    unit = correlation_factor_graph(partials, covariance)
    return (unit[:, None, :] * unit[None, :, :]).sum(axis=2)


def correlation_factor_graph(partials: Any, covariance: BlockCovariance) -> Any:
    """Write `BlockCovariance.correlation_factor` of partials as a graph, shape (q, q)."""
    return _canonical_factor(partials, covariance.independent)


def _canonical_factor(partials: Any, independent: Blocks) -> Any:
    q, at = sum(map(len, independent)), 0
    unit = pt.zeros((q, q))
    for columns in independent:
        for row, i in enumerate(columns):
            left: Any = pt.ones(())
            for j in columns[:row]:
                unit = unit[i, j].set(partials[at] * left)
                left = left * pt.sqrt(1 - partials[at] ** 2)
                at += 1
            unit = unit[i, i].set(left)
    return unit


def _uncorrelated_name(covariance: BlockCovariance) -> str:
    """Name the variable of the sds of uncorrelated columns, beside which there may be others."""
    whole = not covariance.has_correlations
    return covariance.sd_name if whole else f"{covariance.sd_name}_uncorrelated"


def _uncorrelated_sds(priors: FactorPriors) -> list[Prior]:
    return [priors.sd[k] for k in priors.covariance.uncorrelated]


def _root_name(covariance: BlockCovariance, columns: tuple[int, ...]) -> str:
    """Name the variable of a correlated set's Cholesky factor."""
    whole = len(columns) == covariance.n_columns
    return f"G_{covariance.name}" if whole else f"G_{covariance.name}_{columns[0]}"


def _unstructured(priors: FactorPriors, columns: tuple[int, ...]) -> tuple[Any, Any]:
    """Add the LKJ-Cholesky prior of a correlated set; return its Cholesky factor and its sds."""
    name = _root_name(priors.covariance, columns)
    sds = [priors.sd[k] for k in columns]
    eta = pm.Data(f"{name}_eta", priors.eta)
    if len(by_family(sds)) > 1:
        sd = prior_vector(f"{name}_sd", sds, None)
        return sd[:, None] * pm.LKJCorr(name, n=len(columns), eta=eta), sd
    parameters = hyperparameters(f"{name}_sd", sds, scalar=False)
    # The median of each prior on the diagonal: PyMC's own starting value runs a compiled loop.
    start = np.diag([float(prior.quantile(0.5)) for prior in sds])[np.tril_indices(len(columns))]
    chol, _, sd = pm.LKJCholeskyCov(
        name,
        n=len(columns),
        eta=eta,
        sd_dist=getattr(pm, sds[0].family).dist(**parameters, shape=len(columns)),
        store_in_trace=False,
        initval=start,
    )
    return chol, sd


def _read_unstructured(
    priors: FactorPriors, columns: tuple[int, ...], values: Values
) -> NDArray[np.float64]:
    """Compute draws of the Cholesky factor that `_unstructured` added, shape (..., q, q)."""
    name = _root_name(priors.covariance, columns)
    sds = [priors.sd[k] for k in columns]
    if len(by_family(sds)) > 1:
        sd = read_vector(f"{name}_sd", sds, values)
        return sd[..., :, None] * values[name]
    packed = values[name]
    chol = np.zeros((*packed.shape[:-1], len(columns), len(columns)))
    chol[(..., *np.tril_indices(len(columns)))] = packed
    return chol


@dataclass(frozen=True)
class Root:
    """How a structure's part of the square root of G stands in a graph.

    Attributes
    ----------
    add : callable
        (priors of the factor, columns) -> Cholesky factor of their part of G, and its sds.
    read : callable
        (priors of the factor, columns, draws of the free variables) -> draws of the factor.
    """

    add: Callable[[FactorPriors, tuple[int, ...]], tuple[Any, Any]]
    read: Callable[[FactorPriors, tuple[int, ...], Values], NDArray[np.float64]]


# Structures with correlations; those without are of one kind.
ROOTS: Mapping[type, Root] = {Unstructured: Root(_unstructured, _read_unstructured)}


def structured_scale(priors: FactorPriors) -> Scale:
    """Add the priors of a factor whose columns share sds, or few correlations.

    Its free variables are the standard deviations and the partials, set by set of columns; the
    tree's own are derived from them.
    """
    covariance = priors.covariance
    own = prior_vector(f"{covariance.sd_name}_own", priors.sd, None)
    term = names.term_dim(covariance.name)
    sd = pm.Deterministic(covariance.sd_name, own[list(covariance.sd_columns)], dims=term)
    roots: list[tuple[tuple[int, ...], Any]] = []
    said = iter(covariance.parameter_names)
    for structure, columns in covariance.members:
        if not structure.n_partials:
            roots += [((k,), None) for k in columns]
            continue
        unit = _unit_factor(priors, structure, columns)
        roots.append((columns, sd[list(columns)][:, None] * unit[0]))
        for value in unit[1]:
            pm.Deterministic(next(said)[0], value)
    roots.sort(key=lambda root: root[0])
    if covariance.has_correlations:
        dims = (term, names.term_dim_bis(covariance.name))
        pm.Deterministic(covariance.corr_name, _correlation(sd, roots), dims=dims)
    return Scale(sd, tuple(roots))


def _unit_factor(
    priors: FactorPriors, structure: CovarianceStructure, columns: tuple[int, ...]
) -> tuple[Any, list[Any]]:
    """Add the partials of a set of columns; return C, and the structure's own numbers."""
    name = _partials_name(priors.covariance, columns)
    shapes = pm.Data(f"{name}_shapes", structure.partial_shapes(priors.eta))
    partials = pm.Beta(name, shapes[:, 0], shapes[:, 1], shape=structure.n_partials)
    if not isinstance(structure, OfMatrix):
        return _canonical_factor(2.0 * partials - 1.0, structure.independent), []
    values = structure.values(partials)
    if isinstance(structure, Toeplitz):
        lags = pt.stack(autocorrelations(values, structure.n_partials, structure.n_partials))
        at = np.arange(len(columns))
        unit = pt.linalg.cholesky(lags[np.abs(at[:, None] - at)])
    else:
        unit = structure.unit_factor(partials)
    return unit, [values[k] for k in range(len(structure.parameters))]


def recover_structured(
    priors: FactorPriors, values: Values
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute draws of sds, (..., q), and L, (..., q, q), from what `structured_scale` added."""
    covariance = priors.covariance
    own = read_vector(f"{covariance.sd_name}_own", priors.sd, values)
    partials = [np.zeros((*own.shape[:-1], 0))]
    for structure, columns in covariance.members:
        if structure.n_partials:
            drawn = values[_partials_name(covariance, columns)]
            partials.append(drawn if isinstance(structure, OfMatrix) else 2.0 * drawn - 1.0)
    return covariance.column_sds(own), covariance.factor(own, np.concatenate(partials, axis=-1))


def _partials_name(covariance: BlockCovariance, columns: tuple[int, ...]) -> str:
    return f"{covariance.corr_name}_own_{columns[0]}"


def _whole_root(sd: Any, roots: Sequence[tuple[tuple[int, ...], Any]]) -> Any:
    """Put the square root of G together, shape (q, q)."""
    root = pt.zeros((sum(len(columns) for columns, _ in roots),) * 2)
    for columns, chol in roots:
        value = sd[columns[0]][None, None] if chol is None else chol
        root = root[np.ix_(columns, columns)].set(value)
    return root


def _correlation(sd: Any, roots: Sequence[tuple[tuple[int, ...], Any]]) -> Any:
    corr = pt.eye(sum(len(columns) for columns, _ in roots))
    for columns, chol in roots:
        if chol is None:
            continue
        unit = chol / sd[list(columns)][:, None]
        at = np.ix_(columns, columns)
        corr = corr[at].set((unit[:, None, :] * unit[None, :, :]).sum(axis=2))
    return corr
