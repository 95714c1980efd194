"""Fits of residual structures by other programs, and ours of the same rows."""

import json
from functools import cache

from reml_reference import FOLDER

import bayeslmm as bl
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.model.residual.of_design import structured_residuals
from bayeslmm.reml.structured.coordinates import ResidualCoordinates
from bayeslmm.reml.structured.objective import StructuredObjective

REFERENCES = {
    fit["id"]: fit for fit in json.loads((FOLDER / "residuals/fits.json").read_text())["fits"]
}

table = cache(bl.load_dataset)
# As text, so that some of the children are a table without categories that no row has.
ORTHODONT = table("orthodont").astype({"Subject": str})


@cache
def fitted(name):
    reference = REFERENCES[name]
    return bl.fit_reml(
        data=table(reference["data"]), method=reference["method"], **reference["model"]
    )


def objective_of(design, *, restricted):
    """The criterion of a design with a residual structure, as its search has it."""
    structure = structured_residuals(design.residual)
    coordinates = ResidualCoordinates(structure)
    phi = structure.starts(coordinates.default)[0]
    return StructuredObjective(
        products_of(design, structure), coordinates, phi, restricted=restricted
    )
