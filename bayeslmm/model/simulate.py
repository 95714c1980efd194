"""Responses drawn from given beta, sd, corr and parameters of the family."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayeslmm import names
from bayeslmm.arguments import as_numbers
from bayeslmm.design.design import Design
from bayeslmm.design.factors.arms import EVERYWHERE, own_effects
from bayeslmm.design.residual_rows import sigma_factors
from bayeslmm.errors import ArgumentError, NumericalError, names_keywords, nearest
from bayeslmm.families.ordinal.ordered import Cumulative, Ordered
from bayeslmm.families.ordinal.sticks import THRESHOLD
from bayeslmm.model.covariance.block_covariance import covariance_of
from bayeslmm.model.covariance.given import require_structure, with_one_correlation
from bayeslmm.model.predictors import (
    parameter_factors,
    parameters_of_rows,
    predictors_of,
    split_coefficients,
)
from bayeslmm.model.residual.drawn import DrawnResiduals
from bayeslmm.model.residual.entry import by_variable
from bayeslmm.model.residual.of_design import structured_residuals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from bayeslmm.design.grouping import GroupingFactor
    from bayeslmm.design.residual_rows import ResidualRows
    from bayeslmm.model.residual.structured import StructuredResiduals


@names_keywords
def simulate_response(
    design: Design,
    *,
    beta: Mapping[str, float] | ArrayLike,
    sd: Mapping[str, ArrayLike] | None = None,
    corr: Mapping[str, ArrayLike] | None = None,
    sigma: float | None = None,
    parameters: Mapping[str, ArrayLike] | None = None,
    random_seed: int | np.random.Generator | None = None,
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    r"""Draw random effects and responses from a model whose parameters are known.

    .. math:: \eta = X \beta + \sum_k Z_k b_k + o, \quad b_{ki} \sim N(0, G_k), \quad
              y_i \sim p(\cdot \mid \eta_i, \phi)

    with the density p of the design's family: N(eta, sigma^2 / w) for the Gaussian, or N(eta, R)
    of all rows together where the design has a residual structure.

    Parameters
    ----------
    design : Design
        The rows, their family, weights or trials; its own response is not looked at.
    beta : mapping or array-like, shape (p,)
        Fixed effects, by name or in the order of ``design.coef``.
    sd : mapping from factor to array-like, shape (q,)
        Standard deviations of its random effects; one number stands for all its columns. Random
        effects in log(sigma) are those of ``sigma_<factor>``, here and in `corr`; so those in other
        parameters with formulas.
    corr : mapping from factor to array-like, shape (q, q) or a number
        Their correlations; a number stands for every pair. Uncorrelated without it.
    sigma : float, optional
        Residual standard deviation (scale, of Student's t), 1 without it; of families that have
        one.
    parameters : mapping from str to float or array-like, optional
        The family's parameters phi by name, e.g. ``{"shape": 2.0}``; ``sigma`` may stand here, too.
        Of a parameter with a formula its coefficients, e.g. ``{"beta_zi": [-1.0, 0.5]}``, or one
        by one, ``{"beta_zi[Intercept]": -1.0, "beta_zi[x]": 0.5}``.
        Of ordered categories the thresholds, from the lowest up: ``{"threshold": [-1.0, 1.0]}``.
        Of a residual structure its own, as result trees have them, all of them: numbers by name,
        e.g. ``{"sigma_by[Male]": 2.0, "sigma_by[Female]": 1.0}``, or whole variables as arrays,
        e.g. ``{"sd_residual": [1.0, 2.0], "corr_residual": [[1.0, 0.5], [0.5, 1.0]]}``.
    random_seed : int or Generator, optional
        Seed; the same seed gives the same response.

    Returns
    -------
    y : ndarray, shape (n,)
    effects : dict of ndarray, each of shape (m, q)
        The true random effects of each factor, in log(sigma) of ``sigma_<factor>``.

    Raises
    ------
    ArgumentError
        When a name is unknown or lacks, a shape is wrong, a standard deviation is negative, or a
        correlation matrix is not positive semidefinite.
    NumericalError
        When a response leaves the range of numbers.

    References
    ----------
    Bates, Maechler, Bolker & Walker (2015), Journal of Statistical Software 67(1), section 2,
    doi 10.18637/jss.v067.i01.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> design = build_design("y ~ x", {"y": [0.0, 0.0, 1.0], "x": [0.0, 1.0, 2.0]})
    >>> y, effects = simulate_response(design, beta={"Intercept": 1.0, "x": 2.0}, sigma=0.0)
    >>> y, effects
    (array([1., 3., 5.]), {})
    >>> counts = build_design("y ~ x", {"y": [0, 0, 1], "x": [0.0, 1.0, 2.0]}, family="poisson")
    >>> simulate_response(counts, beta={"Intercept": 1.0, "x": 2.0}, random_seed=1)[0]
    array([  4.,  19., 145.])
    """
    if not isinstance(design, Design):
        raise ArgumentError(f"A design is needed, as build_design gives it; this is {design!r}.")
    try:
        generator = np.random.default_rng(random_seed)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"random_seed is a whole number from 0 on, or a NumPy generator; it was "
            f"{random_seed!r}."
        ) from None
    rows = design.residual
    coefficients, besides = split_coefficients(predictors_of(design), parameters)
    of_residuals = None if rows is None else _residual_parameters(rows, sigma, besides)
    phi = {} if rows is not None else _parameters(design, sigma, besides)
    in_parameters = parameter_factors(design)
    known = [factor.name for factor in (*design.factors, *in_parameters)]
    sds = _by_factor("sd", sd, known)
    corrs = _by_factor("corr", corr, known)
    fixed = _coefficients(design.coef, beta)
    with np.errstate(over="ignore", invalid="ignore"):
        eta = design.X @ fixed
    if design.offset is not None:
        eta = eta + design.offset
    effects = {}
    for factor in (*design.factors, *in_parameters):
        root = _root(factor, sds.get(factor.name), corrs.get(factor.name))
        m = len(factor.levels) if factor.latent is None else factor.latent.n_latent
        normal = generator.standard_normal((m, len(factor.terms)))
        effects[factor.name] = own_effects(factor, normal @ root.T)
    for factor in design.factors:
        of_rows = effects[factor.name]
        if factor.latent is not None:
            effects[factor.name] = factor.latent.told(of_rows)
            of_rows = factor.latent.of_rows(of_rows)
        eta = eta + np.sum(factor.columns * of_rows[factor.index], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        if rows is None or of_residuals is None:
            drawn_effects = {names.effects(name): b[None] for name, b in effects.items()}
            by_rows = parameters_of_rows(design, coefficients | drawn_effects)
            phi |= {name: values[0] for name, values in by_rows.items()}
            y = design.family.draw(eta, phi, design.known, generator)
        else:
            in_sigma = [effects[factor.name].ravel() for factor in sigma_factors(rows)]
            whole = np.concatenate([of_residuals, *in_sigma])
            drawn = DrawnResiduals(structured_residuals(rows), rows, whole[None])
            eta = eta + drawn.draw(np.arange(design.n), generator)[:, 0]
            scale = design.family.gaussian_scale
            y = eta if scale is None else scale.inverse(eta)
    if not np.isfinite(y).all():
        raise NumericalError("The response would leave the range of numbers: give smaller ones.")
    return y, effects


def _residual_parameters(
    rows: ResidualRows, sigma: float | None, given: Mapping[str, ArrayLike] | None
) -> NDArray[np.float64]:
    """Return R's parameters, effects in sigma left aside."""
    structure = structured_residuals(rows).without_effects
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentError(f"parameters maps names to numbers; it was {given!r}.")
    values = {str(name): value for name, value in (given or {}).items()}
    if sigma is not None:
        values[names.SIGMA] = sigma
    numbers: dict[str, Any] = {}
    for variable, entries in by_variable(structure.entries).items():
        if variable in values:
            numbers[variable] = as_numbers(variable, values.pop(variable))
            continue
        if absent := [entry.name for entry in entries if entry.name not in values]:
            raise ArgumentError(
                f"The residuals ({structure.name}) have the parameter {absent[0]!r}: give "
                f"parameters={{{absent[0]!r}: ...}}."
            )
        parts = [as_numbers(entry.name, values.pop(entry.name)) for entry in entries]
        numbers[variable] = parts[0] if entries[0].label is None else np.array(parts)
    if values:
        known = [entry.name for entry in structure.entries]
        unknown = next(iter(values))
        raise ArgumentError(
            f"The residuals ({structure.name}) have no parameter {unknown!r}."
            f"{nearest(unknown, known)} They have {', '.join(known) or 'none'}."
        )
    shaped = {}
    for variable, value in numbers.items():
        shape = tuple(len(structure.coords[dim]) for dim in structure.dims[variable])
        if value.size != math.prod(shape):
            raise ArgumentError(f"{variable} has shape {value.shape}; {shape} is due.")
        shaped[variable] = value.reshape(1, 1, *shape)
    phi = structure.phi(shaped).reshape(1, -1) if shaped else np.zeros((1, 0))
    _check_bounds(structure, phi[0])
    return np.asarray(phi[0], dtype=np.float64)


def _check_bounds(structure: StructuredResiduals, phi: NDArray[np.float64]) -> None:
    """Raise unless numbers are inside the bounds of the parameters that they are."""
    place = 0
    for entry in structure.entries:
        size = len(entry.partials) or 1
        own, place = phi[place : place + size], place + size
        if entry.is_matrix and not (np.abs(own) < 1.0).all():
            raise ArgumentError(f"{entry.name} is no correlation matrix, positive definite.")
        if not entry.is_matrix and not entry.lower < own[0] < entry.upper:
            raise ArgumentError(
                f"{entry.name} lies between {entry.lower:g} and {entry.upper:g}; it was {own[0]:g}."
            )


def _parameters(
    design: Design, sigma: float | None, given: Mapping[str, ArrayLike] | None
) -> dict[str, Any]:
    """Return the family's parameters that have no formula by name, each of them once."""
    family, modelled = design.family, {rows.parameter for rows in design.predictors}
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentError(f"parameters maps names to numbers; it was {given!r}.")
    values = {str(name): value for name, value in (given or {}).items()}
    known = [p.name for p in family.parameters if p.name not in modelled]
    ordered = family.response.ordered
    if sigma is not None and names.SIGMA in values:
        raise ArgumentError("sigma is given twice: leave it out of parameters.")
    if sigma is not None:
        values[names.SIGMA] = sigma
    for name in values:
        if name not in known:
            raise ArgumentError(
                f"family={family.name!r} has no parameter {name!r}.{nearest(name, known)} It has "
                f"{', '.join(known) or 'none'}: leave {name} out."
            )
    if names.SIGMA in known:
        values.setdefault(names.SIGMA, 1.0)
    if absent := [name for name in known if name not in values]:
        raise ArgumentError(
            f"family={family.name!r} needs {', '.join(absent)}: give "
            f"parameters={{{absent[0]!r}: {'[-1.0, 1.0]' if ordered else 2.0}}}."
        )
    if isinstance(family, Ordered):
        return {THRESHOLD: _thresholds(family, values[THRESHOLD])}
    return {name: _parameter(name, values[name]) for name in known}


def _thresholds(family: Ordered, given: object) -> NDArray[np.float64]:
    """Return the thresholds of ordered categories, shape (K - 1,)."""
    cuts = as_numbers(THRESHOLD, given)
    count = len(family.categories) - 1 if family.categories else cuts.size
    if cuts.ndim != 1 or cuts.size != max(count, 1) or not np.isfinite(cuts).all():
        few = f"the {count} numbers between the response's categories" if count > 0 else "numbers"
        raise ArgumentError(f"{THRESHOLD} is {few}, from the lowest up; it was {given!r}.")
    if family.name == Cumulative.name and not (np.diff(cuts) > 0).all():
        raise ArgumentError(
            f"{THRESHOLD} of family={family.name!r} goes up from number to number; it was "
            f"{given!r}."
        )
    return cuts


def _parameter(name: str, given: object) -> float:
    value = _number(name, given)
    if name == names.SIGMA:
        if value < 0:
            raise ArgumentError(f"sigma is a standard deviation, zero or more; it was {given!r}.")
    elif value <= 0:
        raise ArgumentError(f"{name} is a positive number; it was {given!r}.")
    return value


def _number(argument: str, given: object) -> float:
    value = as_numbers(argument, given)
    if value.ndim:
        raise ArgumentError(f"{argument} is one number; it was {given!r}.")
    return float(value)


def _coefficients(
    coef: Sequence[str], beta: Mapping[str, float] | ArrayLike
) -> NDArray[np.float64]:
    if isinstance(beta, Mapping):
        given = {str(name): _number(f"beta[{name!r}]", value) for name, value in beta.items()}
        for name in given:
            if name not in coef:
                msg = (
                    f"beta names {name!r}, which is no coefficient.{nearest(name, coef)} "
                    f"The coefficients: {', '.join(coef)}."
                )
                raise ArgumentError(msg)
        absent = [name for name in coef if name not in given]
        if absent:
            msg = f"beta lacks {', '.join(absent)}; give 0 where there is no effect."
            raise ArgumentError(msg)
        return np.array([given[name] for name in coef])
    values = as_numbers("beta", beta)
    if values.shape != (len(coef),):
        msg = f"beta has shape {values.shape}; {len(coef)} values are due: {', '.join(coef)}."
        raise ArgumentError(msg)
    return values


def _by_factor(
    argument: str, given: Mapping[str, ArrayLike] | None, known: list[str]
) -> dict[str, ArrayLike]:
    if given is not None and not isinstance(given, Mapping):
        raise ArgumentError(f"{argument} maps grouping factors to numbers; it was {given!r}.")
    values = dict(given or {})
    for name in values:
        if name not in known:
            msg = (
                f"{argument} names {name!r}, which is no grouping factor."
                f"{nearest(str(name), known)} The factors: {', '.join(known) or 'none'}."
            )
            raise ArgumentError(msg)
    if argument == "sd" and set(known) - set(values):
        absent = [name for name in known if name not in values]
        msg = f"sd lacks {', '.join(absent)}; give 0 where there is no variation."
        raise ArgumentError(msg)
    return values


def _root(
    factor: GroupingFactor, sd: ArrayLike | None, corr: ArrayLike | None
) -> NDArray[np.float64]:
    """Return L with G = L L', shape (q, q)."""
    q = len(factor.terms)
    sds = as_numbers(f"sd of {factor.name!r}", sd)
    sds = np.full(q, float(sds)) if sds.ndim == 0 else sds
    if sds.shape != (q,) or not np.all(np.isfinite(sds) & (sds >= 0)):
        msg = (
            f"sd of {factor.name!r} holds {q} standard deviations, zero or more, for "
            f"{', '.join(factor.terms)}; it was {np.asarray(sd).tolist()}."
        )
        raise ArgumentError(msg)
    covariance = covariance_of(factor)
    if not np.array_equal(sds, covariance.column_sds(sds[list(covariance.sd_leads)])):
        raise ArgumentError(
            f"The structure of G by {factor.name!r} has one standard deviation for several columns "
            f"of {', '.join(factor.terms)}; sd was {sds.tolist()}. Give one number for all."
        )
    return sds[:, None] * _correlation_root(factor, corr)


def _correlation_root(factor: GroupingFactor, corr: ArrayLike | None) -> NDArray[np.float64]:
    q = len(factor.terms)
    if corr is None:
        return np.eye(q)
    matrix = as_numbers(f"corr of {factor.name!r}", corr)
    if matrix.ndim == 0:
        matrix = np.full((q, q), float(matrix))
        if factor.arms is not None:
            # No level has columns of two arms: no number is asked of their correlations.
            arms = np.array(factor.arms.columns)
            apart = (arms != arms[:, None]) & (arms != EVERYWHERE) & (arms[:, None] != EVERYWHERE)
            matrix[apart] = 0.0
        np.fill_diagonal(matrix, 1.0)
        matrix = with_one_correlation(covariance_of(factor), matrix)
    if matrix.shape != (q, q) or not np.allclose(matrix, matrix.T):
        msg = f"corr of {factor.name!r} is a symmetric {q} by {q} matrix or a number."
        raise ArgumentError(msg)
    require_structure(covariance_of(factor), matrix)
    values, vectors = np.linalg.eigh(matrix)
    # Rounding leaves a singular correlation matrix with eigenvalues a few ulps below zero.
    if not np.allclose(np.diag(matrix), 1) or values.min() < -1e-10:
        msg = (
            f"corr of {factor.name!r} is no correlation matrix: its diagonal must be 1 and its "
            f"eigenvalues zero or more (the smallest is {values.min():.3g})."
        )
        raise ArgumentError(msg)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))
