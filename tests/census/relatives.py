"""Known covariances of the levels of a table: random trees and pedigrees."""

from bayeslmm.relationships.pedigree import pedigree
from bayeslmm.relationships.phylogeny import phylogeny


def tree_of(factor):
    """Return what makes a tree of a factor's levels, two clades joined at a time."""

    def known(rows, rng):
        names = [str(label) for label in rows[factor].unique()]
        clades, height = [(name, 0.0) for name in names], 0.0
        while len(clades) > 1:
            height += rng.exponential(2.0 / (len(clades) * (len(clades) - 1)))
            i, j = sorted(rng.choice(len(clades), 2, replace=False))
            (right, low), (left, high) = clades.pop(j), clades.pop(i)
            clades.append((f"({left}:{height - high},{right}:{height - low})", height))
        return {"A": phylogeny(f"{clades[0][0]};")}

    return known


def pedigree_of(factor, founders):
    """Return what makes a pedigree of a factor's levels, of which the first have no parents."""

    def known(rows, rng):
        animals = [str(label) for label in rows[factor].unique()]
        table = {"id": animals, "sire": [None] * founders, "dam": [None] * founders}
        for born in range(founders, len(animals)):
            # Of the last hundred: generations follow each other.
            first = max(0, born - 100)
            sire, dam = rng.choice(range(first, born), 2, replace=False)
            table["sire"].append(animals[sire])
            table["dam"].append(animals[dam])
        return {"A": pedigree(table)}

    return known
