"""Related levels at size: a phylogeny of 10,000 tips, a pedigree of 5,000 animals, carnivora.

    python benchmarks/related.py                  # a minute or two
    python benchmarks/related.py --only pedigree

CPU seconds are of the whole process, of a second fit in it: 4,000 draws of everything, effects of
all levels included. A value is log|V| and T at one relative factor; with a gradient, the criterion
of REML.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd

import bayeslmm as bl
from bayeslmm.gram.border.sparse.suited import suited_gram
from bayeslmm.gram.reduction import reduce_exactly
from bayeslmm.reml.krylov.sparse import SparseObjective
from bayeslmm.resources import single_blas_thread


def random_tree(n, seed=1):
    """A tree of n species in Newick's format, two clades joined at a time."""
    rng = np.random.default_rng(seed)
    text, height, now = [f"t{k}" for k in range(n)], [0.0] * n, 0.0
    while len(text) > 1:
        now += rng.exponential(2.0 / (len(text) * (len(text) - 1)))
        i, j = sorted(rng.choice(len(text), 2, replace=False))
        text[i] = f"({text[i]}:{now - height[i]:.12g},{text[j]}:{now - height[j]:.12g})"
        height[i] = now
        for held in (text, height):
            held[j] = held[-1]
            held.pop()
    return bl.phylogeny(f"{text[0]};")


def species(n, rows):
    """A trait of n species, with the phylogeny's effects and one of each species' own."""
    A, rng = random_tree(n), np.random.default_rng(2)
    effect = np.zeros(len(A.parent))
    for node in range(1, len(effect)):
        step = np.sqrt(A.length[node]) * rng.standard_normal()
        effect[node] = effect[A.parent[node]] + step
    own = 0.5 * rng.standard_normal(n) if rows > 1 else np.zeros(n)
    x = rng.standard_normal(n * rows)
    y = 1.0 + 0.5 * x + np.repeat(effect[A.tip] + own, rows) + 0.6 * rng.standard_normal(n * rows)
    labels = np.repeat(A.labels, rows)
    return A, pd.DataFrame({"y": y, "x": x, "species": labels, "own": labels})


def animals(n, parents, seed=3):
    """Records of n animals of 500 parents, of which one in ten is a sire; h2 is 0.4."""
    rng = np.random.default_rng(seed)
    sires = rng.integers(0, parents // 10, n)
    dams = rng.integers(parents // 10, parents, n)
    table = {
        "id": [*(f"p{k}" for k in range(parents)), *(f"a{k}" for k in range(n))],
        "sire": [*[None] * parents, *(f"p{k}" for k in sires)],
        "dam": [*[None] * parents, *(f"p{k}" for k in dams)],
    }
    value = rng.standard_normal(parents)
    bred = 0.5 * (value[sires] + value[dams]) + np.sqrt(0.5) * rng.standard_normal(n)
    x = rng.standard_normal(n)
    y = 2.0 + 0.3 * x + bred + np.sqrt(1.5) * rng.standard_normal(n)
    rows = pd.DataFrame({"y": y, "x": x, "animal": [f"a{k}" for k in range(n)]})
    return bl.pedigree(table), rows


def seconds(function, times):
    """CPU seconds of one call, once all is compiled."""
    function()
    started = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - started) / times


def report(name, formula, table, A, borders=("auto",)):
    """One line for each way: how it was solved, a value, REML and the posterior."""
    for border in borders:
        design = bl.build_design(formula, table, known={"A": A})
        gram = suited_gram(design, border)
        packed = np.full((1, sum(len(f.terms) ** 2 for f in gram.factors)), 1.2)
        with single_blas_thread():
            value = seconds(lambda gram=gram, at=packed: reduce_exactly(gram, at), 20)
            slope = np.nan
            if gram.by_nodes:
                objective = SparseObjective(gram, restricted=True)
                slope = seconds(
                    lambda of=objective, at=packed: of.evaluate(at[0], gradient=True), 20
                )
        how = {"known": {"A": A}, "border": border}
        reml = seconds(lambda how=how: bl.fit_reml(formula, table, **how), 1)
        settings = how | {"sampler": "importance", "random_seed": 1, "progressbar": False}
        fits = []
        posterior = seconds(
            lambda how=settings, fits=fits: fits.append(bl.fit_bayes(formula, table, **how)), 1
        )
        stats = fits[-1].sample_stats.attrs
        print(
            f"| {name} | {fits[-1].attrs['border']} | {1e3 * value:.2f} | {1e3 * slope:.2f} | "
            f"{reml:.2f} | {posterior:.1f} | {stats['ess_draws']:.0f} | {stats['pareto_k']:.2f} |",
            flush=True,
        )


def tips(n=10_000):
    """Phylogenies, with one row a species and with two beside an effect of its own."""
    related = "y ~ x + (1 | gr(species, cov=A))"
    A, table = species(n, 1)
    report(f"{n:,} tips", related, table, A)
    A, table = species(n, 2)
    report(f"{n:,} tips, two rows, own effects", f"{related} + (1 | own)", table, A)


def pedigree():
    """5,000 animals of 500 parents, both ways."""
    A, table = animals(5000, 500)
    formula = "y ~ x + (1 | gr(animal, cov=A))"
    report("5,000 animals of 500 parents", formula, table, A, ("dense", "sparse", "auto"))


def carnivora():
    """112 species: what the dense matrix is for."""
    table = bl.load_dataset("carnivora")
    A = bl.phylogeny(table.attrs["phylogeny"])
    formula = "logSB ~ logSW + (1 | gr(species, cov=A))"
    report("carnivora", formula, table, A, ("dense", "sparse"))


PARTS = {"tips": tips, "pedigree": pedigree, "carnivora": carnivora}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=PARTS)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| | border | value, ms | with gradient, ms | REML, s | posterior, s | draws | k-hat |")
    print("|---|---|---|---|---|---|---|---|")
    for name, part in PARTS.items():
        if given.only in (None, name):
            part()


if __name__ == "__main__":
    main()
