"""Tables and text of a fit, and statements about its parameters.

- ``tables``: fixed effects, variance components
- ``level_tables``: random effects, coefficients: each level's own line
- ``text``: `summary`
- ``draws``: `tidy_draws`: chosen quantities as a data frame
- ``export``: `to_markdown`, `to_latex`: tables for papers
- ``hypotheses``: `hypothesis`: statements such as "Days > 0"
- ``quantities``: the scalar quantities that conclusions are about, as draws
"""
