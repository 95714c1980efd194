"""Pictures of a study: those that every fit leaves, and all of them on request."""

from __future__ import annotations

import re
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import bayeslmm
from bayeslmm.cli.compare import opened
from bayeslmm.cli.results_folder import MARKER, PictureFormat, results_folder, write_extras
from bayeslmm.results.read import factor_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import xarray as xr

    from bayeslmm.studies.model_files.model_spec import ModelSpec

type Pictures = dict[str, Callable[[xr.DataTree], Any]]

OF_A_FIT = ("caterpillar", "levels")
OF_A_FACTOR = (*OF_A_FIT, "shrinkage", "ppc_groups", "covariance")
OF_A_MODEL = ("variance_partition", "prior_posterior", "trace", "rank")


def factor_pictures(factors: Sequence[str], kinds: Sequence[str] = OF_A_FIT) -> Pictures:
    """Return the pictures of every grouping factor; their names carry the factor's if several."""
    pictures: Pictures = {}
    for factor in factors:
        suffix = f"_{re.sub('[^0-9A-Za-z]+', '_', factor)}" if len(factors) > 1 else ""
        for kind in kinds:
            draw = getattr(bayeslmm, f"plot_{kind}")
            pictures[f"{kind}{suffix}"] = partial(draw, factor=factor)
    return pictures


def draw_all(spec: ModelSpec, out: Path, form: PictureFormat) -> list[Path]:
    """Draw every picture of the results at ``out/name``, and add them to the folder.

    Returns
    -------
    list of Path
        The files that were added.
    """
    with opened(out / spec.name / MARKER) as tree:
        idata = tree.load()
    factors = factor_names(idata)
    pictures = factor_pictures(factors, OF_A_FACTOR)
    for kind in OF_A_MODEL if factors else OF_A_MODEL[1:]:
        pictures[kind] = getattr(bayeslmm, f"plot_{kind}")
    with results_folder(out, spec.name) as folder:
        shutil.copytree(out / spec.name, folder, dirs_exist_ok=True)
        files = write_extras(folder, idata, {}, pictures, form)
    return [out / spec.name / file.name for file in files]
