"""The bent logarithm as a transform of PyMC: see `sd_coordinates`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytensor.tensor as pt
from pymc.logprob.transforms import Transform

from bayeslmm.unconstrained import bent_exp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class BentLog(Transform):  # type: ignore[misc]
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
        """Give u at an sd."""
        return pt.arcsinh(self.bend * pt.log(value / self.scale)) / self.bend

    def backward(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        """Give the sd at u."""
        return self.scale * pt.exp(pt.sinh(self.bend * value) / self.bend)

    def log_jac_det(self, value: Any, *inputs: Any) -> Any:  # noqa: ARG002
        """Give log d sd / d u, elementwise."""
        bent = self.bend * value
        return pt.log(self.scale) + pt.sinh(bent) / self.bend + pt.log(pt.cosh(bent))

    def at(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give sds at values of u, shape (..., k), in NumPy."""
        return bent_exp(value, self.scale.get_value(), self.bend.get_value())
