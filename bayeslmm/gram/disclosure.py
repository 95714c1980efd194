"""What cross-products tell about single rows, before they leave the place where the rows are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from bayeslmm.gram.blocks import CrossProducts

_COUNTS = ["levels", "fewest_rows", "single_rows", "few_rows"]


@dataclass(frozen=True, eq=False)
class Disclosure:
    """What a Gram lets its reader know.

    Attributes
    ----------
    factors : DataFrame
        Indexed by grouping factor. ``levels``: labels that can be read; ``fewest_rows``: rows of
        the smallest level; ``single_rows``: levels of one row, whose row (response and columns) can
        be read exactly; ``few_rows``: levels with fewer rows than sums, whose rows can be
        narrowed down.
    strata : DataFrame
        The same of the rows of each stratum of the residuals' scale, indexed by stratum (its
        columns of sigma's formula) and factor; of all levels of a stratum together in ``rows``.
        Empty where there is one sigma for all rows.
    always : tuple of str
        What can be read from any Gram of this kind.
    """

    factors: pd.DataFrame
    always: tuple[str, ...]
    strata: pd.DataFrame

    def __str__(self) -> str:
        lines = ["Whoever has this Gram can read:", *(f"- {line}" for line in self.always)]
        for name, row in self.factors.iterrows():
            lines.append(
                f"- {name}: the labels of {row['levels']} levels, the number of rows of each (the "
                f"fewest: {row['fewest_rows']}), and sums of squares and products within each"
            )
            if row["single_rows"]:
                lines.append(
                    f"- {name}: the very rows of {row['single_rows']} levels that have one row only"
                )
            if row["few_rows"] > row["single_rows"]:
                lines.append(
                    f"- {name}: much about the rows of {row['few_rows'] - row['single_rows']} "
                    "more levels, which have fewer rows than sums"
                )
        lines += self._of_strata()
        return "\n".join(lines)

    def _of_strata(self) -> list[str]:
        lines = []
        for name, rows in self.strata.groupby(level="stratum", sort=False):
            n = int(rows["rows"].iloc[0])
            if n == 1:
                lines.append(f"- {name}: its very row, which is the only one")
                continue
            lines.append(f"- {name}: its number of rows ({n}), and sums over these")
            for factor, row in rows.droplevel("stratum").iterrows():
                if row["single_rows"]:
                    lines.append(
                        f"- {name}, {factor}: the very rows of {row['single_rows']} levels that "
                        "have one row only there"
                    )
                if row["few_rows"] > row["single_rows"]:
                    lines.append(
                        f"- {name}, {factor}: much about the rows of "
                        f"{row['few_rows'] - row['single_rows']} more levels, which have fewer "
                        "rows there than sums"
                    )
        return lines


def disclosure(gram: CrossProducts) -> Disclosure:
    """Return what a Gram discloses; see `Gram.discloses`."""
    always = [
        f"the number of rows ({gram.n}), the formula's columns and the response's name",
        "sums of squares and products of the response and all columns, over all rows",
    ]
    if gram.scales is not None:
        always.append(
            "mean, standard deviation, smallest and largest value of the response and every column"
        )
    if gram.strata is not None and gram.strata.known:
        always.append("the same sums with each row divided by its standard error")
    elif gram.strata is not None:
        columns = ", ".join(gram.strata.names)
        always.append(f"the same sums of the rows of each stratum of sigma, told by {columns}")
    if gram.pairs:
        always.append("which levels of different factors share rows, and sums within those pairs")
    factors = pd.DataFrame(_by_factor(gram), columns=["factor", *_COUNTS]).set_index("factor")
    return Disclosure(factors, tuple(always), _by_stratum(gram))


def _by_factor(gram: CrossProducts) -> list[dict[str, object]]:
    rows = []
    for factor in gram.factors:
        # So many numbers of a row enter sums of its level: its Z, and X and y beside them.
        width = len(factor.terms) + len(gram.coef) + 1
        rows.append(
            {
                "factor": factor.name,
                "levels": len(factor.levels),
                "fewest_rows": int(factor.counts.min(initial=gram.n)),
                "single_rows": int((factor.counts == 1).sum()),
                "few_rows": int((factor.counts < width).sum()),
            }
        )
    return rows


def _by_stratum(gram: CrossProducts) -> pd.DataFrame:
    """Return what is known of each stratum, and of each factor's levels in it."""
    columns, rows = ["stratum", "factor", "rows", *_COUNTS], []
    strata = gram.strata
    # Of known standard errors there is one stratum, all rows, weighted.
    if strata is not None and not strata.known:
        for cell, part in zip(strata.cells.tolist(), strata.grams, strict=True):
            values = zip(strata.names, cell, strict=True)
            name = "stratum " + ", ".join(f"{column} = {value:g}" for column, value in values)
            nothing: dict[str, object] = {"factor": "", **dict.fromkeys(_COUNTS, 0)}
            found = _by_factor(part) or [nothing]
            rows += [{"stratum": name, **one, "rows": part.n} for one in found]
    return pd.DataFrame(rows, columns=columns).set_index(["stratum", "factor"])
