"""Priors on the command line."""

from pathlib import Path

from typer.testing import CliRunner

from bayeslmm.cli.app import app

MODELS = Path(__file__).parents[2] / "models"


def run(*args):
    return CliRunner(env={"COLUMNS": "120"}).invoke(app, [str(arg) for arg in args])


def test_priors_are_printed_with_what_they_mean_and_imply():
    result = run("priors", MODELS / "sleepstudy.toml")
    assert result.exit_code == 0, result.output
    for text in ("HalfStudentT(nu=3, sigma=56.3288)", "+2.88", "icc[Subject]", "What they imply"):
        assert text in result.output


def test_a_scheme_can_stand_in_a_model_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'formula = "Yield ~ 1 + (1 | Batch)"\n[data]\nbundled = "dyestuff"\n'
        '[priors]\nscheme = "brms"\nsigma = "HalfNormal(60)"\n'
    )
    output = run("priors", file).output
    assert "HalfNormal(sigma=60)" in output
    assert "brms" in output


def test_a_wrong_prior_is_one_plain_sentence(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        'formula = "Yield ~ 1 + (1 | Batch)"\n[data]\nbundled = "dyestuff"\n'
        '[priors]\nsigm = "HalfNormal(60)"\n'
    )
    result = run("priors", file)
    assert result.exit_code == 2
    assert "Did you mean 'sigma'?" in result.output


def test_sensitivity_fits_once_and_then_reads(tmp_path):
    file = tmp_path / "dye.toml"
    file.write_text(
        'formula = "Yield ~ 1 + (1 | Batch)"\n[data]\nbundled = "dyestuff"\n'
        '[sampler]\nparametrization = "marginal"\nrandom_seed = 1\n'
    )
    out = tmp_path / "out"
    first = run("sensitivity", file, "--out", out)
    assert first.exit_code == 0, first.output
    assert "potential prior-data conflict" in first.output
    again = run("sensitivity", file, "--out", out)
    assert "Wrote" not in again.output
    assert "sd_Batch[Intercept]" in again.output


def test_random_effects_in_sigma_stand_in_a_model_file():
    output = run("priors", MODELS / "sleepstudy_sigma.toml").output
    assert "sd_sigma_Subject[Intercept]" in output
    assert "HalfNormal(sigma=1)" in output
    refused = run("reml", MODELS / "sleepstudy_sigma.toml")
    assert refused.exit_code == 2
    assert "no integral has one" in " ".join(refused.output.split())
