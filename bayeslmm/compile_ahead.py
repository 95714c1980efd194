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

from bayeslmm.helper import FIRST_DONE


def main(*, density: bool) -> None:
    """Compile the helper's half: the factorization; the density and the posterior for NUTS."""
    from bayeslmm import kernel_target, linked, linked_kernels  # noqa: PLC0415

    linked_kernels.link_factorization()
    sys.stdout.write(f"{FIRST_DONE}\n")
    sys.stdout.flush()
    if not density:
        return
    # Compiled code is linked when it is made. Nothing is called here, so any address serves for
    # what the first process compiles meanwhile.
    llvm.add_symbol(linked_kernels.PULL_BACK, 1)
    linked.compile_density()
    kernel_target.compile_function()
