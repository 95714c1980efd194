"""Which way a model is written for the sampler, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayeslmm.errors import ArgumentError, nearest
from bayeslmm.gram.gram import Gram
from bayeslmm.model.residual.sigma_effects import require_closed_form

if TYPE_CHECKING:
    from bayeslmm.families.family import Family
    from bayeslmm.gram.gram_design import DataSource
    from bayeslmm.model.model import Model

NONCENTERED, CENTERED, MARGINAL = "noncentered", "centered", "marginal"
PARAMETRIZATION_NAMES = (NONCENTERED, CENTERED, MARGINAL)
AUTO = "auto"
# The reason of a choice that the user made.
ASKED = "asked for"
# Above some hundreds of columns the cube of the border outweighs the marginal form's fewer steps:
# 1,128 columns took 224 s for 371 effective draws, the non-centered form a quarter of that.
LARGEST_FAST_BORDER = 200


def check_parametrization(name: str) -> None:
    """Raise unless there is a parametrization of this name.

    Parameters
    ----------
    name : str
        What a user asked for, ``"auto"`` excepted.

    Raises
    ------
    ArgumentError
        If there is none of that name.
    """
    if name not in PARAMETRIZATION_NAMES:
        known = (*PARAMETRIZATION_NAMES, AUTO)
        raise ArgumentError(
            f"There is no parametrization {name!r}; choose one of "
            f"{', '.join(map(repr, known))}.{nearest(str(name), known)}"
        )


def require_gaussian(family: Family, asked: str, instead: str) -> None:
    """Raise unless random effects can be integrated out in closed form.

    Parameters
    ----------
    family : Family
        The response's.
    asked : str
        What was asked for, as it was written.
    instead : str
        What to write in its place.

    Raises
    ------
    ArgumentError
        If the response is not Gaussian on any scale.
    """
    if family.gaussian_scale is None:
        raise ArgumentError(
            f"{asked} integrates random effects out in closed form, which takes a Gaussian "
            f"response, and the family is {family.name!r}: give {instead}, or leave the choice to "
            "'auto'."
        )


def refuse_without_rows(name: str, data: DataSource) -> None:
    """Raise unless a parametrization can do with a table that is not in memory; no row is read.

    Parameters
    ----------
    name : str
        A parametrization, or ``"auto"``.
    data : Gram or Source
        What was given as data.

    Raises
    ------
    ArgumentError
        If the parametrization needs rows, and an engine holds them.
    """
    if name not in (AUTO, MARGINAL) and not isinstance(data, Gram) and not data.has_rows:
        check_parametrization(name)
        raise _needs_rows(
            name, f"those of this {data.description} are not in memory", " Or collect it first."
        )


def _needs_rows(name: str, why: str, hint: str = "") -> ArgumentError:
    return ArgumentError(
        f"parametrization={name!r} needs the rows, and {why}: give "
        f"parametrization='marginal', which needs cross-products only.{hint}"
    )


def choose_parametrization(
    name: str, model: Model, *, integrated: bool = False, graph: bool = False
) -> tuple[str, str]:
    """Turn ``"auto"`` into a parametrization, and say why.

    Parameters
    ----------
    name : str
        A parametrization, or ``"auto"``.
    model : Model
        What is assumed, of which data.
    integrated : bool
        Whether the sampler needs the effects integrated out.
    graph : bool
        Whether a PyMC model is needed, whatever the parametrization.

    Returns
    -------
    name : str
        The parametrization.
    reason : str
        For the result's record.

    Raises
    ------
    ArgumentError
        If there is none of that name.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> from bayeslmm.model.model import Model
    >>> design = bl.build_design("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"))
    >>> choose_parametrization("auto", Model.of(design))[0]
    'marginal'
    """
    structured = structure_of(model)
    if name != AUTO:
        check_parametrization(name)
        if name == MARGINAL and not integrated:
            require_gaussian(model.family, f"parametrization={MARGINAL!r}", "'noncentered'")
        if name == MARGINAL:
            require_closed_form(
                model.design.residual, f"parametrization={MARGINAL!r}", "give 'noncentered', or "
                "leave the choice to 'auto'.",
            )  # fmt: skip
        if name == MARGINAL and graph and structured:
            raise ArgumentError(
                f"There is no PyMC model of {structured} with the effects integrated out: give "
                "parametrization='noncentered'. fit_bayes samples that posterior without "
                "PyMC, by sampler='nutpie' or 'importance'."
            )
        _require_form(name, model)
        if name != MARGINAL and not model.design.has_rows:
            raise _needs_rows(name, "a Gram holds none")
        return name, ASKED
    if not model.design.has_rows:
        return MARGINAL, "the data are cross-products, and no other way does without rows"
    if integrated:
        return MARGINAL, "the sampler draws the variance parameters alone"
    if why := _keeps_effects(model, graph=graph):
        return NONCENTERED, why
    # Rows that are correlated across levels of crossed factors may add to the border.
    correlated = model.design.residual is not None
    border = model.products.plan.n_border if correlated else model.gram.n_border
    if border <= LARGEST_FAST_BORDER:
        return MARGINAL, (
            f"the response is Gaussian and a gradient factors a dense matrix of {border} columns, "
            f"at most {LARGEST_FAST_BORDER}"
        )
    return NONCENTERED, (
        f"crossed factors leave a dense matrix of {border} columns to factor at every gradient, "
        f"more than {LARGEST_FAST_BORDER}"
    )


def _require_form(name: str, model: Model) -> None:
    """Raise where effects are to be variables, and only combinations of variables are effects."""
    for factor in model.design.factors:
        if name == CENTERED and factor.latent is not None and not factor.latent.tells_latent:
            raise ArgumentError(
                f"parametrization={CENTERED!r} has the effects of independent levels as variables, "
                f"and those of {factor.name!r} have a known covariance: give "
                f"parametrization={NONCENTERED!r}, or leave the choice to 'auto'."
            )


def _keeps_effects(model: Model, *, graph: bool) -> str:
    """Say why the effects cannot be integrated out; nothing where they can."""
    if model.family.gaussian_scale is None:
        return (
            f"given a {model.family.name} response, effects cannot be integrated out in closed form"
        )
    if listed := [":".join(factor.variables) for factor in model.sigma_factors]:
        return (
            f"sigma has random effects of its own, by {' and '.join(listed)}, over which no "
            "integral has a closed form"
        )
    structured = graph and structure_of(model)
    return f"PyMC models of {structured} keep the effects" if structured else ""


def structure_of(model: Model) -> str:
    """Name what has no compiled form in PyMC models of the marginal density; empty without."""
    if model.design.residual is not None:
        return "a residual structure"
    for factor in model.priors.factors:
        if not factor.covariance.compiles:
            return f"the structure of G by {factor.name!r}"
    return ""
