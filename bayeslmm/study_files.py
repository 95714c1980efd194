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

from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.errors import ArgumentError, DataWarning, warn
from bayeslmm.function_identity import function_identity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from bayeslmm.analysis.summaries.quantities import Quantity
    from bayeslmm.design.design import Design
    from bayeslmm.model.priors.priors import Priors

# Warnings point at the line that called this package.
# Changes with what a file holds, so that files of another version are not taken.
_FORMAT = 2


def study_key(
    design: Design,
    settings: Mapping[str, Any],
    random_seed: int,
    quantities: Mapping[str, Quantity],
    reweight: bool,
) -> str:
    """Name everything but its priors on which a scenario's result depends.

    Raises
    ------
    ArgumentError
        If a quantity is a function that cannot be told from others in a later session.
    """
    # How many chains run at a time changes nothing.
    asked = {name: value for name, value in settings.items() if name != "cores"}
    labels = [list(design.coef), *(list(map(str, factor.levels)) for factor in design.factors)]
    content = [_FORMAT, str(design.formula), fingerprint(design), labels, asked, random_seed]
    functions = [[name, _identity(name, quantity)] for name, quantity in quantities.items()]
    return _hash(json.dumps([*content, functions, reweight]))


def _identity(name: str, quantity: Quantity) -> str:
    try:
        return function_identity(quantity)
    except ArgumentError as error:
        raise ArgumentError(
            f"The quantity {name!r} cannot be kept in a folder: {error}. Or leave the folder out."
        ) from None


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
        """Read a scenario's file, or None where there is none that can be read."""
        if self.path is None or not (file := self._file(name, priors)).exists():
            return None
        try:
            with xr.open_datatree(file) as stored:
                result = stored.load()
                result.attrs = dict(stored.attrs)
        except (OSError, ValueError) as error:
            warn(
                f"{str(file)!r} cannot be read ({error}); scenario {name!r} is made anew.",
                DataWarning,
            )
            return None
        return result

    def _file(self, name: str, priors: Priors) -> Path:
        assert self.path is not None  # noqa: S101 - callers looked
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:48]
        digest = _hash(json.dumps([self.key, name, priors.to_json()]))[:12]
        return self.path / f"{readable or 'scenario'}.{digest}.nc"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
