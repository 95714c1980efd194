"""Fingerprints of the kernels' sources, by which compiled code is known to belong to them."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


# Where compiled functions stand: the core, and families of kernels in folders of their own.
_KERNELS = Path(__file__).parent.parent
CORE_FOLDERS = (Path(__file__).parent.name, "elimination")


def fingerprint(kernels: Path, *, whole: bool = False) -> str:
    """Compute a hash of source files that are compiled into one another: names and contents.

    Parameters
    ----------
    kernels : Path
        The folder of all kernels.
    whole : bool
        Whether its sub-folders belong to it. The core (the files of the folder itself and of
        `CORE_FOLDERS`) takes in nothing else, so that nobody compiles it again for a change
        elsewhere.

    Returns
    -------
    str
        Eight hexadecimal digits.
    """
    digest = blake2b(digest_size=4)
    core = [*kernels.glob("*.py")]
    for name in CORE_FOLDERS:
        core += (kernels / name).glob("*.py")
    for path in sorted(kernels.rglob("*.py") if whole else core):
        digest.update(str(path.relative_to(kernels)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


FINGERPRINT = fingerprint(_KERNELS)
WHOLE = fingerprint(_KERNELS, whole=True)


def stamp[F: Callable[..., Any]](function: F) -> F:
    """Return a function's cached machine code a name that changes with every file it may contain.

    Numba looks only at the file in which a function stands: after a change to what it calls in
    another file, the old machine code would be loaded.
    """
    folder = Path(function.__code__.co_filename).parent
    above = _KERNELS in folder.parents and folder.name not in CORE_FOLDERS
    function.__qualname__ = f"{function.__qualname__}-{WHOLE if above else FINGERPRINT}"
    return function
