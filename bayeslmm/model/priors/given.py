"""What a user gives as priors: a scheme, and single ones by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayeslmm.errors import ArgumentError, PriorError
from bayeslmm.model.priors.prior import Prior
from bayeslmm.model.priors.schemes import PriorScheme, scheme_named

# The key of a scheme.
SCHEME = "scheme"


def require_design(design: Any) -> None:
    """Raise unless priors are resolved for a design.

    Raises
    ------
    ArgumentError
        With what to write.
    """
    if hasattr(design, "factors") and hasattr(design, "coef"):
        return
    if type(design).__name__ == "DataTree":
        raise ArgumentError(
            "Priors are resolved for a design, and this is a result: those it was fitted with are "
            "bl.Priors.from_json(fit.attrs['priors']). For a design write bl.build_design(formula, "
            "data)."
        )
    raise ArgumentError(
        f"Priors are resolved for a design, bl.build_design(formula, data), not for a "
        f"{type(design).__name__}; bl.describe_priors(formula, data) shows those of a formula."
    )


def split_scheme(priors: Any) -> tuple[PriorScheme | None, Mapping[Any, Any]]:
    """Return the scheme that is given, if any, and the priors by key.

    Raises
    ------
    PriorError
        If it is neither a scheme nor a mapping.
    """
    if priors is None:
        return None, {}
    if isinstance(priors, str | PriorScheme):
        priors = {SCHEME: priors}
    if not isinstance(priors, Mapping):
        raise PriorError(
            "priors must be a mapping such as {'sigma': 'HalfCauchy(10)'} or a scheme such as "
            f"'brms', not {type(priors).__name__}."
        )
    scheme = priors.get(SCHEME)
    if isinstance(scheme, str):
        scheme = scheme_named(scheme)
    elif scheme is not None and not isinstance(scheme, PriorScheme):
        raise PriorError(
            f"priors['scheme'] must be a scheme's name or a PriorScheme, not "
            f"{type(scheme).__name__}. A predictor of that name has the key 'beta[scheme]'."
        )
    return scheme, {key: value for key, value in priors.items() if key != SCHEME}


def read_prior(key: str, value: Any) -> Prior:
    """Return what is given for a key as a prior.

    Raises
    ------
    PriorError
        If it is none.
    """
    if isinstance(value, Prior):
        return value
    foreign = isinstance(getattr(value, "distribution", None), str) and isinstance(
        getattr(value, "parameters", None), Mapping
    )
    if not (foreign or isinstance(value, str)):
        raise PriorError(
            f"The prior of {key!r} must be text such as 'Normal(0, 10)' or a Prior, "
            f"not {type(value).__name__}."
        )
    try:
        return Prior.from_pymc(value) if foreign else Prior.parse(value)
    except PriorError as error:
        raise PriorError(f"priors[{key!r}]: {error}") from None
