"""All rows of the census, by their numbers."""

from census import brms_code, brms_more, brms_threads, lme4_code, rstanarm_and_bambi, threads

PARTS = (brms_code, brms_more, rstanarm_and_bambi, lme4_code, brms_threads, threads)
ROWS = {row.number: row for part in PARTS for row in part.ROWS}
ROWS = dict(sorted(ROWS.items()))

# Spelt, and not fitted: families and parameters of which the package does not know yet.
NOT_YET = frozenset(
    (1, 3, 8, 9, 10, 16, 17, 36, 55, 90, 97, 98, 112, 116, 118, 119, 121, 127, 128, 137, 141,
     144, 147, 152, 154, 157, 189, 190, 204, 211)
)  # fmt: skip
