"""Bambi on a CSV file, in its own environment: `bambi_fit.py data formula out.npz runs options`.

Options are JSON: `sampler` ("nutpie" or "pymc"), `dtype`, `draws`, `chains`, `cores`, `family`,
`ordered` (columns of ordered categories). The last line printed is JSON. Compilation is part of the
first run's time, as for whoever calls it.
"""

import json
import sys
import time
import warnings

import numpy as np

warnings.simplefilter("ignore")


def main():
    path, formula, out, runs, options = sys.argv[1:]
    options = json.loads(options)
    started = time.perf_counter()
    import bambi
    import pandas as pd

    imported = time.perf_counter() - started
    table = pd.read_csv(path, dtype=options.get("dtype"))
    for column in options.get("ordered", []):
        table[column] = pd.Categorical(table[column], ordered=True)
    totals, cpu = [], []
    family = {"family": options["family"]} if "family" in options else {}
    for seed in range(int(runs)):
        start, used = time.perf_counter(), time.process_time()
        model = bambi.Model(formula, table, **family)
        arguments = {"inference_method": "nutpie"} if options["sampler"] == "nutpie" else {}
        tree = model.fit(
            draws=options["draws"], tune=options["draws"], chains=options["chains"],
            cores=options["cores"], random_seed=seed + 1, progressbar=False, **arguments,
        )  # fmt: skip
        totals.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    posterior = tree["posterior"]
    draws = {}
    for name in posterior.data_vars:
        values = np.asarray(posterior[name])
        if "|" in name and not name.endswith("_sigma"):
            continue  # random effects
        flat = values.reshape(*values.shape[:2], -1)
        draws |= {f"{name}[{k}]": flat[..., k] for k in range(flat.shape[-1])}
    np.savez(out, **draws)
    print(
        json.dumps(
            {
                "import s": imported,
                "totals": totals,
                "cpu totals": cpu,
                "version": bambi.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
