"""Draws as a data frame: chosen quantities by name, a row for each draw or for each number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from bayeslmm import names
from bayeslmm.analysis.summaries.quantities import checked_quantities, quantity_draws
from bayeslmm.arguments import as_names
from bayeslmm.errors import ArgumentError, check_choice, names_keywords, nearest
from bayeslmm.results import read
from bayeslmm.results.diagnostics import blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.analysis.summaries.quantities import Quantity

Form = Literal["wide", "long"]
FORMS = ("wide", "long")
CHAIN = ".chain"
DRAW = ".draw"


@names_keywords
def tidy_draws(
    idata: xr.DataTree,
    quantities: str | Sequence[str] | Mapping[str, Quantity] | None = None,
    *,
    form: Form = "wide",
) -> pd.DataFrame:
    """Return draws of chosen quantities as a data frame.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    quantities : str, sequence of str, or mapping of str to str or callable, optional
        Names as in `hypothesis` (``"Days"``, ``"sd_Subject[Days]"``, ``"b_Subject[308,Days]"``),
        or variables, for all of their numbers (``"beta"``, ``"sd_Subject"``, ``"b_Subject"``). A
        mapping gives names to expressions (``{"ratio": "sd_Subject[Days] / sigma"}``). Without it,
        everything but the random effects.
    form : {"wide", "long"}
        One row for each draw, with a column for each quantity, as brms's ``as_draws_df``; or one
        row for each draw of each quantity, with the columns ``variable`` and ``value``, as
        tidybayes's ``gather_draws``.

    Returns
    -------
    DataFrame
        With ``.chain`` and ``.draw`` first: the labels of the tree. No quantity is called so.

    Raises
    ------
    ArgumentError
        When a name is unknown, or an expression cannot be read.
    TreeError
        When `idata` is no tree of this package, or lacks the draws of random effects.

    Examples
    --------
    >>> tidy_draws(idata, ["x", "sigma"]).head(2)
       .chain  .draw    x  sigma
    0       0      0  2.0    3.0
    1       0      1  2.0    3.0
    >>> tidy_draws(idata, {"ratio": "sd_g[x] / sigma"}, form="long").tail(1)
         .chain  .draw variable     value
    999       3    249    ratio  0.333333
    """
    check_choice("form", form, FORMS)
    read.require_tree(idata)
    if isinstance(quantities, Mapping):
        given = checked_quantities(quantities)
        drawn = quantity_draws(idata, given)
        chosen = {name: drawn[names.stored(name)] for name in given}
    else:
        chosen = _named(idata, quantities)
    posterior = read.group(idata, "posterior")
    chains, draws = (np.asarray(posterior[dim].values) for dim in ("chain", "draw"))
    place = {
        CHAIN: np.repeat(chains, len(draws)),
        DRAW: np.tile(draws, len(chains)),
    }
    if form == "wide":
        return pd.DataFrame({**place, **{name: v.reshape(-1) for name, v in chosen.items()}})
    count = len(chosen)
    variable = pd.Categorical.from_codes(
        np.repeat(np.arange(count), len(place[CHAIN])), dtype=pd.CategoricalDtype(list(chosen))
    )
    value = np.concatenate([values.reshape(-1) for values in chosen.values()])
    tiled = {name: np.tile(values, count) for name, values in place.items()}
    return pd.DataFrame({**tiled, "variable": variable, "value": value})


def _named(idata: xr.DataTree, asked: str | Sequence[str] | None) -> dict[str, NDArray[np.float64]]:
    """Return the draws of names and of whole variables."""
    wanted = None if asked is None else as_names("quantities", asked)
    effects = wanted is not None and any(n.startswith(names.EFFECTS_PREFIX) for n in wanted)
    variables: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, labels, values in blocks(idata, effects=effects):
        scalars = map(names.scalar, read.coefficients(idata)) if name == names.BETA else labels
        variables[name] = {label: values[..., k] for k, label in enumerate(scalars)}
    scalar = {label: v for numbers in variables.values() for label, v in numbers.items()}
    if wanted is None:
        return scalar
    if not wanted:
        raise ArgumentError("quantities names nothing: leave it out for all but random effects.")
    by_spelling = {names.spelling(label): label for label in scalar}
    chosen: dict[str, NDArray[np.float64]] = {}
    for name in wanted:
        if name in variables:
            chosen |= variables[name]
            continue
        label = by_spelling.get(names.spelling(str(name).removeprefix("beta[").removesuffix("]")))
        label = by_spelling.get(names.spelling(str(name)), label)
        if label is None:
            _refuse(idata, str(name), [*variables, *scalar])
        else:
            chosen[label] = scalar[label]
    return chosen


def _refuse(idata: xr.DataTree, name: str, known: Sequence[str]) -> None:
    for info in read.factors(idata):
        if name.startswith(names.effects(info.name)):
            # Says what to do where the tree keeps no draws of this factor.
            read.effect_draws(idata, info)
    raise ArgumentError(
        f"There is no quantity {name!r}.{nearest(name, known)} They go by names such as "
        f"{', '.join(known[:6])}; an expression is given by a mapping, "
        f"{{'my name': {name!r}}}."
    )
