"""A PyMC model compiled for nutpie, in as little time as its graph allows.

nutpie's own compilation spends most of a warm start on two generic wrappers: one that unpacks any
set of shared variables, one that computes every derived quantity. Here the unpacking is written
out for the model at hand and nothing is derived in compiled code: the sampler stores unconstrained
draws, and `constrain` brings them to the scale of the model's variables in NumPy.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import pytensor
import pytensor.tensor as pt
from nutpie.compile_pymc import make_user_data
from pymc.distributions.transforms import CholeskyCovPacked
from pymc.initial_point import make_initial_point_fn
from pymc.logprob.transforms import LogOddsTransform, LogTransform
from pymc.pytensorf import compile as compile_pymc
from pytensor.graph.replace import clone_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from scipy.special import expit

from bayeslmm.inference.graph.ops import LogArcsinhTransform
from bayeslmm.inference.nuts.nutpie_model import log_density_callback, nutpie_model

if TYPE_CHECKING:
    import pymc as pm
    from numpy.typing import NDArray
    from nutpie.compile_pymc import CompiledPyMCModel


@dataclass(frozen=True)
class FreeVariable:
    """A free random variable of a model and how its unconstrained values are read.

    Attributes
    ----------
    name : str
        The variable's name.
    shape : tuple of int
        Of its unconstrained value.
    start : ndarray
        Unconstrained support point, around which chains start.
    transform : object or None
        PyMC's transform.
    arguments : tuple
        The random variable's own inputs, which some transforms need.
    spread : ndarray
        How far from `start` chains start, at most.
    """

    name: str
    shape: tuple[int, ...]
    start: NDArray[np.float64]
    transform: Any
    arguments: tuple[Any, ...]
    spread: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of unconstrained values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class CompiledModel:
    """A log-density that nutpie can call, with what is needed to read its draws."""

    nutpie: CompiledPyMCModel
    variables: tuple[FreeVariable, ...]


def compile_model(model: pm.Model) -> CompiledModel:
    """Compile a model's log-density and gradient for nutpie.

    Parameters
    ----------
    model : pymc.Model
        Any model with continuous free variables.

    Returns
    -------
    CompiledModel
        Ready to be sampled.
    """
    variables = free_variables(model)
    size = sum(variable.size for variable in variables)
    # Sums that may be reordered come out differently in code that was just compiled and in code
    # from the cache, which is inlined less: the same seed would give other draws in the first
    # process on a machine than in all later ones.
    with pytensor.config.change_flags(numba__fastmath=False), warnings.catch_warnings():
        function = _log_density_function(model, variables, size)
        shared, keys = _shared_arrays(function)
        user_data = make_user_data(keys, shared)
        # The callback refers to PyTensor's compiled function, which Numba cannot store; that
        # function itself is in PyTensor's cache, and the callback compiles in well under a second.
        warnings.simplefilter("ignore", numba.NumbaWarning)
        log_density = log_density_callback(function.vm.jit_fn, list(shared.values()), size)
    compiled = nutpie_model(
        log_density,
        _starts(variables),
        user_data,
        _spreads(variables),
        shared_data=shared,
        shared_var_keys=keys,
        logp_func=function,
    )
    return CompiledModel(compiled, variables)


def refilled(compiled: CompiledModel, model: pm.Model) -> CompiledModel:
    """Exchange a compiled model's data for another's of the same structure, without compiling.

    Parameters
    ----------
    compiled : CompiledModel
        What `compile_model` made of a model with the same graph.
    model : pymc.Model
        Whose `pm.Data` to take; lengths of rows may differ.

    Returns
    -------
    CompiledModel
        With the new data and starting points.
    """
    used = {variable.name for variable in compiled.nutpie.shared_var_keys}
    data = {v.name: v.get_value() for v in model.data_vars if v.name in used}
    variables = free_variables(model)
    filled = compiled.nutpie.with_data(**data)
    nutpie = nutpie_model(
        filled.compiled_logp_func,
        _starts(variables),
        filled.user_data,
        _spreads(variables),
        shared_data=filled.shared_data,
        shared_var_keys=filled.shared_var_keys,
        logp_func=filled.logp_func,
    )
    return CompiledModel(nutpie, variables)


def free_variables(model: pm.Model) -> tuple[FreeVariable, ...]:
    """List a model's free variables in the order of its unconstrained vector."""
    start = make_initial_point_fn(model=model, jitter_rvs=set(), return_transformed=True)(0)
    listed = []
    for variable in model.free_RVs:
        value = np.asarray(start[model.rvs_to_values[variable].name], dtype=np.float64)
        transform = model.rvs_to_transforms[variable]
        arguments = tuple(variable.owner.inputs)
        spread = _spread(model, variable.name, value.shape, transform)
        listed.append(FreeVariable(variable.name, value.shape, value, transform, arguments, spread))
    return tuple(listed)


def constrain(
    variables: tuple[FreeVariable, ...], draws: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Bring unconstrained draws to the scale of the model's variables.

    Parameters
    ----------
    variables : tuple of FreeVariable
        The model's.
    draws : ndarray, shape (chain, draw, k)
        Unconstrained vectors.

    Returns
    -------
    dict of str to ndarray, shape (chain, draw, ...)
        Draws by variable.
    """
    result = {}
    first = 0
    for variable in variables:
        flat = draws[..., first : first + variable.size]
        first += variable.size
        value = flat.reshape(*draws.shape[:-1], *variable.shape)
        result[variable.name] = _backward(variable, value)
    return result


def _backward(variable: FreeVariable, value: NDArray[np.float64]) -> NDArray[np.float64]:
    if variable.transform is None:
        return np.ascontiguousarray(value)
    if isinstance(variable.transform, LogTransform):
        return np.exp(value)
    if isinstance(variable.transform, LogArcsinhTransform):
        return variable.transform.at(value)
    if isinstance(variable.transform, LogOddsTransform):
        return expit(value)
    if isinstance(variable.transform, CholeskyCovPacked):
        result = value.copy()
        diagonal = np.cumsum(np.arange(1, math.isqrt(2 * value.shape[-1]) + 1)) - 1
        result[..., diagonal] = np.exp(result[..., diagonal])
        return result
    return _backward_by_graph(variable, value)


def _backward_by_graph(variable: FreeVariable, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply any other transform, one draw after the other, as PyMC defines it."""
    point = pt.tensor("point", dtype="float64", shape=variable.shape)
    graph = variable.transform.backward(point, *variable.arguments)
    function = pytensor.function([point], graph, mode="FAST_COMPILE", on_unused_input="ignore")
    flat = value.reshape(-1, *variable.shape)
    constrained = np.stack([np.asarray(function(draw)) for draw in flat])
    return constrained.reshape(*value.shape[:2], *constrained.shape[1:])


def _log_density_function(model: pm.Model, variables: tuple[FreeVariable, ...], size: int) -> Any:
    values = [model.rvs_to_values[variable] for variable in model.free_RVs]
    # Rewriting first also keeps PyTensor's unique constants from being frozen after the
    # initial-point function took a view of them ("cannot set WRITEABLE flag").
    log_density = rewrite_graph(model.logp(), include=["canonicalize", "stabilize"])
    gradient = pt.concatenate([part.ravel() for part in pt.grad(log_density, values)])
    point = pt.tensor("point", dtype="float64", shape=(size,))
    replacements = {}
    first = 0
    for value, variable in zip(values, variables, strict=True):
        piece = point[first : first + variable.size]
        replacements[value] = piece.reshape(variable.shape)
        first += variable.size
    outputs = clone_replace([log_density, gradient], replacements)
    with model:
        return compile_pymc((point,), outputs, mode="NUMBA")


def _shared_arrays(function: Any) -> tuple[dict[str, NDArray[Any]], dict[Any, str]]:
    shared: dict[str, NDArray[Any]] = {}
    keys: dict[Any, str] = {}
    for position, variable in enumerate(function.get_shared()):
        key = f"shared_{position}"
        # Numba's code reads through the pointer: the copy must be contiguous and stay in place.
        shared[key] = np.array(variable.get_value(), order="C", copy=True)
        shared[key].flags.writeable = False
        keys[variable] = key
    return shared, keys


def _spread(
    model: pm.Model, name: str, shape: tuple[int, ...], transform: Any
) -> NDArray[np.float64]:
    """Return one, and less where a prior is narrower: one may be a thousand of its widths."""
    width = model.named_vars.get(f"{name}_sigma")
    if transform is not None or not hasattr(width, "get_value"):
        return np.ones(shape)
    return np.broadcast_to(np.minimum(np.abs(width.get_value()), 1.0), shape)


def _spreads(variables: tuple[FreeVariable, ...]) -> NDArray[np.float64]:
    return np.concatenate([variable.spread.ravel() for variable in variables])


def _starts(variables: tuple[FreeVariable, ...]) -> NDArray[np.float64]:
    return np.concatenate([variable.start.ravel() for variable in variables])[None]
