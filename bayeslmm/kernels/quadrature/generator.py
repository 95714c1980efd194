"""Random numbers of compiled code: xoshiro256++, whose state a call has for itself.

Numba's own generator lives in Numba, which shipped machine code does without.

References
----------
Blackman & Vigna (2021). Scrambled linear pseudorandom number generators. ACM Transactions on
Mathematical Software 47(4):36. doi:10.1145/3460772
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayeslmm.kernels.compiler.jit import inner_ieee

if TYPE_CHECKING:
    from bayeslmm.arrays import Words

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S17, _S19, _S23 = np.uint64(11), np.uint64(17), np.uint64(19), np.uint64(23)
_S27, _S30, _S31, _S41, _S45 = (np.uint64(k) for k in (27, 30, 31, 41, 45))
_UNIT = 2.0**-53


@inner_ieee
def generator(seed: int) -> Words:
    """Return a state of four words, from a seed by SplitMix64, as the authors advise."""
    state = np.empty(4, np.uint64)
    counter = np.uint64(seed)
    for k in range(4):
        counter += _STEP
        mixed = (counter ^ (counter >> _S30)) * _FIRST
        mixed = (mixed ^ (mixed >> _S27)) * _SECOND
        state[k] = mixed ^ (mixed >> _S31)
    return state


@inner_ieee
def uniform(state: Words) -> float:
    """Draw from (0, 1]: logarithms of it are numbers."""
    total = state[0] + state[3]
    out = ((total << _S23) | (total >> _S41)) + state[0]
    shifted = state[1] << _S17
    state[2] ^= state[0]
    state[3] ^= state[1]
    state[1] ^= state[2]
    state[0] ^= state[3]
    state[2] ^= shifted
    state[3] = (state[3] << _S45) | (state[3] >> _S19)
    number: float = 1.0 - (out >> _S11) * _UNIT
    return number
