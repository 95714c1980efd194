"""What this machine has for a fit: cores, memory, and the threads of its BLAS."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import scipy.linalg  # noqa: F401 -- loads its BLAS, which the controller must find
from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Iterator


@cache
def _blas() -> ThreadpoolController:
    """Return what limits the BLAS libraries of this process, found once, which takes 20 ms."""
    return ThreadpoolController()


@contextmanager
def single_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside the block.

    Two threads on a machine with other work were some thirty times slower than one, and chains
    run in parallel anyway.

    Examples
    --------
    >>> import numpy as np
    >>> with single_blas_thread():
    ...     float(np.linalg.det(np.eye(2)))
    1.0
    """
    with _blas().limit(limits=1, user_api="blas"):
        yield


def usable_cores() -> int:
    """Count the cores that this process may use; systems without affinities have all of them."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def memory() -> int | None:
    """Return the bytes of memory that this process may use; None where the system does not tell.

    They are the machine's, or fewer where a limit is set (``ulimit -v``).
    """
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    if page <= 0 or pages <= 0:
        return None
    import resource  # noqa: PLC0415 - systems without `sysconf` lack it, too

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return page * pages if limit == resource.RLIM_INFINITY else min(page * pages, limit)
