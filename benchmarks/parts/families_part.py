"""Responses that are not Gaussian: effective draws per CPU second, against NUTS, Bambi and brms."""

import numpy as np
import pandas as pd

from parts import contest
from parts.contest import Model


def crossed_table(rows=20_000, users=1_000, items=100):
    """Yes-or-no answers of users to items, each with an effect of its own."""
    rng = np.random.default_rng(7)
    user, item = rng.integers(users, size=rows), rng.integers(items, size=rows)
    x = rng.normal(size=rows)
    eta = -0.5 + 0.5 * x + rng.normal(size=users)[user] + 0.7 * rng.normal(size=items)[item]
    y = (rng.random(rows) < 1 / (1 + np.exp(-eta))).astype(int)
    return pd.DataFrame(
        {"y": y, "x": x, "user": [f"u{k}" for k in user], "item": [f"i{k}" for k in item]}
    )


_CONTRACEPTION = "use01 ~ age + I(age**2) + urban + livch"
_EPIL = "y ~ lbase4*trt + lage + V4 + (1 | subject)"
_TICKS = "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)"
_OWLS = "SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) + (1 | Nest)"
MODELS = {
    "cbpp": Model(
        "cbpp", "incidence ~ C(period) + (1 | herd)", {"family": "binomial", "trials": "size"},
        "p(incidence, size) ~ C(period) + (1 | herd)",
        brms="incidence | trials(size) ~ factor(period) + (1 | herd)", brms_family="binomial()",
    ),
    "contraception (1 | district)": Model(
        "contraception", f"{_CONTRACEPTION} + (1 | district)", {"family": "bernoulli"},
        bambi=f"{_CONTRACEPTION} + (1 | district)", scaled=(("age", 10.0),),
        brms="use01 ~ age + I(age^2) + urban + livch + (1 | district)", brms_family="bernoulli()",
    ),
    "contraception (urban | district)": Model(
        "contraception", f"{_CONTRACEPTION} + (urban | district)", {"family": "bernoulli"},
        scaled=(("age", 10.0),), brms_family="bernoulli()",
        brms="use01 ~ age + I(age^2) + urban + livch + (urban | district)",
    ),
    "toenail": Model(
        "toenail", "severe ~ treatment*time + (1 | patientID)", {"family": "bernoulli"},
        bambi="severe ~ treatment*time + (1 | patientID)",
        brms="severe ~ treatment*time + (1 | patientID)", brms_family="bernoulli()",
    ),
    "epil, Poisson": Model(
        "epil", _EPIL, {"family": "poisson"}, bambi=_EPIL, brms=_EPIL, brms_family="poisson()",
    ),
    "epil, negative binomial": Model(
        "epil", _EPIL, {"family": "negbinomial"}, bambi=_EPIL, brms=_EPIL,
        brms_family="negbinomial()",
    ),
    "grouseticks": Model(
        "grouseticks", _TICKS, {"family": "poisson"}, bambi=_TICKS,
        brms=_TICKS.replace("C(", "factor("), brms_family="poisson()",
    ),
    "crossed, 20,000 rows": Model(
        crossed_table, "y ~ x + (1 | user) + (1 | item)", {"family": "bernoulli"},
        bambi="y ~ x + (1 | user) + (1 | item)", brms="y ~ x + (1 | user) + (1 | item)",
        brms_family="bernoulli()",
    ),
    "wine, ordered": Model(
        "wine", "rating ~ temp + contact + (1 | judge)", {"family": "cumulative"},
        bambi="rating ~ temp + contact + (1 | judge)",
        brms="rating ~ temp + contact + (1 | judge)", brms_family="cumulative()",
    ),
    "owls, zero-inflated negative binomial": Model(
        "owls", _OWLS, {"family": "zero_inflated_negbinomial"}, bambi=_OWLS, brms=_OWLS,
        brms_family="zero_inflated_negbinomial()",
    ),
    "salamanders, zero-inflated Poisson": Model(
        "salamanders", "count ~ mined + spp + (1 | site)",
        {"family": "zero_inflated_poisson", "zi": "~ mined"},
        brms="bf(count ~ mined + spp + (1 | site), zi ~ mined)",
        brms_family="zero_inflated_poisson()",
    ),
}  # fmt: skip


def measure(settings):
    """One row per model and program."""
    return contest.measure(MODELS, settings)
