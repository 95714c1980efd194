"""Names of array types, for annotations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# The columns of a random-effects term that are correlated with each other, block by block.
type Blocks = tuple[tuple[int, ...], ...]
