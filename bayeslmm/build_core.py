"""Build the machine code of the numerical core, so that nobody waits for a compiler.

::

    python -m bayeslmm.build_core

The libraries that it writes beside the kernels belong to their sources as they stand, and to this
system and kind of processor; with other sources the kernels are compiled when they are first used.
Wheels contain them. It takes two minutes, and the Numba that the package was tried with.
"""

from __future__ import annotations

import sys
import time


def main() -> int:
    """Build, and say what was built.

    Returns
    -------
    int
        For the shell: zero where there is machine code now.
    """
    from bayeslmm.kernels.compiler.shipping.build import BuildError, build  # noqa: PLC0415

    start = time.perf_counter()
    try:
        library = build()
    except (BuildError, OSError) as error:
        sys.stderr.write(f"{error} The kernels will be compiled when they are first used.\n")
        return 1
    took = time.perf_counter() - start
    for part in library.parts:
        sys.stdout.write(f"Built {part.file.name}, {part.file.stat().st_size // 1000} kB.\n")
    sys.stdout.write(f"All of it took {took:.0f} s.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
