"""A precision that is handed over as a covariance is said to look like one."""

import warnings

import numpy as np
import pandas as pd
import pytest

import bayeslmm as bl
from bayeslmm.errors import DataWarning

LABELS = list("abcdef")
PARENTS = pd.DataFrame(
    {
        "id": LABELS,
        "sire": [None, None, "a", "a", "c", "c"],
        "dam": [None, None, "b", "b", "d", "d"],
    }
)


def test_the_inverse_of_a_pedigree_is_said_and_the_pedigree_is_not():
    A = bl.pedigree(PARENTS).covariance_of(LABELS)
    with pytest.warns(DataWarning, match=r"write precision\(matrix, levels\)"):
        bl.known_covariance(np.linalg.inv(A), LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bl.known_covariance(A, LABELS)


def test_genomic_covariances_have_inverses_of_either_sign():
    rng = np.random.default_rng(1)
    markers = rng.standard_normal((30, 200))
    markers -= markers.mean(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bl.known_covariance(markers @ markers.T / 200 + 0.1 * np.eye(30), list(range(30)))
