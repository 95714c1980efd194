"""What a prior study says: how far each conclusion moves, and which verdicts flip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayeslmm.errors import TreeError, names_keywords
from bayeslmm.results.diagnostics import CI_KIND, CI_PROB, describe, interval_names
from bayeslmm.studies.scenarios import REFERENCE

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray


@names_keywords
def summarise_study(
    study: xr.DataTree, *, ci_prob: float = CI_PROB, ci_kind: str = CI_KIND
) -> pd.DataFrame:
    r"""Compute how far each conclusion moves from the reference, scenario by scenario.

    Parameters
    ----------
    study : DataTree
        Result of `prior_study`.
    ci_prob : float
        Probability of the intervals.
    ci_kind : {"eti", "hdi"}
        Equal-tailed or highest-density intervals.

    Returns
    -------
    DataFrame
        Indexed by quantity and scenario: ``mean``, ``sd``, the interval; ``moved``: change of the
        mean in the reference's posterior sds; ``mcse``: Monte Carlo standard error of ``moved``,
        an upper bound where the scenario was reweighted (its errors are partly the reference's);
        ``spread``: this sd over the reference's; ``sign_flips``: whether the mean has another sign;
        ``verdict_flips``: whether the interval's verdict on zero (excludes it or not) is another;
        ``method``.

    Raises
    ------
    TreeError
        If `study` is no prior study.
    ArgumentError
        If there is no such interval.

    Notes
    -----
    A mean or an end of an interval that lies within a few Monte Carlo errors of zero may change
    sides by chance: before a flip is believed, compare with ``mcse``, or take more draws.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> study = bl.prior_study(
    ...     "Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"), ["flat"]
    ... )  # doctest: +SKIP
    >>> bl.summarise_study(study).loc["sd_Batch[Intercept]", "moved"]  # doctest: +SKIP
    """
    require_study(study)
    posterior = study["posterior"].to_dataset()
    labels = [str(label) for label in posterior["scenario"].to_numpy()]
    methods = dict(zip(labels, study["scenarios"]["method"].to_numpy(), strict=True))
    bounds = interval_names(ci_prob, ci_kind)
    rows, index = [], []
    for name, array in posterior.data_vars.items():
        described = {
            label: _described(draws, ci_prob, ci_kind)
            for label, draws in zip(labels, _by_scenario(array), strict=True)
        }
        before = described[REFERENCE]
        for label, now in described.items():
            index.append((str(name), label))
            rows.append(
                {
                    "mean": now["mean"],
                    "sd": now["sd"],
                    bounds[0]: now["low"],
                    bounds[1]: now["high"],
                    "moved": (now["mean"] - before["mean"]) / before["sd"],
                    "mcse": 0.0
                    if label == REFERENCE
                    else float(np.hypot(now["mcse"], before["mcse"])) / before["sd"],
                    "spread": now["sd"] / before["sd"],
                    "sign_flips": bool(np.sign(now["mean"]) != np.sign(before["mean"])),
                    "verdict_flips": _excludes_zero(now) != _excludes_zero(before),
                    "method": str(methods[label]),
                }
            )
    return pd.DataFrame(
        rows, index=pd.MultiIndex.from_tuples(index, names=["quantity", "scenario"])
    )


def require_study(study: Any) -> None:
    """Raise unless `study` came from `prior_study`.

    Raises
    ------
    TreeError
        If it did not.
    """
    children = getattr(study, "children", {})
    if not {"posterior", "scenarios"} <= set(children):
        raise TreeError(
            f"A prior study is needed, and this is a {type(study).__name__}"
            f"{' without scenarios' if children else ''}. Give what `prior_study` returned."
        )


def _by_scenario(array: xr.DataArray) -> NDArray[np.float64]:
    return np.asarray(array.transpose("scenario", "chain", "draw").to_numpy(), dtype=np.float64)


def _described(draws: NDArray[np.float64], ci_prob: float, ci_kind: str) -> dict[str, float]:
    columns = describe(draws[..., None], ci_prob, ci_kind)
    names = ("mean", "sd", *interval_names(ci_prob, ci_kind), "mcse_mean")
    values = [float(columns[name][0]) for name in names]
    return dict(zip(("mean", "sd", "low", "high", "mcse"), values, strict=True))


def _excludes_zero(described: dict[str, float]) -> bool:
    return described["low"] > 0 or described["high"] < 0
