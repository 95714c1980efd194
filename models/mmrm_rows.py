"""Write mmrm.csv: a clinical trial that is simulated, with visits missed.

Two arms of 100 patients, a score (higher is better) at baseline and in weeks 4, 8, 12 and 16.
Patients vary with an unstructured covariance, and the treatment's gain grows to 3.0 points in
week 16. Of the visits, 12 % are missed: some at random, others because a patient left the trial,
the sooner the worse the score at the last visit had been (missing at random, not completely so).
"""

from pathlib import Path

import numpy as np
import pandas as pd

WEEKS = [4, 8, 12, 16]
SD = np.array([4.0, 4.5, 5.0, 5.5])
CORR = np.array(
    [[1.0, 0.7, 0.6, 0.5], [0.7, 1.0, 0.7, 0.6], [0.6, 0.7, 1.0, 0.75], [0.5, 0.6, 0.75, 1.0]]
)
GAIN = {"placebo": [0.5, 1.0, 1.5, 1.5], "drug": [1.0, 2.5, 4.0, 4.5]}
PER_ARM = 100


def simulate(seed: int = 12) -> pd.DataFrame:
    """Return the rows that were observed."""
    rng = np.random.default_rng(seed)
    covariance = SD[:, None] * CORR * SD
    rows = []
    for number in range(2 * PER_ARM):
        arm = ("placebo", "drug")[number % 2]
        base = rng.normal(30.0, 5.0)
        e = rng.multivariate_normal(np.zeros(4), covariance)
        score = 30.0 + 0.6 * (base - 30.0) + np.array(GAIN[arm]) + e
        left = False
        for k, week in enumerate(WEEKS):
            if k > 0:
                worse = (score[k - 1] - 31.0) / 5.0
                left = left or rng.random() < 0.1 / (1.0 + np.exp(2.0 * worse))
            if left or (k > 0 and rng.random() < 0.08):
                continue
            rows.append((f"P{number + 1:03d}", arm, round(base, 1), week, round(score[k], 1)))
    return pd.DataFrame(rows, columns=["patient", "arm", "baseline", "week", "score"])


if __name__ == "__main__":
    simulate().to_csv(Path(__file__).with_name("mmrm.csv"), index=False)
