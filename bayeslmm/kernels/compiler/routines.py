"""Where SciPy keeps the BLAS and LAPACK routines that compiled code calls."""

from __future__ import annotations

import ctypes
import importlib

# Each routine: SciPy's module of it, and how many pointers it takes.
ROUTINES = {
    "dpotrf": ("lapack", 5),
    "dpotri": ("lapack", 5),
    "dtrtrs": ("lapack", 10),
    "dsyrk": ("blas", 10),
    "dsymm": ("blas", 12),
}


def symbol_of(routine: str) -> str:
    """Return the name under which compiled code knows a routine."""
    return f"bayeslmm_{routine}"


def address_of(routine: str) -> int:
    """Look up a routine.

    Parameters
    ----------
    routine : str
        One of `ROUTINES`.

    Returns
    -------
    int
        Its address in this process.
    """
    library, _ = ROUTINES[routine]
    capsule = importlib.import_module(f"scipy.linalg.cython_{library}").__pyx_capi__[routine]
    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return int(pointer(capsule, name(capsule)))
