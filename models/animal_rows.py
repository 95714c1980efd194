"""Write animal.csv and animal_pedigree.csv: a simulated herd with known heritability.

Four generations: 40 founders, then three times 80 animals, each of a sire (one of eight) and a dam
of the generation before. Every animal but the founders is weighed once or twice, in one of twelve
pens. The weight's additive variance is 40, that of permanent effects of the animal 10, of pens 10,
of residuals 40: a heritability of 0.4.
"""

from pathlib import Path

import numpy as np
import pandas as pd

FOUNDERS, PROGENY, GENERATIONS, SIRES, PENS = 40, 80, 3, 8, 12
ADDITIVE, PERMANENT, PEN, RESIDUAL = 40.0, 10.0, 10.0, 40.0
MEAN, MALE = 250.0, 12.0


def simulate(seed: int = 40) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pedigree, and the rows of the animals that were weighed."""
    rng = np.random.default_rng(seed)
    names = [f"F{k + 1:02d}" for k in range(FOUNDERS)]
    parents: list[tuple[str | None, str | None]] = [(None, None)] * FOUNDERS
    breeding = list(rng.normal(0.0, np.sqrt(ADDITIVE), FOUNDERS))
    sex = list(rng.permutation(np.resize(["female", "male"], FOUNDERS)))
    last = range(FOUNDERS)
    for generation in range(GENERATIONS):
        sires = [k for k in last if sex[k] == "male"][:SIRES]
        dams = [k for k in last if sex[k] == "female"]
        first = len(names)
        for number in range(PROGENY):
            sire, dam = rng.choice(sires), rng.choice(dams)
            middle = (breeding[sire] + breeding[dam]) / 2.0
            names.append(f"{'ABC'[generation]}{number + 1:02d}")
            parents.append((names[sire], names[dam]))
            # Half of the variance is sampled anew; what inbreeding takes of it is left aside.
            breeding.append(middle + rng.normal(0.0, np.sqrt(ADDITIVE / 2.0)))
            sex.append(("female", "male")[number % 2])
        last = range(first, len(names))
    pedigree = pd.DataFrame(parents, columns=["sire", "dam"])
    pedigree.insert(0, "animal", names)
    pens = rng.normal(0.0, np.sqrt(PEN), PENS)
    rows = []
    for k in range(FOUNDERS, len(names)):
        own = breeding[k] + rng.normal(0.0, np.sqrt(PERMANENT))
        for _ in range(rng.integers(1, 3)):
            pen = int(rng.integers(PENS))
            weight = MEAN + MALE * (sex[k] == "male") + own + pens[pen]
            weight += rng.normal(0.0, np.sqrt(RESIDUAL))
            rows.append((names[k], names[k], sex[k], f"pen {pen + 1}", round(weight, 1)))
    columns = ["animal", "individual", "sex", "pen", "weight"]
    return pedigree, pd.DataFrame(rows, columns=columns)


if __name__ == "__main__":
    pedigree, rows = simulate()
    folder = Path(__file__).parent
    pedigree.to_csv(folder / "animal_pedigree.csv", index=False, na_rep="NA")
    rows.to_csv(folder / "animal.csv", index=False)
