"""Advice on levels with a known covariance, each taken."""

import io
from functools import cache

import numpy as np
import pandas as pd
from registry import HOW, follows, told, works

import bayeslmm as bl

FORMULA = "y ~ 1 + (1 | gr(g, cov=A))"
PARENTS = pd.DataFrame({"animal": list("abcd"), "father": [None, None, "a", "a"],
                        "mother": [None, None, "b", "b"]})  # fmt: skip


@cache
def rows():
    rng = np.random.default_rng(4)
    g = np.repeat(list("abcdefgh"), 4)
    return pd.DataFrame({"g": g, "g2": g, "y": rng.normal(size=32) + np.repeat(range(8), 4)})


@cache
def related():
    labels = list("abcdefgh")
    return pd.DataFrame(0.5 * np.eye(8) + 0.5, labels, labels)


@follows("known=", "known={'A': A}", "cov=A")
def _():
    told("give known={'A': ...}", bl.build_design, FORMULA, rows())
    told("as in known={'A': A}", bl.build_design, FORMULA, rows(), known=related())
    told("Write (1 | gr(g, cov=A))", bl.build_design, "y ~ (1 | g)", rows(), known={"A": related()})
    told("write (1 | gr(g, cov=A))", bl.build_design, "y ~ propto(0 + g | g2)", rows())
    plain = bl.fit_reml("y ~ 1 + (1 | g)", rows())
    told("such as (1 | gr(animal, cov=A))", bl.heritability, plain)
    works(bl.heritability, bl.fit_reml(FORMULA, rows(), known={"A": related()}))
    twice = f"{FORMULA} + (1 | g)"
    told("Copy the column", bl.build_design, twice, rows(), known={"A": related()})
    copied = f"{FORMULA} + (1 | g2)"
    works(bl.build_design, copied, rows(), known={"A": related()})


@follows("known_covariance()")
def _():
    told("known_covariance(matrix, levels)", bl.build_design, FORMULA, rows(),
         known={"A": related().to_numpy()})  # fmt: skip
    labelled = bl.known_covariance(related().to_numpy(), list(related()))
    works(bl.fit_bayes, FORMULA, rows(), known={"A": labelled}, **HOW)


@follows("precision()")
def _():
    inverse = pd.DataFrame(np.linalg.inv(related()), related().index, related().columns)
    told("write precision(matrix, levels)", bl.known_covariance, inverse)
    works(bl.precision, inverse)
    told("or precision(matrix, levels)", bl.precision, inverse.to_numpy())
    works(bl.precision, inverse.to_numpy(), list(related()))


@follows("index_col=0")
def _():
    text = related().to_csv()
    told("read pandas.read_csv(path, index_col=0)", bl.known_covariance,
         pd.read_csv(io.StringIO(text)).drop(columns="Unnamed: 0"))  # fmt: skip
    works(bl.known_covariance, pd.read_csv(io.StringIO(text), index_col=0))


@follows("pedigree()", "id=", "sire=", "dam=")
def _():
    told("pedigree(table, id=, sire=, dam=)", bl.pedigree, PARENTS)
    works(bl.pedigree, PARENTS, id="animal", sire="father", dam="mother")


def test_a_triangle_and_a_singular_matrix_are_mended_as_is_said():
    A = np.tril(related())
    told("A + A.T - np.diag(np.diag(A))", bl.known_covariance, A, list("abcdefgh"))
    works(bl.known_covariance, A + A.T - np.diag(np.diag(A)), list("abcdefgh"))
    A = np.ones((3, 3))
    told("A + 0.01 * np.eye(len(A))", bl.known_covariance, A, list("abc"))
    works(bl.known_covariance, A + 0.01 * np.eye(len(A)), list("abc"))
