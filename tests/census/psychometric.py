"""A family of one's own: right answers that are guessed now and then."""

from functools import cache

from scipy.special import expit

import bayeslmm as bl


@cache
def psychometric():
    """Return P(right) = lapse / 2 + (1 - lapse) logit^-1(eta)."""
    import pytensor.tensor as pt

    def logp(y, eta, lapse):
        right = 0.5 * lapse + (1 - lapse) * pt.sigmoid(eta)
        return pt.log(pt.switch(pt.eq(y, 1), right, 1 - right))

    def mean(eta, lapse):
        return 0.5 * lapse + (1 - lapse) * expit(eta)

    lapse = bl.FamilyParameter("lapse", "share of lapses", "Beta(1, 19)", upper=1.0)
    return bl.custom_family(
        "psychometric", logp, parameters=[lapse], response="binary", link="logit", mean=mean
    )
