"""Finished scenarios of a study on disk, one file each, and how they are recognised."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslmm.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bayeslmm.design import Design
    from bayeslmm.prior_set import Priors

# Changes with what a file holds, so that files of another version are not taken.
_FORMAT = 1


def study_key(
    design: Design,
    settings: Mapping[str, Any],
    random_seed: int,
    quantities: tuple[str, ...],
    reweight: bool,
) -> str:
    """Name everything but its priors on which a scenario's result depends."""
    # How many chains run at a time changes nothing.
    asked = {name: value for name, value in settings.items() if name != "cores"}
    content = [_FORMAT, str(design.formula), fingerprint(design), asked, random_seed]
    return _hash(json.dumps([*content, list(quantities), reweight]))


def scenario_seed(random_seed: int, name: str) -> int:
    """Derive a scenario's seed from the study's and its name, whatever ran before it."""
    words = [int(_hash(name)[k : k + 8], 16) for k in (0, 8, 16, 24)]
    return int(np.random.SeedSequence([random_seed, *words]).generate_state(1)[0])


@dataclass(frozen=True)
class StudyFolder:
    """Where finished scenarios are kept; without a path, nowhere.

    Attributes
    ----------
    path : Path or None
        The folder, made when the first scenario is written.
    key : str
        From `study_key`.
    """

    path: Path | None
    key: str

    def write(self, name: str, priors: Priors, result: xr.DataTree) -> None:
        """Write a scenario's file in one step: it is there whole, or not at all."""
        if self.path is None:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        final = self._file(name, priors)
        started = final.with_suffix(f".{os.getpid()}.part")
        try:
            result.to_netcdf(started)
            started.replace(final)
        finally:
            started.unlink(missing_ok=True)

    def read(self, name: str, priors: Priors) -> xr.DataTree | None:
        """Read a scenario's file, or None where there is none."""
        if self.path is None or not (file := self._file(name, priors)).exists():
            return None
        with xr.open_datatree(file) as stored:
            result = stored.load()
            result.attrs = dict(stored.attrs)
        return result

    def _file(self, name: str, priors: Priors) -> Path:
        assert self.path is not None  # noqa: S101 - callers looked
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:48]
        digest = _hash(json.dumps([self.key, name, priors.to_json()]))[:12]
        return self.path / f"{readable or 'scenario'}.{digest}.nc"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
