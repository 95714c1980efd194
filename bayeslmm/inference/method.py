"""Methods of sampling a posterior: their protocol, their registry, and the choice among them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Protocol

from bayeslmm.errors import ArgumentError
from bayeslmm.gram.border.choice import (
    DENSE,
    KRYLOV,
    SPARSE,
    Border,
    choose_border,
    require_plain,
)
from bayeslmm.inference.parametrization import (
    ASKED,
    MARGINAL,
    NONCENTERED,
    choose_parametrization,
    require_gaussian,
)
from bayeslmm.inference.parametrization import AUTO as AUTO_PARAMETRIZATION
from bayeslmm.inference.settings import (
    AUTO,
    IMPORTANCE,
    LAPLACE_CHAIN,
    NUTPIE,
    PYMC,
    QUADRATURE,
)
from bayeslmm.model.residual.sigma_effects import require_closed_form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import xarray as xr

    from bayeslmm.inference.settings import SamplerSettings
    from bayeslmm.model.model import Model


class Method(Protocol):
    r"""A way from a model to draws of its posterior.

    With the variance parameters :math:`\theta` (standard deviations, correlations, sigma), the
    draws are from

    .. math:: p(\beta, b, \theta \mid y) \propto
              p(y \mid \beta, b, \theta)\, p(b \mid \theta)\, p(\beta, \theta)

    exactly, or they are weighted, or the tree says how far they are off. A further method is one
    new file and one line in `METHODS`.
    """

    @property
    def parametrizations(self) -> tuple[str, ...]:
        """How a model may be written for it."""
        ...

    def suits(self, model: Model, settings: SamplerSettings) -> tuple[bool, str]:
        """Return whether ``sampler="auto"`` should take it for a model, and why or why not.

        The settings are those that were asked for, a parametrization of ``"auto"`` among them. The
        reason goes into the result's record; empty where there is nothing to say.
        """
        ...

    def fit(self, model: Model, settings: SamplerSettings) -> xr.DataTree:
        """Draw from a model's posterior.

        Parameters
        ----------
        model : Model
            What is assumed, of which data.
        settings : SamplerSettings
            Chains, draws, seed, the parametrization and the effects to keep.

        Returns
        -------
        xarray.DataTree
            See `fit_bayes`.
        """
        ...


# A method's files are read when it is first asked: most fits need one of them.


def _nuts(sampler: str) -> Method:
    from bayeslmm.inference.nuts.sample import NUTS  # noqa: PLC0415

    return NUTS(sampler)


def _importance() -> Method:
    from bayeslmm.inference.importance.sample import ImportanceSampling  # noqa: PLC0415

    return ImportanceSampling()


def _quadrature() -> Method:
    from bayeslmm.inference.quadrature.sample import QuadratureSampling  # noqa: PLC0415

    return QuadratureSampling()


def _laplace_chain() -> Method:
    from bayeslmm.inference.laplace_chain.sample import LaplaceChain  # noqa: PLC0415

    return LaplaceChain()


METHODS: Mapping[str, Callable[[], Method]] = {
    NUTPIE: lambda: _nuts(NUTPIE),
    PYMC: lambda: _nuts(PYMC),
    IMPORTANCE: _importance,
    QUADRATURE: _quadrature,
    LAPLACE_CHAIN: _laplace_chain,
}
# What ``sampler="auto"`` asks in turn: where effects are integrated out exactly, and elsewhere.
_CLOSED, _OTHERS = (IMPORTANCE, NUTPIE), (QUADRATURE, LAPLACE_CHAIN, NUTPIE)


def check_combination(sampler: str, parametrization: str) -> None:
    """Raise unless a sampler can sample a model that is written in this way.

    Parameters
    ----------
    sampler : str
        A sampler, or ``"auto"``.
    parametrization : str
        How the model is written, or ``"auto"``.

    Raises
    ------
    ArgumentError
        With what to add.
    """
    if sampler == AUTO or parametrization == AUTO_PARAMETRIZATION:
        return
    known = METHODS[sampler]().parametrizations
    if parametrization in known:
        return
    if known == (MARGINAL,):
        raise ArgumentError(
            f"sampler={sampler!r} draws from the posterior with the effects integrated out, and "
            f"parametrization={parametrization!r} keeps them: add parametrization='marginal'."
        )
    raise ArgumentError(
        f"sampler={sampler!r} draws the effects beside the parameters, and has a form of its own: "
        f"leave parametrization={parametrization!r} out."
    )


def choose_method(
    model: Model, settings: SamplerSettings
) -> tuple[SamplerSettings, dict[str, str]]:
    """Replace each ``"auto"`` by what it stands for.

    Parameters
    ----------
    model : Model
        What is assumed, of which data.
    settings : SamplerSettings
        As asked for.

    Returns
    -------
    settings : SamplerSettings
        With a sampler of `METHODS` and a parametrization.
    reasons : dict of str
        ``parametrization_reason`` and ``sampler_reason``, for the result's record.

    Raises
    ------
    ArgumentError
        If there is no such parametrization, or sampler and parametrization do not go together.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> from bayeslmm.inference.settings import SamplerSettings
    >>> from bayeslmm.model.model import Model
    >>> design = bl.build_design("Yield ~ 1 + (1 | Batch)", bl.load_dataset("dyestuff"))
    >>> asked = SamplerSettings(sampler="auto", parametrization="auto")
    >>> chosen, reasons = choose_method(Model.of(design), asked)
    >>> chosen.sampler, chosen.parametrization, reasons["sampler_reason"]
    ('nutpie', 'marginal', 'NUTS takes about 0.1 s of one core, by the size of the model')
    """
    sampler, why = settings.sampler, ASKED
    if sampler == AUTO:
        sampler, why = _choose_sampler(model, settings)
    if sampler == IMPORTANCE:
        require_gaussian(model.family, f"sampler={IMPORTANCE!r}", "sampler='nutpie'")
        require_closed_form(
            model.design.residual, f"sampler={IMPORTANCE!r}", "give sampler='nutpie', or leave the "
            "choice to 'auto'.",
        )  # fmt: skip
    known = METHODS[sampler]().parametrizations
    if settings.parametrization == AUTO_PARAMETRIZATION and known == (NONCENTERED,):
        parametrization, form = NONCENTERED, "the sampler draws standardised effects"
    else:
        parametrization, form = choose_parametrization(
            settings.parametrization,
            model,
            integrated=known == (MARGINAL,),
            graph=sampler == PYMC,
        )
    check_combination(sampler, parametrization)
    border = _choose_border(model, settings.border, sampler, parametrization)
    chosen = dataclasses.replace(settings, sampler=sampler, parametrization=parametrization)
    return chosen, {"parametrization_reason": form, "sampler_reason": why} | border


def _choose_border(model: Model, asked: str, sampler: str, parametrization: str) -> dict[str, str]:
    """Return how crossed effects are solved for, and why, for the record; refuse what cannot be."""
    residual = model.design.residual
    if model.family.gaussian_scale is None or residual is not None:
        what = "a residual structure" if residual is not None else f"family={model.family.name!r}"
        require_plain(asked, what)
        return {}
    if parametrization != MARGINAL:
        if asked in (KRYLOV, SPARSE):
            raise ArgumentError(
                f"border={asked!r} draws effects that are integrated out, and "
                f"parametrization={parametrization!r} keeps them, which forms no matrix: leave "
                f"border={asked!r} out, or add sampler='importance'."
            )
        return {}
    border = choose_border(model.gram, asked, sparse=True)
    if border.method == SPARSE and sampler != IMPORTANCE:
        if asked == SPARSE:
            raise ArgumentError(
                "border='sparse' has values by a sparse factor, and NUTS takes gradients of a "
                "dense matrix: add sampler='importance'."
            )
        border = Border(DENSE, "NUTS takes gradients of a dense matrix")
    if border.method == KRYLOV and sampler != IMPORTANCE:
        if asked == KRYLOV:
            raise ArgumentError(
                "border='krylov' has values by iterations, and NUTS needs thousands of gradients: "
                "add sampler='importance'."
            )
        border = Border(DENSE, "NUTS takes gradients of a dense matrix")
    return {"border": border.method, "border_reason": border.reason}


def _choose_sampler(model: Model, settings: SamplerSettings) -> tuple[str, str]:
    """Ask the methods in turn; a refusal's reason is why the next one is taken."""
    why = ""
    for name in _OTHERS if model.family.gaussian_scale is None else _CLOSED:
        suits, said = METHODS[name]().suits(model, settings)
        why = said or why
        if suits:
            break
    return name, why
