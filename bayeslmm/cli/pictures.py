"""Pictures of a study: those that every fit leaves, and all of them on request."""

from __future__ import annotations

import re
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import bayeslmm
from bayeslmm.analysis.prediction.fit_rows import fit_rows
from bayeslmm.cli.compare import opened
from bayeslmm.cli.results_folder import MARKER, PictureFormat, results_folder, write_extras
from bayeslmm.names import INTERCEPT
from bayeslmm.results.read import constant, factor_names, factors

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
        suffix = f"_{_in_a_file_name(factor)}" if len(factors) > 1 else ""
        for kind in kinds:
            draw = getattr(bayeslmm, f"plot_{kind}")
            pictures[f"{kind}{suffix}"] = partial(draw, factor=factor)
    return pictures


def row_pictures(idata: xr.DataTree) -> Pictures:
    """Return the check of a fit, and the effect of each column of its fixed part.

    Of correlated residuals also their correlations, and of studies with known standard errors their
    forest.

    Nothing where the fit saw cross-products, which hold no rows.
    """
    rows = fit_rows(idata)
    if rows.y is None:
        return {}
    pictures: Pictures = {"check": bayeslmm.plot_check}
    for column in dict.fromkeys(name for atom in rows.terms.fixed.atoms for name in atom.variables):
        draw = partial(bayeslmm.plot_effect, x=column)
        pictures[f"effect_{_in_a_file_name(column)}"] = draw
    if rows.state.residual is not None:
        pictures["residual_correlation"] = bayeslmm.plot_residual_correlation
    terms = [factor.terms for factor in factors(idata)]
    if constant(idata, "se") is not None and terms == [(INTERCEPT,)]:
        pictures["forest"] = bayeslmm.plot_forest
    return pictures


def _in_a_file_name(name: str) -> str:
    return re.sub(r"\W+", "_", name, flags=re.ASCII)


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
    pictures |= row_pictures(idata)
    with results_folder(out, spec.name) as folder:
        shutil.copytree(out / spec.name, folder, dirs_exist_ok=True)
        files = write_extras(folder, idata, {}, pictures, form)
    return [out / spec.name / file.name for file in files]
