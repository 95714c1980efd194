"""Sparse Cholesky factors against dense algebra."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from bayeslmm.kernels.sparse.cholesky import SparsePattern
from bayeslmm.kernels.sparse.ordering import minimum_degree

PLENTY = 10**6


def random_matrix(rng):
    root = scipy.sparse.random(40, 40, 0.04, rng=rng)
    return root @ root.T + scipy.sparse.eye_array(40)


def tree(rng, tips=30):
    """The precision of Brownian motion on a binary tree, seen at its tips."""
    n = 2 * tips - 1
    living, parent = list(range(tips)), np.zeros(n, dtype=int)
    for k in range(tips, n):
        pair = rng.choice(len(living), 2, replace=False)
        for at in sorted(pair, reverse=True):
            parent[living.pop(at)] = k
        living.append(k)
    weight, child = rng.gamma(2.0, size=n), np.arange(n - 1)
    up = parent[:-1]
    rows, columns = np.r_[child, up, child, up], np.r_[child, up, up, child]
    w = weight[:-1]
    Q = scipy.sparse.coo_array((np.r_[w, w, -w, -w], (rows, columns)), shape=(n, n))
    return Q + scipy.sparse.diags_array(np.r_[np.ones(tips), np.zeros(n - tips - 1), weight[-1]])


def crossed(rng):
    K = scipy.sparse.random(12, 9, 0.3, rng=rng)
    one, other = scipy.sparse.eye_array(12), scipy.sparse.eye_array(9)
    return scipy.sparse.block_array([[4.0 * one, K], [K.T, 4.0 * other]])


def diagonal(rng):
    return scipy.sparse.diags_array(rng.gamma(2.0, size=7))


MATRICES = (random_matrix, tree, crossed, diagonal)


@pytest.fixture(params=MATRICES, ids=lambda make: make.__name__)
def matrix(request):
    A = scipy.sparse.csc_array(request.param(np.random.default_rng(3)))
    A.sort_indices()
    return A


def pattern_of(A, most=PLENTY):
    return SparsePattern.of(A.indptr.astype(np.int64), A.indices.astype(np.int64), most)


def test_a_factor_gives_determinant_solutions_and_the_inverse_where_a_has_entries(matrix):
    factor = pattern_of(matrix).factorize(matrix.data)
    dense, exact = matrix.toarray(), {"rtol": 1e-9, "atol": 1e-12}
    inverse = np.linalg.inv(dense)
    B = np.random.default_rng(1).normal(size=(len(dense), 3))
    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-12)
    np.testing.assert_allclose(factor.solve(B), inverse @ B, **exact)
    half = factor.half_solve(B)
    np.testing.assert_allclose(half.T @ half, B.T @ inverse @ B, **exact)
    root = factor.half_solve_transposed(np.eye(len(dense)))
    np.testing.assert_allclose(root @ root.T, inverse, **exact)
    np.testing.assert_allclose(factor.inverse_diagonal(), np.diag(inverse), **exact)
    rows, columns = matrix.tocoo().coords
    places = factor.pattern.places
    wanted = inverse[rows[places], columns[places]]
    np.testing.assert_allclose(factor.inverse_on_upper(), wanted, **exact)


def test_a_tree_is_eliminated_without_fill():
    A = scipy.sparse.csc_array(tree(np.random.default_rng(5)))
    found = pattern_of(A)
    assert len(found.below) == A.shape[0] - 1
    assert found.operations == A.shape[0] - 1


def test_what_is_given_up_and_what_is_not_positive_definite_is_none(matrix):
    if matrix.nnz > matrix.shape[0]:
        found = pattern_of(matrix)
        assert pattern_of(matrix, len(found.below)) is not None
        assert pattern_of(matrix, len(found.below) - 1) is None
    assert pattern_of(matrix).factorize(-matrix.data) is None


def test_the_order_fills_no_more_than_scipys():
    rng = np.random.default_rng(2)
    K = scipy.sparse.random(300, 300, 0.01, rng=rng)
    eye = scipy.sparse.eye_array(300)
    A = scipy.sparse.csc_array(scipy.sparse.block_array([[9.0 * eye, K], [K.T, 9.0 * eye]]))
    options = {"SymmetricMode": True}
    theirs = scipy.sparse.linalg.splu(
        A, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options
    )
    A.setdiag(0.0)
    A.eliminate_zeros()
    order, entries = minimum_degree(A.indptr.astype(np.int64), A.indices.astype(np.int64), PLENTY)
    assert sorted(order) == list(range(600))
    # Both are approximate: within a tenth of each other on graphs like this.
    assert entries < 1.1 * (theirs.L.nnz - 600)
