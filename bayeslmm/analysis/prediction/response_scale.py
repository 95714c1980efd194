"""On which scale expected responses are averaged and compared: differences, odds, rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bayeslmm.errors import ArgumentError, NumericalError, check_choice
from bayeslmm.families.links import UnitLink
from bayeslmm.results.family import is_additive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bayeslmm.analysis.prediction.linear_predictor import LinearPredictor
    from bayeslmm.arrays import Floats
    from bayeslmm.families.family import Family

type ScaleName = Literal["response", "link"]
SCALES = ("response", "link")
# Squares of exponentials are numbers, and so is the sum of as many as there are draws.
_LARGEST = 340.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How expected responses are averaged and compared.

    Attributes
    ----------
    on_link : bool
        Whether eta is averaged: on the scale of the link, or where the mean is eta.
    ratio : bool
        Whether ratios are formed and not differences.
    odds : bool
        Whether the ratios are of odds mu / (1 - mu).
    quantity : str
        What a ratio is called; empty of differences.
    """

    on_link: bool
    ratio: bool = False
    odds: bool = False
    quantity: str = ""

    def values(self, predictor: LinearPredictor, rows: slice, eta: Floats) -> Floats:
        """Return what is averaged over rows, shape (1 or 2, rows, s).

        Of odds both mu and 1 - mu: the second would lose its digits where the first is near one.
        """
        if self.on_link:
            return eta[None]
        mean = predictor.expected(rows, eta)
        if not self.odds:
            return mean[None]
        return np.stack([mean, _rest(predictor, mean, eta)])

    def compared(self, averages: Floats) -> Floats:
        """Return that of which differences are taken: eta, mu, log mu or the log odds.

        Parameters
        ----------
        averages : ndarray, shape (1 or 2, ...)
            Averages of `values`.
        """
        if self.on_link or not self.ratio:
            return np.asarray(averages[0])
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.log(averages[0]) - (np.log(averages[1]) if self.odds else 0.0)
        if not np.isfinite(found).all():
            raise NumericalError(
                "Some of the expected responses are zero, or one, to all digits, and have no "
                "ratios: take scale='link', or differences."
            )
        return np.asarray(found)

    def finished(self, differences: Floats) -> Floats:
        """Return differences of `compared` as they are reported: of ratios the exponentials."""
        if not self.ratio:
            return differences
        return exponentials(differences, "Leave ratio=True out, or compare nearer values.")


def chosen_scale(member: Family, scale: str, *, ratio: bool) -> Scale:
    """Return the scale that is asked for by name.

    Parameters
    ----------
    member : Family
        The fit's.
    scale : {"response", "link"}
        Expected responses, or linear predictors.
    ratio : bool
        Ratios or differences.

    Raises
    ------
    ArgumentError
        If there is no such scale, or ratios on it mean nothing.
    """
    check_choice("scale", scale, SCALES)
    on_link = scale == "link" or is_additive(member)
    if not ratio:
        return Scale(on_link)
    if member.response.ordered and scale != "link":
        raise ArgumentError(_no_ratio(member, on_link=False))
    if scale == "link":
        words = link_words(member)
        if words is None:
            raise ArgumentError(_no_ratio(member, on_link=True))
        return Scale(on_link=True, ratio=True, quantity=words[0])
    if is_additive(member):
        raise ArgumentError(_no_ratio(member, on_link=False))
    odds = isinstance(member.mean_scale, UnitLink)
    rate = "rate ratio" if member.discrete else "ratio of means"
    return Scale(on_link=False, ratio=True, odds=odds, quantity="odds ratio" if odds else rate)


def link_words(member: Family) -> tuple[str, str] | None:
    """Return what exponentials of a slope and of an intercept are called; None without a name.

    Examples
    --------
    >>> import bayeslmm as bl
    >>> link_words(bl.Bernoulli()), link_words(bl.Poisson()), link_words(bl.Gaussian())
    (('odds ratio', 'odds'), ('rate ratio', 'rate'), None)
    """
    if member.link.name == "logit":
        return "odds ratio", "odds"
    if member.link.name == "cloglog" and not member.response.ordered:
        return "hazard ratio", "hazard"
    if shift := next((p.name for p in member.parameters if p.below_response), ""):
        return f"ratio of means less {shift}", f"mean less {shift}"
    if member.link.name == "log":
        return ("rate ratio", "rate") if member.discrete else ("ratio of means", "mean")
    if member.mean_scale.name == "log":  # lognormal: exp(eta) is the median
        return "ratio of medians", "median"
    return None


def exponentials(values: Floats, way_out: str) -> Floats:
    """Return exp(values), of draws whose variance is taken next.

    Raises
    ------
    NumericalError
        If they, or their squares, leave the range of numbers.

    Examples
    --------
    >>> exponentials(np.array([0.0, 400.0]), "Leave exponentiate=True out.")
    Traceback (most recent call last):
    bayeslmm.errors.NumericalError: In some draws exponentials are as large as exp(400), ...
    """
    largest = float(np.max(values, initial=0.0))
    if largest > _LARGEST:
        raise NumericalError(
            f"In some draws exponentials are as large as exp({largest:.4g}), of which there are no "
            f"moments in the range of numbers. {way_out}"
        )
    return np.exp(values)


def exponential_words(member: Family) -> tuple[str, str]:
    """Return what exponentials of a slope and of an intercept are called.

    Raises
    ------
    ArgumentError
        If they mean nothing.
    """
    words = link_words(member)
    if words is None:
        raise ArgumentError(
            "exponentiate=True makes ratios of odds, rates or means of coefficients, and those of "
            f"family {member.name!r} with link {member.link.name!r} are none: leave it out."
        )
    return words


def differences(
    high: LinearPredictor, low: LinearPredictor, way: Scale, *, average: bool
) -> Iterator[tuple[slice, Floats]]:
    """Yield draws, shape (s, rows), of how two predictors of the same rows compare.

    Parameters
    ----------
    high, low : LinearPredictor
        The two sides.
    way : Scale
        How they are compared.
    average : bool
        Whether each side is averaged over the rows first.
    """
    totals: list[Floats] = []
    for (rows, eta), (_, other) in zip(high.chunks(), low.chunks(), strict=True):
        sides = [way.values(high, rows, eta), way.values(low, rows, other)]
        if average:
            sums = [side.sum(axis=1) for side in sides]
            totals = [a + b for a, b in zip(totals, sums, strict=True)] if totals else sums
        else:
            yield rows, way.finished(way.compared(sides[0]) - way.compared(sides[1])).T
    if average:
        of_high, of_low = (way.compared(total / high.n) for total in totals)
        yield slice(0, 1), way.finished(of_high - of_low)[:, None]


def slopes(
    slope: LinearPredictor, base: LinearPredictor, way: Scale, *, average: bool
) -> Iterator[tuple[slice, Floats]]:
    """Yield draws, shape (s, rows), of d mu / dx, or of d eta / dx on the scale of the link.

    Parameters
    ----------
    slope, base : LinearPredictor
        d eta / dx, and eta of the same rows.
    way : Scale
        The scale; of ratios exponentials, by unit.
    average : bool
        Whether to average over the rows.
    """
    total = np.zeros(base.size)
    for (rows, values), (_, eta) in zip(slope.chunks(), base.chunks(), strict=True):
        found = values if way.on_link else values * mean_slope(base, rows, eta)
        if average:
            total += found.sum(axis=0)
        else:
            yield rows, way.finished(found).T
    if average:
        yield slice(0, 1), way.finished(total / base.n)[:, None]


def mean_slope(predictor: LinearPredictor, rows: slice, eta: Floats) -> Floats:
    """Return d E(y | eta) / d eta of some rows, shape (rows, s)."""
    return predictor.family.mean_slope(eta, predictor.parameters(rows))


def _rest(predictor: LinearPredictor, mean: Floats, eta: Floats) -> Floats:
    scale = predictor.family.mean_scale
    exact = predictor.family.mean_form == "link"
    if exact and isinstance(scale, UnitLink) and all(p.average is None for p in predictor.parts):
        return np.exp(scale.log_rest(eta))
    return 1.0 - mean


def _no_ratio(member: Family, *, on_link: bool) -> str:
    what = f"the family of this fit is {member.name!r} with link {member.link.name!r}"
    if on_link and not is_additive(member):
        return (
            f"ratio=True with scale='link' exponentiates differences, and {what}, where that "
            "means nothing: take scale='response'."
        )
    if member.response.ordered and link_words(member) is not None:
        return (
            f"ratio=True compares odds, rates or positive means, and {what}, whose mean is the "
            "number of a category: scale='link' beside it compares the odds of higher categories."
        )
    return f"ratio=True compares odds, rates or positive means, and {what}: leave ratio out."
