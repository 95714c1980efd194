"""Trees in Newick's format, as programs write them and as they should not."""

import pytest

from bayeslmm.errors import DataError
from bayeslmm.relationships.newick import read_newick


def test_quotes_comments_spaces_and_exponents():
    tree = read_newick("[a comment] ( 'Homo sapiens' : 1e-1 ,\n'it''s':.5[&R],c_d:2)Root:9 ;\n")
    assert tree.label == ("Root", "Homo sapiens", "it's", "c_d")
    assert tree.length == (9.0, 0.1, 0.5, 2.0)
    assert tree.parent == (-1, 0, 0, 0)


def test_a_tree_as_deep_as_it_has_tips():
    n = 20_000
    text = "(" * n + "t0:1" + "".join(f",t{k}:1):1" for k in range(1, n + 1)) + ";"
    tree = read_newick(text)
    assert len(tree.parent) == 2 * n + 1
    assert sum(label.startswith("t") for label in tree.label) == n + 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ends before"),
        ("a;", "ends before"),
        ("((a:1,b:1):1", "ends before"),
        ("(a:1,b:1);(c:1,d:1);", "more than one tree"),
        ("(a:1,b:x);", "'x' for the length"),
        ("(a:1,b:-1);", "'-1' for the length"),
        ("(a:1,b:nan);", "'nan' for the length"),
        ("(a:1,b:,c:1);", "',' for the length"),
        ("(a:1,:1);", "tip without a label"),
        ("(a b:1,c:1);", "'b' in a wrong place"),
        ("(a:1,b:1));", "outside all clades"),
        ("a:1,b:1;", "outside all clades"),
        ("(a:1,b:1)(c:1);", "opens a clade"),
        ("(a:1,b:1]);", "cannot be read"),
        ("(a:1,'b:1);", "cannot be read"),
        ("#NEXUS\nbegin trees;", "Nexus"),
    ],
)
def test_what_is_no_tree_says_where(text, said):
    with pytest.raises(DataError, match=said):
        read_newick(text)
