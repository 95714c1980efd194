"""Known covariances: their entries against definitions, and what is refused by name."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import bayeslmm as bl
from bayeslmm.errors import ArgumentError, DataError, DataWarning
from bayeslmm.relationships.known import read_known
from bayeslmm.relationships.plain import of_arrays, of_plain, to_plain

# Half sibs, full sibs that mate, and a calf of theirs: inbreeding 1/4 of the calf, 3/8 beyond.
PEDIGREE = pd.DataFrame(
    {
        "id": ["i", "e", "c", "a", "b", "d", "f", "g"],
        "sire": ["g", "a", "a", None, None, "a", "c", "f"],
        "dam": ["e", "b", "b", None, None, None, "e", "e"],
    }
)
TREE = "(((a:1,b:1):1,(c:1.5,'d e':1.5):0.5):2,f:4);"


def examples():
    A = pd.DataFrame([[2.0, 0.5], [0.5, 1.0]], index=["x", "y"], columns=["x", "y"])
    return {
        "covariance": bl.known_covariance(A),
        "precision": bl.precision(np.linalg.inv(A), ["x", "y"]),
        "phylogeny": bl.phylogeny(TREE),
        "pedigree": bl.pedigree(PEDIGREE),
    }


@pytest.mark.parametrize("kind", ["covariance", "precision", "phylogeny", "pedigree"])
def test_it_travels_whole(kind):
    one = examples()[kind]
    assert one.kind == kind
    back = of_plain(to_plain(one))
    assert back == one
    assert hash(back) == hash(one)
    arrays = of_arrays(kind, np.array(one.labels), one.arrays())
    np.testing.assert_array_equal(arrays.covariance(), one.covariance())
    some = list(one.labels)[::-1][:2]
    places = one.places(some)
    # Sub-matrices of pedigrees are computed from ancestors alone: the same numbers.
    np.testing.assert_allclose(
        one.covariance_of(some), one.covariance()[np.ix_(places, places)], rtol=1e-12
    )
    assert one.mean_diagonal == pytest.approx(np.diag(one.covariance()).mean())


@pytest.mark.parametrize("kind", ["precision", "phylogeny", "pedigree"])
def test_nodes_have_the_covariance(kind):
    one = examples()[kind]
    some = list(one.labels)[::-2]
    nodes = one.nodes_of(some)
    P = np.zeros((nodes.count, nodes.count))
    np.add.at(P, (nodes.rows, nodes.cols), nodes.values)
    A = np.linalg.inv(P)[np.ix_(nodes.place, nodes.place)]
    np.testing.assert_allclose(A, one.covariance_of(some), atol=1e-13)  # rounding of some tenths
    np.testing.assert_allclose(nodes.variances, A.diagonal(), rtol=1e-13)


def test_ends_of_a_branch_without_length_are_one_node():
    with pytest.warns(DataWarning, match="not ultrametric"):
        A = bl.phylogeny("(((a:1,b:2):0,(c:0,d:1):1):1,(e:2,f:1):0);", scale=False)
    levels = ["d", "c", "b", "a", "f", "e"]
    nodes = A.nodes_of(levels)
    assert nodes.count == 7  # six tips, of which c is its own fork, and one fork above
    P = np.zeros((7, 7))
    np.add.at(P, (nodes.rows, nodes.cols), nodes.values)
    inverse = np.linalg.inv(P)[np.ix_(nodes.place, nodes.place)]
    np.testing.assert_allclose(inverse, A.covariance_of(levels), atol=1e-13)


def test_paths_of_large_trees_are_sparse(monkeypatch):
    monkeypatch.setattr("bayeslmm.relationships.phylogeny._MANY_TIPS", 3)
    A = bl.phylogeny(TREE)
    T = A.level_map(A.labels)
    assert sparse.issparse(T.matrix)
    assert T.n_alone == len(A.labels)
    np.testing.assert_allclose(T.covariance, A.covariance(), atol=1e-13)


def test_many_levels_are_described_by_their_nodes(monkeypatch):
    monkeypatch.setattr("bayeslmm.relationships.level_map._MANY", 1)
    A = bl.phylogeny(TREE)
    one, other = A.level_map(A.labels), A.level_map(A.labels[::-1])
    np.testing.assert_array_equal(one.variances, A.heights)
    numbers = [np.concatenate([part.ravel() for part in of.numbers()]) for of in (one, other)]
    assert not np.array_equal(*numbers)
    assert "matrix" not in vars(one)


def test_damaged_ones_are_refused():
    with pytest.raises(DataError, match="no known covariance"):
        of_plain({"kind": "covariance"})


def test_the_phylogeny_has_shared_times():
    A = bl.phylogeny(TREE, scale=False)
    assert A.labels == ("a", "b", "c", "d e", "f")
    expected = [[4, 3, 2, 2, 0], [3, 4, 2, 2, 0], [2, 2, 4, 2.5, 0], [2, 2, 2.5, 4, 0],
                [0, 0, 0, 0, 4]]  # fmt: skip
    np.testing.assert_allclose(A.covariance(), expected)
    np.testing.assert_allclose(bl.phylogeny(TREE).covariance(), np.array(expected) / 4.0)


def test_a_tree_from_a_file(tmp_path):
    path = tmp_path / "tree.nwk"
    path.write_text(TREE)
    assert bl.phylogeny(path) == bl.phylogeny(str(path)) == bl.phylogeny(TREE)


def test_polytomies_and_single_children():
    A = bl.phylogeny("((a:1,b:1,c:1):1,((d:1):0.5):0.5);", scale=False)
    np.testing.assert_allclose(A.covariance()[:3, :3], np.ones((3, 3)) + np.eye(3))
    assert A.covariance()[3, 3] == 2.0


def test_a_tree_that_is_not_ultrametric_is_said_and_scaled_by_its_mean():
    with pytest.warns(DataWarning, match="not ultrametric: its tips are 0.667 .'a'"):
        A = bl.phylogeny("(a:1,b:2,c:1.5);")
    np.testing.assert_allclose(np.diag(A.covariance()), np.array([1, 2, 1.5]) / 1.5)


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ("((a:1,b):1,c:2);", "branch of 'b' has no length"),
        ("((a:1,b:1),c:2);", "an inner branch has no length"),
        ("((a:1,a:1):1,c:2);", "the level 'a' twice"),
        ("((a:0,b:0):1,c:1);", "tips 'a' and 'b' of the phylogeny are at no distance"),
        ("((a:0,(b:0,d:1):0):1,c:1);", "tips 'a' and 'b' of the phylogeny are at no distance"),
        ("(a:0,b:1);", "tip 'a' of the phylogeny is at no distance from its root"),
        ("no such file", "no file that can be read"),
    ],
)
def test_trees_without_a_covariance(tree, said):
    with pytest.raises(DataError, match=said):
        bl.phylogeny(tree)


def test_a_tree_is_text():
    with pytest.raises(ArgumentError, match="not a int"):
        bl.phylogeny(3)


def test_relationships_are_probabilities_of_genes_in_common():
    A = bl.pedigree(PEDIGREE)
    table = pd.DataFrame(A.covariance(), A.labels, A.labels)
    assert table.loc["a", "b"] == 0.0
    assert table.loc["c", "e"] == 0.5  # full sibs
    assert table.loc["c", "d"] == 0.25  # half sibs
    assert table.loc["f", "f"] == 1.25  # of full sibs
    assert table.loc["g", "g"] == 1.375  # of f and its dam: half their relationship, 0.75
    assert table.loc["f", "e"] == 0.75
    np.linalg.cholesky(table)


def test_henderson_s_inverse():
    A = bl.pedigree(PEDIGREE)
    m = len(A)
    P = np.zeros((m, m))
    for parents in (A.sire, A.dam):
        known = parents >= 0
        P[np.flatnonzero(known), parents[known]] += 0.5
    T = np.linalg.inv(np.eye(m) - P)
    D = np.linalg.inv(T) @ A.covariance() @ np.linalg.inv(T).T
    # A = T D T' with a diagonal D of Mendelian sampling variances.
    np.testing.assert_allclose(D, np.diag(np.diag(D)), atol=1e-12)
    assert (np.diag(D) > 0.0).all()


def test_other_columns_and_words_for_unknown_parents():
    table = {"animal": [3, 1, 2], "father": [1.0, np.nan, 0.0], "mother": ["2", "NA", "*"]}
    A = bl.pedigree(table, id="animal", sire="father", dam="mother")
    assert A.labels == ("1", "2", "3")
    assert A.covariance_of(["3", "1"])[0, 1] == 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": list("icecabdf")}, "the level 'c' twice"),
        ({"sire": [None] * 7 + ["zz"]}, "'zz' is the sire of 'g' and has no row"),
        ({"dam": ["e", "b", "b", "g", None, None, "e", "e"]}, "its own ancestor"),
        ({"dam": ["i", "b", "b", None, None, None, "e", "e"]}, r"'i' is its own ancestor"),
        ({"id": ["0", *"ecabdfg"]}, "called '0'"),
    ],
)
def test_pedigrees_that_contradict_themselves(change, said):
    with pytest.raises(DataError, match=said):
        bl.pedigree(PEDIGREE.assign(**change))


def test_a_pedigree_without_its_columns():
    with pytest.raises(DataError, match="no column 'sire'"):
        bl.pedigree(PEDIGREE.rename(columns={"sire": "father"}))


def test_a_precision_is_inverted():
    Q = np.array([[2.0, -1.0, 0.0], [-1.0, 2.0, -1.0], [0.0, -1.0, 2.0]])
    A = bl.precision(sparse.csr_array(Q), list("abc"))
    np.testing.assert_allclose(A.covariance(), np.linalg.inv(Q), rtol=1e-12)
    assert bl.precision(pd.DataFrame(Q, list("abc"), list("abc"))) == A


GOOD = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.3], [0.2, 0.3, 1.0]])


def spoilt(i, j, value, *, both=True):
    out = GOOD.copy()
    out[i, j] = value
    if both:
        out[j, i] = value
    return out


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        (spoilt(0, 1, np.nan), "of 'a' and 'b' is nan"),
        (spoilt(0, 1, 0.4, both=False), "not symmetric: 0.4 for 'a' and 'b'"),
        (spoilt(0, 1, 1.5), "not positive definite"),
        (spoilt(0, 1, 1.0) * [[1, 1, 0], [1, 1, 0], [0, 0, 1]], "'b' and 'a' have a correlation"),
        (spoilt(1, 1, -1.0), "of 'b' with itself is -1"),
        (GOOD[:2], "square matrix"),
        ([["a"]], "no number"),
        (np.linalg.inv(GOOD * 0.5 + 0.5), "precision"),
    ],
)
def test_matrices_that_are_no_covariance(matrix, said):
    with pytest.raises(DataError, match=said):
        bl.known_covariance(matrix, ["a", "b", "c"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (GOOD, "does not say which levels"),
        ((GOOD, ["a", "b"]), "3 rows and 2 labels"),
        ((GOOD, ["a", "b", "b"]), "level 'b' twice"),
        ((GOOD, "abc"), "list of labels"),
        (pd.DataFrame(GOOD, list("abc"), list("acb")), "another order"),
        (pd.DataFrame(GOOD, list("abc")), "'a' is no column"),
    ],
)
def test_labels_that_are_not_those_of_a_matrix(given, said):
    with pytest.raises(DataError, match=said) as caught:
        read_known({"A": given})
    assert str(caught.value).startswith("known['A']: ")


def test_known_is_a_mapping():
    with pytest.raises(ArgumentError, match="known maps the names"):
        read_known(GOOD)


@pytest.mark.filterwarnings("ignore::bayeslmm.errors.SingularFitWarning")
def test_an_effect_of_an_animals_own_stands_beside_its_pedigree():
    pedigree = {
        "animal": list("abcdefgh"),
        "sire": [None, None, *"aaaacc"],
        "dam": [None, None, *"bbbbdd"],
    }
    A = bl.pedigree(pd.DataFrame(pedigree), id="animal", sire="sire", dam="dam")
    labels = list("abcdefgh")
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"animal": np.repeat(labels, 4), "y": rng.normal(size=32)})
    table["own"] = table["animal"]
    dense = pd.DataFrame(A.covariance_of(labels), index=labels, columns=labels)
    formula = "y ~ 1 + (1 | gr(animal, cov=A)) + (1 | own)"
    # Of the dense matrix no level is eliminated by itself: another order, the same numbers.
    found = [bl.fit_reml(formula, table, known={"A": one}).criterion for one in (A, dense)]
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_whole_numbers_are_the_same_labels_with_and_without_a_decimal_point():
    A = pd.DataFrame(np.eye(3), index=[1.0, 2.0, 3.0], columns=[1.0, 2.0, 3.0])
    assert bl.known_covariance(A).labels == ("1", "2", "3")
    assert bl.known_covariance(np.eye(2), [np.float32(4.0), 5]).labels == ("4", "5")
