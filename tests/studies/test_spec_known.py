"""Known covariances in files beside model files."""

import known
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayeslmm as bl
from bayeslmm.cli.app import app
from bayeslmm.errors import DataError, SpecError

LABELS = [f"a{k}" for k in range(12)]
A = known.random_covariance(LABELS, seed=2)
PARENTS = pd.DataFrame(
    {"id": ["s", "d", *LABELS], "father": ["NA", "NA", *["s"] * 12],
     "mother": ["", "0", *["d"] * 12]}
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    known.related_table().to_csv(tmp_path / "rows.csv", index=False)
    A.to_csv(tmp_path / "a.csv")
    inverse = pd.DataFrame(np.linalg.inv(A), LABELS, LABELS)
    inverse.to_csv(tmp_path / "q.csv")
    PARENTS.to_csv(tmp_path / "parents.csv", index=False)
    (tmp_path / "tree.nwk").write_text(f"(({','.join(f'{label}:1' for label in LABELS)}):1,b:2);")
    return tmp_path


def spec(folder, entry, formula="y ~ x + (1 | gr(animal, cov=A))"):
    path = folder / "study.toml"
    path.write_text(f'formula = "{formula}"\n\n[known]\n{entry}\n\n[data]\npath = "rows.csv"\n')
    return path


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        ('A = "a.csv"', "covariance"),
        ('A = { covariance = "a.csv" }', "covariance"),
        ('A = { precision = "q.csv" }', "precision"),
        ('A = { pedigree = "parents.csv", sire = "father", dam = "mother" }', "pedigree"),
        ('A = "tree.nwk"', "phylogeny"),
        ('A = { phylogeny = "tree.nwk", scale = false }', "phylogeny"),
    ],
)
def test_each_kind_of_file(folder, entry, kind):
    read = bl.read_spec(spec(folder, entry))
    matrix = read.coding["known"]["A"]
    assert matrix.kind == kind
    if kind in {"covariance", "precision"}:
        np.testing.assert_allclose(matrix.covariance_of(LABELS), A, rtol=1e-10)
    if "scale" in entry:
        assert matrix.mean_diagonal == pytest.approx(2.0)
    design = bl.build_design(read.formula, read.data.load(), **read.coding)
    assert design.factors[0].latent is not None


def test_a_bundled_phylogeny_and_the_command_line(tmp_path):
    path = tmp_path / "brains.toml"
    path.write_text(
        'formula = "logSB ~ logSW + (1 | gr(species, cov=A))"\n'
        'known = { A = { bundled = "carnivora" } }\ndata = { bundled = "carnivora" }\n'
    )
    found = CliRunner().invoke(app, ["reml", str(path)])
    assert found.exit_code == 0, found.output
    assert "58.4675" in found.output


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ('A = "no.csv"', "study.toml:4: there is no file"),
        ('A = "rows.xlsx"', "nothing says what 'rows.xlsx' holds"),
        ('A = { covariance = "a.csv", precision = "q.csv" }', "exactly one of"),
        ('A = { covariance = "a.csv", scale = true }', "'scale' is nothing that a covariance"),
        ('A = { bundled = "sleepstudy" }', "no bundled table 'sleepstudy' has a phylogeny"),
        ('A = { covarianc = "a.csv" }', "no key 'covarianc'"),
        ("A = 3", "must be a table"),
    ],
)
def test_what_says_nothing(folder, entry, said):
    with pytest.raises(SpecError, match=said):
        bl.read_spec(spec(folder, entry))


def test_a_file_that_holds_something_else_is_named(folder):
    read = bl.read_spec(spec(folder, 'A = "rows.csv"'))
    with pytest.raises(DataError, match=r"rows\.csv: "):
        _ = read.coding


def test_simulated_tables_have_independent_levels(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(
        'formula = "y ~ 1 + (1 | gr(g, cov=A))"\nknown = { A = { bundled = "carnivora" } }\n'
        "[data.simulation]\nrandom_seed = 1\nrows = 3\nlevels = { g = 4 }\n"
        "beta = { Intercept = 1.0 }\nsd = { g = 1.0 }\nsigma = 1.0\n"
    )
    with pytest.raises(SpecError, match="independent levels"):
        bl.read_spec(path)
