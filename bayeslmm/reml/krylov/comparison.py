"""Likelihoods that are known up to chance: compared where that is small, else refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayeslmm.errors import ArgumentError
from bayeslmm.gram.border.choice import ASKED, DENSE

if TYPE_CHECKING:
    from bayeslmm.reml.result import REMLFit

# What chance may be in a difference of log-likelihoods that is compared with a chi-square
# distribution: a tenth in its value.
MOST = 0.05


def require_known_difference(small: REMLFit, large: REMLFit) -> None:
    """Raise where probes leave too much chance in a difference of log-likelihoods.

    Parameters
    ----------
    small, large : REMLFit
        Two fits of the same rows; with the same probes, most of their chance is common.

    Raises
    ------
    ArgumentError
        With the chance, and what to do.
    """
    a, b = small.by_probes, large.by_probes
    error = small.loglik_se + large.loglik_se
    if a is not None and b is not None:
        error = a.difference_se(b)
    if error > MOST:
        raise ArgumentError(
            f"The difference of these log-likelihoods is known up to a standard error of "
            f"{error:.2g}, by the chance of the probes that fit_reml took for crossed effects, and "
            f"a comparison takes {MOST:g} at most: give both fits the same random_seed and more "
            "probes, such as probes=512."
        )


def require_exact(fit: REMLFit, what: str, instead: str) -> None:
    """Raise where a question takes values of the likelihood that probes do not give.

    Parameters
    ----------
    fit : REMLFit
        The fit.
    what : str
        The question, for the message.
    instead : str
        What to do.

    Raises
    ------
    ArgumentError
        Naming both.
    """
    if fit.border.method != DENSE and not fit.gram.by_nodes:
        raise ArgumentError(
            f"{what} takes many exact values of the likelihood, and this fit forms no dense "
            f"matrix (border={fit.border.method!r}: {fit.border.reason}): {instead}"
        )


def same_border(fit: REMLFit) -> dict[str, Any]:
    """Return arguments of `fit_reml` that solve for crossed effects as a fit did."""
    asked = {"border": fit.border.method} if fit.border.reason == ASKED else {}
    if fit.by_probes is None:
        return asked
    return {**asked, "probes": fit.by_probes.probes, "random_seed": fit.by_probes.seed}
