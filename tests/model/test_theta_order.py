"""theta stands in lme4's order, also where two grouping factors have equally many levels."""

from types import SimpleNamespace

import pytest

from bayeslmm.model.covariance.theta import theta_order

# g and h have 8 levels each, k has 12 and l has 5.
LEVELS = {"g": range(8), "h": range(8), "k": range(12), "l": range(5)}


def names(formula, terms):
    factors = [
        SimpleNamespace(
            name=name,
            levels=LEVELS[name],
            terms=columns,
            blocks=[(j,) for j in range(len(columns))],
            structures=(),
        )
        for name, columns in terms.items()
    ]
    return [
        f"{factors[k].name}.{factors[k].terms[column]}"
        for k, (column,) in theta_order(formula, factors)
    ]


# What R 4.2.2 with lme4 1.1-31 prints as names(getME(lmer(formula, d), "theta")).
@pytest.mark.parametrize(
    ("formula", "terms", "expected"),
    [
        ("y ~ x + (1 | g) + (1 | h)", {"g": "1", "h": "1"}, "g.1 h.1"),
        ("y ~ x + (1 | h) + (1 | g)", {"h": "1", "g": "1"}, "h.1 g.1"),
        ("y ~ x + (1 | g) + (1 | h) + (0 + x | g)", {"g": "1x", "h": "1"}, "g.1 h.1 g.x"),
        ("y ~ x + (1 | g) + (1 | h) + (1 | k)", {"g": "1", "h": "1", "k": "1"}, "k.1 h.1 g.1"),
        ("y ~ x + (x || g) + (1 | k)", {"g": "1x", "k": "1"}, "k.1 g.x g.1"),
        (
            "y ~ x + (x || g) + (1 | h) + (1 | k)",
            {"g": "1x", "h": "1", "k": "1"},
            "k.1 h.1 g.x g.1",
        ),
        ("y ~ x + (1 | l) + (1 | g) + (1 | h)", {"l": "1", "g": "1", "h": "1"}, "h.1 g.1 l.1"),
        ("y ~ x + (1 | g) + (1 | h) + (1 | l)", {"g": "1", "h": "1", "l": "1"}, "g.1 h.1 l.1"),
        (
            "y ~ x + (1 | l) + (1 | g) + (0 + x | g) + (1 | h) + (1 | k)",
            {"l": "1", "g": "1x", "h": "1", "k": "1"},
            "k.1 h.1 g.x g.1 l.1",
        ),
    ],
)
def test_terms_are_ordered_as_lme4_orders_them(formula, terms, expected):
    assert names(formula, terms) == expected.split()
