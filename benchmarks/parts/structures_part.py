"""Residual structures and known errors: effective draws per CPU second, against NUTS and brms."""

from parts import contest
from parts.contest import Model

_DIALYZER = "rate ~ poly(pressure, 4) * QB + (1 | Subject)"
MODELS = {
    "Ovary, AR(1) and (1 | Mare)": Model(
        "ovary", "follicles ~ s1 + c1 + (1 | Mare)", {"residual": "ar1(step | Mare)"},
        brms="bf(follicles ~ s1 + c1 + (1 | Mare) + ar(time = step, gr = Mare, cov = TRUE))",
    ),
    "Orthodont, sigma by sex": Model(
        "orthodont", "distance ~ age * Sex + (1 | Subject)", {"sigma": "~ 0 + Sex"},
        brms="bf(distance ~ age * Sex + (1 | Subject), sigma ~ 0 + Sex)",
    ),
    "Orthodont, unstructured": Model(
        "orthodont", "distance ~ age * Sex", {"residual": "us(age | Subject)"},
    ),
    "Dialyzer, sigma ~ log(pressure)": Model(
        "dialyzer", _DIALYZER, {"sigma": "~ log(pressure)"},
        brms=f"bf({_DIALYZER}, sigma ~ log(pressure))",
    ),
    "BCG, known standard errors": Model(
        "bcg", "yi ~ ablat + (1 | trial)", {"se": "sei"},
        brms="yi | se(sei) ~ ablat + (1 | trial)",
    ),
}  # fmt: skip


def measure(settings):
    """One row per model and program."""
    return contest.measure(MODELS, settings)
