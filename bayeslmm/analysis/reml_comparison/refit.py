"""A REML fit from a result tree alone, on the very rows that its draws were made from."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from bayeslmm import names
from bayeslmm.analysis.prediction.linear_predictor import design_state
from bayeslmm.design.build import rebuild_design
from bayeslmm.design.fingerprint import fingerprint
from bayeslmm.errors import BayesLMMError, SingularFitWarning, TreeError, names_keywords
from bayeslmm.gram.file import gram_of_dataset
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.gram_design import design_of
from bayeslmm.reml.fit import fit_reml
from bayeslmm.reml.result import require_fit
from bayeslmm.results import read
from bayeslmm.results.family import require_closed_form
from bayeslmm.results.read import require_tree
from bayeslmm.results.record import require_rows_of_its_own
from bayeslmm.results.residual import has_structure, refuse_in_sigma
from bayeslmm.results.row_statements import with_row_statements
from bayeslmm.results.rows import training_table
from bayeslmm.results.units import column_units

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from bayeslmm.design.design import Design
    from bayeslmm.design.model_data import ModelData
    from bayeslmm.reml.result import Method, REMLFit

_INSTEAD = "compare_ml(fit) sets maximum likelihood beside it, and fit_ml fits by it."


@names_keywords
def refit_reml(idata: xr.DataTree, *, method: Method = "REML", check_data: bool = True) -> REMLFit:
    r"""Fit a tree's model to its own rows by REML: no table, no formula, no sampler needed.

    The design is rebuilt from ``constant_data``, ``observed_data`` and the design state in the
    root attributes, in this process or in another one, and held against the fingerprint that the
    fit left. A tree that was fitted to cross-products holds those instead of rows.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`, also read back from a file.
    method : {"REML", "ML"}
        Which likelihood to maximise.
    check_data : bool
        Whether to refuse rows whose fingerprint is not that of the fit. On another machine the
        last digits of computed columns such as ``log(x)`` may differ; this lets them.

    Returns
    -------
    REMLFit
        As `fit_reml` gives it for the table; a singular fit says so in ``is_singular`` and does
        not warn.

    Raises
    ------
    TreeError
        If the tree is not of this package, lacks a group or a column, or its rows were changed; if
        its response is not Gaussian, not even after its logarithm.
    DataError
        If REML cannot estimate the model.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> idata = bl.fit_bayes("y ~ x + (x | g)", table)  # doctest: +SKIP
    >>> refit_reml(idata).n_levels
    {'g': 3}
    """
    design = tree_design(idata, check_data=check_data)
    _require_maximum(idata)
    with warnings.catch_warnings():
        # Who compares is told in the table, component by component.
        warnings.simplefilter("ignore", SingularFitWarning)
        return fit_reml(design, method=method)


def _require_maximum(idata: xr.DataTree) -> None:
    """Raise unless the likelihood of a fit's model is one that REML maximises."""
    what = "Comparison with REML"
    require_closed_form(idata, what, _INSTEAD)
    refuse_in_sigma(idata, what, "fit_reml takes formulas of sigma without terms in bars.")


def given_or_refit(idata: xr.DataTree, fit: REMLFit | None, *, check_data: bool) -> REMLFit:
    """Return the REML fit that a tree is compared with: the one at hand, or one made now.

    Raises
    ------
    ArgumentError
        If something else is at hand.
    TreeError
        As `refit_reml`.
    """
    require_tree(idata)
    require_rows_of_its_own(idata)
    if fit is None:
        return refit_reml(idata, check_data=check_data)
    _require_maximum(idata)
    require_fit(fit, "Posteriors come first, and their REML fits as fit=.")
    return fit


def tree_design(idata: xr.DataTree, *, check_data: bool = True) -> ModelData:
    """Rebuild the design of a tree's rows, with response, weights and offset.

    Parameters
    ----------
    idata : DataTree
        Result of `fit_bayes`.
    check_data : bool
        Whether to hold it against the fit's fingerprint.

    Returns
    -------
    ModelData
        A design; without rows where the tree holds cross-products.

    Raises
    ------
    TreeError
        As in `refit_reml`.
    """
    read.require_tree(idata)
    require_rows_of_its_own(idata)
    if read.from_cross_products(idata):
        return _from_cross_products(idata)
    y = read.response(idata)
    columns = read.columns(idata)
    design = _rebuild(idata, columns, y)
    if _matches(idata, design):
        return design
    if check_data:
        msg = (
            "The rows in this tree are not those that its draws were made from: the fingerprint "
            "of constant_data and observed_data differs from the fit's. Fit again to the changed "
            "rows, or take the tree as `fit_bayes` returned it. If nothing was changed and the "
            "tree comes from another machine, give check_data=False."
        )
        raise TreeError(msg)
    return design


def _from_cross_products(idata: xr.DataTree) -> ModelData:
    """Take the Gram that the tree was fitted to."""
    gram = gram_of_dataset(Gram, read.group(idata, names.CROSS_PRODUCTS))
    if gram.coef != read.coefficients(idata):
        msg = (
            f"The draws are of {', '.join(read.coefficients(idata))}, and the cross-products are "
            f"of {', '.join(gram.coef)}: they belong to different fits."
        )
        raise TreeError(msg)
    return design_of(str(idata.attrs["formula"]), gram)


def _rebuild(
    idata: xr.DataTree,
    columns: dict[str, NDArray[np.generic]],
    y: NDArray[np.float64],
) -> Design:
    try:
        state = design_state(idata)
        weights, trials = (read.constant(idata, role) for role in ("weights", "trials"))
        structured = has_structure(idata)
        design = rebuild_design(
            state,
            training_table(idata) if structured else columns,
            weights=weights,
            trials=trials,
            residual=structured,
            se=read.constant(idata, "se"),
        )
    except TreeError:
        raise
    except (BayesLMMError, KeyError, TypeError) as error:
        msg = (
            f"The tree's rows cannot be coded as the fit coded them: {error} Take the tree that "
            "`fit_bayes` returned, with all its groups and root attributes."
        )
        raise TreeError(msg) from error
    if len(y) != len(design.y):
        msg = (
            f"observed_data has {len(y)} rows and constant_data has {len(design.y)}: the tree's "
            "groups belong to different data. Take the tree that `fit_bayes` returned."
        )
        raise TreeError(msg)
    if design.coef != read.coefficients(idata):
        msg = (
            f"The draws are of {', '.join(read.coefficients(idata))}, and the design state "
            f"describes {', '.join(design.coef)}: they belong to different fits."
        )
        raise TreeError(msg)
    for factor in design.factors:
        _require_levels(idata, factor.name, tuple(map(str, factor.levels)))
    design = with_row_statements(design, idata)
    return replace(design, y=y, labels=read.row_labels(idata), units=column_units(idata))


def _require_levels(idata: xr.DataTree, name: str, levels: tuple[str, ...]) -> None:
    known = read.require_levels(read.factor(idata, name))
    if levels != known:
        foreign = [level for level in levels if level not in known]
        msg = (
            f"The rows' levels of {name!r} are not those of the draws"
            f"{f' ({foreign[0]!r} was not drawn)' if foreign else ''}: constant_data and posterior "
            "belong to different fits. Take the tree that `fit_bayes` returned."
        )
        raise TreeError(msg)


def _matches(idata: xr.DataTree, design: Design) -> bool:
    left = str(idata.attrs.get("data_fingerprint", ""))
    # A tree that was put together by hand has none, and nothing to be held against.
    return len(left) != 64 or left == fingerprint(design)
