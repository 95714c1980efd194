"""What a difference between a posterior and a REML fit means, in one word and one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

type Verdict = Literal["agrees", "as expected", "prior", "differs", "unclear"]

AGREE = 0.1
"""Posterior standard deviations: weak priors and averaging over variances move means so much."""
NOISE = 4.0
"""Monte Carlo standard errors: a chance of 6e-5 for each parameter of a sampler without fault."""
SKEW = 2.5
"""Mean above mode of a scale known to d degrees of freedom: 2.5 / sqrt(d) posterior sds at most."""
MOST_SKEW = 1.5
"""At most so much: a posterior piled up at zero has its mean 1 to 1.33 sds above it."""
NOISY = 0.1
"""MCSE in posterior sds (100 effective draws) above which agreement says little."""
VAGUE = 1.0 / math.sqrt(3.0)
"""Standard deviation of what is uniform on -1 to 1: such a standard error says next to nothing."""
REACHES_ZERO = 0.25
"""Lower bound over median below which a posterior counts as reaching down to zero."""

_POSITIVE = ("sd", "sigma")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One parameter by REML and by its posterior.

    Attributes
    ----------
    kind : {"beta", "sd", "corr", "sigma", "slope"}
        What it is; a slope is one of log(sigma).
    reml, mean, median, sd, mcse : float
        Estimate; posterior mean, median, standard deviation, and the mean's Monte Carlo error.
    low, high : float
        Central 95 % interval of the posterior.
    pull : float
        First-order shift of the posterior mean due to the priors, in posterior sds; NaN where
        unknown.
    freedom : float
        Degrees of freedom that REML's information on a scale or correlation amounts to.
    prior : str
        The parameter's own prior; empty where unknown.
    group : str
        What the parameter was learnt from, such as ``"6 levels of Batch"``.
    conflict : str
        How its own prior and REML's estimate contradict each other; empty if they do not.
    others : str
        Names of other parameters of which that is so.
    error : float
        REML's standard error; NaN where the fit is singular.
    """

    kind: str
    reml: float
    mean: float
    median: float
    sd: float
    mcse: float
    low: float
    high: float
    pull: float
    freedom: float
    prior: str
    group: str
    conflict: str = ""
    others: str = ""
    error: float = math.nan

    @property
    def gap(self) -> float:
        """Posterior mean less REML estimate, in posterior standard deviations."""
        difference = self.mean - self.reml
        if self.sd > 0.0:
            return difference / self.sd
        # Draws that never move: any difference is infinitely many of their sds.
        return math.copysign(math.inf, difference) if difference else 0.0

    @property
    def noise(self) -> float:
        """MCSE in posterior standard deviations; zero where it is unknown."""
        return self.mcse / self.sd if self.sd > 0.0 and math.isfinite(self.mcse) else 0.0

    @property
    def tolerance(self) -> float:
        """Largest gap that counts as agreement."""
        return AGREE + NOISE * self.noise


def judge(evidence: Evidence) -> tuple[Verdict, str]:
    """Return whether a posterior mean is where the REML estimate lets one expect it.

    ``"agrees"``: within 0.1 posterior sds and 4 MCSEs of the REML estimate. ``"as expected"``: a
    standard deviation or correlation that is further off in a way that few levels, skewness or a
    boundary explain, or a correlation about which REML says almost nothing. ``"prior"``: the
    priors' pull accounts for the difference. ``"differs"``: nothing known here does.
    ``"unclear"``: within the tolerance only because of Monte Carlo noise.

    Parameters
    ----------
    evidence : Evidence
        The parameter.

    Returns
    -------
    verdict : str
        One of the five.
    reason : str
        Why; empty for plain agreement.

    Examples
    --------
    >>> few = Evidence("sd", 42.0, 55.0, 50.0, 24.0, 0.4, 20.0, 115.0, 0.0, 4.0, "", "6 levels")
    >>> judge(few)[0]
    'as expected'
    """
    if math.isfinite(evidence.gap) and abs(evidence.gap) <= evidence.tolerance:
        if evidence.noise > NOISY:
            return "unclear", (
                f"MCSE is {evidence.noise:.2f} posterior sds: too noisy to tell. Take more draws."
            )
        return "agrees", ""
    if evidence.conflict:
        return "prior", (
            f"{evidence.conflict}: the two contradict each other, and the posterior lies "
            f"{evidence.gap:+.1f} posterior sds from REML's. Weaken the prior, or mean it."
        )
    return _fixed(evidence) if evidence.kind == "beta" else _variance(evidence)


def _fixed(evidence: Evidence) -> tuple[Verdict, str]:
    if _prior_explains(evidence, evidence.tolerance):
        return "prior", _prior_reason(evidence)
    reason = f"{_size(evidence)}{_pulls(evidence)}.{_others(evidence)}"
    return "differs", (
        f"{reason} With few levels or unbalanced rows, averaging over the variances moves it; "
        "otherwise check the chains with diagnose."
    )


def _variance(evidence: Evidence) -> tuple[Verdict, str]:
    skew = min(SKEW / math.sqrt(evidence.freedom), MOST_SKEW) if evidence.freedom > 0 else MOST_SKEW
    reaches = evidence.kind in _POSITIVE and evidence.low < REACHES_ZERO * evidence.median
    inside = evidence.low <= evidence.reml <= evidence.high or (
        reaches and evidence.reml < evidence.low
    )
    if evidence.kind == "corr" and not abs(evidence.reml) < 1.0 - 1e-6:
        what = "undefined" if math.isnan(evidence.reml) else f"{evidence.reml:.0f}, at its bound"
        return "as expected", (
            f"REML's correlation is {what} (a singular fit); the posterior spreads over "
            f"[{evidence.low:.2f}, {evidence.high:.2f}]."
        )
    if evidence.kind == "corr" and evidence.error >= VAGUE:
        return "as expected", (
            f"REML's correlation has standard error {evidence.error:.1f}, on a scale from -1 to 1: "
            f"it says almost nothing. The posterior spreads over [{evidence.low:.2f}, "
            f"{evidence.high:.2f}]."
        )
    if inside and abs(evidence.gap) <= evidence.tolerance + skew:
        return "as expected", _expected_reason(evidence, reaches=reaches)
    if _prior_explains(evidence, evidence.tolerance + skew):
        return "prior", _prior_reason(evidence)
    where = "" if inside else ", with REML's estimate outside its central 95 % interval"
    return "differs", (
        f"{_size(evidence)}{where}{_pulls(evidence)}: more than {evidence.group} explain."
        f"{_others(evidence)} Check the priors, and the chains with diagnose."
    )


def _prior_explains(evidence: Evidence, tolerance: float) -> bool:
    """Whether the priors pull the right way, and far enough but for the tolerance.

    The pull is a first-order measure for scales, and a strong prior's is larger than that; so
    more pull than needed does not speak against it.
    """
    if not math.isfinite(evidence.pull) or abs(evidence.pull) <= AGREE:
        return False
    if evidence.pull * evidence.gap <= 0.0:
        return False
    if evidence.kind == "beta":
        # The pull is exact at REML's variances only, and a prior that pulls moves those as well.
        return abs(evidence.gap - evidence.pull) <= tolerance + 0.25 * abs(evidence.pull)
    return abs(evidence.gap) <= abs(evidence.pull) + tolerance


def _expected_reason(evidence: Evidence, *, reaches: bool) -> str:
    side = "above" if evidence.gap > 0 else "below"
    if evidence.kind == "corr":
        reason = (
            f"{evidence.group} say little about a correlation, and its prior draws it towards zero"
            if abs(evidence.mean) < abs(evidence.reml)
            else f"{evidence.group} say little about a correlation"
        )
    elif evidence.kind in _POSITIVE and evidence.reml <= 1e-6 * evidence.mean:
        reason = "REML puts it on its boundary, zero, where no posterior mean can be"
    elif evidence.gap > 0 and evidence.kind in _POSITIVE:
        skewed = "a right-skewed posterior has its mean above its mode"
        reason = f"{evidence.group}: {skewed}" + (", and this one reaches zero" if reaches else "")
    else:
        reason = f"{evidence.group}: within the uncertainty that they leave"
    strong = math.isfinite(evidence.pull) and abs(evidence.pull) > AGREE
    pulled = f" The priors pull it by {evidence.pull:+.1f} posterior sds." if strong else ""
    return f"{side.capitalize()} REML's by {abs(evidence.gap):.1f} posterior sds. {reason}.{pulled}"


def _prior_reason(evidence: Evidence) -> str:
    prior = f"{evidence.prior} and the other priors" if evidence.prior else "The priors"
    return (
        f"{prior} pull it by {evidence.pull:+.1f} posterior sds; it lies {evidence.gap:+.1f} from "
        "REML's. Weaken the prior, or mean it."
    )


def _others(evidence: Evidence) -> str:
    if not evidence.others:
        return ""
    return f" The priors of {evidence.others} contradict the data, which moves the rest too."


def _size(evidence: Evidence) -> str:
    if not math.isfinite(evidence.gap):
        return "The draws do not move, or there is no REML estimate"
    return f"{evidence.gap:+.1f} posterior sds from REML's estimate"


def _pulls(evidence: Evidence) -> str:
    if not math.isfinite(evidence.pull):
        return " (the tree does not hold its priors)"
    if abs(evidence.pull) <= AGREE:
        return " although the priors hardly pull"
    return f", where the priors pull by {evidence.pull:+.1f}"
