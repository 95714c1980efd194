"""The residual structure that a tree is read with is that of the fit."""

import warnings

import numpy as np
import pytest
import trees
import xarray as xr

import bayeslmm as bl
from bayeslmm.errors import IdentificationWarning, TreeError
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.results.residual import residual_draws, residual_structure


@pytest.fixture(scope="module", params=trees.STRUCTURES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def idata(name):
    return trees.structured_tree(name)


@pytest.fixture(scope="module")
def structure(name):
    said = trees.STRUCTURES[name]
    with warnings.catch_warnings():
        # Of few rows nothing is said of some visits.
        warnings.simplefilter("ignore", IdentificationWarning)
        design = bl.build_design("y ~ x", trees.STRUCTURED, **said)
    return structured_residuals(design.residual)


def same(found, expected):
    assert (found.name, found.dims, found.coords) == (expected.name, expected.dims, expected.coords)
    for one, other in zip(found.rows.arrays(), expected.rows.arrays(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_structure_is_rebuilt_from_the_tree(idata, structure):
    same(residual_structure(idata), structure)


def test_it_survives_a_file(idata, structure, tmp_path):
    idata.to_netcdf(tmp_path / "fit.nc")
    with xr.open_datatree(tmp_path / "fit.nc") as read:
        same(residual_structure(read), structure)
        found = residual_draws(read, structure)
        np.testing.assert_array_equal(found, residual_draws(idata, structure))


def test_draws_are_those_of_the_tree(idata, structure):
    phi = residual_draws(idata, structure)
    assert phi.shape == (60, structure.size)
    for variable, values in structure.variables(phi.reshape(2, 30, -1)).items():
        # Partial correlations and back: rounding of four by four matrices.
        np.testing.assert_allclose(values, idata["posterior"][variable], rtol=1e-12, atol=1e-14)
    some = residual_draws(idata, structure, np.array([0, 29]))
    np.testing.assert_array_equal(some, phi[[0, 29, 30, 59]])


def test_a_tree_of_other_strata_is_refused():
    idata = trees.structured_tree("strata")
    renamed = idata.copy()
    posterior = idata["posterior"].to_dataset().assign_coords(sigma_level=["v", "u"])
    renamed["posterior"] = xr.DataTree(posterior)
    with pytest.raises(TreeError, match="'sigma_by' are of v, u, and the rows of the fit have"):
        residual_draws(renamed, residual_structure(renamed))


def test_one_sigma_is_no_structure():
    assert residual_structure(trees.documented_tree()) is None
    assert bl.build_design("y ~ x", trees.TINY, sigma="~ 1").state.sigma is None
