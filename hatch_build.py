"""Put the machine code of the numerical core into wheels (`bayeslmm.build_core`)."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# With another Numba nothing is built (`inner_compiler`); the rest is what the kernels import.
_NEEDS = [
    "lazy-loader>=0.4",
    "numba>=0.68,<0.69",
    "numpy>=2.0",
    "scipy>=1.14",
    "threadpoolctl>=3.5",
]
# Set it for a pure wheel, whose users compile.
_PURE = "BAYESLMM_PURE"


class CoreBuildHook(BuildHookInterface):  # type: ignore[misc]
    """Builds for this system and kind of processor; where that fails, the wheel is pure."""

    def dependencies(self) -> list[str]:
        """Return what building takes."""
        return [] if os.environ.get(_PURE) else _NEEDS

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and name the wheel by the platform; a checkout builds for itself (`make`)."""
        if version == "editable" or os.environ.get(_PURE):
            return
        path = os.pathsep.join([self.root, *sys.path])
        built = subprocess.run(
            [sys.executable, "-m", "bayeslmm.build_core"],
            cwd=self.root, env={**os.environ, "PYTHONPATH": path}, check=False,
        )  # fmt: skip
        if built.returncode != 0:
            self.app.display_warning("No machine code: users wait for a compiler once.")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        build_data["artifacts"].append("/bayeslmm/kernels/compiler/built/*")
