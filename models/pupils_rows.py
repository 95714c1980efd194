"""Write pupils.csv: simulated scores of pupils, some of whom changed schools, of known parameters.

400 pupils of 30 schools; one in three was in two of them, for known parts of the time. The score's
standard deviation between schools is 6, of residuals 8; a point of prior ability adds half a point.
"""

from pathlib import Path

import numpy as np
import pandas as pd

PUPILS, SCHOOLS, MOVED = 400, 30, 1.0 / 3.0
SCHOOL, RESIDUAL, SLOPE, MEAN = 6.0, 8.0, 0.5, 50.0


def simulate(seed: int = 7) -> pd.DataFrame:
    """Return the pupils' rows."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(0.0, SCHOOL, SCHOOLS)
    first = rng.integers(SCHOOLS, size=PUPILS)
    other = (first + rng.integers(1, SCHOOLS, size=PUPILS)) % SCHOOLS
    moved = rng.uniform(size=PUPILS) < MOVED
    second = np.where(moved, other, first)
    share = np.where(moved, np.round(rng.uniform(0.1, 0.9, PUPILS), 1), 1.0)
    prior = np.round(rng.normal(50.0, 10.0, PUPILS), 1)
    mean = MEAN + SLOPE * (prior - 50.0) + share * effects[first] + (1.0 - share) * effects[second]
    score = np.round(mean + rng.normal(0.0, RESIDUAL, PUPILS), 1)
    names = np.array([f"school {k + 1}" for k in range(SCHOOLS)])
    return pd.DataFrame(
        {
            "score": score,
            "prior": prior,
            "school1": names[first],
            "school2": names[second],
            "share1": share,
            "share2": np.round(1.0 - share, 1),
        }
    )


if __name__ == "__main__":
    simulate().to_csv(Path(__file__).parent / "pupils.csv", index=False)
