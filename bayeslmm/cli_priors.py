"""Priors of a study on the terminal: what they say, what they imply, what hangs on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bayeslmm
from bayeslmm.analysis.sensitivity.prior_implications import implied_priors
from bayeslmm.cli_console import print_frame
from bayeslmm.cli_results import MARKER

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from bayeslmm.studies.model_files.model_spec import ModelSpec

PRIOR_DRAWS = 4000


def report_priors(spec: ModelSpec, console: Console) -> None:
    """Print a study's priors, their meaning for the response, and what they imply."""
    design = bayeslmm.build_design(
        spec.formula, spec.data.load(), weights=spec.weights, missing=spec.missing
    )
    chosen = dict(spec.priors)
    table = bayeslmm.describe_priors(design, priors=chosen)
    print_frame(console, table[["distribution", "q5", "q50", "q95", "origin"]], "Priors")
    response = ["change", "response_q5", "response_q50", "response_q95"]
    print_frame(console, table[response].dropna(), f"What they mean for {design.response}")
    drawn = bayeslmm.sample_prior(design, priors=chosen, draws=PRIOR_DRAWS, random_seed=0)
    implied = implied_priors(drawn)
    if len(implied):
        print_frame(console, implied[["q5", "q50", "q95"]], "What they imply")


def report_sensitivity(folder: Path, console: Console) -> None:
    """Print the power-scaling table of the fit in a results folder."""
    import xarray as xr  # noqa: PLC0415 - slow to import

    with xr.open_datatree(folder / MARKER) as idata:
        table = bayeslmm.prior_sensitivity(idata.load())
    print_frame(
        console, table[["prior", "likelihood", "shift", "diagnosis"]], "Sensitivity to the priors"
    )
