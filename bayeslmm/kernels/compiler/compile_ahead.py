"""Half of the numerical core compiled by a second process, on a machine that never compiled it.

The core takes some twenty-five seconds to compile, once per machine; Numba compiles one function at
a time, and a second processor would stand idle. So the first process compiles the gradient and the
draws of effects, a helper the factorization, the density and the posterior that NUTS calls. What it
compiles reaches the first process through Numba's cache on disk; whatever is missing there, that
process compiles itself.
"""

from __future__ import annotations

import sys

import llvmlite.binding as llvm

from bayeslmm.kernels import linked_density, target
from bayeslmm.kernels.compiler.helper import FIRST_DONE
from bayeslmm.kernels.elimination import factorization


def main(*, density: bool) -> None:
    """Compile the helper's half: the factorization; the density and the posterior for NUTS."""
    factorization.link_factorization()
    sys.stdout.write(f"{FIRST_DONE}\n")
    sys.stdout.flush()
    if not density:
        return
    # Compiled code is linked when it is made. Nothing is called here, so any address serves for
    # what the first process compiles meanwhile.
    llvm.add_symbol(factorization.pull_back_c.symbol, 1)
    linked_density.compile_density()
    _ = target.target_c.compiled
