"""All rows of the census, by their numbers."""

from census import brms_code, brms_more, brms_threads, lme4_code, rstanarm_and_bambi, threads

PARTS = (brms_code, brms_more, rstanarm_and_bambi, lme4_code, brms_threads, threads)
ROWS = {row.number: row for part in PARTS for row in part.ROWS}
ROWS = dict(sorted(ROWS.items()))
