"""Write growth.csv: heights and weights of simulated children, from their second birthday on.

Each of 60 children is measured six times, half a year apart. Height (cm) and weight (kg) are lines
in time, from a level and with a speed of the child's own; who grows quickly in one grows quickly in
the other. What one measurement misses of both is correlated, too. Some were not weighed.
"""

from pathlib import Path

import numpy as np
import pandas as pd

CHILDREN, VISITS = 60, 6
# Height and weight at two years, and their growth in a year; then how children differ in them.
MEANS = np.array([86.0, 12.2, 8.0, 2.2])
SDS = np.array([3.2, 1.3, 1.0, 0.45])
# Height and weight at two, speed of height and of weight.
CORRELATIONS = np.array(
    [[1.0, 0.7, 0.2, 0.2], [0.7, 1.0, 0.1, 0.4], [0.2, 0.1, 1.0, 0.6], [0.2, 0.4, 0.6, 1.0]]
)
GIRLS = np.array([-1.2, -0.5])
ERRORS, ERRORS_TOGETHER = np.array([0.6, 0.35]), 0.3
NOT_WEIGHED = 0.05


def simulate(seed: int = 1979) -> pd.DataFrame:
    """Return the rows: one for each child and visit."""
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(CORRELATIONS)
    own = MEANS + SDS * (rng.normal(size=(CHILDREN, 4)) @ root.T)
    sex = rng.permutation(np.resize(["boy", "girl"], CHILDREN))
    child, visit = (a.ravel() for a in np.indices((CHILDREN, VISITS)))
    years = 0.5 * visit
    together = np.array([[1.0, ERRORS_TOGETHER], [ERRORS_TOGETHER, 1.0]])
    missed = ERRORS * (rng.normal(size=(len(child), 2)) @ np.linalg.cholesky(together).T)
    girl = (sex[child] == "girl")[:, None]
    both = own[child, :2] + girl * GIRLS + own[child, 2:] * years[:, None] + missed
    weight = np.where(rng.random(len(child)) < NOT_WEIGHED, np.nan, both[:, 1].round(2))
    return pd.DataFrame(
        {
            "child": [f"c{k + 1:02d}" for k in child],
            "sex": sex[child],
            "years": years,
            "height": both[:, 0].round(1),
            "weight": weight,
        }
    )


if __name__ == "__main__":
    simulate().to_csv(Path(__file__).parent / "growth.csv", index=False, na_rep="NA")
