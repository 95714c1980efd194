"""How posteriors move as priors and likelihood are raised to powers: ArviZ's picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm.analysis.sensitivity.power_scaling import sensitivity_tree
from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.results import read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from bayeslmm.analysis.summaries.quantities import Quantity


def plot_prior_sensitivity(
    idata: xr.DataTree,
    quantities: Mapping[str, Quantity] | None = None,
    *,
    show: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    alphas: tuple[float, float] = (0.8, 1.25),
) -> Any:
    """Draw each quantity's density with the priors, and the likelihood, raised to powers.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    quantities : mapping of str to str or callable, optional
        Further quantities, as in `prior_sensitivity`.
    show : sequence of str, optional
        Which rows of `prior_sensitivity` to draw; standard deviations and ICCs, on which priors
        bear most, without it.
    groups : sequence of str, optional
        Which priors to scale, such as ``["sd_Subject"]``; all of them together without it.
    alphas : tuple of float
        The powers below and above 1.

    Returns
    -------
    arviz_plots.PlotCollection
        One row per quantity; left the priors' powers, right the likelihood's.

    Raises
    ------
    TreeError, ArgumentError
        As `prior_sensitivity` does, and when `show` names no quantity.

    References
    ----------
    Kallioinen, Paananen, Bürkner & Vehtari (2024), Statistics and Computing 34:57,
    doi 10.1007/s11222-023-10366-5.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> bl.plot_prior_sensitivity(idata, show=["x"])  # doctest: +SKIP
    """
    import arviz as az  # noqa: PLC0415 - slow to import

    scaled = sensitivity_tree(idata, quantities)
    known = [str(name) for name in scaled["posterior"].data_vars]
    if show is None:
        heads = tuple(f"sd_{name}[" for name in read.factor_names(idata))
        show = [name for name in known if name.startswith((*heads, "sigma", "icc["))]
    for name in show:
        if name not in known:
            raise ArgumentError(
                f"There is no quantity {name!r}.{nearest(str(name), known)} This fit has "
                f"{', '.join(known)}."
            )
    return az.plot_psense_dist(
        scaled,
        var_names=list(show),
        alphas=alphas,
        prior_var_names=None if groups is None else list(groups),
        backend="matplotlib",
        # ArviZ stacks the intervals in the units of the tallest density of all rows, which leaves
        # no room for the others; `prior_sensitivity` has the numbers.
        visuals={"credible_interval": False, "point_estimate": False},
        # A row of its own scale per quantity: densities of a share and of milliseconds differ.
        figure_kwargs={
            "figsize": (9.0, 2.1 * len(show) + 0.6),
            "sharex": "row",
            "sharey": "row",
            "layout": "constrained",
        },
    )
