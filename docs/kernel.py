"""The processes in which the cells of pages run."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

# A page shows what a call returned: neither a bar that has reached its end, nor in which temporary
# file the cell that warned was kept.
STARTUP = """\
import warnings
from functools import partial

import bayeslmm

warnings.formatwarning = lambda message, kind, *_, **__: f"{kind.__name__}: {message}\\n"
bayeslmm.fit_bayes = partial(bayeslmm.fit_bayes, progressbar=False)
del bayeslmm, partial, warnings
"""


def prepare(root: Path) -> None:
    """Let kernels find the package in `root`, installed or not, and no profile of the user's."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00_quiet.py").write_text(STARTUP, "utf-8")
    os.environ["IPYTHONDIR"] = str(folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
