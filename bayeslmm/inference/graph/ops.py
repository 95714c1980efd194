"""The collapsed density as one PyTensor operation, so that the graph around it stays tiny."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytensor.tensor as pt
from pymc.logprob.transforms import Transform
from pytensor.gradient import DisconnectedType, disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import (
    numba_njit,
    register_funcify_default_op_cache_key,
)

from bayeslmm.inference.marginal.coordinates import sinh_exp
from bayeslmm.kernels.linked_density import SYMBOL, link_density, linked_density

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Inputs that the density is differentiated in: sds, partial correlations, sigma, beta.
_DIFFERENTIATED = 4


class MarginalDensity(Op):  # type: ignore[misc]
    """log p(y | sds, partials, sigma, beta) with its gradient as further outputs.

    Inputs are sds (vector), partials (vector), sigma (scalar), beta (vector, empty where the
    fixed effects are integrated out), then data: the plan's integers and floats, the table of
    blocks, mean and precision of beta's normal prior.
    """

    # PyTensor keeps compiled operations on disk by class and properties: the symbol that the code
    # links to is one of them, so that a new version of the density is never met by old code.
    __props__ = ("symbol",)

    def __init__(self) -> None:
        self.symbol = SYMBOL
        link_density()

    def __reduce__(self) -> tuple[type[MarginalDensity], tuple[()]]:
        """Pickle as a call of the class: another process must register the symbol, too."""
        return type(self), ()

    def make_node(self, *inputs: Any) -> Apply:
        """Build the node; outputs are the value and the gradient in the first four inputs."""
        tensors = [pt.as_tensor_variable(value) for value in inputs]
        # The linked code reads through pointers: another type would be read as garbage.
        expected = ["float64"] * 4 + ["int64", "float64", "int64", "float64", "float64"]
        if [tensor.dtype for tensor in tensors] != expected:
            raise TypeError(f"Inputs of {self} must be of types {expected}.")
        return Apply(self, tensors, [pt.dscalar(), pt.dvector(), pt.dvector(), pt.dscalar(),
                                     pt.dvector()])  # fmt: skip

    def perform(self, node: Apply, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:  # noqa: ARG002
        """Evaluate in any mode that calls Python."""
        sds, partials, sigma, beta, ints, floats, table, mean, precision = (
            np.ascontiguousarray(value) for value in inputs
        )
        results = linked_density(
            ints, floats, table, sds, partials, sigma.item(), beta, mean, precision
        )
        for storage, result in zip(outputs, results, strict=True):
            storage[0] = np.asarray(result)

    def pullback(
        self, inputs: Sequence[Any], outputs: Sequence[Any], cotangents: Sequence[Any]
    ) -> list[Any]:
        """Multiply the gradient that the node already holds by the value's cotangent."""
        value_bar, *others = cotangents
        if not all(isinstance(other.type, DisconnectedType) for other in others):
            raise NotImplementedError("The collapsed density has no second derivatives.")
        _, *gradient = outputs
        data = [disconnected_type() for _ in inputs[_DIFFERENTIATED:]]
        return [value_bar * part for part in gradient] + data

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Return that the data are not differentiated in."""
        return [[k < _DIFFERENTIATED] * len(node.outputs) for k in range(len(node.inputs))]


@register_funcify_default_op_cache_key(MarginalDensity)  # type: ignore[untyped-decorator]
def _in_numba(op: MarginalDensity, **_: Any) -> Any:  # noqa: ARG001
    @numba_njit  # type: ignore[untyped-decorator]
    def collapsed(
        sds: Any,
        partials: Any,
        sigma: Any,
        beta: Any,
        ints: Any,
        floats: Any,
        table: Any,
        mean: Any,
        precision: Any,
    ) -> Any:
        # Views of other arrays have strides, and the linked code reads through pointers.
        value, d_sds, d_partials, d_sigma, d_beta = linked_density(
            np.ascontiguousarray(ints),
            np.ascontiguousarray(floats),
            np.ascontiguousarray(table),
            np.ascontiguousarray(sds),
            np.ascontiguousarray(partials),
            sigma.item(),
            np.ascontiguousarray(beta),
            np.ascontiguousarray(mean),
            np.ascontiguousarray(precision),
        )
        return np.asarray(value), d_sds, d_partials, np.asarray(d_sigma), d_beta

    return collapsed


class LogArcsinhTransform(Transform):  # type: ignore[misc]
    """sd = scale * exp(sinh(bend u) / bend), with scale and bend as data of the model.

    Parameters
    ----------
    scale, bend : shared variable, shape (k,)
        Positive.
    """

    name = "bent_log"
    ndim_supp = 0

    def __init__(self, scale: Any, bend: Any) -> None:
        self.scale, self.bend = scale, bend

    def forward(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        """Return u at an sd."""
        return pt.arcsinh(self.bend * pt.log(value / self.scale)) / self.bend

    def backward(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        """Return the sd at u."""
        return self.scale * pt.exp(pt.sinh(self.bend * value) / self.bend)

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        """Return log d sd / d u, elementwise."""
        bent = self.bend * value
        return pt.log(self.scale) + pt.sinh(bent) / self.bend + pt.log(pt.cosh(bent))

    def at(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return sds at values of u, shape (..., k), in NumPy."""
        return sinh_exp(value, self.scale.get_value(), self.bend.get_value())
