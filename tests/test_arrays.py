"""The door through which arrays go to compiled code."""

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.arrays import for_kernels
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.likelihood import draw_effects, log_density, profiled_criterion

PAIRS = np.arange(12.0).reshape(6, 2)


@pytest.mark.parametrize(
    "array",
    [
        PAIRS[:, 0],
        PAIRS[::-1, 0],
        PAIRS[:, 0].astype(">f8"),
        PAIRS[:, 0].astype(np.float32),
        PAIRS[:, 0].astype(np.int32),
        PAIRS[:, 0].tolist(),
        np.frombuffer(b"\0" + PAIRS[:, 0].tobytes(), np.float64, offset=1),
    ],
)
def test_every_layout_comes_out_as_compiled_code_reads_it(array):
    found = for_kernels("numbers", array, np.float64, (6,))
    assert found.dtype == np.float64
    assert found.flags.c_contiguous
    assert found.flags.aligned
    np.testing.assert_array_equal(found, np.asarray(array))


def test_what_is_in_order_is_not_copied():
    assert for_kernels("numbers", PAIRS, np.float64, (None, 2)) is PAIRS


@pytest.mark.parametrize(
    ("array", "kind", "error"),
    [
        (PAIRS.astype(complex), np.float64, TypeError),
        (PAIRS, np.int64, TypeError),
        (PAIRS.astype(object), np.float64, TypeError),
        (PAIRS[:5], np.float64, ValueError),
        (PAIRS.ravel(), np.float64, ValueError),
        (PAIRS[None], np.float64, ValueError),
    ],
)
def test_other_numbers_and_shapes_do_not_pass(array, kind, error):
    with pytest.raises(error, match="compiled code reads"):
        for_kernels("numbers", array, kind, (6, 2))


def test_the_marginal_likelihood_takes_views_and_refuses_other_shapes():
    design = bl.build_design("Reaction ~ Days + (1 | Subject)", bl.load_dataset("sleepstudy"))
    gram = Gram.from_design(design)
    prior = np.array([[250.0, 9.0], [10.0, 9.0]])
    precision = np.asfortranarray(np.array([[1.0, 0.5], [0.5, 2.0]]))
    views = log_density(gram, [[[1.0]]], 30.0, prior[:, 0], precision)[0]
    copies = log_density(gram, [[[1.0]]], 30.0, prior[:, 0].copy(), precision.copy("C"))[0]
    assert views == copies
    with pytest.raises(ValueError, match="prior_mean has shape"):
        log_density(gram, [[[1.0]]], 30.0, prior[0, :1])
    with pytest.raises(ValueError, match="packed has shape"):
        profiled_criterion(gram, np.ones(3), restricted=True)
    with pytest.raises(ValueError, match="sigma has shape"):
        draw_effects(gram, np.ones((4, 1)), np.ones(3), np.random.default_rng(1))
