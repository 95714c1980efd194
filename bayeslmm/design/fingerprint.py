"""A design's fingerprint: whether two fits, or a tree and its rows, share their data."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bayeslmm.design.model_data import ModelData


def fingerprint(design: ModelData) -> str:
    """Compute a hash of the numbers that a fit sees.

    Parameters
    ----------
    design : ModelData
        The data.

    Returns
    -------
    str
        64 hexadecimal digits of SHA-256 over response, columns, level indices, weights and offset;
        over the cross-products where there are no rows.

    Examples
    --------
    >>> from bayeslmm.design.build import build_design
    >>> table = {"y": [1.0, 2.0, 4.0, 3.0], "x": [0.0, 1.0, 0.0, 1.0], "g": ["a", "a", "b", "b"]}
    >>> one = fingerprint(build_design("y ~ x + (1 | g)", table))
    >>> one == fingerprint(build_design("y ~ x + (1 | g)", table | {"unused": [1, 2, 3, 4]}))
    True
    >>> one == fingerprint(build_design("y ~ x + (1 | g)", table | {"y": [1.0, 2.0, 4.0, 5.0]}))
    False
    """
    digest = hashlib.sha256()
    for array in design.numbers():
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
