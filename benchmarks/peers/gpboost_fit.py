"""GPBoost on a CSV file, in its own environment: `gpboost_fit.py data.csv y x,... g,h runs`.

Maximum likelihood of variances and coefficients with its defaults for crossed effects (iterative
methods with the SSOR preconditioner); one thread where OMP_NUM_THREADS says so. The last line
printed is JSON.
"""

import json
import sys
import time

import gpboost
import numpy as np
import pandas as pd


def main():
    path, response, columns, factors, runs = sys.argv[1:]
    columns, factors = ([name for name in given.split(",") if name] for given in (columns, factors))
    table = pd.read_csv(path, dtype=dict.fromkeys(factors, str))
    X = np.column_stack([np.ones(len(table)), *(table[name] for name in columns)])
    totals, used = [], []
    for _ in range(int(runs)):
        wall, processor = time.perf_counter(), time.process_time()
        model = gpboost.GPModel(
            group_data=table[factors].to_numpy(), likelihood="gaussian",
            matrix_inversion_method="iterative",
        )  # fmt: skip
        model.fit(y=table[response].to_numpy(), X=X)
        totals.append(time.perf_counter() - wall)
        used.append(time.process_time() - processor)
    variances = np.asarray(model.get_cov_pars()).ravel().tolist()
    print(
        json.dumps(
            {
                "totals": totals,
                "processor": used,
                "sds": np.sqrt(variances).tolist(),
                "version": gpboost.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
